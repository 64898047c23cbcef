"""Remote write to another engine: what the store has taken is sent on, in its order.

The store's own clients never wait for it: samples wait in memory, so many of them and of so many
bytes, and a request that the engine does not take now is sent again with back-off until it does.
What is dropped beyond the limits, or refused by the engine for good, is counted and stays in the
store alone.
"""

import asyncio
from http import HTTPStatus

import aiohttp

from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.timing.backoff import backoff_s, jittered_s
from tsdb.columns.codec import Floats, Ints, Rows
from tsdb.faults import Faults
from tsdb.outbound import authorization, tls_of
from tsdb.remote.outgoing import Outgoing
from tsdb.settings import RemoteWrite
from tsdb.storage.store import Store
from tsdb.wire.remote import encode_request, snapped

log = Log(__name__)

HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
# The engine asks to be sent the same again, or it is our token or its address that is wrong.
AGAIN = (
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
)
SAID_BYTES_MAX = 200
BACKOFF_S_MAX = 30.0


class RemoteWriter:
    """Sends to one engine. Its numbers count samples since the start."""

    def __init__(self, settings: RemoteWrite, store: Store, env: Env, faults: Faults) -> None:
        self.settings = settings
        self._store, self._env, self._faults = store, env, faults
        self.queue = Outgoing(settings.queue_samples, settings.queue_bytes)
        self.sent = self.refused = self._failures = 0
        # The request that is under way or to be sent again, and how many samples it has.
        self._body, self._count = b"", 0
        store.taps.append(self.offer)

    @property
    def waiting(self) -> int:
        return self.queue.waiting + self._count

    def offer(self, rows: Rows, times: Ints, values: Floats) -> None:
        """Note what the store has just taken; never waits."""
        self.queue.offer(self._store.head.keys_of(rows.tolist()), times, values)

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            try:
                async with self._session() as session:
                    await self._send_for_ever(session)
            except OSError as error:
                # A certificate that is missing now may be there later.
                log.warning("remote write cannot begin", url=self.settings.url, reason=error)
            except Exception as error:  # noqa: BLE001  it does not end the store
                self._faults.told("remote", error, url=self.settings.url)
            self._failures += 1
            await self._env.clock.sleep(self._pause_s())

    async def finish(self, grace_s: float) -> None:
        """Send what still waits, for so long at most and while the engine takes it."""
        try:
            async with asyncio.timeout(grace_s), self._session() as session:
                while self.waiting and await self._send_some(session):
                    pass
        except (OSError, TimeoutError) as error:
            log.warning("remote write not finished", url=self.settings.url, reason=error)
        if self.waiting:
            log.warning("samples not sent on", url=self.settings.url, samples=self.waiting)

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(ssl=tls_of(self.settings.tls))
        return aiohttp.ClientSession(connector=connector)

    async def _send_for_ever(self, session: aiohttp.ClientSession) -> None:
        while True:
            await self._env.clock.sleep(self._pause_s())
            while self.waiting and await self._send_some(session):
                pass

    def _pause_s(self) -> float:
        if not self._failures:
            return self.settings.flush_s
        pause_s = backoff_s(self._failures, limit_s=BACKOFF_S_MAX)
        return max(self.settings.flush_s, jittered_s(pause_s, self._env.rng.fraction()))

    async def _send_some(self, session: aiohttp.ClientSession) -> bool:
        """Send the oldest samples; return whether the engine has dealt with them."""
        if not self._count:
            batch = self.queue.take(self.settings.samples_per_request)
            self._count = sum(map(len, batch.values()))
            self._body = snapped(encode_request(batch.items()))
        try:
            status, said = await self._post(session)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return self._keep(str(error) or type(error).__name__)
        is_elsewhere = HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST
        if status in AGAIN or is_elsewhere or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return self._keep(f"status {status}: {said}")
        if status >= HTTPStatus.BAD_REQUEST:
            # The engine has taken what it could: the same again would be refused again.
            self.refused += self._count
            log.warning("samples refused by the engine", status=status, said=said)
        else:
            self.sent += self._count
        if self._failures:
            log.info("remote write goes on", url=self.settings.url, waiting=self.queue.waiting)
        self._body, self._count, self._failures = b"", 0, 0
        return True

    def _keep(self, reason: str) -> bool:
        if not self._failures:
            log.warning("samples wait for the engine", url=self.settings.url, reason=reason)
        self._failures += 1
        return False

    async def _post(self, session: aiohttp.ClientSession) -> tuple[int, str]:
        headers = HEADERS | authorization(self.settings.bearer_token_file)
        async with asyncio.timeout(self.settings.deadline_s):
            async with session.post(
                self.settings.url, data=self._body, headers=headers, allow_redirects=False
            ) as answer:
                said = await answer.content.read(SAID_BYTES_MAX)
                return answer.status, said.decode(errors="replace")
