"""The gateway's HTTP: a request is led to its function by its route."""

from typing import Protocol

from cubernetes.api.serverless.function import Function
from cubernetes.host.clock import Clock
from cubernetes.host.log import Log
from cubernetes.host.web.gate import Gate
from cubernetes.host.web.httpserver import Limits
from cubernetes.host.web.messages import (
    BodyBroken,
    BodyTooLarge,
    Malformed,
    Request,
    Response,
    Unread,
)
from cubernetes.host.web.shares import Share
from serverless.board.key import FunctionKey
from serverless.board.routes import RouteMatch, RouteTable, WrongMethod
from serverless.gateway.answers import DEADLINE_HEADER, DEADLINE_RULE, is_deadline, refusal
from serverless.gateway.invoke import Invoker
from serverless.gateway.lasting import PREFIX as CALLS
from serverless.gateway.lasting import Lasting
from serverless.running import Asked

log = Log(__name__)

# How many requests of one client wait until there is room for their bodies, and for how long.
WAITING_COUNT_MAX = 1000
TURN_S = 15.0
# A client may have this part of what all bodies may have.
PART_OF_CLIENT = 0.5


class NoRoom(Exception):
    """Too many bodies are in memory, or on their way."""


class Known(Protocol):
    """What the site must know of now."""

    @property
    def table(self) -> RouteTable: ...

    @property
    def missing(self) -> str:
        """Return what is not ready yet; empty: all is."""
        ...

    def function(self, key: FunctionKey) -> Function | None: ...


class GatewaySite:
    """Answers requests of anybody; see front.Site."""

    def __init__(
        self, known: Known, invoker: Invoker, lasting: Lasting, limits: Limits, clock: Clock
    ) -> None:
        self._clock = clock
        self._known, self._invoker, self._lasting = known, invoker, lasting
        all_bytes = limits.bodies_bytes_max
        of_client = max(int(all_bytes * PART_OF_CLIENT), limits.body_bytes_max)
        share = Share(all_bytes, of_client, WAITING_COUNT_MAX)
        self._bodies = Gate({None: share}, TURN_S, lambda _: NoRoom())

    async def respond(self, request: Request, unread: Unread | None = None) -> Response:
        try:
            return await self._answer(request, unread)
        except Exception as error:  # noqa: BLE001  the last place that can still answer
            log.bug("a call failed", error, method=request.method, path=request.path)
            return refusal(500, "an error of the gateway; its log tells more")

    def refused(self, request: Request, error: Malformed) -> Response:  # noqa: ARG002  asked for
        return refusal(400, str(error))

    async def _answer(self, request: Request, unread: Unread | None) -> Response:
        if request.path == "/healthz" and request.method == "GET":
            return refusal(200, "ok")
        if request.path == "/readyz" and request.method == "GET":
            missing = self._known.missing
            return refusal(503, missing) if missing else refusal(200, "ok")
        if request.path.startswith(CALLS):
            return await self._lasting.find(request)
        host = request.headers.get("host", "")
        found = self._known.table.find(host, request.path, request.method)
        match found:
            case None:
                return refusal(404, f"no route leads from {request.path[:200]}")
            case WrongMethod(allowed):
                response = refusal(405, f"this path takes {', '.join(allowed)}")
                return Response(405, response.body, {"Allow": ", ".join(allowed)}, "text/plain")
            case RouteMatch():
                return await self._led(request, unread, found)

    async def _led(self, request: Request, unread: Unread | None, found: RouteMatch) -> Response:
        most = found.route.spec.body_bytes
        if unread is None:
            return await self._invoked(request, found, b"")
        if unread.bytes_max > most:
            return refusal(413, f"the body may have {most} bytes")
        try:
            async with self._bodies.place(None, request.address, unread.bytes_max):
                return await self._invoked(request, found, await unread.read())
        except NoRoom:
            return refusal(503, "too many bytes of bodies at once", is_later=True)
        except BodyTooLarge:
            return refusal(413, f"the body may have {most} bytes")
        except BodyBroken as error:
            return refusal(400, str(error))

    async def _invoked(self, request: Request, found: RouteMatch, body: bytes) -> Response:
        told = request.headers.get(DEADLINE_HEADER, "")
        if told and not is_deadline(told):
            return refusal(400, DEADLINE_RULE)
        span_s = float(told) if told else 0.0
        asked = Asked(
            method=request.method,
            path=request.path,
            params=request.query,
            variables=dict(found.variables),
            headers=dict(request.headers),
            body=body,
            deadline_ms=int((self._clock.now().timestamp() + span_s) * 1000) if told else 0,
        )
        repeat_key = request.headers.get("idempotency-key", "")
        delivery = found.route.spec.delivery
        if "respond-async" in request.headers.get("prefer", ""):
            delivery = "async"
        if delivery == "direct" and not repeat_key:
            return await self._invoker.invoke(found.function, asked)
        wait_s = 0.0 if delivery == "async" else self._span_s(found.function)
        wait_s = min(wait_s, span_s) if told else wait_s
        return await self._lasting.invoke(
            found.function, asked, wait_s=wait_s, repeat_key=repeat_key
        )

    def _span_s(self, key: FunctionKey) -> float:
        """Return how long a caller waits for the end of a call, its wait for an instance included.

        Then it is told where to ask, and the call goes on.
        """
        function = self._known.function(key)
        return function.spec.timeout_seconds + function.spec.max_wait_seconds if function else 0.0
