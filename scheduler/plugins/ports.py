"""A port of the node can be taken by one pod only, and not where a program of its own has it."""

from scheduler.seat import Demand, Seat


def ports(demand: Demand, seat: Seat) -> str:
    if not demand.ports:
        return ""
    present = (*seat.facts.ports, *seat.load.ports)
    taken = [wanted for wanted in demand.ports if any(wanted.collides(one) for one in present)]
    if not taken:
        return ""
    return "has host port " + ", ".join(map(str, taken)) + " taken"
