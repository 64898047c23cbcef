"""The ways in over HTTP: remote write, text push, and the snapshot."""

from collections.abc import Generator, Mapping
from http import HTTPStatus

from cubernetes.host.clock import Clock
from tsdb.commit import Committer
from tsdb.errors import BadData
from tsdb.exposition import Exposition, parse_exposition, series_pairs
from tsdb.ingest import Ingest, Taken
from tsdb.labels import Key, is_label_name
from tsdb.remote import decode, unsnapped
from tsdb.serve import answers, parameters
from tsdb.serve.exchange import TEXT, Answer, Request, Route
from tsdb.store import Store
from tsdb.turns import in_turns
from tsdb.upkeep import Upkeep

SERIES_PER_PAUSE = 200


class Writes:
    """The handlers that write. They answer once the samples are as safe as the settings promise."""

    def __init__(
        self, store: Store, ingest: Ingest, committer: Committer, upkeep: Upkeep, clock: Clock
    ) -> None:
        self._store, self._ingest, self._committer = store, ingest, committer
        self._upkeep, self._clock = upkeep, clock
        self.requests = 0

    def routes(self) -> list[Route]:
        return [
            ("POST", "/api/v1/write", self.remote_write),
            ("POST", "/api/v1/import/prometheus", self.push),
            ("POST", "/api/v1/admin/tsdb/snapshot", self.snapshot),
        ]

    def _now_ms(self) -> int:
        return round(self._clock.now().timestamp() * 1000)

    async def remote_write(self, request: Request) -> Answer:
        """Take a remote write 1.0 request: protobuf under snappy."""
        kind = request.headers.get("content-type", "application/x-protobuf")
        if "io.prometheus.write.v2" in kind:
            raise BadUse("remote write 2.0 is not supported, send prometheus.WriteRequest")
        if request.headers.get("content-encoding", "snappy") != "snappy":
            raise BadUse("remote write is compressed by snappy")
        data = unsnapped(request.body, 4 * self._store.limits.request_bytes)
        taken = self._ingest.take(decode(data, self._store.head.ref_of), self._now_ms())
        return await self._acknowledged(taken)

    async def push(self, request: Request) -> Answer:
        """Take samples in the text format; ?label=value adds labels to all of them."""
        asked = parameters.of_url(request).pairs
        extra = [(name, value) for name, value in asked if is_label_name(name) and value]
        try:
            text = request.body.decode()
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

    async def _acknowledged(self, taken: Taken) -> Answer:
        await self._committer.acknowledge()
        self.requests += 1
        if taken.is_whole:
            return Answer(HTTPStatus.NO_CONTENT)
        status = HTTPStatus.TOO_MANY_REQUESTS if taken.over_limit else HTTPStatus.BAD_REQUEST
        return Answer(status, [taken.story().encode()], TEXT)

    async def snapshot(self, _request: Request) -> Answer:
        """Write a snapshot while everything goes on; answer its name under snapshots/."""
        name = await self._upkeep.snapshot()
        return answers.success({"name": name})


class BadUse(BadData):
    """The request is of a kind that this path does not take."""

    code = 415
