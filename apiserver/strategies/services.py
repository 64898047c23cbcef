"""Services and their cluster IPs: claim and service are written in one transaction."""

from collections.abc import Awaitable
from ipaddress import IPv4Network
from typing import Protocol

from apiserver.backend import Backend
from apiserver.call import Call
from apiserver.state.guards import Guard
from apiserver.state.items import Item
from apiserver.state.keys import CLUSTER_IPS
from apiserver.state.transact import Seen
from apiserver.storage.store import Delete, Entry, Op, Put
from apiserver.strategies import clusterips
from cubernetes.api.core.service import HEADLESS, Service
from cubernetes.api.errors import ApiError, Conflict, Problem, ServiceUnavailable
from cubernetes.api.meta import Object, Ref, replaced
from cubernetes.api.refusals import invalid

# The API server's own service: the first address of the range is always its.
API_SERVICE = Ref("Service", "default", "kubernetes")
# How often another service may get the address that we found free.
CLAIM_ATTEMPTS_MAX = 16


class Claimed(ApiError):
    """The address is another's since a moment ago. Never leaves this module."""

    code, reason = 409, "Conflict"

    def __init__(self, address: str, holder: str) -> None:
        super().__init__(f"{address} is claimed by {holder}")
        self.holder = holder


class PutNew(Protocol):
    def __call__(
        self,
        backend: Backend,
        call: Call,
        new: Object,
        guards: tuple[Guard, ...],
        claims: tuple[Op, ...] = (),
    ) -> Awaitable[Item]: ...


async def create(
    backend: Backend, call: Call, new: Service, guards: tuple[Guard, ...], put_new: PutNew
) -> Item:
    """Create a service with the address that it asks for, a free one, or none (headless)."""
    if new.spec.cluster_ip == HEADLESS:
        return await put_new(backend, call, new, guards)
    if new.spec.cluster_ip:
        return await _with_chosen(backend, call, new, guards, put_new)
    return await _with_free(backend, call, new, guards, put_new)


def check_unclaimed(claims: tuple[Op, ...], seen: Seen) -> None:
    """Refuse where somebody holds what is to be claimed.

    Raises: Claimed.
    """
    for claim in claims:
        found = seen[claim.key]
        if isinstance(found, Entry):
            raise Claimed(claim.key.removeprefix(CLUSTER_IPS), found.value.decode())


def released(one: Object) -> tuple[Op, ...]:
    """Return what gives back the claims of an object that goes."""
    if not isinstance(one, Service) or one.spec.cluster_ip in ("", HEADLESS):
        return ()
    return (Delete(CLUSTER_IPS + one.spec.cluster_ip),)


async def _with_chosen(
    backend: Backend, call: Call, new: Service, guards: tuple[Guard, ...], put_new: PutNew
) -> Item:
    address = new.spec.cluster_ip
    network = IPv4Network(backend.settings.service_range)
    why = clusterips.refusal(address, network, None)
    if address == clusterips.first_address(network) and new.ref != API_SERVICE:
        kept = f"kept for the service {API_SERVICE.namespace}/{API_SERVICE.name}"
        why = f"provided IP is already allocated: {address} is {kept}"
    if not why:
        try:
            return await put_new(backend, call, new, guards, (_claim(new, address),))
        except Claimed as claimed:
            why = clusterips.refusal(address, network, claimed.holder)
    raise invalid("Service", new.metadata.name, [Problem("spec.clusterIP", why)], new)


async def _with_free(
    backend: Backend, call: Call, new: Service, guards: tuple[Guard, ...], put_new: PutNew
) -> Item:
    network = IPv4Network(backend.settings.service_range)
    tried: set[str] = set()
    for _ in range(CLAIM_ATTEMPTS_MAX):
        address = await _free(backend, network, tried)
        spec = replaced(new.spec, cluster_ip=address, cluster_ips=(address,))
        try:
            claim = _claim(new, address)
            return await put_new(backend, call, replaced(new, spec=spec), guards, (claim,))
        except Claimed:
            tried.add(address)
    raise Conflict("others took every address that was found free; please try again")


async def _free(backend: Backend, network: IPv4Network, tried: set[str]) -> str:
    """Return an address that is free as far as we see; being full is said only when it is sure."""
    fraction = backend.env.rng.fraction()
    if address := clusterips.free_address(network, _taken(backend, tried), fraction):
        return address
    await backend.mirror.caught_up(backend.settings.limits.freshness_deadline_s)
    if address := clusterips.free_address(network, _taken(backend, set()), fraction):
        return address
    why = f"the service range {network} is full"
    raise invalid("Service", "", [Problem("spec.clusterIP", why)])


def _taken(backend: Backend, tried: set[str]) -> set[str]:
    claims = backend.mirror.plain
    prefix = len(CLUSTER_IPS)
    kept = clusterips.first_address(IPv4Network(backend.settings.service_range))
    return tried | {kept} | {key[prefix:] for key in claims if key.startswith(CLUSTER_IPS)}


def _claim(service: Service, address: str) -> Put:
    if not address:
        raise ServiceUnavailable("no address to claim")
    holder = f"service {service.metadata.namespace}/{service.metadata.name}"
    return Put(CLUSTER_IPS + address, holder.encode())
