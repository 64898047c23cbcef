"""The ways in over HTTP: remote write, text push, and the snapshot."""

from collections.abc import Mapping
from http import HTTPStatus

from cubernetes.host.clock import Clock
from cubernetes.host.web.messages import TEXT, Request, Response
from cubernetes.host.web.site import Route
from tsdb.columns.labels import Key, is_label_name
from tsdb.cooperative import run_in_slices
from tsdb.errors import BadData
from tsdb.ingest import Ingest, IngestResult
from tsdb.serve import answers, parameters
from tsdb.steps import Steps, mapped
from tsdb.storage.commit import Committer
from tsdb.storage.store import Store
from tsdb.storage.upkeep import Upkeep
from tsdb.wire.exposition import parse_exposition, series_pairs
from tsdb.wire.remote import unsnapped

SERIES_PER_PAUSE = 200
# What a remote write request may unpack to, for each byte that it may have.
UNPACKED_RATIO_MAX = 4


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

    async def remote_write(self, request: Request) -> Response:
        """Take a remote write 1.0 request: protobuf under snappy."""
        kind = request.headers.get("content-type", "application/x-protobuf")
        if "io.prometheus.write.v2" in kind:
            raise BadUse("remote write 2.0 is not supported, send prometheus.WriteRequest")
        if request.headers.get("content-encoding", "snappy") != "snappy":
            raise BadUse("remote write is compressed by snappy")
        data = unsnapped(request.body, UNPACKED_RATIO_MAX * self._store.limits.request_bytes)
        taken = await run_in_slices(self._ingest.write(data, self._now_ms()), self._clock)
        return await self._acknowledged(taken)

    async def push(self, request: Request) -> Response:
        """Take samples in the text format; ?label=value adds labels to all of them."""
        asked = parameters.of_url(request).pairs
        extra = [(name, value) for name, value in asked if is_label_name(name) and value]
        try:
            text = request.body.decode()
        except UnicodeDecodeError as error:
            raise BadData("the text is not UTF-8") from error
        taken = await run_in_slices(self._pushed(text, dict(extra)), self._clock)
        return await self._acknowledged(taken)

    def _pushed(self, text: str, extra: Mapping[str, str]) -> Steps[IngestResult]:
        """Append the samples of a text. One line that is wrong refuses all of it."""
        limits = self._store.limits
        found = yield from parse_exposition(text, limits.samples_per_request)

        def key(series: str) -> Key:
            return self._ingest.key({**dict(series_pairs(series, limits)), **extra}.items())

        keys = yield from mapped(key, found.series, SERIES_PER_PAUSE)
        taken = IngestResult()
        refs = yield from self._ingest.refs(keys, taken)
        now_ms = self._now_ms()
        columns = zip(refs, found.times, found.values, strict=True)
        known = [
            (ref, now_ms if at is None else at, v) for ref, at, v in columns if ref is not None
        ]
        refused = taken.outcome
        taken.outcome = self._ingest.take_columns(
            [ref for ref, _, _ in known],
            [at for _, at, _ in known],
            [value for _, _, value in known],
            now_ms,
        )
        self._store.counters.outcome.add(refused)
        taken.outcome.add(refused)
        self._ingest.describe(found.metadata.values())
        return taken

    async def _acknowledged(self, taken: IngestResult) -> Response:
        await self._committer.acknowledge()
        self.requests += 1
        if taken.is_whole:
            return Response(HTTPStatus.NO_CONTENT, b"", content_type="")
        status = HTTPStatus.TOO_MANY_REQUESTS if taken.over_limit else HTTPStatus.BAD_REQUEST
        return Response(status, taken.story().encode(), content_type=TEXT)

    async def snapshot(self, _request: Request) -> Response:
        """Write a snapshot while everything goes on; answer its name under snapshots/."""
        name = await self._upkeep.snapshot()
        return answers.success({"name": name})


class BadUse(BadData):
    """The request is of a kind that this path does not take."""

    code = 415
