"""Which node announces which address. Pure.

Every node ranks the nodes for an address by the same hash: the first of those that live has it. So
the death of a node moves its own addresses and no others, and no two nodes need to talk.

Whether a node lives is seen by its Lease; only the first few nodes for some address keep one. Each
watcher counts the time since it last saw a Lease renewed, by its own clock.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cubernetes.api.condition import is_true
from cubernetes.api.core.node import Node
from cubernetes.api.core.service import ANNOUNCED, Service
from cubernetes.api.discovery.endpointslice import EndpointSlice
from proxy.health.verdict import ready_on
from proxy.services.served import key_of, slices_by_service

# Nodes that stand ready for an address. Only these have Leases for it.
CANDIDATES_MAX = 3
RENEW_S = 0.4
# Without a renewal for this long a node is taken for dead.
DEAD_AFTER_S = 1.3
EXCLUDED_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"


def candidates_for(
    services: Iterable[Service], slices: Iterable[EndpointSlice], nodes: Iterable[Node]
) -> Mapping[str, Sequence[str]]:
    """Return who stands ready for each address, the first choice first."""
    given = sorted(filter(is_announced, services), key=lambda one: one.ref)
    if not given:
        return {}
    able = sorted(one.metadata.name for one in nodes if _may_announce(one))
    grouped = slices_by_service(slices)
    found = {}
    for one in given:
        address = one.metadata.annotations[ANNOUNCED]
        mine = grouped.get(key_of(one), ())
        # Where the policy is Local, a node without an endpoint would drop what it draws.
        is_local = one.spec.external_traffic_policy == "Local"
        useful = [name for name in able if not is_local or ready_on(name, mine)]
        found[address] = ranked(address, useful)[:CANDIDATES_MAX]
    return found


def is_announced(one: Service) -> bool:
    """Tell whether a service has an address that this cluster's nodes are to announce."""
    address = one.metadata.annotations.get(ANNOUNCED, "")
    ingress = one.status.load_balancer.ingress if one.spec.type == "LoadBalancer" else ()
    return bool(address) and address in {entry.ip for entry in ingress}


def _may_announce(node: Node) -> bool:
    is_ready = is_true(node.status.conditions, "Ready") and not node.metadata.is_deleted
    return is_ready and EXCLUDED_LABEL not in node.metadata.labels


def ranked(address: str, names: Iterable[str]) -> list[str]:
    """Return the names in the order in which an address prefers them (rendezvous hashing)."""
    return sorted(
        names, key=lambda name: hashlib.sha256(f"{address}/{name}".encode()).digest(), reverse=True
    )


def held_by(
    node: str, candidates: Mapping[str, Sequence[str]], alive: frozenset[str]
) -> frozenset[str]:
    """Return the addresses that a node is to announce."""
    return frozenset(
        address
        for address, names in candidates.items()
        if next((name for name in names if name in alive), "") == node
    )


@dataclass(slots=True)
class Liveness:
    """When each Lease was last seen renewed, by the watcher's own clock."""

    _seen: dict[str, tuple[datetime | None, float]] = field(default_factory=dict)

    def note(self, name: str, renewed_at: datetime | None, now_s: float) -> None:
        """Take note of a Lease as it now is; the same renewal seen again tells nothing new."""
        known = self._seen.get(name)
        if known is None or known[0] != renewed_at:
            self._seen[name] = (renewed_at, now_s)

    def alive(self, now_s: float) -> frozenset[str]:
        return frozenset(
            name for name, (_, seen_s) in self._seen.items() if now_s - seen_s <= DEAD_AFTER_S
        )
