"""The last catch of a loop: a fault of one target, discovery, request or upkeep ends that alone.

What comes here is a bug, ours or a library's, since every trouble that is expected has been dealt
with before. It is counted by the loop that caught it, and its story is logged once a streak.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from cubernetes.host.log import Log

log = Log(__name__)

# Every loop of the program that has a last catch, as its metric names it.
LOOPS = ("client", "commit", "discovery", "remote", "request", "scrape", "upkeep")


class Faults:
    """Counts and tells what loops caught."""

    def __init__(self) -> None:
        self.count_by_loop: Counter[str] = Counter(dict.fromkeys(LOOPS, 0))
        self._told: dict[str, str] = {}

    def told(self, loop: str, error: Exception, **facts: object) -> None:
        """Count a fault; log it with its story, unless the last one of this loop was the same."""
        self.count_by_loop[loop] += 1
        story = repr(error)[:200]
        if self._told.get(loop) != story:
            self._told[loop] = story
            log.bug("caught by the last catch of a loop", error, loop=loop, **facts)

    @contextmanager
    def caught(self, loop: str, **facts: object) -> Iterator[None]:
        """Let nothing but a cancellation out of a block."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  what is not caught here ends the whole store
            self.told(loop, error, **facts)
