"""The ways in over HTTP: remote write, text push, and the snapshot."""

import asyncio
import math
from collections.abc import Generator, Mapping

import msgspec
from aiohttp import web

from cubernetes.host.clock import Clock
from tsdb.commit import Committer
from tsdb.errors import BadData, LimitExceeded
from tsdb.exposition import Exposition, parse_exposition, series_pairs
from tsdb.ingest import Ingest, Taken
from tsdb.labels import Key, is_label_name
from tsdb.remote import decode, unsnapped
from tsdb.serve import answers
from tsdb.store import Store
from tsdb.turns import in_turns
from tsdb.upkeep import Upkeep

TOO_MANY_SERIES = 429
BODY_DEADLINE_S = 60.0
SERIES_PER_PAUSE = 200


class Writes:
    """The handlers that write. They answer once the samples are as safe as the settings promise."""

    def __init__(
        self, store: Store, ingest: Ingest, committer: Committer, upkeep: Upkeep, clock: Clock
    ) -> None:
        self._store, self._ingest, self._committer = store, ingest, committer
        self._upkeep, self._clock = upkeep, clock
        self.requests = 0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/v1/write", self.remote_write),
            web.post("/api/v1/import/prometheus", self.push),
            web.post("/api/v1/admin/tsdb/snapshot", self.snapshot),
        ]

    def _now_ms(self) -> int:
        return round(self._clock.now().timestamp() * 1000)

    async def remote_write(self, request: web.Request) -> web.Response:
        """Take a remote write 1.0 request: protobuf under snappy."""
        kind = request.headers.get("Content-Type", "application/x-protobuf")
        if "io.prometheus.write.v2" in kind:
            raise BadUse("remote write 2.0 is not supported, send prometheus.WriteRequest")
        if request.headers.get("Content-Encoding", "snappy") != "snappy":
            raise BadUse("remote write is compressed by snappy")
        body = await _body(request, self._store.limits.request_bytes)
        data = unsnapped(body, 4 * self._store.limits.request_bytes)
        taken = self._ingest.take(decode(data, self._store.head.ref_of), self._now_ms())
        return await self._acknowledged(taken)

    async def push(self, request: web.Request) -> web.Response:
        """Take samples in the text format; ?label=value adds labels to all of them."""
        extra = [(n, v) for n, v in request.query.items() if is_label_name(n) and v]
        body = await _body(request, self._store.limits.request_bytes)
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise BadData("the text is not UTF-8") from error
        found = parse_exposition(text, self._store.limits.samples_per_request)
        keys = await in_turns(self._keys(found, dict(extra)), self._clock)
        now_ms = self._now_ms()
        taken = Taken()
        refs = [self._store.ref(key) for key in keys]
        times = [now_ms if at is None else at for at in found.times]
        taken.outcome = self._ingest.take_columns(refs, times, found.values, now_ms)
        self._ingest.describe(found.metadata.values())
        return await self._acknowledged(taken)

    def _keys(
        self, found: Exposition, extra: Mapping[str, str]
    ) -> Generator[None, None, list[Key]]:
        """Return the key of every series of a text, pausing now and then."""
        keys = []
        for number, series in enumerate(found.series):
            if number % SERIES_PER_PAUSE == 0:
                yield
            keys.append(self._ingest.key({**dict(series_pairs(series)), **extra}.items()))
        return keys

    async def _acknowledged(self, taken: Taken) -> web.Response:
        await self._committer.acknowledge()
        self.requests += 1
        if taken.is_whole:
            return web.Response(status=204)
        status = TOO_MANY_SERIES if taken.over_limit else 400
        return web.Response(status=status, text=taken.story())

    async def snapshot(self, _request: web.Request) -> web.Response:
        """Write a snapshot while everything goes on; answer its name under snapshots/."""
        name = await self._upkeep.snapshot()
        body = answers.success(msgspec.json.encode({"name": name}))
        return web.Response(body=body, content_type="application/json")


class BadUse(BadData):
    """The request is of a kind that this path does not take."""

    code = 415


async def _body(request: web.Request, limit: int) -> bytes:
    try:
        async with asyncio.timeout(BODY_DEADLINE_S):
            return await request.read()
    except TimeoutError as error:
        raise BadData(f"the body did not arrive within {BODY_DEADLINE_S:g} s") from error
    except web.HTTPRequestEntityTooLarge as error:
        found = request.content_length or math.inf
        raise LimitExceeded("request_bytes", limit, found) from error
