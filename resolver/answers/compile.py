"""A service and its endpoints to the answers about its names. Pure.

    <service>.<namespace>.svc.<zone>          A: its cluster IP, or every ready endpoint
    _<port>._<protocol>.<that>                SRV: each port, with its target's address beside it
    <hostname or address>.<that>              A: one endpoint of a headless service
    <service>.<namespace>.gw.<zone>           the same with every serving endpoint, for gateways

Answers are bytes whose owner is a pointer to the question's name, so that they are packed once and
come back in the question's own spelling. A name that is there without a record (`_tcp` alone, a
headless service without endpoints) has an empty Node: the difference between NODATA and NXDOMAIN.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from typing import NamedTuple

from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import Endpoint, EndpointPort, EndpointSlice
from resolver.answers.records import (
    CNAME,
    HERE,
    SRV,
    A,
    Entries,
    Entry,
    Labels,
    a_record,
    labels_of,
    packed_name,
    record,
    srv_content,
)

# Under these the zone keeps what it knows of services: for everybody, and for gateways.
SERVICES, GATEWAY, PODS = b"svc", b"gw", b"pod"
EXTERNAL_NAME = "ExternalName"

type Node = Mapping[int, Entries]
type Names = Mapping[Labels, Node]


@dataclass(frozen=True, slots=True)
class Facts:
    """zone: the cluster's domain. ttl_s: how long a client may keep an answer."""

    zone: Labels
    ttl_s: int = 5


class Backend(NamedTuple):
    """One endpoint at one of its addresses. hostname: a label of its own, or its address'."""

    address: IPv4Address
    hostname: bytes


class Target(NamedTuple):
    """A backend and where it listens."""

    backend: Backend
    port: int


def names_of(
    service: Service, slices: Iterable[EndpointSlice], facts: Facts, branch: bytes
) -> Names:
    """Return the answers about one service, by the labels before the service's own name.

    branch: SERVICES, what everybody asks for, or GATEWAY, what gateways ask for.
    """
    own = (service.metadata.name.encode(), service.metadata.namespace.encode())
    base = (*own, branch, *facts.zone)
    is_gateway = branch == GATEWAY
    if getattr(service.spec, "type", "") == EXTERNAL_NAME:
        return {} if is_gateway else {(): _alias(service, facts)}
    if is_gateway or service.is_headless:
        offered = sorted(slices, key=lambda one: one.metadata.name)
        return _headless(service, offered, facts, base, is_gateway=is_gateway)
    return _at_cluster_ip(service, address_in(service.spec.cluster_ip), facts, base)


def _alias(service: Service, facts: Facts) -> Node:
    try:
        target = labels_of(getattr(service.spec, "external_name", ""))
    except ValueError:
        target = ()
    if not target:
        return {}
    return {CNAME: (Entry(record(HERE, CNAME, facts.ttl_s, packed_name(target))),)}


def _at_cluster_ip(
    service: Service, address: IPv4Address | None, facts: Facts, base: Labels
) -> Names:
    if address is None:
        return {(): {}}
    names: dict[Labels, Node] = {(): {A: (Entry(a_record(HERE, facts.ttl_s, address)),)}}
    beside = (a_record(packed_name(base), facts.ttl_s, address),)
    for port in service.spec.ports:
        protocol = b"_" + port.protocol.lower().encode()
        names.setdefault((protocol,), {})
        if port.name:
            content = srv_content(port.port, base)
            entry = Entry(record(HERE, SRV, facts.ttl_s, content), beside)
            names[b"_" + port.name.encode(), protocol] = {SRV: (entry,)}
    return names


def _headless(
    service: Service,
    slices: Sequence[EndpointSlice],
    facts: Facts,
    base: Labels,
    *,
    is_gateway: bool,
) -> Names:
    """Return names that lead to the endpoints themselves.

    A gateway asks for a port also by its number, and has endpoints that still serve where none is
    ready, as the proxy has.
    """
    found = [(one, list(_backends(one, is_gateway=is_gateway))) for one in slices]
    if is_gateway and not any(backends for _, backends in found):
        found = [
            (one, list(_backends(one, is_gateway=True, is_last_resort=True))) for one in slices
        ]
    names: dict[Labels, Node] = {}
    everywhere = sorted({backend for _, backends in found for backend in backends})
    names[()] = _addresses((one.address for one in everywhere), facts)
    hosts: dict[bytes, list[IPv4Address]] = {}
    for one in everywhere:
        hosts.setdefault(one.hostname, []).append(one.address)
    names |= {(host,): _addresses(addresses, facts) for host, addresses in hosts.items()}
    for port in service.spec.ports:
        protocol = b"_" + port.protocol.lower().encode()
        targets = sorted(
            {
                Target(backend, number)
                for one, backends in found
                for number in _numbers(one.ports, port.name, port.protocol)
                for backend in backends
            }
        )
        node = _services_of(targets, hosts, facts, base)
        names.setdefault((protocol,), {})
        called = [port.name.encode()] if port.name else []
        called += [b"%d" % port.port] if is_gateway else []
        names |= {(b"_" + one, protocol): node for one in called}
    return names


def _numbers(ports: Sequence[EndpointPort], name: str, protocol: str) -> list[int]:
    return [one.port for one in ports if (one.name, one.protocol) == (name, protocol)]


def _services_of(
    targets: Sequence[Target],
    hosts: Mapping[bytes, Sequence[IPv4Address]],
    facts: Facts,
    base: Labels,
) -> Node:
    entries = []
    for host, port in dict.fromkeys((one.backend.hostname, one.port) for one in targets):
        target = (host, *base)
        owner = packed_name(target)
        beside = tuple(a_record(owner, facts.ttl_s, address) for address in hosts[host])
        entries.append(Entry(record(HERE, SRV, facts.ttl_s, srv_content(port, target)), beside))
    return {SRV: tuple(entries)} if entries else {}


def _addresses(addresses: Iterable[IPv4Address], facts: Facts) -> Node:
    entries = tuple(Entry(a_record(HERE, facts.ttl_s, one)) for one in dict.fromkeys(addresses))
    return {A: entries} if entries else {}


def _backends(
    one: EndpointSlice, *, is_gateway: bool, is_last_resort: bool = False
) -> Iterator[Backend]:
    for endpoint in one.endpoints:
        if not _is_wanted(endpoint, is_last_resort=is_last_resort):
            continue
        address = address_in(endpoint.addresses[0]) if endpoint.addresses else None
        if address is not None:
            named = endpoint.hostname.encode() if not is_gateway else b""
            yield Backend(address, named or dashed(address))


def _is_wanted(endpoint: Endpoint, *, is_last_resort: bool) -> bool:
    return endpoint.conditions.serving if is_last_resort else endpoint.conditions.ready


def ready_backends(slices: Iterable[EndpointSlice]) -> Iterator[Backend]:
    """Yield the endpoints that a headless service has a name for."""
    for one in slices:
        yield from _backends(one, is_gateway=False)


def dashed(address: IPv4Address) -> bytes:
    """Return an address as a label: 10-244-1-2."""
    return str(address).replace(".", "-").encode()


def undashed(label: bytes) -> IPv4Address | None:
    """Return the address that a label spells, or None."""
    address = address_in(label.decode("latin1").replace("-", "."))
    return address if address is not None and dashed(address) == label else None


def address_in(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None
