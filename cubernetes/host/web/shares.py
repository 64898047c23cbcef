"""Who is next: flows of requests in classes, each with a share of something that is short. Pure.

What is short is counted in units: seats of requests under way, or bytes of bodies in memory. Theory
of operation. A class has units of its own, so that none can use up another's: nodes and the control
plane are served whatever users and strangers do. Within a class each user is a flow. A flow holds a
part of the units at the most, so that one who asks seldom mostly finds some free. Where it must
wait, turns go round the flows by start-time fair queueing (Goyal, Vin and Cheng, 1996): a turn's
tag is where its flow's last turn ended, or the class's own time where that is later; the least
tag is next, and who takes more units waits longer for its next turn. While others wait, a flow is
remembered also where it has nothing: one request after the other would else begin before those of
who has several, every time. Where nobody waits any more, all begin anew. A turn costs the logarithm
of the number of flows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import NamedTuple

# Flows that have nothing and are remembered; beyond them the one that was served first is not.
IDLE_FLOWS_MAX = 4096


class Share(NamedTuple):
    """The most units that a class and one flow hold, and how many of a flow may wait."""

    units: int
    flow_units: int
    flow_waiting_count: int


class FlowFull(Exception):
    """As many of a flow wait as may."""


@dataclass(slots=True, eq=False)
class Ticket:
    """One request's wish for units: it waits, then it holds them until it leaves."""

    flow: "_Flow"
    units: int
    is_held: bool = False


@dataclass(slots=True, eq=False)
class _Flow:
    name: str
    of: "_Class"
    waiting: dict[Ticket, None] = field(default_factory=dict)
    held_units: int = 0
    # Where its last turn ended, in units of the class.
    ended_at: int = 0
    # It stands among those that could take a turn now.
    is_offered: bool = False

    @property
    def head(self) -> Ticket | None:
        """Return who is next of this flow, where the flow may hold as much."""
        first = next(iter(self.waiting), None)
        if first is None or self.held_units + first.units > self.of.share.flow_units:
            return None
        return first


@dataclass(slots=True, eq=False)
class _Class:
    share: Share
    flows: dict[str, _Flow] = field(default_factory=dict)
    held_units: int = 0
    # The tag of the last turn that was given.
    time: int = 0
    # Where the last of all turns ended.
    ended_at: int = 0
    # Flows that have nothing, the one first that has been so for longest.
    idle: dict[_Flow, None] = field(default_factory=dict)
    offered: list[tuple[int, int, _Flow]] = field(default_factory=list)
    offer_count: int = 0

    def offer(self, flow: _Flow) -> None:
        """Put a flow among those that could take a turn, at its tag; once."""
        if flow.is_offered or flow.head is None:
            return
        flow.is_offered = True
        self.offer_count += 1
        heappush(self.offered, (max(self.time, flow.ended_at), self.offer_count, flow))

    def flow_of(self, user: str) -> _Flow:
        """Return a user's flow, which is about to have something."""
        flow = self.flows.get(user)
        if flow is None:
            flow = self.flows[user] = _Flow(user, self)
        self.idle.pop(flow, None)
        return flow

    def rest(self, flow: _Flow) -> None:
        """Take note of a flow that may have nothing now."""
        if flow.waiting or flow.held_units or flow.is_offered:
            return
        self.idle[flow] = None
        if not self.offered:
            self._begin_anew()
        elif len(self.idle) > IDLE_FLOWS_MAX:
            self._forget(next(iter(self.idle)))

    def _begin_anew(self) -> None:
        """Nobody waits for units: what flows had before counts no more."""
        self.time = self.ended_at
        for flow in list(self.idle):
            self._forget(flow)

    def _forget(self, flow: _Flow) -> None:
        del self.idle[flow]
        del self.flows[flow.name]

    def turns(self) -> Iterator[Ticket]:
        """Give turns as long as there are units for them."""
        while self.offered:
            tag, _, flow = self.offered[0]
            ticket = flow.head
            if ticket is not None and self.held_units + ticket.units > self.share.units:
                # Nobody overtakes it, or a large wish would wait for ever.
                return
            heappop(self.offered)
            flow.is_offered = False
            if ticket is None:
                self.rest(flow)
                continue
            del flow.waiting[ticket]
            ticket.is_held = True
            flow.held_units += ticket.units
            self.held_units += ticket.units
            self.time, flow.ended_at = tag, tag + ticket.units
            self.ended_at = max(self.ended_at, flow.ended_at)
            self.offer(flow)
            if not self.offered:
                self._begin_anew()
            yield ticket


class Shares[Name]:
    """All classes; those named first are asked first."""

    def __init__(self, shares: Mapping[Name, Share]) -> None:
        self._classes = {name: _Class(share) for name, share in shares.items()}

    def arrived(self, name: Name, user: str, units: int) -> Ticket:
        """Take a wish. `turns` tells when it is fulfilled; a caller that gives it up reports so.

        More units than one flow may have are taken as that many.

        Raises: FlowFull.
        """
        of = self._classes[name]
        flow = of.flow_of(user)
        if len(flow.waiting) >= of.share.flow_waiting_count:
            raise FlowFull(user)
        ticket = Ticket(flow, min(units, of.share.flow_units))
        flow.waiting[ticket] = None
        of.offer(flow)
        return ticket

    def left(self, ticket: Ticket) -> None:
        """Give back what a ticket holds, or its place among those that wait."""
        flow, of = ticket.flow, ticket.flow.of
        if ticket.is_held:
            ticket.is_held = False
            flow.held_units -= ticket.units
            of.held_units -= ticket.units
        else:
            flow.waiting.pop(ticket, None)
        of.offer(flow)
        of.rest(flow)

    def turns(self) -> Iterator[Ticket]:
        """Yield whose turn it is now, in order; each holds its units from then on."""
        for of in self._classes.values():
            if of.offered:
                yield from of.turns()

    @property
    def held_units(self) -> int:
        return sum(of.held_units for of in self._classes.values())

    @property
    def waiting_count(self) -> int:
        return sum(len(flow.waiting) for of in self._classes.values() for flow in of.flows.values())

    @property
    def flow_count(self) -> int:
        return sum(len(of.flows) for of in self._classes.values())
