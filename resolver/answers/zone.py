"""What the cluster's names mean now: objects by name, and the answers compiled from them. Pure.

A service's answers are compiled when one of its names is asked for, those for gateways apart, and
kept until it changes: a cluster of ten thousand services costs the memory of those in use.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from cubernetes.api.core.namespace import Namespace
from cubernetes.api.cubernetes.dns import Dns
from resolver.answers.compile import (
    GATEWAY,
    PODS,
    SERVICES,
    Facts,
    Names,
    Node,
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
from resolver.objects import KeptService, KeptSlice, Place

# A name that leads to a name that leads to a name: more steps are a circle, or a mistake.
ALIASES_MAX = 4
BRANCHES = frozenset({SERVICES, GATEWAY, PODS})
# Headless services behind one address: a tuple of more would be gone through at each change.
FEW_MAX = 8
PARTS_MAX = 1000  # compiled parts that are kept; the one that was used longest ago goes first
# The version of Kubernetes' specification of DNS-based service discovery that is followed.
SCHEMA_VERSION = b"1.1.0"


class ZoneSettings(NamedTuple):
    """Where the zone is, and which addresses are the cluster's: the reverse names that are ours."""

    facts: Facts
    address: IPv4Address
    service_range: IPv4Network
    pod_range: IPv4Network


class Zone:
    """The cluster's names. It answers nothing but SERVFAIL until `is_known` is set.

    are_hosts_known: hosts outside the cluster's domain are answered all the same.
    """

    def __init__(self, place: ZoneSettings) -> None:
        self._place = place
        self.is_known = self.are_hosts_known = False
        self._services: dict[Place, KeptService] = {}
        # Most services have one.
        self._slices: dict[Place, tuple[KeptSlice, ...]] = {}
        self._namespaces: set[bytes] = set()
        self._parts: OrderedDict[tuple[Place, bytes], Names] = OrderedDict()
        self._hosts = Hosts(place.facts)
        # Reverse names: cluster IPs, and the addresses of headless services' endpoints.
        self._cluster_ips: dict[bytes, Place] = {}
        self._endpoints: dict[bytes, tuple[Place, ...] | set[Place]] = {}
        self._headless: dict[Place, tuple[bytes, ...]] = {}
        self._serial = 0
        self._turn = 0
        self._soa = b""
        self._fixed = _fixed_nodes(place)
        self._renewed()

    # What changes

    def take_service(self, old: KeptService | None, new: KeptService | None) -> None:
        """Take what stands at a name instead of what stood there: an informer's change."""
        one = new or old
        if one is None:
            return
        key = one.place
        self._forget_address(key)
        if new is None:
            self._services.pop(key, None)
        else:
            self._services[key] = new
            if address := new.facts.address:
                self._cluster_ips[address] = key
        self._changed(key)

    def take_slice(self, old: KeptSlice | None, new: KeptSlice | None) -> None:
        """Take a slice; another label may have given it to another service."""
        if old is not None:
            key = self._service_of(old)
            others = tuple(one for one in self._slices.pop(key, ()) if one.place != old.place)
            if others:
                self._slices[key] = others
            self._changed(key)
        if new is not None:
            key = self._service_of(new)
            others = tuple(one for one in self._slices.get(key, ()) if one.place != new.place)
            self._slices[key] = (*others, new)
            self._changed(key)

    def take_namespace(self, old: Namespace | None, new: Namespace | None) -> None:
        if new is not None:
            self._namespaces.add(new.metadata.name.encode())
        elif old is not None:
            self._namespaces.discard(old.metadata.name.encode())

    def take_dns(self, old: Dns | None, new: Dns | None) -> None:
        self._hosts.take(old, new)
        self._renewed()

    def override(self, hosts: Mapping[Labels, Sequence[bytes]]) -> None:
        """Let names lead where an administrator says; services and pods keep theirs."""
        self._hosts.override(hosts)
        self._renewed()

    def _service_of(self, one: KeptSlice) -> Place:
        """Return whose endpoints a slice has: the very place of the service, where it is known."""
        place = one.place[0], one.facts.service_name
        service = self._services.get(place)
        return place if service is None else service.place

    def recalled_service(self, one: KeptService) -> KeptService:
        """Return the service itself that is known, where it is as it was: it is there once."""
        known = self._services.get(one.place)
        return known if known is not None and known == one else one

    def recalled_slice(self, one: KeptSlice) -> KeptSlice:
        known = self._slices.get(self._service_of(one), ())
        return next((each for each in known if each == one), one)

    def _forget_address(self, key: Place) -> None:
        old = self._services.get(key)
        address = old.facts.address if old is not None else b""
        if self._cluster_ips.get(address) == key:
            del self._cluster_ips[address]

    def _changed(self, key: Place) -> None:
        for branch in (SERVICES, GATEWAY):
            self._parts.pop((key, branch), None)
        self._index(key)
        self._renewed()

    def _index(self, key: Place) -> None:
        """Note whose endpoints are behind which address: headless services have reverse names."""
        for address in self._headless.pop(key, ()):
            others = _without(self._endpoints.pop(address), key)
            if others:
                self._endpoints[address] = others
        service = self._services.get(key)
        if service is None or not service.facts.is_headless:
            return
        found = {one.address for one in ready_backends(self._slices.get(key, ()))}
        self._headless[key] = tuple(found)
        for address in found:
            self._endpoints[address] = _with(self._endpoints.get(address, ()), key)

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
        sections = self._said(found, query.kind)
        seen = 0
        while sections.onwards and seen < ALIASES_MAX:
            found = self._node_of(sections.onwards)
            if found is None:
                return sections
            seen += 1
            sections = _followed(sections, self._said(found, query.kind))
        return sections._replace(onwards=())

    def _node_of(self, labels: Labels) -> "_Found | None":
        """Return what is at a name; None where the name is not ours."""
        zone = self._place.facts.zone
        if labels[-len(zone) :] == zone:
            return _Found(self._within(labels), self.is_known)
        host = self._hosts.node_of(labels)
        if host is not None:
            return _Found(host, self.is_known or self.are_hosts_known)
        address = address_of(labels)
        if address is not None and self._is_ours(address):
            return _Found(self._reverse(address), self.is_known)
        return None

    def _is_ours(self, address: IPv4Address) -> bool:
        place = self._place
        return address in place.service_range or address in place.pod_range

    def _said(self, found: "_Found", kind: int) -> Sections:
        node = found.node
        if not found.is_known:
            return Sections(SERVFAIL, is_authoritative=False)
        if kind in (AXFR, IXFR):
            return Sections(REFUSED)
        if node is None:
            return Sections(NXDOMAIN, authority=self._soa)
        if CNAME in node and kind not in (CNAME, ANY):
            return Sections(entries=node[CNAME], onwards=alias_in(node[CNAME][0]))
        entries = node.get(kind, ())
        if kind == ANY:
            entries = tuple(entry for each in node.values() for entry in each)
        if not entries:
            return Sections(authority=self._soa)
        if len(entries) > 1:
            self._turn += 1
            first = self._turn % len(entries)
            entries = entries[first:] + entries[:first]
        return Sections(entries=entries)

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
        # No name of an object has a letter that is more than a byte.
        names = self._part((namespace.decode("latin1"), labels[-3].decode("latin1")), branch)
        return names.get(labels[:-3]) if names is not None else None

    def _pod(self, labels: Labels, namespace: bytes) -> Node | None:
        address = undashed(labels[0]) if len(labels) == 1 else b""
        if not address or IPv4Address(address) not in self._place.pod_range:
            return None
        if namespace not in self._namespaces:
            return None
        return {A: (Entry(a_record(HERE, self._place.facts.ttl_s, address)),)}

    def _part(self, key: Place, branch: bytes) -> Names | None:
        part = self._parts.get((key, branch))
        if part is not None:
            self._parts.move_to_end((key, branch))
            return part
        service = self._services.get(key)
        if service is None:
            return None
        slices = self._slices.get(key, ())
        part = self._parts[key, branch] = names_of(service, slices, self._place.facts, branch)
        if len(self._parts) > PARTS_MAX:
            self._parts.popitem(last=False)
        return part

    def _reverse(self, address: IPv4Address) -> Node | None:
        """Return the names of a cluster IP, or of an endpoint of headless services."""
        zone, names = self._place.facts.zone, set()
        packed = address.packed
        key = self._cluster_ips.get(packed)
        if key is not None:
            names.add((key[1].encode(), key[0].encode(), SERVICES, *zone))
        for key in self._endpoints.get(packed, ()):
            names |= {
                (one.hostname, key[1].encode(), key[0].encode(), SERVICES, *zone)
                for one in ready_backends(self._slices.get(key, ()))
                if one.address == packed
            }
        ttl_s = self._place.facts.ttl_s
        entries = [Entry(record(HERE, PTR, ttl_s, packed_name(one))) for one in sorted(names)]
        return {PTR: tuple(entries)} if entries else None


