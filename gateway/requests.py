"""nginx's log of requests, a line each: counted by host, path and service, then forgotten.

Host, path and service are those of the configuration, never what a client sent.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec

from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.metrics import Metrics
from gateway.nginx.process import NginxTrouble
from gateway.nginx.requestlog import RequestLog
from gateway.rates import Road, Tally

log = Log(__name__)

# Between two looks at it.
LOOK_S = 0.5
# Lines that are counted before other work has its turn.
BATCH_MAX = 256
# Roads with series of their own; those beyond share one.
ROADS_MAX = 2000
OTHERS = ("others", "others", "others")
DISK = ("gateway", "log")


class Line(msgspec.Struct, frozen=True):
    """What is read of a line. `s` is the time until the last byte, in seconds."""

    host: str
    path: str
    service: str
    status: int
    s: float


def line_of(text: bytes) -> Line | None:
    """Return what a line says; None where it is none of ours."""
    try:
        return msgspec.json.decode(text, type=Line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


class RequestCounts:
    """The families of requests."""

    def __init__(self, metrics: Metrics) -> None:
        self._requests = metrics.counter(
            "cube_gateway_requests_total",
            "Requests, by the road that they took and the class of the answer's code.",
            "host",
            "path",
            "service",
            "code",
        )
        self._seconds = metrics.histogram(
            "cube_gateway_request_seconds",
            "Requests, until the last byte was sent.",
            "host",
            "path",
            "service",
        )
        self._unread = metrics.counter(
            "cube_gateway_log_unread_total", "Lines of nginx's log that could not be read."
        )
        self.tallies: dict[Road, Tally] = {}

    def count(self, text: bytes) -> None:
        """Count one request."""
        line = line_of(text)
        if line is None:
            self._unread.inc()
            return
        road = (line.host, line.path, line.service)
        if road not in self.tallies and len(self.tallies) >= ROADS_MAX:
            road = OTHERS
        then = self.tallies.get(road, Tally())
        is_failed = line.status >= 500
        self.tallies[road] = Tally(
            then.requests + 1, then.failed_count + is_failed, then.spent_s + line.s
        )
        self._requests.labels(*road, f"{line.status // 100}xx").inc()
        self._seconds.labels(*road).observe(line.s)


async def read_log(
    place: Callable[[], Awaitable[Path | None]],
    opened: RequestLog,
    counts: RequestCounts,
    env: Env,
) -> None:
    """Count what nginx logs, until cancelled. place: where its log is; None while it does not run.

    opened: the one reader of this program, also where this is begun anew. While the log cannot be
    read this is told once, and tried again.
    """
    path: Path | None = None
    is_told = False
    while True:
        lines = None
        try:
            lines = await env.blocking.run(DISK, partial(opened.take, path))
            if lines is None:
                path = await place()
        except (NginxTrouble, OSError) as error:
            if not is_told:
                log.warning("requests are not counted: nginx's log is not read", why=error)
            is_told = True
        else:
            is_told = False
        if not lines:
            await env.clock.sleep(LOOK_S)
            continue
        await _count(lines, counts)
        opened.counted()


async def _count(lines: Sequence[bytes], counts: RequestCounts) -> None:
    for number, line in enumerate(lines, 1):
        counts.count(line)
        if number % BATCH_MAX == 0:
            await asyncio.sleep(0)
