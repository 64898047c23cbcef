"""The cluster as the scheduler decides on it: one seat per node, its load kept up to date.

Seats are immutable and exchanged whole. A pod counts from the moment it is *assumed* to be on a
node, which is when its binding is sent: the next decision must not wait for the watch to tell. An
assumption ends when the pod is seen (it then counts where it was seen) or refused.

Refusals are remembered by demand, until the node's room grows: more load can only be refused more.
So a thousand equal pods ask a full node once, not a thousand times.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import NamedTuple

from scheduler.seat import Demand, Facts, Load, Seat

REMEMBERED_DEMANDS = 256


class Place(NamedTuple):
    """Where a pod counts, with what."""

    node: str
    demand: Demand
    is_seen: bool


class Snapshot:
    """Changed between decisions only, by what was seen and what was decided."""

    def __init__(self) -> None:
        self._seats: dict[str, Seat] = {}
        self._names: list[str] = []
        # A pod may be seen before its node is: loads do not depend on facts.
        self._loads: dict[str, Load] = {}
        self._places: dict[str, Place] = {}
        self._refusals: dict[Demand, dict[str, str]] = {}

    def __len__(self) -> int:
        return len(self._names)

    def seat(self, node: str) -> Seat | None:
        return self._seats.get(node)

    def names_after(self, cursor: str) -> Iterator[str]:
        """Yield every node once, in the order of names, beginning after cursor."""
        begin = bisect_right(self._names, cursor)
        yield from self._names[begin:]
        yield from self._names[:begin]

    def refusals(self, demand: Demand) -> dict[str, str]:
        """Return which nodes are known to refuse the demand, and why. Decisions add to it."""
        known = self._refusals.get(demand)
        if known is None:
            if len(self._refusals) >= REMEMBERED_DEMANDS:
                del self._refusals[next(iter(self._refusals))]
            known = self._refusals[demand] = {}
        return known

    # What was seen

    def set_node(self, facts: Facts) -> bool:
        """Take note of a node; return whether that changes any decision."""
        old = self._seats.get(facts.name)
        if old is not None and old.facts == facts:
            return False
        if old is None:
            insort(self._names, facts.name)
        self._seats[facts.name] = Seat(facts, self._loads.get(facts.name, Load()))
        self._forget_refusals(facts.name)
        return True

    def remove_node(self, name: str) -> None:
        if self._seats.pop(name, None) is not None:
            del self._names[bisect_left(self._names, name)]
            self._forget_refusals(name)

    def see(self, uid: str, node: str, demand: Demand) -> bool:
        """Count a pod where it was seen; return whether any node's room has grown by that."""
        old = self._places.get(uid)
        self._places[uid] = Place(node, demand, is_seen=True)
        if old is not None and (old.node, old.demand) == (node, demand):
            return False
        if old is not None:
            self._take_off(old)
        self._put_on(node, demand)
        return old is not None

    def remove(self, uid: str) -> bool:
        """Count a pod no longer: it has finished, or is gone. Return whether room has grown."""
        place = self._places.pop(uid, None)
        if place is not None:
            self._take_off(place)
        return place is not None

    # What was decided

    def assume(self, uid: str, node: str, demand: Demand) -> None:
        assert uid not in self._places, f"{uid} has its place"  # noqa: S101  a bug if not
        self._places[uid] = Place(node, demand, is_seen=False)
        self._put_on(node, demand)

    def assumed(self, uid: str) -> str:
        """Return the node that a pod was sent to and not yet seen on; empty where none."""
        place = self._places.get(uid)
        return place.node if place is not None and not place.is_seen else ""

    def refuse(self, uid: str) -> bool:
        """End an assumption: the binding was refused. Return whether room has grown."""
        return self.remove(uid) if self.assumed(uid) else False

    def _put_on(self, node: str, demand: Demand) -> None:
        self._set_load(node, self._loads.get(node, Load()).plus(demand))

    def _take_off(self, place: Place) -> None:
        self._set_load(place.node, self._loads[place.node].minus(place.demand))
        self._forget_refusals(place.node)

    def _set_load(self, node: str, load: Load) -> None:
        if load.pod_count:
            self._loads[node] = load
        else:
            self._loads.pop(node, None)
        seat = self._seats.get(node)
        if seat is not None:
            self._seats[node] = Seat(seat.facts, load)

    def _forget_refusals(self, node: str) -> None:
        for known in self._refusals.values():
            known.pop(node, None)
