"""A node must have every label that the pod's nodeSelector names."""

from scheduler.seat import Demand, Seat


def selector(demand: Demand, seat: Seat) -> str:
    if not demand.selector:
        return ""
    missing = [pair for pair in demand.selector if pair not in seat.facts.labels]
    if not missing:
        return ""
    return "lacks the label " + ", ".join(f"{key}={value}" for key, value in missing)
