"""Services as upstreams: by cluster IP, or by endpoints. Pure.

Endpoints are led to one by one where a policy balances, and where a pod of the service is drained.
"""

from collections.abc import Iterable, Sequence, Set
from typing import NamedTuple

from cubernetes.api.core.node import is_address
from cubernetes.api.core.service import Service, ServicePort
from cubernetes.api.cubernetes.routepolicy import PolicyBalancing, RoutePolicy
from cubernetes.api.discovery.endpointslice import SERVICE_LABEL, Endpoint, EndpointSlice
from cubernetes.api.roads import drained_of
from gateway.roads.model import Server, Upstream
from gateway.roads.policies import key_of


class Wanted(NamedTuple):
    """A port of a service, by its number or name."""

    namespace: str
    service: str
    port: int | str


class Upstreams:
    """The upstreams that roads have asked for so far."""

    def __init__(self, services: Iterable[Service], slices: Iterable[EndpointSlice]) -> None:
        self._services = {(one.metadata.namespace, one.metadata.name): one for one in services}
        self._slices: dict[tuple[str, str], list[EndpointSlice]] = {}
        for one in slices:
            place = (one.metadata.namespace, one.metadata.labels.get(SERVICE_LABEL, ""))
            self._slices.setdefault(place, []).append(one)
        self._found: dict[str, Upstream] = {}

    @property
    def found(self) -> tuple[Upstream, ...]:
        return tuple(self._found[name] for name in sorted(self._found))

    def is_served(self, wanted: Wanted) -> bool:
        """Tell whether an endpoint serves a port of a service."""
        place = (wanted.namespace, wanted.service)
        service = self._services.get(place)
        port = _port(wanted.port, service) if service is not None else None
        return port is not None and bool(servers_in(self._slices.get(place, ()), port))

    def name_of(self, wanted: Wanted, policy: RoutePolicy | None) -> tuple[str, str]:
        """Return the upstream's name; or an empty one, and why there is none."""
        service = self._services.get((wanted.namespace, wanted.service))
        port = _port(wanted.port, service) if service is not None else None
        if service is None or service.metadata.is_deleted:
            return "", f"there is no service {wanted.service}"
        if port is None:
            return "", f"service {wanted.service} has no port {wanted.port}"
        if port.protocol != "TCP":
            return "", f"port {wanted.port} of service {wanted.service} is {port.protocol}, no TCP"
        # No part of the name has an underscore in it: two upstreams never have one name.
        name = f"{wanted.namespace}_{wanted.service}_{port.port}"
        drained = drained_of(service.metadata.annotations)
        if policy is not None and policy.spec.balancing is not None:
            return self._balanced(f"{name}_{key_of(policy)}", wanted, port, policy, drained)
        if drained:
            return self._balanced(f"{name}_drained", wanted, port, None, drained)
        if not is_address(service.spec.cluster_ip):
            return "", f"service {wanted.service} has no cluster IP"
        self._found[name] = Upstream(name, (Server(service.spec.cluster_ip, port.port),))
        return name, ""

    def _balanced(
        self,
        name: str,
        wanted: Wanted,
        port: ServicePort,
        policy: RoutePolicy | None,
        drained: Set[str],
    ) -> tuple[str, str]:
        balancing = policy.spec.balancing if policy is not None else PolicyBalancing()
        found = servers_in(self._slices.get((wanted.namespace, wanted.service), ()), port, drained)
        # Without sessions nobody is led to one that is drained.
        keeps = balancing is not None and bool(balancing.session_cookie)
        servers = tuple(one for one in found if keeps or not one.is_drained)
        if not servers:
            # It comes and goes with the pods: no fault of anybody's.
            return "", ""
        owner = policy.ref if policy is not None else None
        self._found[name] = Upstream(name, servers, balancing, owner)
        return name, ""


def servers_in(
    slices: Iterable[EndpointSlice], port: ServicePort, drained: Set[str] = frozenset()
) -> tuple[Server, ...]:
    """Return the ready endpoints of a port, in order; where none is, those that go and serve."""
    ready, going = set(), set()
    for one in slices:
        numbers = [each.port for each in one.ports if (each.name, each.protocol) == _name(port)]
        for endpoint, number in ((each, number) for each in one.endpoints for number in numbers):
            if endpoint.conditions.ready:
                ready.add(_server(endpoint, number, drained))
            elif endpoint.conditions.serving and endpoint.conditions.terminating:
                going.add(_server(endpoint, number, drained))
    return tuple(sorted(ready or going))


def _server(endpoint: Endpoint, number: int, drained: Set[str]) -> Server:
    pod = endpoint.target_ref.name if endpoint.target_ref is not None else ""
    return Server(endpoint.addresses[0], number, pod in drained)


def _name(port: ServicePort) -> tuple[str, str]:
    return port.name, port.protocol


def _port(wanted: int | str, service: Service) -> ServicePort | None:
    ports: Sequence[ServicePort] = service.spec.ports
    return next((one for one in ports if wanted in (one.port, one.name or None)), None)
