"""Services, their addresses and node ports: claims and service are one transaction. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network

from apiserver.auth.authorize import NO_BUSINESS, READ, Attempt
from apiserver.state.items import Seen
from apiserver.state.keys import CLUSTER_IPS, NODE_PORTS
from apiserver.storage.store import Delete, Entry, Op, Put
from apiserver.strategies import clusterips, nodeports
from apiserver.strategies.carryover import carried_over
from apiserver.strategies.strategy import Claimed, Cluster, Draw, Exhausted, Strategy, Unread
from cubernetes.api.coding.refusals import invalid
from cubernetes.api.core.service import Service, ServicePort
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Ref, replaced
from cubernetes.api.portrange import range_of
from cubernetes.host.web.messages import Identity

# The API server's own service: the first address of the range is always its.
API_SERVICE = Ref("Service", "default", "kubernetes")


class Services(Strategy[Service]):
    """A service gets the address that it asks for, a free one, or none (headless, ExternalName).

    Node ports and the health check's port are given in the same way. What a change of type takes
    away is free for others in the same transaction.
    """

    is_answered_with_object = True
    is_charged_as_it_changes = True

    def access_refusal(
        self,
        node: str,  # noqa: ARG002
        attempt: Attempt,
        one: Service | None,  # noqa: ARG002
        *,
        is_named: bool,  # noqa: ARG002
    ) -> str:
        """Every node reads them: pods are given variables for services."""
        return "" if attempt.verb in READ and not attempt.subresource else NO_BUSINESS

    def updated(self, old: Service, new: Service) -> Service:
        new = super().updated(old, new)
        return replaced(new, spec=carried_over(old.spec, new.spec))

    async def allocated(self, cluster: Cluster, new: Service, taken: Mapping[str, str]) -> Service:
        _check_external(cluster, None, new)
        draw = Draw(cluster.fraction(), dict(taken))
        try:
            return _given(cluster, new, (), draw)
        except Exhausted:
            # What memory does not know yet may be free again: only the store's word is final.
            await cluster.caught_up()
            return _given(cluster, new, (), draw)

    def keys_beside(self, name: str, new: Service | None = None) -> tuple[str, ...]:  # noqa: ARG002
        return () if new is None else _claims(new)

    def creation(
        self,
        cluster: Cluster,  # noqa: ARG002
        identity: Identity,  # noqa: ARG002
        new: Service,
        seen: Seen,
    ) -> tuple[Service, tuple[Op, ...]]:
        return new, _claimed(new, _claims(new), seen)

    def changed(
        self, cluster: Cluster, old: Service, new: Service, seen: Seen, draw: Draw
    ) -> tuple[Service, tuple[Op, ...]]:
        _check_external(cluster, old, new)
        held = _claims(old)
        given = _given(cluster, new, held, draw)
        claims = _claims(given)
        gained = tuple(key for key in claims if key not in held)
        if any(key not in seen for key in gained):
            raise Unread(gained)
        lost = tuple(Delete(key) for key in held if key not in claims)
        return given, (*_claimed(given, gained, seen), *lost)

    def released(self, one: Service) -> tuple[Op, ...]:
        return tuple(Delete(key) for key in _claims(one))


def _claims(one: Service) -> tuple[str, ...]:
    """Return the keys that say whose its address and its ports are, each once."""
    spec = one.spec
    has_address = bool(spec.cluster_ip) and not spec.is_headless
    addresses = (CLUSTER_IPS + spec.cluster_ip,) if has_address else ()
    ports = {port.node_port for port in spec.ports} | {spec.health_check_node_port}
    return (*addresses, *(f"{NODE_PORTS}{port}" for port in sorted(ports) if port))


def _claimed(one: Service, keys: Iterable[str], seen: Seen) -> tuple[Op, ...]:
    """Return what claims keys that nobody has.

    Raises: Claimed.
    """
    holder = f"service {one.metadata.namespace}/{one.metadata.name}"
    claims = []
    for key in keys:
        found = seen[key]
        if isinstance(found, Entry):
            what = "address" if key.startswith(CLUSTER_IPS) else "node port"
            raise Claimed(what, key, found.value.decode())
        claims.append(Put(key, holder.encode()))
    return tuple(claims)


def _given(cluster: Cluster, new: Service, held: tuple[str, ...], draw: Draw) -> Service:
    """Return a service with what it asks for and with what is free, as far as memory shows.

    held: the keys that it has claimed already.

    Raises: Invalid: what its author chose cannot be had; Exhausted: nothing is left.
    """
    new = _with_address(cluster, new, held, draw)
    return _with_ports(cluster, new, held, draw)


def _check_external(cluster: Cluster, old: Service | None, new: Service) -> None:
    """Refuse external addresses by which a service would newly take over what is another's.

    What stood there before is left to stand: the cluster's ranges may have changed since.

    Raises: Invalid.
    """
    before = frozenset(_taken_over(cluster, old)) if old is not None else frozenset()
    addresses = new.spec.external_ips
    problems = [
        Problem(f"spec.externalIPs[{addresses.index(text)}]", why)
        for text, why in _taken_over(cluster, new)
        if (text, why) not in before
    ]
    if problems:
        raise invalid("Service", new.metadata.name, problems, new)


def _taken_over(cluster: Cluster, one: Service) -> Iterator[tuple[str, str]]:
    """Yield each external address that is another's, and why."""
    settings = cluster.settings
    ports = {port.port for port in one.spec.ports if port.protocol == "TCP"}
    for text in one.spec.external_ips:
        address = IPv4Address(text)
        for what, network in (("service", settings.service_range), ("pod", settings.pod_range)):
            if address in IPv4Network(network):
                yield text, f"must not be in the {what} range {network}"
        if text in settings.advertise_addresses and settings.listen_port in ports:
            yield text, f"port {settings.listen_port} there is the API server's own"


