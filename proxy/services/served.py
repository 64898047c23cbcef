"""What this node serves: each port of a service with its doors and the endpoints behind it. Pure.

It stands between the objects of the API and a packet filter's language: both backends compile from
it, so that they cannot differ in who answers.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import NamedTuple

from cubernetes.api.core.service import Service, ServicePort, may_be_external, networks_of
from cubernetes.api.discovery.endpointslice import Endpoint, EndpointSlice

_COMMENT = re.compile(r"[a-z0-9/:._-]{1,200}\Z", re.ASCII)

type Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules must know of the cluster: where pods and services have their addresses.

    node is this node's name: policies that are called Local look for its endpoints.
    """

    pod_range: IPv4Network
    service_range: IPv4Network
    node: str = ""


class Backend(NamedTuple):
    """An endpoint that serves. Sorted by number, so that every node compiles the same text."""

    address: IPv4Address
    port: int


@dataclass(frozen=True, slots=True)
class ServedPort:
    """One port of a service.

    everywhere: the endpoints of the cluster that answer; here: those on this node. balanced are
    the addresses of the pool; sources, from where they may be reached, empty for everywhere.
    is_inner_local, is_outer_local: whether only this node's endpoints answer what comes to the
    cluster IP, and what comes to the other doors. affinity_s: 0 where any connection goes anywhere.
    """

    key: Key
    name: str
    protocol: str  # tcp, udp
    cluster_ip: IPv4Address
    port: int
    node_port: int
    externals: tuple[IPv4Address, ...]
    balanced: tuple[IPv4Address, ...]
    sources: tuple[IPv4Network, ...]
    everywhere: tuple[Backend, ...]
    here: tuple[Backend, ...]
    is_inner_local: bool
    is_outer_local: bool
    affinity_s: int

    @property
    def identity(self) -> str:
        """Return the text that names it among all ports of all services."""
        return "/".join((*self.key, self.name, self.protocol))

    @property
    def comment(self) -> str:
        """Return what tells people whose a rule is; empty where that does not fit a rule."""
        said = "/".join(self.key) + (f":{self.name}" if self.name else "")
        return said if _COMMENT.match(said) else ""

    @property
    def has_outer_doors(self) -> bool:
        return bool(self.node_port or self.externals or self.balanced)


class Served(NamedTuple):
    """What one service serves. skipped says what could not be, and why; the rest is served."""

    ports: tuple[ServedPort, ...] = ()
    skipped: tuple[str, ...] = ()


def served_by(service: Service, slices: Iterable[EndpointSlice], facts: Facts) -> Served:
    """Return what a service serves on this node; without an address it is nothing."""
    spec = service.spec
    if service.is_headless or not spec.cluster_ip or spec.type == "ExternalName":
        return Served()
    address = address_in(spec.cluster_ip)
    # Outside the service range it would take over an address that belongs to somebody else.
    if address is None or address not in facts.service_range:
        return Served(skipped=(f"{service.ref}: cluster IP {spec.cluster_ip[:40]!r}",))
    skipped: list[str] = []
    offered = list(slices)
    externals = tuple(_outer(spec.external_ips, "external IP", facts, skipped))
    ingress = service.status.load_balancer.ingress if spec.type == "LoadBalancer" else ()
    given = [one.ip for one in ingress if one.ip and one.ip_mode != "Proxy"]
    balanced = tuple(
        one for one in _outer(given, "address", facts, skipped) if one not in externals
    )
    ports = tuple(
        ServedPort(
            key=key_of(service),
            name=port.name,
            protocol=port.protocol.lower(),
            cluster_ip=address,
            port=port.port,
            node_port=port.node_port if spec.may_have_node_ports else 0,
            externals=externals,
            balanced=balanced,
            sources=networks_of(spec) if spec.type == "LoadBalancer" else (),
            everywhere=everywhere,
            here=here,
            is_inner_local=spec.internal_traffic_policy == "Local",
            is_outer_local=spec.external_traffic_policy == "Local",
            affinity_s=spec.affinity_s,
        )
        for port in spec.ports
        for everywhere, here in (_backends(port, offered, facts.node, skipped),)
    )
    return Served(ports, tuple(f"{service.ref}: {reason}" for reason in dict.fromkeys(skipped)))


def key_of(service: Service) -> Key:
    return service.metadata.namespace, service.metadata.name


def slices_by_service(slices: Iterable[EndpointSlice]) -> Mapping[Key, Sequence[EndpointSlice]]:
    """Group slices under the (namespace, name) of the service that their label names."""
    grouped: dict[Key, list[EndpointSlice]] = {}
    for one in slices:
        if one.service_name:
            grouped.setdefault((one.metadata.namespace, one.service_name), []).append(one)
    return grouped


def _outer(
    texts: Iterable[str], what: str, facts: Facts, skipped: list[str]
) -> Iterator[IPv4Address]:
    for text in dict.fromkeys(texts):
        address = IPv4Address(text) if may_be_external(text) else None
        # There it would take over what belongs to another service, or to a pod.
        if address is None or address in facts.service_range or address in facts.pod_range:
            skipped.append(f"{what} {text[:40]!r}")
        else:
            yield address


def _backends(
    port: ServicePort, slices: Iterable[EndpointSlice], node: str, skipped: list[str]
) -> tuple[tuple[Backend, ...], tuple[Backend, ...]]:
    """Return the endpoints that serve a port, each once, in order: of the cluster, and of a node.

    Those that are ready; where none is, those that still serve while they go: the last pod of a
    service answers until it has ended, as in Kubernetes (KEP-1669). A node's are judged apart.
    """
    ready: set[Backend] = set()
    going: set[Backend] = set()
    on_node: set[Backend] = set()
    for one in slices:
        numbers = [
            offer.port
            for offer in one.ports
            if (offer.name, offer.protocol) == (port.name, port.protocol)
        ]
        for endpoint in one.endpoints if numbers else ():
            taken = ready if endpoint.conditions.ready else going if _is_going(endpoint) else None
            address = _address_of(endpoint, skipped) if taken is not None else None
            if taken is None or address is None:
                continue
            found = {Backend(address, number) for number in numbers}
            taken |= found
            if node and endpoint.node_name == node:
                on_node |= found
    everywhere = sorted(ready or going)
    return tuple(everywhere), tuple(sorted(ready & on_node or going & on_node))


def _is_going(endpoint: Endpoint) -> bool:
    """Tell whether an endpoint still answers, but has been asked to end."""
    return endpoint.conditions.serving and endpoint.conditions.terminating


def _address_of(endpoint: Endpoint, skipped: list[str]) -> IPv4Address | None:
    """Return where an endpoint is. Its addresses are alternatives: the first is used.

    A client that may write EndpointSlices must not reach listeners on a node's loopback.
    """
    if not endpoint.addresses:
        return None
    address = address_in(endpoint.addresses[0])
    if address is None:
        skipped.append(f"endpoint {endpoint.addresses[0][:40]!r}")
    return address


def address_in(text: str) -> IPv4Address | None:
    """Return an address that a packet can be sent to, or None."""
    try:
        address = IPv4Address(text)
    except AddressValueError:
        return None
    is_special = (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
    )
    return None if is_special else address
