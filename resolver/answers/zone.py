"""What the cluster's names mean now: objects by name, and the answers compiled from them. Pure.

A service's answers are compiled when one of its names is asked for, those for gateways apart, and
kept until it changes: a cluster of ten thousand services costs the memory of those in use.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.service import Service
from cubernetes.api.cubernetes.dns import Dns
from cubernetes.api.discovery.endpointslice import EndpointSlice
from resolver.answers.compile import (
    GATEWAY,
    PODS,
    SERVICES,
    Facts,
    Names,
    Node,
    address_in,
    names_of,
    ready_backends,
    undashed,
)
from resolver.answers.hosts import Hosts
from resolver.answers.records import (
    ANY,
    AXFR,
    CNAME,
    HERE,
    IXFR,
    NS,
    PTR,
    SOA,
    TXT,
    A,
    Entry,
    Labels,
    a_record,
    address_of,
    packed_name,
    record,
    soa_record,
    txt_content,
)
from resolver.answers.wire import NXDOMAIN, REFUSED, SERVFAIL, Query, Sections, name_at

# A name that leads to a name that leads to a name: more steps are a circle, or a mistake.
ALIASES_MAX = 4
BRANCHES = frozenset({SERVICES, GATEWAY, PODS})
PARTS_MAX = 2000  # compiled parts that are kept; the one that was used longest ago goes first
# The version of Kubernetes' specification of DNS-based service discovery that is followed.
SCHEMA_VERSION = b"1.1.0"

type Key = tuple[bytes, bytes]  # namespace, name


class ZoneSettings(NamedTuple):
    """Where the zone is, and which addresses are the cluster's: the reverse names that are ours."""

    facts: Facts
    address: IPv4Address
    service_range: IPv4Network
    pod_range: IPv4Network


