"""A log line is a constant sentence and its facts: `log.info("pod bound", pod=ref, node=name)`."""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

FACTS = "cube_facts"


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


def _plain(value: object) -> object:
    return value if isinstance(value, int | float | bool | None) else str(value)


def log_to_stderr(level: str = "info") -> None:
    """Send every log line of this process to stderr as JSON; supervisors keep and rotate it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
