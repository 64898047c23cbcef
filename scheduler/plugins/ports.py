"""A port of the node can be taken by one pod only."""

from scheduler.seat import Demand, Seat


def ports(demand: Demand, seat: Seat) -> str:
    if not demand.ports or not seat.load.ports:
        return ""
    taken = [
        wanted
        for wanted in demand.ports
        if any(wanted.collides(present) for present in seat.load.ports)
    ]
    if not taken:
        return ""
    return "has host port " + ", ".join(f"{one.port}/{one.protocol}" for one in taken) + " taken"
