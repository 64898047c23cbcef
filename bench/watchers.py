"""Many watches in one process, of its own: `python -m bench.watchers ORDER`, for bench.fanout.

Says `watching` when every watch has had its first event, then reads changes until each watch has
all, or until silence; ends with one line of what was seen.
"""

import asyncio
import re
import ssl
import sys
import time
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from bench.ground.load import get
from bench.ground.report import percentiles
from cubernetes.host.clock import SystemClock
from lab.wait import until

# Once all is written, this much silence means that the rest is lost.
SILENCE_S = 5.0
END_DEADLINE_S = 120.0
SENT = re.compile(rb'"sent":"(\d+) (\d+)"')


class Order(msgspec.Struct):
    """What to watch; folder has the certificates."""

    port: int
    folder: str
    path: str
    watcher_count: int
    change_count: int


class Seen(msgspec.Struct):
    """How many events all watches had, how soon, and how often one came out of order."""

    event_count: int
    latency_ms: dict[str, float]
    reordered_count: int


class Tally:
    """What all watches have seen together."""

    def __init__(self, order: Order) -> None:
        self.latencies_ms: list[float] = []
        self.reordered_count = 0
        self.heard_at = time.monotonic()
        self.waiting_count = order.watcher_count
        self.expected_count = order.watcher_count * order.change_count
        self.all_open = asyncio.Event()

    def opened(self) -> None:
        self.waiting_count -= 1
        if not self.waiting_count:
            self.all_open.set()

    @property
    def is_done(self) -> bool:
        is_complete = len(self.latencies_ms) >= self.expected_count
        return is_complete or time.monotonic() - self.heard_at > SILENCE_S


class Watch(asyncio.Protocol):
    """One watch. Its changes carry their number and the time when they were sent."""

    def __init__(self, tally: Tally, request: bytes) -> None:
        self._tally = tally
        self._request = request
        self._line = b""
        self._next_number = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not say that they are one.
        cast(asyncio.Transport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        # A line may come in parts; the framing of chunks does not hide what is looked for.
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            if b'"type":"ADDED"' in line:
                self._next_number = 0
                self._tally.opened()
            elif found := SENT.search(line):
                self._saw(int(found[1]), (now_ns - int(found[2])) / 1e6)

    def _saw(self, number: int, latency_ms: float) -> None:
        tally = self._tally
        tally.heard_at = time.monotonic()
        tally.latencies_ms.append(latency_ms)
        tally.reordered_count += number < self._next_number
        self._next_number = number + 1


async def watched(order: Order) -> Seen:
    tally, loop, request = Tally(order), asyncio.get_running_loop(), get(order.path)
    folder = Path(order.folder)
    tls = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    tls.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    for _ in range(order.watcher_count):
        await loop.create_connection(
            lambda: Watch(tally, request), "127.0.0.1", order.port, ssl=tls
        )
    await tally.all_open.wait()
    print("watching", flush=True)
    tally.heard_at = time.monotonic()
    await until(lambda: tally.is_done, SystemClock(), END_DEADLINE_S, lambda: "the last change")
    told = percentiles(tally.latencies_ms) if tally.latencies_ms else {}
    return Seen(len(tally.latencies_ms), told, tally.reordered_count)


if __name__ == "__main__":
    seen = uvloop.run(watched(msgspec.json.decode(sys.argv[1], type=Order)))
    print(msgspec.json.encode(seen).decode(), flush=True)
    # Its reader may not lose the end of what it has not read yet.
    sys.stdin.read()
