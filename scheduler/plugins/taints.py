"""Taints: NoSchedule and NoExecute keep pods away, PreferNoSchedule sends them elsewhere."""

from cubernetes.api.core.toleration import unborne
from scheduler.seat import Demand, Seat

HARD, SOFT = ("NoSchedule", "NoExecute"), ("PreferNoSchedule",)


def taints(demand: Demand, seat: Seat) -> str:
    if not seat.facts.taints:
        return ""
    found = unborne(demand.tolerations, seat.facts.taints, HARD)
    if not found:
        return ""
    named = (f"{one.key}={one.value}" if one.value else one.key for one in found)
    told = ", ".join(f"{name}:{one.effect}" for name, one in zip(named, found, strict=True))
    return f"has the taint {told}"


def soft_taints(demand: Demand, seat: Seat) -> int:
    """Return how many PreferNoSchedule taints of the node the pod does not bear."""
    return len(unborne(demand.tolerations, seat.facts.taints, SOFT)) if seat.facts.taints else 0
