"""For programs: samples written behind their back, and queries.

`record` never waits and never fails: samples gather in a bounded queue, and a task sends them. When
the store cannot be reached for long, the oldest go, and `lost` says how many. Nothing is sent twice
with another value, and what is sent again is the same to the store.
"""

import asyncio
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import msgspec

from cubernetes.host.backoff import backoff_s, jittered_s
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from tsdb.columns.labels import NAME, Key, key_of_dict
from tsdb.wire.remote import encode_request, snapped

log = Log(__name__)

SAMPLES_PER_REQUEST = 5_000
WRITE_HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}


class QueryUnanswered(Exception):
    """The store refused a query or could not be reached: hold, decide nothing from missing data."""

    def __init__(self, query: str, kind: str, said: str) -> None:
        super().__init__(f"{query!r} was not answered: {kind}: {said}")
        self.query, self.kind, self.said = query, kind, said


@dataclass(frozen=True)
class Points:
    """One series of an answer: its labels, and (seconds since 1970, value), the oldest first."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def last(self) -> float:
        return self.points[-1][1]


@dataclass(frozen=True)
class ClientSettings:
    """url without a path. At most queue_limit samples wait; they are sent every flush_s."""

    url: str
    queue_limit: int = 100_000
    flush_s: float = 1.0
    deadline_s: float = 10.0


class _Answer(msgspec.Struct):
    """What the API answers, as far as it is read."""

    status: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    errorType: str = ""  # noqa: N815  the wire's name
    error: str = ""


class _Data(msgspec.Struct):
    resultType: str  # noqa: N815  the wire's name
    result: msgspec.Raw


class _Series(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str] | None = None
    values: list[tuple[float, str]] = []


class TsdbClient:
    """Writes behind and asks. Use as `async with`; leaving it sends what still waits."""

    def __init__(self, settings: ClientSettings, env: Env, session: aiohttp.ClientSession) -> None:
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
            except Exception as error:  # noqa: BLE001  whoever records goes on, and so do we
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

    async def query(self, text: str, at_s: float | None = None) -> list[Points]:
        """Return the answer to a query at a moment, or now; a scalar is a series without labels.

        Raises:
            QueryUnanswered: it was refused, or the store could not be reached in time.
        """
        asked = {"query": text} if at_s is None else {"query": text, "time": repr(at_s)}
        return await self._ask("query", asked)

    async def query_range(
        self, text: str, first_s: float, last_s: float, step_s: float
    ) -> list[Points]:
        """Return the answers at first_s and every step_s after it, up to last_s.

        Raises:
            QueryUnanswered: as query.
        """
        asked = {"query": text, "start": repr(first_s), "end": repr(last_s), "step": repr(step_s)}
        return await self._ask("query_range", asked)

    async def value(self, text: str) -> float | None:
        """Return the one number that a query gives, or None where it gives no series.

        Raises:
            QueryUnanswered: as query; also where there are several series.
        """
        found = await self.query(text)
        if len(found) > 1:
            raise QueryUnanswered(text, "ambiguous", f"{len(found)} series instead of one")
        return found[0].last if found else None

    async def _ask(self, path: str, asked: Mapping[str, str]) -> list[Points]:
        url = f"{self._settings.url}/api/v1/{path}"
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                async with self._session.post(url, data=asked) as answer:
                    body = await answer.read()
            return _points(asked["query"], body)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            said = str(error) or type(error).__name__
            raise QueryUnanswered(asked["query"], "unreachable", said) from error


def _request(batch: list[tuple[Key, int, float]]) -> bytes:
    by_key: dict[Key, list[tuple[int, float]]] = {}
    for key, at_ms, value in batch:
        by_key.setdefault(key, []).append((at_ms, value))
    return snapped(encode_request(by_key.items()))


def _points(query: str, body: bytes) -> list[Points]:
    try:
        answer = msgspec.json.decode(body, type=_Answer)
        if answer.status != "success":
            raise QueryUnanswered(query, answer.errorType, answer.error)
        data = msgspec.json.decode(answer.data, type=_Data)
        if data.resultType in ("scalar", "string"):
            at_s, text = msgspec.json.decode(data.result, type=tuple[float, str])
            return [Points({}, ((at_s, _number(text)),))]
        found = msgspec.json.decode(data.result, type=list[_Series])
    except (msgspec.DecodeError, ValueError) as error:
        raise QueryUnanswered(query, "unreadable", str(error)) from error
    return [
        Points(one.metric, tuple((at_s, _number(text)) for at_s, text in _all_values(one)))
        for one in found
    ]


def _all_values(one: _Series) -> list[tuple[float, str]]:
    return [one.value] if one.value is not None else one.values


def _number(text: str) -> float:
    return {"NaN": math.nan, "+Inf": math.inf, "-Inf": -math.inf}.get(text) or float(text)