class Zone:
    """The cluster's names. It answers nothing but SERVFAIL until `is_known` is set."""

    def __init__(self, place: ZoneSettings) -> None:
        self._place = place
        self.is_known = False
        self._services: dict[Key, Service] = {}
        self._slices: dict[Key, dict[str, EndpointSlice]] = {}
        self._namespaces: set[bytes] = set()
        self._parts: OrderedDict[tuple[Key, bytes], Names] = OrderedDict()
        self._hosts = Hosts(place.facts)
        # Reverse names: cluster IPs, and the addresses of headless services' endpoints.
        self._cluster_ips: dict[IPv4Address, Key] = {}
        self._endpoints: dict[IPv4Address, set[Key]] = {}
        self._headless: dict[Key, frozenset[IPv4Address]] = {}
        self._serial = 0
        self._turn = 0
        self._soa = b""
        self._fixed = _fixed_nodes(place)
        self._renewed()

    # What changes

    def take_service(self, old: Service | None, new: Service | None) -> None:
        """Take what stands at a name instead of what stood there: an informer's change."""
        one = new or old
        if one is None:
            return
        key = _key_of(one.metadata.namespace, one.metadata.name)
        self._forget_address(key)
        if new is None:
            self._services.pop(key, None)
        else:
            self._services[key] = new
            address = address_in(new.spec.cluster_ip)
            if address is not None:
                self._cluster_ips[address] = key
        self._changed(key)

    def take_slice(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        """Take a slice; another label may have given it to another service."""
        if old is not None:
            key = _key_of(old.metadata.namespace, old.service_name)
            slices = self._slices.get(key, {})
            slices.pop(old.metadata.name, None)
            if not slices:
                self._slices.pop(key, None)
            self._changed(key)
        if new is not None:
            key = _key_of(new.metadata.namespace, new.service_name)
            self._slices.setdefault(key, {})[new.metadata.name] = new
            self._changed(key)

    def take_namespace(self, old: Namespace | None, new: Namespace | None) -> None:
        if new is not None:
            self._namespaces.add(new.metadata.name.encode())
        elif old is not None:
            self._namespaces.discard(old.metadata.name.encode())

    def take_dns(self, old: Dns | None, new: Dns | None) -> None:
        self._hosts.take(old, new)
        self._renewed()

    def override(self, hosts: Mapping[Labels, Sequence[IPv4Address]]) -> None:
        """Let names lead where an administrator says; services and pods keep theirs."""
        self._hosts.override(hosts)
        self._renewed()

    def _forget_address(self, key: Key) -> None:
        old = self._services.get(key)
        address = address_in(old.spec.cluster_ip) if old is not None else None
        if address is not None and self._cluster_ips.get(address) == key:
            del self._cluster_ips[address]

    def _changed(self, key: Key) -> None:
        for branch in (SERVICES, GATEWAY):
            self._parts.pop((key, branch), None)
        self._index(key)
        self._renewed()

    def _index(self, key: Key) -> None:
        """Note whose endpoints are behind which address: headless services have reverse names."""
        for address in self._headless.pop(key, ()):
            keys = self._endpoints[address]
            keys.discard(key)
            if not keys:
                del self._endpoints[address]
        service = self._services.get(key)
        if service is None or not service.is_headless:
            return
        found = ready_backends(self._slices.get(key, {}).values())
        self._headless[key] = frozenset(one.address for one in found)
        for address in self._headless[key]:
            self._endpoints.setdefault(address, set()).add(key)

    def _renewed(self) -> None:
        """Give the zone as it is now a serial number of its own."""
        self._serial += 1
        facts = self._place.facts
        owner = packed_name(facts.zone)
        self._soa = soa_record(owner, facts.zone, facts.ttl_s, self._serial)

    # What is asked

    def answer(self, query: Query) -> Sections | None:
        """Return the answer; None where the name is not the cluster's to give.

        Where the answer ends with an alias for a name of others, `onwards` says that name.
        """
        found = self._node_of(query.labels)
        if found is None:
            return None
        sections = self._said(found.node, query.kind)
        seen = 0
        while sections.onwards and seen < ALIASES_MAX:
            found = self._node_of(sections.onwards)
            if found is None:
                return sections
            seen += 1
            sections = _followed(sections, self._said(found.node, query.kind))
        return sections._replace(onwards=())

    def _node_of(self, labels: Labels) -> "_Found | None":
        """Return what is at a name; None where the name is not ours."""
        zone = self._place.facts.zone
        if labels[-len(zone) :] == zone:
            return _Found(self._within(labels))
        host = self._hosts.node_of(labels)
        if host is not None:
            return _Found(host)
        address = address_of(labels)
        if address is not None and self._is_ours(address):
            return _Found(self._reverse(address))
        return None

    def _is_ours(self, address: IPv4Address) -> bool:
        place = self._place
        return address in place.service_range or address in place.pod_range

    def _said(self, node: Node | None, kind: int) -> Sections:
        if not self.is_known:
            return Sections(SERVFAIL, is_authoritative=False)
        if kind in (AXFR, IXFR):
            return Sections(REFUSED)
        if node is None:
            return Sections(NXDOMAIN, authority=self._soa)
        if CNAME in node and kind not in (CNAME, ANY):
            return Sections(entries=node[CNAME], onwards=alias_in(node[CNAME][0]))
        found = node.get(kind, ())
        if kind == ANY:
            found = tuple(entry for entries in node.values() for entry in entries)
        if not found:
            return Sections(authority=self._soa)
        if len(found) > 1:
            self._turn += 1
            first = self._turn % len(found)
            found = found[first:] + found[:first]
        return Sections(entries=found)

    def _within(self, labels: Labels) -> Node | None:
        """Return the node of a name in the zone; None where there is no such name.

        What lies below a branch is said by services and pods alone.
        """
        below = labels[: -len(self._place.facts.zone)]
        if below and below[-1] in BRANCHES:
            return self._in_branch(below)
        fixed = self._fixed.get(below)
        return self._hosts.node_of(labels) if fixed is None else fixed

    def _in_branch(self, labels: Labels) -> Node | None:
        branch = labels[-1]
        if len(labels) == 1:
            return {}
        namespace = labels[-2]
        if len(labels) == 2:
            return {} if namespace in self._namespaces else None
        if branch == PODS:
            return self._pod(labels[:-2], namespace)
        names = self._part((namespace, labels[-3]), branch)
        return names.get(labels[:-3]) if names is not None else None

    def _pod(self, labels: Labels, namespace: bytes) -> Node | None:
        address = undashed(labels[0]) if len(labels) == 1 else None
        if address is None or address not in self._place.pod_range:
            return None
        if namespace not in self._namespaces:
            return None
        return {A: (Entry(a_record(HERE, self._place.facts.ttl_s, address)),)}

    def _part(self, key: Key, branch: bytes) -> Names | None:
        part = self._parts.get((key, branch))
        if part is not None:
            self._parts.move_to_end((key, branch))
            return part
        service = self._services.get(key)
        if service is None:
            return None
        slices = self._slices.get(key, {}).values()
        part = self._parts[key, branch] = names_of(service, slices, self._place.facts, branch)
        if len(self._parts) > PARTS_MAX:
            self._parts.popitem(last=False)
        return part

    def _reverse(self, address: IPv4Address) -> Node | None:
        """Return the names of a cluster IP, or of an endpoint of headless services."""
        zone, names = self._place.facts.zone, set()
        key = self._cluster_ips.get(address)
        if key is not None:
            names.add((key[1], key[0], SERVICES, *zone))
        for namespace, name in self._endpoints.get(address, ()):
            slices = self._slices.get((namespace, name), {}).values()
            names |= {
                (one.hostname, name, namespace, SERVICES, *zone)
                for one in ready_backends(slices)
                if one.address == address
            }
        ttl_s = self._place.facts.ttl_s
        entries = [Entry(record(HERE, PTR, ttl_s, packed_name(one))) for one in sorted(names)]
        return {PTR: tuple(entries)} if entries else None


class _Found(NamedTuple):
    """A name that is the cluster's to give; node is None where there is no such name."""

    node: Node | None


def alias_in(entry: Entry) -> Labels:
    """Return the name that a CNAME leads to; its owner is a pointer, before ten fixed bytes."""
    found = name_at(entry.answer, len(HERE) + 10)
    return found[0] if found is not None else ()


def _followed(alias: Sections, answer: Sections) -> Sections:
    """Return an alias and what is at its end, whose records have that name for their owner."""
    owner = packed_name(alias.onwards)
    moved = tuple(
        one._replace(answer=owner + one.answer[len(HERE) :])
        for one in answer.entries
        if one.answer.startswith(HERE)
    )
    return answer._replace(entries=alias.entries + moved)


def _fixed_nodes(place: ZoneSettings) -> dict[Labels, Node]:
    """Return the names of the zone that no object makes."""
    ttl_s, zone = place.facts.ttl_s, place.facts.zone
    server = packed_name((b"ns", b"dns", *zone))
    beside = a_record(server, ttl_s, place.address)
    return {
        (): {
            NS: (Entry(record(HERE, NS, ttl_s, server), (beside,)),),
            SOA: (Entry(soa_record(HERE, zone, ttl_s, 1)),),
        },
        (b"dns",): {},
        (b"ns", b"dns"): {A: (Entry(a_record(HERE, ttl_s, place.address)),)},
        (b"dns-version",): {TXT: (Entry(record(HERE, TXT, ttl_s, txt_content(SCHEMA_VERSION))),)},
    }


def _key_of(namespace: str, name: str) -> Key:
    return namespace.encode(), name.encode()
