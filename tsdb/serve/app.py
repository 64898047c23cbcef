"""What is served: the HTTP server and its limits, errors as Prometheus tells them, health."""

from collections.abc import Iterable
from functools import partial
from http import HTTPStatus

from msgspec.structs import replace

from cubernetes.host.metrics import TEXT_FORMAT, Metrics
from cubernetes.host.web.httpserver import HttpServer
from cubernetes.host.web.httpserver import Limits as WebLimits
from cubernetes.host.web.messages import (
    TEXT,
    BodyBroken,
    BodyTooLarge,
    Malformed,
    Request,
    Response,
)
from cubernetes.host.web.routes import NoRoute, WrongMethod
from cubernetes.host.web.site import Handler, NoRoom, Route, RoutedSite
from tsdb.errors import BadData, LimitExceeded, TsdbError
from tsdb.faults import Faults
from tsdb.limits import Limits
from tsdb.serve import answers
from tsdb.serve.own import Remote, exposition, own_metrics
from tsdb.serve.parameters import FIELDS_MAX
from tsdb.serve.queries import Queries
from tsdb.storage.store import Store
from tsdb.storage.upkeep import Upkeep
from tsdb.wire.unpack import unpacked

RETRY_AFTER_S = 5
# The header fields that anything in the store reads.
HEADERS = ("content-type", "content-encoding")


class NotFound(BadData):
    """There is nothing at this path."""

    code = HTTPStatus.NOT_FOUND


class MethodNotAllowed(BadData):
    """There is, but not for this method."""

    code = HTTPStatus.METHOD_NOT_ALLOWED

    def __init__(self, allowed: Iterable[str]) -> None:
        super().__init__("Method Not Allowed")
        self.allowed = ",".join(sorted(allowed))


class Busy(TsdbError):
    """Too many bodies are in memory: the same request may succeed later."""

    kind = "unavailable"
    code = HTTPStatus.SERVICE_UNAVAILABLE


def told(error: Exception) -> Response:
    """Return an error as JSON with its errorType; of a bug only that there was one."""
    if not isinstance(error, TsdbError):
        error = TsdbError("internal error, the server's log tells more")
    headers: dict[str, str] = {}
    if error.code == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.allowed
    return Response(error.code, answers.failure(error), headers)


def refusal(error: Exception) -> Exception:
    """Return an error of HTTP as Prometheus tells it; others are what they are."""
    match error:
        case NoRoute():
            return NotFound("Not Found")
        case WrongMethod():
            return MethodNotAllowed(error.allowed)
        case BodyTooLarge():
            return LimitExceeded("request_bytes", error.bytes_max, error.found_bytes)
        case Malformed() | BodyBroken():
            return BadData(str(error))
        case NoRoom():
            return Busy(str(error))
        case _:
            return error


def server_of(routes: Iterable[Route], faults: Faults, limits: WebLimits) -> HttpServer:
    """Return the server of some routes."""
    unpacking = [
        (method, path, partial(_unpacked, handler, limits.body_bytes_max))
        for method, path, handler in routes
    ]
    site = RoutedSite(unpacking, limits, partial(_refused, faults))
    return HttpServer(site, limits, headers=HEADERS)


def limits_of(limits: Limits) -> WebLimits:
    """Return what of the store's limits is HTTP's."""
    return WebLimits(
        take_deadline_s=limits.query_timeout_s,
        # A sender of remote write drops what was refused: a thin line has its time.
        body_deadline_s=60.0,
        body_bytes_max=limits.request_bytes,
        bodies_bytes_max=limits.requests_bytes,
        query_fields_max=FIELDS_MAX,
    )


def _refused(faults: Faults, error: Exception, request: Request) -> Response:
    """Return the answer of an error; what is no refusal of ours is a bug, and is counted."""
    error = refusal(error)
    if not isinstance(error, TsdbError):
        faults.told("request", error, path=request.path)
    return told(error)


async def _unpacked(handler: Handler, bytes_max: int, request: Request) -> Response:
    """Give a request to its handler with the body that its sender has packed by gzip or deflate."""
    if request.body:
        coding = request.headers.get("content-encoding", "")
        body = unpacked(request.body, coding, bytes_max)
        if body is not request.body:
            request = replace(request, body=body)
    return await handler(request)


class Health:
    """Whether the program lives and serves, and its own numbers."""

    def __init__(
        self,
        store: Store,
        queries: Queries,
        upkeep: Upkeep,
        metrics: Metrics,
        faults: Faults,
        remote: Remote,
    ) -> None:
        self._store, self._queries, self._upkeep = store, queries, upkeep
        self._faults, self._remote = faults, remote
        self._of_process = metrics

    def routes(self) -> list[Route]:
        return [
            ("GET", "/-/healthy", self.healthy),
            ("GET", "/-/ready", self.healthy),
            ("GET", "/metrics", self.metrics),
        ]

    async def healthy(self, _request: Request) -> Response:
        return Response(200, b"the time-series store is ready\n", content_type=TEXT)

    async def metrics(self, _request: Request) -> Response:
        refusals = self._upkeep.refusals_in_a_row
        own = exposition(
            [
                *own_metrics(self._store, self._queries, self._faults, refusals),
                *self._remote.metrics(),
            ]
        )
        return Response(200, own + self._of_process.text(), content_type=TEXT_FORMAT)
