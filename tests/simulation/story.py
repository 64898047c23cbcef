"""What a run tells: its own lines, and what the programs log; bugs are kept, the rest is shown."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cubernetes.host.log import FACTS

# Lines that tell of a wake-up call for a person: in a simulation nothing may be one.
KEPT_LEVEL = logging.ERROR


class Story(logging.Handler):
    """Keeps every error that is logged; with `tell`, hands on each line with its virtual time."""

    def __init__(self, tell: Callable[[str], None] | None, level: int) -> None:
        super().__init__(level)
        self.bugs: list[str] = []
        self._tell = tell

    def line(self, text: str) -> None:
        """Tell of something that the world itself did."""
        if self._tell is not None:
            self._tell(f"{_now_s():9.3f} {text}")

    def emit(self, record: logging.LogRecord) -> None:
        facts = " ".join(f"{key}={value}" for key, value in getattr(record, FACTS, {}).items())
        text = f"{record.levelname.lower():7} {record.name}: {record.getMessage()} {facts}"
        if record.exc_info and record.exc_info[1] is not None:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        if record.levelno >= KEPT_LEVEL:
            self.bugs.append(f"at {_now_s():.3f} s: {text}")
        self.line(text)


def _now_s() -> float:
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return 0.0


@contextmanager
def told(tell: Callable[[str], None] | None, level: int) -> Iterator[Story]:
    """Listen to all logs for a while; what was set up before is put back."""
    root = logging.getLogger()
    before, handlers = root.level, root.handlers[:]
    story = Story(tell, level)
    root.handlers[:] = [story]
    root.setLevel(level)
    try:
        yield story
    finally:
        root.handlers[:] = handlers
        root.setLevel(before)
