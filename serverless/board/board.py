"""Calls and places: each call has a place in an instance, or waits for one in the order of arrival.

A call that cannot be placed is never lost here: it waits until it is granted a place, its caller
withdraws it, or its function goes. No instance is ever given more calls than its function allows.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from serverless.board.key import FunctionKey
from serverless.board.peaks import Peaks

# With instances there, some of their places are kept free: what comes next need not wait.
TARGET_PERCENT = 80


class QueueFull(Exception):
    """As many calls wait for the function as may."""


@dataclass(frozen=True, slots=True)
class Seat:
    """An instance that can take calls of a revision.

    parts: where it can of several, these and how many of its calls each has, as parts of their sum;
    the seat that a call is granted is of one of them.
    """

    instance: str
    address: str
    revision: str
    parts: tuple[tuple[str, int], ...] = ()


@dataclass(slots=True, eq=False)
class Waiting:
    """A call: granted is its seat, None while it waits."""

    function: FunctionKey
    granted: Seat | None = None


@dataclass(slots=True)
class Desk:
    """One function's calls."""

    concurrency: int = 1
    queue_max: int = 0
    seats: dict[str, Seat] = field(default_factory=dict)
    running: dict[str, int] = field(default_factory=dict)
    # Of all instances.
    running_count: int = 0
    waiting: deque[Waiting] = field(default_factory=deque)
    peaks: Peaks = field(default_factory=Peaks)
    # Where calls are split: how much of a call each revision is behind its part.
    behind: dict[str, int] = field(default_factory=dict)

    @property
    def in_hand_count(self) -> int:
        return self.running_count + len(self.waiting)

    def free_seat(self) -> Seat | None:
        """Return a place for one call at the least busy instance; the same for the same board."""
        open_ones = [
            (self.running.get(name, 0), name)
            for name in self.seats
            if self.running.get(name, 0) < self.concurrency
        ]
        return self._of_one(self.seats[min(open_ones)[1]]) if open_ones else None

    def _of_one(self, seat: Seat) -> Seat:
        """Return a seat as that of the revision that is furthest behind its part.

        So a split is kept to within one call, and calls of one revision are spread among the
        others.
        """
        if not seat.parts:
            return seat
        for name, part in seat.parts:
            self.behind[name] = self.behind.get(name, 0) + part
        chosen = max(seat.parts, key=lambda told: self.behind[told[0]])[0]
        self.behind[chosen] -= sum(part for _, part in seat.parts)
        return replace(seat, revision=chosen, parts=())

    def need(self) -> int:
        """Return how many instances the calls in hand need."""
        in_hand_count = self.in_hand_count
        if in_hand_count <= self.concurrency:
            return min(in_hand_count, 1)
        return -(-in_hand_count * 100 // (self.concurrency * TARGET_PERCENT))


class Board:
    """The calls of all functions."""

    def __init__(self) -> None:
        self._desks: dict[FunctionKey, Desk] = {}

    def open(self, function: FunctionKey, *, concurrency: int, queue_max: int) -> None:
        """There is such a function, with these limits."""
        desk = self._desks.setdefault(function, Desk())
        desk.concurrency, desk.queue_max = concurrency, queue_max

    def close(self, function: FunctionKey) -> Iterable[Waiting]:
        """There is no such function any more; return the calls that wait for it."""
        desk = self._desks.pop(function, None)
        return tuple(desk.waiting) if desk is not None else ()

    @property
    def functions(self) -> Iterable[FunctionKey]:
        return tuple(self._desks)

    def arrive(self, function: FunctionKey, now_s: float) -> Waiting:
        """A call has come; it is granted a seat, or waits.

        Raises: KeyError: no such function; QueueFull.
        """
        desk = self._desks[function]
        call = Waiting(function)
        # Others that wait have come before it.
        call.granted = desk.free_seat() if not desk.waiting else None
        if call.granted is not None:
            self._begin(desk, call.granted)
        elif len(desk.waiting) >= desk.queue_max:
            raise QueueFull
        else:
            desk.waiting.append(call)
        desk.peaks.note(desk.need(), now_s)
        return call

    def refuse(self, call: Waiting, now_s: float) -> Iterator[Waiting]:
        """An instance has not taken a call: the call waits again, before all others.

        Its seat is gone until the next `seat` has it. Returns the calls that are granted seats.
        """
        desk = self._desks.get(call.function)
        if desk is None or call.granted is None:
            return iter(())
        self._leave(desk, call.granted)
        desk.seats.pop(call.granted.instance, None)
        call.granted = None
        desk.waiting.appendleft(call)
        granted = self._grant(desk)
        desk.peaks.note(desk.need(), now_s)
        return iter(granted)

    def withdraw(self, call: Waiting, now_s: float) -> None:
        """A call that waits is not wanted any more."""
        desk = self._desks.get(call.function)
        if desk is not None and call in desk.waiting:
            desk.waiting.remove(call)
            desk.peaks.note(desk.need(), now_s)

    def end(self, call: Waiting, now_s: float) -> Iterator[Waiting]:
        """A call has ended at its seat; return those that are granted seats now."""
        desk = self._desks.get(call.function)
        if desk is None or call.granted is None:
            return iter(())
        self._leave(desk, call.granted)
        granted = self._grant(desk)
        desk.peaks.note(desk.need(), now_s)
        return iter(granted)

    def seat(self, function: FunctionKey, seats: Mapping[str, Seat]) -> Iterator[Waiting]:
        """These are the instances that take calls now; return the calls that are granted seats."""
        desk = self._desks.get(function)
        if desk is None:
            return iter(())
        desk.seats = dict(seats)
        split = {name for seat in seats.values() for name, _ in seat.parts}
        desk.behind = {name: part for name, part in desk.behind.items() if name in split}
        return iter(self._grant(desk))

    def is_short(self, function: FunctionKey) -> bool:
        """Whether its calls need more instances than take them."""
        desk = self._desks.get(function)
        return desk is not None and desk.need() > len(desk.seats)

    def running_count(self, function: FunctionKey, instance: str) -> int:
        """Return how many calls run at an instance, those of a seat that is gone included."""
        desk = self._desks.get(function)
        return desk.running.get(instance, 0) if desk is not None else 0

    def in_hand_count(self, function: FunctionKey) -> int:
        desk = self._desks.get(function)
        return desk.in_hand_count if desk is not None else 0

    def waiting(self, function: FunctionKey) -> Iterable[Waiting]:
        """Return the calls that wait, in the order of arrival."""
        desk = self._desks.get(function)
        return tuple(desk.waiting) if desk is not None else ()

    def waiting_count(self, function: FunctionKey) -> int:
        desk = self._desks.get(function)
        return len(desk.waiting) if desk is not None else 0

    def most_needed(self, function: FunctionKey, window_s: float, now_s: float) -> int:
        """Return the most instances that its calls needed within the window."""
        desk = self._desks.get(function)
        return desk.peaks.most(window_s, now_s) if desk is not None else 0

    def changes_in_s(self, function: FunctionKey, window_s: float, now_s: float) -> float | None:
        """Return when `most_needed` will be less, were no call to come; None: never."""
        desk = self._desks.get(function)
        return desk.peaks.ends_in_s(window_s, now_s) if desk is not None else None

    def _begin(self, desk: Desk, seat: Seat) -> None:
        desk.running[seat.instance] = desk.running.get(seat.instance, 0) + 1
        desk.running_count += 1

    def _leave(self, desk: Desk, seat: Seat) -> None:
        running_count = desk.running.get(seat.instance, 0)
        if running_count > 1:
            desk.running[seat.instance] = running_count - 1
        else:
            desk.running.pop(seat.instance, None)
        # A call that began before its function was deleted and made anew is not of this desk.
        desk.running_count -= min(running_count, 1)

    def _grant(self, desk: Desk) -> list[Waiting]:
        """Grant free places in the order of arrival."""
        granted: list[Waiting] = []
        while desk.waiting and (seat := desk.free_seat()) is not None:
            call = desk.waiting.popleft()
            call.granted = seat
            self._begin(desk, seat)
            granted.append(call)
        return granted
