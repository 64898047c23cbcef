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
from typing import NamedTuple

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
from resolver.objects import (
    EndpointFacts,
    KeptService,
    KeptSlice,
    Port,
    ServiceFacts,
    SliceFacts,
    packed_address,
)

# Under these the zone keeps what it knows of services: for everybody, and for gateways.
SERVICES, GATEWAY, PODS = b"svc", b"gw", b"pod"

type Node = Mapping[int, Entries]
type Names = Mapping[Labels, Node]


@dataclass(frozen=True, slots=True)
class Facts:
    """zone: the cluster's domain. ttl_s: how long a client may keep an answer."""

    zone: Labels
    ttl_s: int = 5


class Backend(NamedTuple):
    """One endpoint at one of its addresses. hostname: a label of its own, or its address'."""

    address: bytes
    hostname: bytes


class Target(NamedTuple):
    """A backend and where it listens."""

    backend: Backend
    port: int


def names_of(
    service: KeptService, slices: Iterable[KeptSlice], facts: Facts, branch: bytes
) -> Names:
    """Return the answers about one service, by the labels before the service's own name.

    branch: SERVICES, what everybody asks for, or GATEWAY, what gateways ask for.
    """
    namespace, name = service.place
    base = (name.encode(), namespace.encode(), branch, *facts.zone)
    is_gateway = branch == GATEWAY
    own = service.facts
    if own.is_alias:
        return {} if is_gateway else {(): _alias(own, facts)}
    if is_gateway or own.is_headless:
        offered = [one.facts for one in sorted(slices, key=lambda one: one.place)]
        return _headless(own, offered, facts, base, is_gateway=is_gateway)
    return _at_cluster_ip(own, facts, base)


def _alias(service: ServiceFacts, facts: Facts) -> Node:
    try:
        target = labels_of(service.external_name)
    except ValueError:
        target = ()
    if not target:
        return {}
    return {CNAME: (Entry(record(HERE, CNAME, facts.ttl_s, packed_name(target))),)}


def _at_cluster_ip(service: ServiceFacts, facts: Facts, base: Labels) -> Names:
    if not service.address:
        return {(): {}}
    names: dict[Labels, Node] = {(): {A: (Entry(a_record(HERE, facts.ttl_s, service.address)),)}}
    beside = (a_record(packed_name(base), facts.ttl_s, service.address),)
    for port in service.ports:
        protocol = b"_" + port.protocol.lower().encode()
        names.setdefault((protocol,), {})
        if port.name:
            content = srv_content(port.port, base)
            entry = Entry(record(HERE, SRV, facts.ttl_s, content), beside)
            names[b"_" + port.name.encode(), protocol] = {SRV: (entry,)}
    return names


def _headless(
    service: ServiceFacts,
    slices: Sequence[SliceFacts],
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
    hosts: dict[bytes, list[bytes]] = {}
    for one in everywhere:
        hosts.setdefault(one.hostname, []).append(one.address)
    names |= {(host,): _addresses(addresses, facts) for host, addresses in hosts.items()}
    for port in service.ports:
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


def _numbers(ports: Sequence[Port], name: str, protocol: str) -> list[int]:
    return [one.port for one in ports if (one.name, one.protocol) == (name, protocol)]


def _services_of(
    targets: Sequence[Target],
    hosts: Mapping[bytes, Sequence[bytes]],
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


def _addresses(addresses: Iterable[bytes], facts: Facts) -> Node:
    entries = tuple(Entry(a_record(HERE, facts.ttl_s, one)) for one in dict.fromkeys(addresses))
    return {A: entries} if entries else {}


def _backends(
    one: SliceFacts, *, is_gateway: bool, is_last_resort: bool = False
) -> Iterator[Backend]:
    for endpoint in one.endpoints:
        if _is_wanted(endpoint, is_last_resort=is_last_resort):
            named = endpoint.hostname.encode() if not is_gateway else b""
            yield Backend(endpoint.address, named or dashed(endpoint.address))


def _is_wanted(endpoint: EndpointFacts, *, is_last_resort: bool) -> bool:
    return endpoint.is_serving if is_last_resort else endpoint.is_ready


def ready_backends(slices: Iterable[KeptSlice]) -> Iterator[Backend]:
    """Yield the endpoints that a headless service has a name for."""
    for one in slices:
        yield from _backends(one.facts, is_gateway=False)


def dashed(address: bytes) -> bytes:
    """Return an address as a label: 10-244-1-2."""
    return b"%d-%d-%d-%d" % tuple(address)


def undashed(label: bytes) -> bytes:
    """Return the address that a label spells; empty where it spells none."""
    address = packed_address(label.decode("latin1").replace("-", "."))
    return address if address and dashed(address) == label else b""
