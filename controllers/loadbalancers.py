"""Load balancers: every service of that type gets an address of the cluster's pool, and keeps it.

All services are one key, so that no two plans can give the same address away at the same time. A
service of another class is somebody else's, and so is every one where there is no pool. The
annotation ANNOUNCED tells the nodes which addresses are theirs to announce; it is written before
the address, and what is announced is only what both say.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address

from cubernetes.api.addresspool import Pool
from cubernetes.api.core.node import is_address
from cubernetes.api.core.service import (
    ANNOUNCED,
    LoadBalancer,
    LoadBalancerIngress,
    Service,
    ServiceStatus,
)
from cubernetes.api.meta import Object, Ref, replaced
from cubernetes.reconcile.plan import Action, Patch, Record, RequeueAfter, UpdateStatus, View

EVERY_SERVICE = Ref("AddressPool", "", "")
LOOK_AGAIN_S = 30.0  # at a service for which there was no address


@dataclass(frozen=True, slots=True)
class LoadBalancers:
    """Plans for all services at once; who has an address keeps it, the first by age comes first."""

    pool: Pool

    name = "loadbalancers"
    kinds: tuple[type[Object], ...] = (Service,)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:  # noqa: ARG002
        is_about_it = isinstance(changed, Service) and (
            changed.spec.type == "LoadBalancer" or ANNOUNCED in changed.metadata.annotations
        )
        return (EVERY_SERVICE,) if is_about_it else ()

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:  # noqa: ARG002
        if not self.pool:
            return
        services = sorted(view.list(Service), key=_seniority)
        ours = [one for one in services if is_ours(one)]
        kept = kept_by(ours, self.pool)
        taken = set(kept.values())
        for one in services:
            if not is_ours(one):
                yield from _without(one)
                continue
            address = kept.get(one.ref)
            if address is None:
                address, why = self._free_for(one, taken)
                if address is None:
                    yield Record(one, "AddressNotAvailable", why, "Warning")
                    yield RequeueAfter(LOOK_AGAIN_S)
                    yield from _without(one)
                    continue
                taken.add(address)
            yield from _with(one, str(address))

    def _free_for(self, one: Service, taken: set[IPv4Address]) -> tuple[IPv4Address | None, str]:
        """Return an address for a service, or why there is none."""
        if text := one.spec.load_balancer_ip:
            wanted = IPv4Address(text)
            if wanted not in self.pool:
                return None, f"loadBalancerIP {text} is not in the pool of this cluster"
            if wanted in taken:
                return None, f"loadBalancerIP {text} is another service's"
            return wanted, ""
        free = next((address for address in self.pool if address not in taken), None)
        return free, "" if free else "every address of the pool is taken"


def is_ours(one: Service) -> bool:
    """Tell whether this cluster is to give a service an address."""
    return one.spec.type == "LoadBalancer" and not one.spec.load_balancer_class


def kept_by(services: Iterable[Service], pool: Pool) -> Mapping[Ref, IPv4Address]:
    """Return the addresses that services keep: of the pool, as asked for, and nobody's before."""
    kept: dict[Ref, IPv4Address] = {}
    taken: set[IPv4Address] = set()
    for one in services:
        for ingress in one.status.load_balancer.ingress[:1]:
            is_wanted = one.spec.load_balancer_ip in ("", ingress.ip)
            address = IPv4Address(ingress.ip) if is_address(ingress.ip) else None
            if address is not None and is_wanted and address in pool and address not in taken:
                kept[one.ref] = address
                taken.add(address)
    return kept


def _seniority(one: Service) -> tuple[str, Ref]:
    created = one.metadata.creation_timestamp
    return created.isoformat() if created else "", one.ref


def _with(one: Service, address: str) -> Iterator[Action]:
    if one.metadata.annotations.get(ANNOUNCED) != address:
        change = {"metadata": {"annotations": {ANNOUNCED: address}}}
        yield Patch(Service, one.ref, one.metadata.uid, change)
        # Its revision is another now: the status follows in the plan that the change wakes.
        return
    wanted = (LoadBalancerIngress(ip=address, ip_mode="VIP"),)
    if one.status.load_balancer.ingress != wanted:
        status = ServiceStatus(load_balancer=LoadBalancer(ingress=wanted))
        yield UpdateStatus(replaced(one, status=status))


def _without(one: Service) -> Iterator[Action]:
    """Take back what this controller gave: what others gave to services of theirs is theirs."""
    if ANNOUNCED not in one.metadata.annotations:
        return
    if one.status.load_balancer.ingress:
        yield UpdateStatus(replaced(one, status=ServiceStatus()))
        return
    change = {"metadata": {"annotations": {ANNOUNCED: None}}}
    yield Patch(Service, one.ref, one.metadata.uid, change)