class _Found(NamedTuple):
    """A name that is the cluster's to give; node is None where there is no such name.

    is_known: what is there is known, and may be said.
    """

    node: Node | None
    is_known: bool


def _with(few: tuple[Place, ...] | set[Place], key: Place) -> tuple[Place, ...] | set[Place]:
    """Return these and a key; mostly it is alone, and a set takes four times a tuple's memory."""
    if isinstance(few, set):
        few.add(key)
        return few
    return (*few, key) if len(few) < FEW_MAX else {*few, key}


def _without(few: tuple[Place, ...] | set[Place], key: Place) -> tuple[Place, ...] | set[Place]:
    if isinstance(few, set):
        few.discard(key)
        return few
    return tuple(one for one in few if one != key)


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
    beside = a_record(server, ttl_s, place.address.packed)
    return {
        (): {
            NS: (Entry(record(HERE, NS, ttl_s, server), (beside,)),),
            SOA: (Entry(soa_record(HERE, zone, ttl_s, 1)),),
        },
        (b"dns",): {},
        (b"ns", b"dns"): {A: (Entry(a_record(HERE, ttl_s, place.address.packed)),)},
        (b"dns-version",): {TXT: (Entry(record(HERE, TXT, ttl_s, txt_content(SCHEMA_VERSION))),)},
    }
