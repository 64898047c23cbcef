"""The questions of the API: query, query_range, labels, series, metadata, federate."""

from collections.abc import Sequence

from cubernetes.host.clock import Clock
from cubernetes.host.web.messages import TEXT, Request, Response
from cubernetes.host.web.site import Handler, Route
from tsdb.budget import Budget
from tsdb.columns.labels import NAME, Key, is_label_name, pairs_of
from tsdb.columns.matching import Matcher
from tsdb.cooperative import run_in_slices
from tsdb.errors import BadData, LimitExceeded
from tsdb.gate import QueryGate
from tsdb.ingest import Ingest
from tsdb.limits import Limits
from tsdb.promql.parser import parse_selector
from tsdb.promql.reach import earliest_ms
from tsdb.query import Engine, Result
from tsdb.remote.reading import RemoteReader, Unanswered
from tsdb.select import Reader
from tsdb.serve import answers, parameters
from tsdb.serve.federation import federated
from tsdb.serve.parameters import FIRST_MS, LAST_MS, Parameters
from tsdb.steps import Steps, mapped, watched

# The API and the semantics are those of this release; `application` says who answers.
BUILD = {
    "application": "cubernetes tsdb",
    "version": "2.42.0",
    "revision": "",
    "branch": "",
    "buildUser": "",
    "buildDate": "",
    "goVersion": "",
}


