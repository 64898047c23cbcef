"""Services and their cluster IPs: claim and service are written in one transaction. Pure."""

from collections.abc import Mapping
from ipaddress import IPv4Network

from apiserver.state.items import Seen
from apiserver.state.keys import CLUSTER_IPS
from apiserver.storage.store import Delete, Entry, Op, Put
from apiserver.strategies import clusterips
from apiserver.strategies.strategy import Claimed, Cluster, Strategy
from cubernetes.api.coding.refusals import invalid
from cubernetes.api.core.service import HEADLESS, Service
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Ref, replaced
from cubernetes.host.web.messages import Identity

# The API server's own service: the first address of the range is always its.
API_SERVICE = Ref("Service", "default", "kubernetes")


class Services(Strategy[Service]):
    """A service gets the address that it asks for, a free one, or none (headless)."""

    is_answered_with_object = True

    def updated(self, old: Service, new: Service) -> Service:
        new = super().updated(old, new)
        if new.spec.cluster_ip:
            return new
        # An author that leaves it out, as `apply` does, means the address that it was given.
        return replaced(new, spec=replaced(new.spec, cluster_ip=old.spec.cluster_ip))

    async def allocated(self, cluster: Cluster, new: Service, taken: Mapping[str, str]) -> Service:
        if new.spec.cluster_ip == HEADLESS:
            return new
        network = IPv4Network(cluster.settings.service_range)
        if new.spec.cluster_ip:
            _check_chosen(new, network, taken.get(CLUSTER_IPS + new.spec.cluster_ip))
            return new
        address = await _free_address(cluster, network, taken)
        return replaced(new, spec=replaced(new.spec, cluster_ip=address, cluster_ips=(address,)))

    def keys_beside(self, name: str, new: Service | None = None) -> tuple[str, ...]:  # noqa: ARG002
        return () if new is None else _claims(new)

    def creation(
        self,
        cluster: Cluster,  # noqa: ARG002
        identity: Identity,  # noqa: ARG002
        new: Service,
        seen: Seen,
    ) -> tuple[Service, tuple[Op, ...]]:
        for key in _claims(new):
            found = seen[key]
            if isinstance(found, Entry):
                raise Claimed("address", key, found.value.decode())
        holder = f"service {new.metadata.namespace}/{new.metadata.name}"
        return new, tuple(Put(key, holder.encode()) for key in _claims(new))

    def released(self, one: Service) -> tuple[Op, ...]:
        return tuple(Delete(key) for key in _claims(one))


def _claims(one: Service) -> tuple[str, ...]:
    """Return the keys that say whose its address is."""
    address = one.spec.cluster_ip
    return () if address in ("", HEADLESS) else (CLUSTER_IPS + address,)


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


async def _free_address(cluster: Cluster, network: IPv4Network, taken: Mapping[str, str]) -> str:
    """Return an address that is free as far as memory shows.

    Raises: Invalid: the range is full, by what the store says itself.
    """
    fraction = cluster.fraction()
    known = _known(cluster, network)
    lost = {key.removeprefix(CLUSTER_IPS) for key in taken}
    if address := clusterips.free_address(network, known | lost, fraction):
        return address
    await cluster.caught_up()
    if address := clusterips.free_address(network, _known(cluster, network), fraction):
        return address
    why = f"the service range {network} is full"
    raise invalid("Service", "", [Problem("spec.clusterIP", why)])


def _known(cluster: Cluster, network: IPv4Network) -> set[str]:
    prefix = len(CLUSTER_IPS)
    kept = clusterips.first_address(network)
    return {kept} | {key[prefix:] for key in cluster.plain if key.startswith(CLUSTER_IPS)}
