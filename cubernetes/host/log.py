"""A log line is a constant sentence and its facts: `log.info("pod bound", pod=ref, node=name)`."""

import json
import logging
import queue
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from types import NoneType
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    # Command lines import this module, and have no use of paths.
    from pathlib import Path

FACTS = "cube_facts"
LINES_MAX = 10_000  # that wait to be written
GATHER_S = 0.01  # a program that is killed loses what it said since
FLUSH_S = 2.0
DROPPED = "log lines dropped: nobody took them"
UNWRITTEN = "a log line could not be made"


class Log:
    """One per module, named after it. Facts may have any name, `name` and `msg` included."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, sentence: str, **facts: object) -> None:
        self._write(logging.DEBUG, sentence, facts)

    def info(self, sentence: str, **facts: object) -> None:
        """Record a change of state."""
        self._write(logging.INFO, sentence, facts)

    def warning(self, sentence: str, **facts: object) -> None:
        """Ask for a look tomorrow."""
        self._write(logging.WARNING, sentence, facts)

    def error(self, sentence: str, **facts: object) -> None:
        """Wake a person."""
        self._write(logging.ERROR, sentence, facts)

    def bug(self, sentence: str, error: BaseException, **facts: object) -> None:
        """Tell the whole story of an error that our own code made."""
        if self._logger.isEnabledFor(logging.ERROR):
            self._logger.error(sentence, exc_info=error, extra={FACTS: facts})

    def _write(self, level: int, sentence: str, facts: Mapping[str, object]) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, sentence, extra={FACTS: facts})


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, who, what, and the facts as text."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "from": record.name,
            "message": record.getMessage(),
        }
        facts: Mapping[str, object] = getattr(record, FACTS, {})
        line |= {key: _plain(value) for key, value in facts.items() if key not in line}
        if record.exc_info:
            line["story"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True)


# A tuple: a union would be made anew for each fact.
_PLAIN = (int, float, NoneType)


def _plain(value: object) -> object:
    return value if isinstance(value, _PLAIN) else str(value)


class Stream(Protocol):
    """Where lines go, some at once; both raise OSError."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> None: ...


class Small:
    """A file that stays small: where it would grow beyond bytes_max, it becomes `<name>.1`."""

    def __init__(self, path: "Path", bytes_max: int) -> None:
        self._path, self._bytes_max = path, bytes_max
        self._file: TextIO | None = None

    def write(self, text: str) -> None:
        for line in text.splitlines(keepends=True):
            self._write_line(line)

    def _write_line(self, line: str) -> None:
        if self._file is None:
            self._file = self._path.open("a", encoding="utf-8")
        if self._file.tell() + len(line) > self._bytes_max:
            self._file.close()
            self._file = None
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            self._file = self._path.open("a", encoding="utf-8")
        self._file.write(line)

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()


class Aside(logging.Handler):
    """Writes lines on a thread of its own: their reader may stand still, or the disk be full.

    Lines are gathered for gather_s: a thread that wakes for each of them stops the loop as often.
    What is too much is dropped and counted; the next line that is written tells.
    """

    def __init__(
        self, stream: Stream, lines_max: int = LINES_MAX, gather_s: float = GATHER_S
    ) -> None:
        super().__init__()
        self._stream, self._lines_max, self._gather_s = stream, lines_max, gather_s
        self._waiting: queue.SimpleQueue[str | threading.Event] = queue.SimpleQueue()
        # How many lines have come, and how many of them have been written.
        self._come_count = self._written_count = 0
        self._dropped_count = 0
        self._is_flushed = threading.Event()  # set while somebody waits for what was said
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        if self._come_count - self._written_count >= self._lines_max:
            self._dropped_count += 1
            return
        self._come_count += 1
        self._waiting.put(self._line_of(record))

    def _line_of(self, record: logging.LogRecord) -> str:
        """Return the line; one that cannot be made is told of, and ends nobody's work."""
        try:
            return self.format(record)
        except Exception as error:  # noqa: BLE001  a fact's own words may raise anything
            why = type(error).__name__
            facts = {"from": record.name, "message": UNWRITTEN, "line": record.lineno, "why": why}
            return json.dumps({"level": "error", **facts})

    def flush(self) -> None:
        """Wait until what was said so far is written, or nobody takes it within FLUSH_S."""
        written = threading.Event()
        self._waiting.put(written)
        self._is_flushed.set()
        written.wait(FLUSH_S)

    def _write(self) -> None:
        while True:
            taken = [self._waiting.get()]
            self._is_flushed.wait(self._gather_s)
            self._is_flushed.clear()
            with suppress(queue.Empty):
                while True:
                    taken.append(self._waiting.get_nowait())
            if lines := [one for one in taken if isinstance(one, str)]:
                self._write_lines(lines)
                self._written_count += len(lines)
            for one in taken:
                if isinstance(one, threading.Event):
                    one.set()

    def _write_lines(self, lines: list[str]) -> None:
        dropped_count, self._dropped_count = self._dropped_count, 0
        note = {"level": "warning", "message": DROPPED, "count": dropped_count}
        told = [json.dumps(note), *lines] if dropped_count else lines
        # A stream that is broken has nobody left to be told.
        with suppress(OSError, ValueError):
            self._stream.write("\n".join(told) + "\n")
            self._stream.flush()


def log_to_stderr(level: str = "info") -> None:
    """Send every log line of this process to stderr as JSON; supervisors keep and rotate it."""
    handler = Aside(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Nothing of this is in a line, and each record would be told all of it.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.logAsyncioTasks = False  # type: ignore[attr-defined]  # typeshed lacks it


def log_to_file(name: str, path: "Path", bytes_max: int) -> None:
    """Send the lines of one log to a file of its own and nowhere else, and keep the last of them.

    The file and the one before it have bytes_max each.
    """
    handler = Aside(Small(path, bytes_max))
    handler.setFormatter(JsonLines())
    logger = logging.getLogger(name)
    logger.handlers[:] = [handler]
    logger.propagate = False
