"""What is asked of a container's log: the query of Kubernetes' `log`, read in one way by all.

The API server reads a client's query and writes it anew for the kubelet, which reads it again.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from cubernetes.api.errors import BadRequest
from cubernetes.api.names import is_label

TAIL_LINES_MAX = 1_000_000
SINCE_S_MAX = 10 * 365 * 86_400
LIMIT_BYTES_MAX = 2**62
LIVES_MAX = 99

# RFC 3339, with as many digits of a second as Go writes.
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})"
)
# As Kubernetes calls them, and what containers call them.
STREAMS = {"All": "", "Stdout": "stdout", "Stderr": "stderr"}
FLAGS = ("follow", "previous", "deleted", "timestamps")
_TRUTHS = {"": True, "false": False, "0": False, "true": True, "1": True}


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Left out: the only container, all of its log, of both streams, as it stands now.

    life: how many lives ago, where that is given; previous is one. deleted: of the pod that had
    this name before it was deleted. post_mortem: what is kept of its ends instead. stream is one of
    STREAMS. since_time is in RFC 3339; of it and since_seconds at most one is given.
    """

    container: str = ""
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since_seconds: int | None = None
    since_time: str = ""
    limit_bytes: int | None = None
    stream: str = "All"
    life: int | None = None
    deleted: bool = False
    post_mortem: bool = False

    @property
    def back(self) -> int:
        """Return how many lives ago it was written: of a pod that is gone, 1 is the last."""
        if self.life is None:
            return int(self.previous or self.deleted)
        return max(self.life, int(self.deleted))

    @property
    def since_ns(self) -> int:
        """Return `sinceTime` in nanoseconds since 1970; 0 where it is not given."""
        return _nanoseconds(self.since_time) if self.since_time else 0


def log_query(parameters: Iterable[tuple[str, str]]) -> LogQuery:
    """Read a query; parameters that are none of a log's are somebody else's.

    Raises: BadRequest: names the parameter and the accepted form.
    """
    given = dict(reversed(tuple(parameters)))  # of two that are the same, the first counts
    flags = {name: flag(name, given.get(name, "false")) for name in FLAGS}
    container, since_time = given.get("container", ""), given.get("sinceTime", "")
    if container and not is_label(container):
        raise BadRequest("container: must be the name of a container")
    if since_time:
        _nanoseconds(since_time)
        if given.get("sinceSeconds"):
            raise BadRequest("sinceTime: at most one of sinceTime and sinceSeconds may be given")
    life = _count("life", given, 0, LIVES_MAX)
    if life is not None and flags["previous"]:
        raise BadRequest("life: at most one of life and previous may be given")
    return LogQuery(
        container=container,
        life=life,
        **flags,
        post_mortem=flag("postMortem", given.get("postMortem", "false")),
        tail_lines=_count("tailLines", given, 0, TAIL_LINES_MAX),
        since_seconds=_count("sinceSeconds", given, 1, SINCE_S_MAX),
        since_time=since_time,
        limit_bytes=_count("limitBytes", given, 1, LIMIT_BYTES_MAX),
        stream=_stream(given.get("stream", "All")),
    )


def query_text(asked: LogQuery) -> str:
    """Return the query that says so; its container is in a kubelet's path."""
    pairs = (
        ("follow", asked.follow and "true"),
        ("previous", asked.previous and "true"),
        ("life", asked.life),
        ("deleted", asked.deleted and "true"),
        ("timestamps", asked.timestamps and "true"),
        ("tailLines", asked.tail_lines),
        ("sinceSeconds", asked.since_seconds),
        ("sinceTime", asked.since_time or None),
        ("limitBytes", asked.limit_bytes),
        ("stream", asked.stream if STREAMS[asked.stream] else None),
    )
    given = [(name, value) for name, value in pairs if value is not None and value is not False]
    return urlencode(given)


def flag(name: str, text: str) -> bool:
    """Return a parameter that is true or false; `?name` alone is true. Raises: BadRequest."""
    if text.lower() not in _TRUTHS:
        raise BadRequest(f"{name}: must be true or false")
    return _TRUTHS[text.lower()]


def _stream(text: str) -> str:
    if text not in STREAMS:
        raise BadRequest("stream: must be All, Stdout or Stderr")
    return text


def _count(name: str, given: dict[str, str], least: int, most: int) -> int | None:
    text = given.get(name, "")
    if not text:
        return None
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not is_number or not least <= int(text) <= most:
        raise BadRequest(f"{name}: must be a whole number from {least} to {most}")
    return int(text)


def _nanoseconds(text: str) -> int:
    said = "sinceTime: must be a time such as 2026-01-31T12:00:00Z"
    found = _TIME.fullmatch(text)
    if found is None:
        raise BadRequest(said)
    second, fraction, zone = found.groups()
    try:
        whole = datetime.fromisoformat(second + ("+00:00" if zone == "Z" else zone))
    except ValueError as error:
        raise BadRequest(said) from error
    seconds = int((whole - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    return seconds * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))