def _with_address(cluster: Cluster, new: Service, held: tuple[str, ...], draw: Draw) -> Service:
    spec = new.spec
    if spec.type == "ExternalName" or spec.is_headless:
        return new
    network = IPv4Network(cluster.settings.service_range)
    if spec.cluster_ip:
        key = CLUSTER_IPS + spec.cluster_ip
        if key not in held:
            _check_chosen(new, network, draw.taken.get(key))
        return new
    known = {clusterips.first_address(network)} | _known(cluster, CLUSTER_IPS, draw)
    address = clusterips.free_address(network, known, draw.fraction)
    if address is None:
        raise Exhausted(new, "spec.clusterIP", f"the service range {network} is full")
    return replaced(new, spec=replaced(spec, cluster_ip=address, cluster_ips=(address,)))


def _check_chosen(new: Service, network: IPv4Network, holder: str | None) -> None:
    """Refuse an address that its author may not choose.

    Raises: Invalid.
    """
    address = new.spec.cluster_ip
    why = clusterips.refusal(address, network, holder)
    if address == clusterips.first_address(network) and new.ref != API_SERVICE:
        kept = f"kept for the service {API_SERVICE.namespace}/{API_SERVICE.name}"
        why = f"provided IP is already allocated: {address} is {kept}"
    if why:
        raise invalid("Service", new.metadata.name, [Problem("spec.clusterIP", why)], new)


def _with_ports(cluster: Cluster, new: Service, held: tuple[str, ...], draw: Draw) -> Service:
    spec = new.spec
    if not (spec.is_given_node_ports or spec.has_health_port or any(_chosen(new))):
        return new
    ports = range_of(cluster.settings.node_port_range)
    problems = [
        Problem(field, why)
        for field, port in _chosen(new)
        if (key := f"{NODE_PORTS}{port}") not in held
        and (why := nodeports.refusal(port, ports, draw.taken.get(key)))
    ]
    if problems:
        raise invalid("Service", new.metadata.name, problems, new)
    taken = {int(text) for text in _known(cluster, NODE_PORTS, draw)}
    taken |= {port for _, port in _chosen(new)}

    def free(field: str) -> int:
        port = nodeports.free_port(ports, taken, draw.fraction)
        if port is None:
            raise Exhausted(new, field, f"the range of node ports {ports} is full")
        taken.add(port)
        return port

    if spec.is_given_node_ports:
        spec = replaced(spec, ports=tuple(_numbered(spec.ports, free)))
    if spec.has_health_port and not spec.health_check_node_port:
        spec = replaced(spec, health_check_node_port=free("spec.healthCheckNodePort"))
    return replaced(new, spec=spec)


def _numbered(ports: Iterable[ServicePort], free: Callable[[str], int]) -> Iterator[ServicePort]:
    """Yield the ports, each with a node port: one number for TCP and UDP of the same port.

    No number is given twice for one protocol: an author may have chosen it for another port.
    """
    ports = tuple(ports)
    numbers = {one.port: one.node_port for one in ports if one.node_port}
    used = {(one.node_port, one.protocol) for one in ports if one.node_port}
    for index, one in enumerate(ports):
        if one.node_port:
            yield one
            continue
        number = numbers.get(one.port, 0)
        if not number or (number, one.protocol) in used:
            number = free(f"spec.ports[{index}].nodePort")
        numbers.setdefault(one.port, number)
        used.add((number, one.protocol))
        yield replaced(one, node_port=number)


def _chosen(one: Service) -> list[tuple[str, int]]:
    """Return the node ports that a service states, with their fields."""
    found = [
        (f"spec.ports[{at}].nodePort", port.node_port) for at, port in enumerate(one.spec.ports)
    ]
    found.append(("spec.healthCheckNodePort", one.spec.health_check_node_port))
    return [(field, port) for field, port in found if port]


def _known(cluster: Cluster, prefix: str, draw: Draw) -> set[str]:
    """Return what is claimed below a prefix, as far as memory and this request know."""
    keys = (*cluster.plain, *draw.taken)
    return {key[len(prefix) :] for key in keys if key.startswith(prefix)}