class Queries:
    """The handlers that read. Each works within the gate, a budget and a deadline."""

    def __init__(
        self,
        reader: Reader,
        engine: Engine,
        limits: Limits,
        clock: Clock,
        ingest: Ingest,
        elsewhere: RemoteReader | None = None,
    ) -> None:
        self._reader, self._engine, self._limits = reader, engine, limits
        self._elsewhere = elsewhere
        self._clock, self._ingest = clock, ingest
        self.gate = QueryGate(limits)
        self.answered = 0

    def routes(self) -> list[Route]:
        both: list[tuple[str, Handler]] = [
            ("/api/v1/query", self.query),
            ("/api/v1/query_range", self.query_range),
            ("/api/v1/labels", self.labels),
            ("/api/v1/series", self.series),
        ]
        return [
            *(("GET", path, handler) for path, handler in both),
            *(("POST", path, handler) for path, handler in both),
            ("GET", "/api/v1/label/{name}/values", self.label_values),
            ("GET", "/api/v1/metadata", self.metadata),
            ("GET", "/api/v1/status/buildinfo", self.buildinfo),
            ("GET", "/federate", self.federate),
        ]

    def now_ms(self) -> int:
        return round(self._clock.now().timestamp() * 1000)

    def _timeout_s(self, asked: Parameters) -> float:
        longest_ms = int(self._limits.query_timeout_s * 1000)
        return min(parameters.span_ms(asked, "timeout", longest_ms), longest_ms) / 1000

    def _budget(self, asked: Parameters) -> tuple[Budget, float]:
        """Return what a query may cost from now on, and its timeout in seconds."""
        timeout_s = self._timeout_s(asked)
        deadline_s = self._clock.monotonic() + timeout_s
        return Budget(self._limits, self._clock.monotonic, deadline_s), timeout_s

    async def _run(
        self, steps: Steps[Result], timeout_s: float, warnings: Sequence[str] = ()
    ) -> Response:
        damaged = self._damage()
        async with self.gate.place(timeout_s):
            result = await run_in_slices(steps, self._clock)
        self.answered += 1
        if self._damage() > damaged:
            warnings = [*warnings, "damaged data was left out"]
        return answers.response_of(answers.success_pieces(answers.result_json(result), warnings))

    def _damage(self) -> int:
        return self._reader.damage_count()

    async def query(self, request: Request) -> Response:
        asked = parameters.of_request(request)
        at_ms = parameters.time_ms(asked, "time", self.now_ms())
        text = parameters.text(asked, "query")
        old = await self._asked_elsewhere(request, asked, (at_ms, at_ms))
        if isinstance(old, Response):
            return old
        budget, timeout_s = self._budget(asked)
        return await self._run(self._engine.instant(text, at_ms, budget), timeout_s, old)

    async def query_range(self, request: Request) -> Response:
        asked = parameters.of_request(request)
        first_ms = parameters.time_ms(asked, "start")
        last_ms = parameters.time_ms(asked, "end")
        step_ms = parameters.span_ms(asked, "step")
        text = parameters.text(asked, "query")
        old = await self._asked_elsewhere(request, asked, (first_ms, last_ms))
        if isinstance(old, Response):
            return old
        budget, timeout_s = self._budget(asked)
        steps = self._engine.range(text, first_ms, last_ms, step_ms, budget)
        return await self._run(steps, timeout_s, old)

    async def _asked_elsewhere(
        self, request: Request, asked: Parameters, span_ms: tuple[int, int]
    ) -> Response | Sequence[str]:
        """Return another engine's answer to what reaches back beyond our samples.

        Where it is ours to answer: the warnings that go with that.
        """
        if self._elsewhere is None:
            return ()
        tree = self._engine.tree(parameters.text(asked, "query"))
        reach_ms = earliest_ms(tree, *span_ms, self._engine.lookback_ms)
        recent_ms = self.now_ms() - int(self._elsewhere.settings.after_s * 1000)
        if reach_ms >= recent_ms or reach_ms >= self._reader.oldest_ms(self.now_ms()):
            return ()
        pairs, timeout_s = _with_moment(asked, span_ms), self._timeout_s(asked)
        try:
            body = await self._elsewhere.ask(request.path, pairs, timeout_s)
        except Unanswered as error:
            return [f"older samples are missing, remote read failed: {error}"]
        return Response(200, body)

    def _span(self, asked: Parameters) -> tuple[int, int]:
        first_ms = parameters.time_ms(asked, "start", FIRST_MS)
        last_ms = parameters.time_ms(asked, "end", LAST_MS)
        if last_ms < first_ms:
            raise BadData("end timestamp must not be before start timestamp")
        return first_ms, last_ms

    async def _matchers(self, asked: Parameters, *, required: bool) -> Sequence[Sequence[Matcher]]:
        found = parameters.selectors(asked, required=required)
        steps = mapped(lambda text: parse_selector(text, self._limits), found, per_pause=1)
        return await run_in_slices(steps, self._clock)

    async def _series(
        self,
        asked: Parameters,
        matchers: Sequence[Sequence[Matcher]],
        first_ms: int,
        last_ms: int,
    ) -> list[Key]:
        budget, timeout_s = self._budget(asked)
        steps = self._reader.series(matchers, first_ms, last_ms, budget)
        async with self.gate.place(timeout_s):
            return await run_in_slices(watched(steps, budget.check_time), self._clock)

    def _bounded(self, found: Sequence[object]) -> Response:
        if len(found) > self._limits.names_in_answer:
            raise LimitExceeded("names_in_answer", self._limits.names_in_answer, len(found))
        return answers.success(found)

    async def labels(self, request: Request) -> Response:
        asked = parameters.of_request(request)
        first_ms, last_ms = self._span(asked)
        if matchers := await self._matchers(asked, required=False):
            keys = await self._series(asked, matchers, first_ms, last_ms)
            names = sorted({name for key in keys for name, _ in pairs_of(key)})
        else:
            names = self._reader.label_names(first_ms, last_ms)
        return self._bounded(names)

    async def label_values(self, request: Request) -> Response:
        asked = parameters.of_request(request)
        name = dict(request.names)["name"]
        if not is_label_name(name):
            raise BadData(f"invalid label name: {name!r}")
        first_ms, last_ms = self._span(asked)
        if matchers := await self._matchers(asked, required=False):
            keys = await self._series(asked, matchers, first_ms, last_ms)
            values = sorted({value for key in keys for n, value in pairs_of(key) if n == name})
        else:
            values = self._reader.label_values(name, first_ms, last_ms)
        return self._bounded(values)

    async def series(self, request: Request) -> Response:
        asked = parameters.of_request(request)
        first_ms, last_ms = self._span(asked)
        matchers = await self._matchers(asked, required=True)
        keys = await self._series(asked, matchers, first_ms, last_ms)
        return self._bounded([dict(pairs_of(key)) for key in keys])

    async def metadata(self, request: Request) -> Response:
        asked = parameters.of_request(request)
        wanted, limit = asked.get("metric"), parameters.count(asked, "limit")
        found = {
            name: [{"type": one.kind, "help": one.help, "unit": one.unit}]
            for name, one in sorted(self._ingest.metadata.items())
            if not wanted or name == wanted
        }
        if limit is not None and limit >= 0:
            found = dict(list(found.items())[:limit])
        return answers.success(found)

    async def buildinfo(self, _request: Request) -> Response:
        return answers.success(BUILD)

    async def federate(self, request: Request) -> Response:
        """Answer the newest sample of every matching series, as text that can be scraped."""
        asked = parameters.of_request(request)
        texts = parameters.selectors(asked, required=True)
        budget, timeout_s = self._budget(asked)
        lines = []
        for text in texts:
            parse_selector(text, self._limits)
            steps = self._engine.instant(text, self.now_ms(), budget)
            async with self.gate.place(timeout_s):
                result = await run_in_slices(steps, self._clock)
            lines += [line for line in result.lines if any(n == NAME for n, _ in line.pairs)]
        return Response(200, federated(lines, self._ingest.metadata), content_type=TEXT)


def _with_moment(asked: Parameters, span_ms: tuple[int, int]) -> Sequence[tuple[str, str]]:
    """Return what was asked, with our moment where none was named: the engine has its own clock."""
    if asked.get("start") or asked.get("time"):
        return asked.pairs
    return [*asked.pairs, ("time", f"{span_ms[1] / 1000:.3f}")]
