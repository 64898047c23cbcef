"""nginx's log of requests, one datagram each: counted by host, path and service, then forgotten.

A socket and no file: nothing fills the disk, and while nobody reads, nginx drops its lines and
serves on. Host, path and service are those of the configuration, never what a client sent.
"""

import asyncio
import os
import socket
from functools import partial
from pathlib import Path

import msgspec

from cubernetes.host.env import Env
from cubernetes.host.metrics import Metrics
from gateway.rates import Road, Tally

SOCKET = "log.sock"
# Of nginx's: a line is at most 2 KiB in its syslog.
LINE_BYTES_MAX = 8192
# Lines that are read before other work has its turn.
BATCH_MAX = 256
RECEIVE_BYTES = 4 << 20
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


def line_of(datagram: bytes) -> Line | None:
    """Return what a datagram says, behind its syslog head; None where it is no line of ours."""
    begin = datagram.find(b"{")
    if begin < 0:
        return None
    try:
        return msgspec.json.decode(datagram[begin:], type=Line)
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

    def count(self, datagram: bytes) -> None:
        """Count one request."""
        line = line_of(datagram)
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


async def read_log(folder: Path, workers_gid: int, counts: RequestCounts, env: Env) -> None:
    """Count what nginx logs, until cancelled. Raises: OSError: the socket cannot be made."""
    loop = asyncio.get_running_loop()
    # Made here, so that it is closed here also where the disk answers too late.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        await env.blocking.run(DISK, partial(_bind, opened, folder / SOCKET, workers_gid))
        loop.add_reader(opened, _read, opened, counts)
        try:
            await loop.create_future()
        finally:
            loop.remove_reader(opened)


def _read(opened: socket.socket, counts: RequestCounts) -> None:
    for _ in range(BATCH_MAX):
        try:
            counts.count(opened.recv(LINE_BYTES_MAX))
        except BlockingIOError:
            return


def _bind(opened: socket.socket, path: Path, workers_gid: int) -> None:
    """Let nginx's workers write to a socket at a path, in the place of one of before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    opened.bind(str(path))
    os.chown(path, -1, workers_gid)
    path.chmod(0o660)
