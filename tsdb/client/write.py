"""Samples written behind the back of a program, which asks as well.

`record` never waits and never fails: samples gather in a bounded queue, and a task sends them. When
the store cannot be reached for long, the oldest go, and `lost` says how many. Nothing is sent twice
with another value, and what is sent again is the same to the store.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.timing.backoff import backoff_s, jittered_s
from tsdb.client.http import HttpSender
from tsdb.client.query import QueryClient
from tsdb.columns.labels import NAME, Key, key_of_dict
from tsdb.wire.remote import encode_request, snapped

log = Log(__name__)

SAMPLES_PER_REQUEST = 5_000
WRITE_HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}


@dataclass(frozen=True)
class ClientSettings:
    """url without a path. At most queue_limit samples wait; they are sent every flush_s."""

    url: str
    queue_limit: int = 100_000
    flush_s: float = 1.0
    deadline_s: float = 10.0


class TsdbClient(QueryClient):
    """Writes behind and asks. Use as `async with`; leaving it sends what still waits."""

    def __init__(self, settings: ClientSettings, env: Env, session: aiohttp.ClientSession) -> None:
        super().__init__(HttpSender(settings.url, session, settings.deadline_s))
        self._settings, self._env, self._session = settings, env, session
        self._waiting: deque[tuple[Key, int, float]] = deque()
        self._keys: dict[tuple[str, tuple[tuple[str, str], ...]], Key] = {}
        self.lost = 0
        self.refused = 0
        self.sent = 0
        self._failures = 0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "TsdbClient":
        self._task = asyncio.create_task(self._send_for_ever())
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        while self._waiting and await self._send_some():
            pass
        self.lost += len(self._waiting)
        self._waiting.clear()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def record(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Note one sample at this moment. The labels are not checked here, but by the store."""
        at_ms = round(self._env.clock.now().timestamp() * 1000)
        try:
            self._waiting.append((self._key(name, labels or {}), at_ms, float(value)))
        except (UnicodeEncodeError, OverflowError):
            # No text, or no float: no store could take it.
            self.refused += 1
        while len(self._waiting) > self._settings.queue_limit:
            self._waiting.popleft()
            self.lost += 1

    def _key(self, name: str, labels: Mapping[str, str]) -> Key:
        known = (name, tuple(labels.items()))
        key = self._keys.get(known)
        if key is None:
            if len(self._keys) >= self._settings.queue_limit:
                self._keys.clear()
            key = self._keys[known] = key_of_dict({**labels, NAME: name})
        return key

    async def _send_for_ever(self) -> None:
        while True:
            pause_s = self._settings.flush_s
            if self._failures:
                pause_s = jittered_s(backoff_s(self._failures), self._env.rng.fraction())
            await self._env.clock.sleep(max(pause_s, self._settings.flush_s))
            try:
                while self._waiting and await self._send_some():
                    pass
            except Exception as error:  # noqa: BLE001  the caller's work goes on, and so does ours
                self._failures += 1
                log.bug("samples were not sent", error)

    async def _send_some(self) -> bool:
        """Send the oldest samples; return whether the store has dealt with them."""
        batch = [
            self._waiting.popleft() for _ in range(min(len(self._waiting), SAMPLES_PER_REQUEST))
        ]
        try:
            status = await self._post(_request(batch))
        except asyncio.CancelledError:
            self._waiting.extendleft(reversed(batch))
            raise
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return self._keep(batch, error)
        except Exception:
            self.refused += len(batch)
            raise
        if status >= 500:
            return self._keep(batch, f"status {status}")
        if status >= 400:
            # The store has taken what it could; sending the rest again would not help.
            self.refused += len(batch)
            log.warning("samples refused by the store", status=status, samples=len(batch))
        else:
            self.sent += len(batch)
        self._failures = 0
        return True

    def _keep(self, batch: list[tuple[Key, int, float]], reason: object) -> bool:
        if not self._failures:
            log.warning("samples wait: the store does not take them", reason=reason)
        self._failures += 1
        self._waiting.extendleft(reversed(batch))
        while len(self._waiting) > self._settings.queue_limit:
            self._waiting.popleft()
            self.lost += 1
        return False

    async def _post(self, body: bytes) -> int:
        url = f"{self._settings.url}/api/v1/write"
        async with asyncio.timeout(self._settings.deadline_s):
            async with self._session.post(url, data=body, headers=WRITE_HEADERS) as answer:
                await answer.read()
                return answer.status


def _request(batch: list[tuple[Key, int, float]]) -> bytes:
    by_key: dict[Key, list[tuple[int, float]]] = {}
    for key, at_ms, value in batch:
        by_key.setdefault(key, []).append((at_ms, value))
    return snapped(encode_request(by_key.items()))
