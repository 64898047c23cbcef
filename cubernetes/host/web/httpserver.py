"""HTTP/1.1 on the lower floor of aiohttp: no router, and a deadline for everything a client does.

aiohttp waits for a head as long as a connection may idle, so a client that sends a letter a second
would hold a connection for ever. Here a head that has begun must be complete within its deadline,
a body within its own, and who does not take an answer is let go.
"""

import asyncio
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from typing import Any, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from cubernetes.host.log import Log
from cubernetes.host.web.doorstep import Room
from cubernetes.host.web.listener import Listener

KEEPALIVE_S = 75.0
LINGER_S = 1.0
HEAD_LINE_BYTES_MAX = 8190
HEAD_FIELDS_MAX = 64
# A connection costs some 10 kB, with TLS 60; a program of a cluster has one for each watch.
CONNECTIONS_MAX = 10_000
NO_LIMIT = sys.maxsize
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

type Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
type Turn = Callable[[], Awaitable[None]]

log = Log(__name__)


class BodyTooLarge(Exception):
    """A body is over the limit, by its head or by what has come."""


class BodyBroken(Exception):
    """A body did not come, or not as its head says; says which."""


class Connection(RequestHandler):
    """One client's connection: aiohttp's, with deadlines for heads and for taking answers."""

    def __init__(self, server: "HttpServer", **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        self._head_timer: asyncio.TimerHandle | None = None
        self._take_timer: asyncio.TimerHandle | None = None
        self._is_answering = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if transport.get_extra_info("peercert"):
            self._server.known(self)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        if not self._is_answering and self._head_timer is None:
            self._await_head()
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timer()
        self._stop_take_timer()
        self._server.left(self)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not take what it was sent: whatever we do meanwhile, not for ever."""
        super().pause_writing()
        loop = asyncio.get_running_loop()
        deadline_s = self._server.take_deadline_s
        self._take_timer = loop.call_later(deadline_s, self.let_go)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_take_timer()

    def begin(self) -> None:
        """A head is complete: its request is being answered now."""
        self._is_answering = True
        self._stop_timer()

    def end(self) -> None:
        """The answer is given; what comes next has a head of its own."""
        self._is_answering = False

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002  aiohttp asks
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not even HTTP."""
        said = f"not a request that is understood: {message or status}"
        response = self._server.refusal(said)
        response.force_close()
        return response

    def _await_head(self) -> None:
        loop = asyncio.get_running_loop()
        self._head_timer = loop.call_later(self._server.head_deadline_s, self._give_up)

    def _give_up(self) -> None:
        if not self._is_answering:
            self.let_go()

    def let_go(self) -> None:
        """End the connection; what was sent and not taken is lost."""
        if self.transport is not None:
            self.transport.abort()

    def _stop_take_timer(self) -> None:
        if self._take_timer is not None:
            self._take_timer.cancel()
            self._take_timer = None

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class HttpServer(web.Server):
    """Answers with its handler, whatever is asked. A handler ends when its client goes away."""

    connection_kind: type[Connection] = Connection

    def __init__(  # noqa: PLR0913  its limits, by name
        self,
        handler: Handler,
        refusal: Callable[[str], web.Response],
        *,
        head_deadline_s: float,
        take_deadline_s: float,
        connections_max: int = CONNECTIONS_MAX,
        unknown_max: int = NO_LIMIT,
        unknown_of_address_max: int = NO_LIMIT,
    ) -> None:
        """refusal makes the answer to what is no request, given what is wrong with it.

        take_deadline_s: a client that takes nothing of what it was sent for so long is let go.
        connections_max: over it nobody who comes is kept. unknown_max, unknown_of_address_max: of
        those without a certificate, in all and of one address; over them the oldest goes.
        """
        super().__init__(self._answered, handler_cancellation=True)
        self._handler = handler
        self.refusal = refusal
        self.head_deadline_s, self.take_deadline_s = head_deadline_s, take_deadline_s
        self._room = Room(connections_max, unknown_max, unknown_of_address_max)
        self._listening: Listener[Connection] | None = None

    def __call__(self) -> Connection:
        return self.connection_kind(
            self,
            loop=self._loop,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=LINGER_S,
            max_line_size=HEAD_LINE_BYTES_MAX,
            max_field_size=HEAD_LINE_BYTES_MAX,
            max_headers=HEAD_FIELDS_MAX,
        )

    async def _answered(self, incoming: web.BaseRequest) -> web.StreamResponse:
        connection = cast(Connection, incoming.protocol)
        connection.begin()
        try:
            return await self._handler(incoming)
        finally:
            connection.end()

    def known(self, connection: Connection) -> None:
        """A connection's client has shown a certificate that was verified."""
        if self._listening is not None:
            self._listening.known(connection)

    def left(self, connection: Connection) -> None:
        """A connection has ended."""
        if self._listening is not None:
            self._listening.left(connection)

    @property
    def unknown_count(self) -> int:
        """How many have not shown a certificate; whose handshake has only begun is one of them."""
        return self._listening.doorstep.unknown_count if self._listening is not None else 0

    @property
    def connection_count(self) -> int:
        """How many there are, those that have not come to a request yet included."""
        return self._listening.doorstep.count if self._listening is not None else 0

    @property
    def port(self) -> int:
        """The port that it listens on, once it does; for settings that ask for any (0)."""
        assert self._listening is not None  # noqa: S101  listen comes first
        return self._listening.port

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Raises: OSError: the address is taken, or none of ours."""
        self._listening = Listener(self, self._room, tls, self.head_deadline_s)
        await self._listening.open(host, port)

    async def stop(self, deadline_s: float) -> None:
        """Take no new connection, let requests finish for so long, then close what is left."""
        if self._listening is not None:
            self._listening.close()
        self.pre_shutdown()
        await self.shutdown(deadline_s)


async def body_of(incoming: web.BaseRequest, bytes_max: int, deadline_s: float) -> bytes:
    """Read a body, no further than the limit.

    Raises: BodyTooLarge, BodyBroken.
    """
    if (incoming.content_length or 0) > bytes_max:
        raise BodyTooLarge
    if incoming.headers.get("expect", "").lower() == "100-continue":
        await incoming.writer.write(CONTINUE)
        incoming.writer.output_size = 0
    body = bytearray()
    try:
        async with asyncio.timeout(deadline_s):
            async for piece in incoming.content.iter_any():
                body += piece
                if len(body) > bytes_max:
                    raise BodyTooLarge
    except TimeoutError as error:
        raise BodyBroken("the body did not come in time") from error
    except web.RequestPayloadError as error:
        raise BodyBroken("the body is cut off, or not encoded as its head says") from error
    return bytes(body)


async def send_parts(
    incoming: web.BaseRequest,
    outgoing: web.StreamResponse,
    parts: Iterable[bytes | memoryview],
    deadline_s: float,
    turn: Turn | None = None,
) -> web.StreamResponse:
    """Hand on a long answer in parts: no buffer holds all of it again, and nobody waits for ever.

    Each part has the deadline; the answer as a whole has none, so that a thin line may do. turn is
    awaited before each part, where others are to go between.
    """
    await outgoing.prepare(incoming)
    try:
        for part in parts:
            if turn is not None:
                await turn()
            async with asyncio.timeout(deadline_s):
                await outgoing.write(part)
    except (TimeoutError, ConnectionResetError) as why:
        break_off(incoming, why)
        return outgoing
    await outgoing.write_eof()
    return outgoing


def break_off(incoming: web.BaseRequest, why: Exception) -> None:
    """End an answer that has begun: all that can still be said is that it is not whole."""
    log.info("answer broken off", path=incoming.path, why=repr(why))
    if incoming.transport is not None:
        incoming.transport.abort()


class Clients(Enum):
    """Whether a client must show a certificate of the authority, or only may."""

    MUST = ssl.CERT_REQUIRED
    MAY = ssl.CERT_OPTIONAL


def server_tls(
    cert: str, key: str, client_ca: str = "", clients: Clients = Clients.MUST
) -> ssl.SSLContext:
    """Return TLS 1.2 or later from PEM files; without client_ca nobody is asked for a certificate.

    Raises:
        OSError, ssl.SSLError: a file is missing or no good.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = clients.value
    context.set_alpn_protocols(["http/1.1"])
    return context
