"""What is served: routes, errors as Prometheus tells them, health."""

from collections.abc import Iterable
from http import HTTPStatus

from cubernetes.host.metrics import TEXT_FORMAT, Metrics
from tsdb.errors import BadData, TsdbError
from tsdb.faults import Faults
from tsdb.serve import answers
from tsdb.serve.exchange import TEXT, Answer, Handler, Request, Route
from tsdb.serve.own import exposition, own_metrics
from tsdb.serve.queries import Queries
from tsdb.storage.store import Store
from tsdb.storage.upkeep import Upkeep

RETRY_AFTER_S = 5
# The one part of a path that may be anything.
NAME_PART = "{name}"


class NotFound(BadData):
    """There is nothing at this path."""

    code = HTTPStatus.NOT_FOUND


class MethodNotAllowed(BadData):
    """There is, but not for this method."""

    code = HTTPStatus.METHOD_NOT_ALLOWED

    def __init__(self, allowed: Iterable[str]) -> None:
        super().__init__("Method Not Allowed")
        self.allowed = ",".join(sorted(allowed))


def told(error: Exception) -> Answer:
    """Return an error as JSON with its errorType; of a bug only that there was one."""
    if not isinstance(error, TsdbError):
        error = TsdbError("internal error, the server's log tells more")
    headers: dict[str, str] = {}
    if error.code == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.allowed
    return Answer(error.code, [answers.failure(error)], headers=headers)


class Health:
    """Whether the program lives and serves, and its own numbers."""

    def __init__(
        self, store: Store, queries: Queries, upkeep: Upkeep, metrics: Metrics, faults: Faults
    ) -> None:
        self._store, self._queries, self._upkeep = store, queries, upkeep
        self._faults = faults
        self._of_process = metrics

    def routes(self) -> list[Route]:
        return [
            ("GET", "/-/healthy", self.healthy),
            ("GET", "/-/ready", self.healthy),
            ("GET", "/metrics", self.metrics),
        ]

    async def healthy(self, _request: Request) -> Answer:
        return Answer(pieces=[b"the time-series store is ready\n"], kind=TEXT)

    async def metrics(self, _request: Request) -> Answer:
        refusals = self._upkeep.refusals_in_a_row
        own = exposition(own_metrics(self._store, self._queries, self._faults, refusals))
        return Answer(pieces=[own, self._of_process.text()], kind=TEXT_FORMAT)


class App:
    """Finds the handler of a request, and answers whatever becomes of it."""

    def __init__(self, routes: Iterable[Route], faults: Faults) -> None:
        self._faults = faults
        self._methods: dict[str, dict[str, Handler]] = {}
        for method, path, handler in routes:
            self._methods.setdefault(path, {})[method] = handler

    async def answer(self, request: Request) -> Answer:
        try:
            return await self._handler(request)(request)
        except Exception as error:  # noqa: BLE001  the last place that can still answer
            return self.refused(error, path=request.path)

    def refused(self, error: Exception, **facts: object) -> Answer:
        """Return the answer of an error; what is no refusal of ours is a bug, and is counted."""
        if not isinstance(error, TsdbError):
            self._faults.told("request", error, **facts)
        return told(error)

    def _handler(self, request: Request) -> Handler:
        methods = self._methods.get(request.path) or self._methods.get(_pattern(request.path))
        if methods is None:
            raise NotFound("Not Found")
        # The door leaves the body out.
        method = "GET" if request.method == "HEAD" else request.method
        if method not in methods:
            raise MethodNotAllowed({*methods, "HEAD"} if "GET" in methods else methods)
        return methods[method]


def _pattern(path: str) -> str:
    """Return the path with its last part but one left open: /api/v1/label/{name}/values."""
    parts = path.split("/")
    return "/".join([*parts[:-2], NAME_PART, *parts[-1:]])
