"""What is known of calls: those that are under way, and how those that ended lately ended.

Bounded: of those that ended, the newest ids are kept, and of these the newest bodies. An id whose
body is gone is still known as ended, so that it is not run again.
"""

import asyncio
from collections import Counter, OrderedDict
from dataclasses import dataclass

from serverless.durable.records import Result

IDS_MAX = 200_000
BODIES_BYTES_MAX = 64 * 1024 * 1024
# What a result takes beside its body, roughly.
HEAD_BYTES = 500


@dataclass(slots=True)
class Ended:
    """head is None once it has been forgotten for want of room."""

    head: Result | None
    body: bytes


class Outcomes:
    """Calls by their ids."""

    def __init__(self, ids_max: int = IDS_MAX, bytes_max: int = BODIES_BYTES_MAX) -> None:
        self._ids_max, self._bytes_max = ids_max, bytes_max
        self._ended: OrderedDict[str, Ended] = OrderedDict()
        # Those that still have a head, the oldest first.
        self._whole: OrderedDict[str, int] = OrderedDict()
        self._bytes = 0
        self._open: Counter[str] = Counter()
        self._states: dict[str, str] = {}
        # Those that the broker has, and that nobody has read yet.
        self._accepted: set[str] = set()
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    @property
    def open_count(self) -> int:
        return len(self._open) + len(self._accepted)

    def accept(self, call: str) -> bool:
        """A call is being written; return whether it was not already."""
        is_new = call not in self._accepted
        self._accepted.add(call)
        return is_new

    def forget(self, call: str) -> None:
        """A call has not been written."""
        self._accepted.discard(call)

    def begin(self, call: str, state: str) -> None:
        """A record of a call is in our hands."""
        self._accepted.discard(call)
        self._open[call] += 1
        self._states[call] = state

    def tell(self, call: str, state: str) -> None:
        """What is done with a call that is under way."""
        self._states[call] = state

    def leave(self, call: str) -> None:
        """One record of it less."""
        self._open[call] -= 1
        if self._open[call] <= 0:
            del self._open[call]
            self._states.pop(call, None)

    def state_of(self, call: str) -> str:
        """Return waiting, running, resting or accepted; empty: it is not under way."""
        return self._states.get(call, "accepted" if call in self._accepted else "")

    def is_ended(self, call: str) -> bool:
        return call in self._ended

    def end(self, result: Result, body: bytes) -> None:
        """A call has ended; the first end counts."""
        if result.call in self._ended:
            return
        self._accepted.discard(result.call)
        self._ended[result.call] = Ended(result, body)
        size = self._whole[result.call] = HEAD_BYTES + len(body)
        self._bytes += size
        while self._bytes > self._bytes_max and len(self._whole) > 1:
            oldest, size = self._whole.popitem(last=False)
            self._bytes -= size
            self._ended[oldest] = Ended(None, b"")
        while len(self._ended) > self._ids_max:
            oldest, _ = self._ended.popitem(last=False)
            self._bytes -= self._whole.pop(oldest, 0)
        for one in self._waiting.pop(result.call, ()):
            if not one.done():
                one.set_result(None)

    def ended(self, call: str) -> Ended | None:
        return self._ended.get(call)

    async def wait(self, call: str, wait_s: float) -> Ended | None:
        """Return how a call ended, once it has; None: not in time."""
        if call not in self._ended and wait_s > 0:
            woken = asyncio.get_running_loop().create_future()
            waiting = self._waiting.setdefault(call, set())
            waiting.add(woken)
            try:
                async with asyncio.timeout(wait_s):
                    await woken
            except TimeoutError:
                waiting.discard(woken)
                if not waiting:
                    self._waiting.pop(call, None)
        return self._ended.get(call)
