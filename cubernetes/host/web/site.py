"""A site by its routes: who may ask, where a path leads, and the body, each before the next."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

from msgspec.structs import replace

from cubernetes.host.log import Log
from cubernetes.host.web.gate import Gate
from cubernetes.host.web.httpserver import Limits
from cubernetes.host.web.messages import (
    ANONYMOUS,
    TEXT,
    BodyBroken,
    BodyTooLarge,
    Malformed,
    Request,
    Response,
    Unread,
)
from cubernetes.host.web.routes import NoRoute, Routes, WrongMethod
from cubernetes.host.web.shares import Share

# How many requests of one client wait until there is room for their bodies, and for how long.
WAITING_COUNT_MAX = 100
TURN_DEADLINE_S = 15.0
# A client may have this part of what all bodies may have, or one body where that is more.
PART_OF_CLIENT = 0.5
RETRY_AFTER_S = 5

type Handler = Callable[[Request], Awaitable[Response]]
# Method, pattern (which has `{name}` in the place of a segment), and who answers.
type Route = tuple[str, str, Handler]

log = Log(__name__)


class HttpRefusal(Exception):
    """A request is answered with a status other than success, and the reason."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class NoRoom(Exception):
    """Too many bodies are in memory, or on their way: the same request may succeed later."""


def refusal(error: Exception, request: Request) -> Response:
    """Return an error as text. What is no refusal is a bug, and is logged."""
    headers: dict[str, str] = {}
    match error:
        case HttpRefusal():
            status = error.status
        case Malformed() | BodyBroken():
            status = 400
        case NoRoute():
            status, error = 404, HttpRefusal(404, "not found")
        case WrongMethod():
            status, headers = 405, {"Allow": ", ".join(error.allowed)}
        case BodyTooLarge():
            status = 413
        case NoRoom():
            status, headers = 503, {"Retry-After": str(RETRY_AFTER_S)}
        case _:
            log.bug("a request failed", error, method=request.method, path=request.path)
            status, error = 500, HttpRefusal(500, "an error of the server; its log tells more")
    return Response(status, str(error).encode(), headers, TEXT)


class RoutedSite:
    """Answers whatever becomes of a request; see httpserver.Site."""

    def __init__(
        self,
        routes: Iterable[Route],
        limits: Limits,
        told: Callable[[Exception, Request], Response] = refusal,
        check_may: Callable[[Request], None] = lambda _: None,
    ) -> None:
        """told makes the answer of an error. check_may raises one where a client may not ask."""
        self._routes = Routes(routes)
        self._limits, self._told, self._check_may = limits, told, check_may
        all_units, one = limits.bodies_bytes_max, limits.body_bytes_max
        share = Share(
            max(all_units, one), max(int(all_units * PART_OF_CLIENT), one), WAITING_COUNT_MAX
        )
        self.bodies = Gate({None: share}, TURN_DEADLINE_S, _no_room)

    @asynccontextmanager
    async def answering(
        self, request: Request, unread: Unread | None = None
    ) -> AsyncIterator[Response]:
        try:
            response = await self._answer(request, unread)
        except Exception as error:  # noqa: BLE001  the last place that can still answer
            response = self._told(error, request)
        yield response

    def refused(self, request: Request, error: Malformed) -> Response:
        return self._told(error, request)

    async def turn(self, request: Request) -> None:
        """Go on: the other requests of a small server wait for no long answer."""

    async def _answer(self, request: Request, unread: Unread | None) -> Response:
        self._check_may(request)
        handler, names = self._found(request)
        if unread is None:
            return await handler(replace(request, names=names) if names else request)
        bytes_max = self._limits.body_bytes_max
        if unread.bytes_max > bytes_max:
            raise BodyTooLarge(bytes_max, unread.bytes_max)
        client = request.address if request.identity == ANONYMOUS else request.identity.user
        async with self.bodies.place(None, client, unread.bytes_max):
            return await handler(replace(request, body=await unread.read(), names=names))

    def _found(self, request: Request) -> tuple[Handler, tuple[tuple[str, str], ...]]:
        # HEAD asks for the head of what GET answers.
        method = "GET" if request.method == "HEAD" else request.method
        try:
            return self._routes.match(method, request.path)
        except WrongMethod as error:
            if "GET" in error.allowed:
                raise WrongMethod((*error.allowed, "HEAD")) from error
            raise


def _no_room(client: str) -> NoRoom:
    return NoRoom(f"{client or 'you'}: too many bytes of bodies at once, wait and try again")
