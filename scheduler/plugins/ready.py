"""A node must be Ready, and nobody may have cordoned it."""

from scheduler.seat import Demand, Seat


def ready(demand: Demand, seat: Seat) -> str:  # noqa: ARG001  every filter is called alike
    if not seat.facts.is_ready:
        return "is not ready"
    return "" if seat.facts.is_schedulable else "is cordoned"
