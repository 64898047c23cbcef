"""HTTP/1.1 on the lower floor of aiohttp: no router, and a deadline for everything a client does.

aiohttp waits for a head as long as a connection may idle, so a client that sends a letter a second
would hold a connection for ever. Here a head that has begun must be complete within its deadline,
a body within its own, and a client that does not take its answer is disconnected.
"""

import asyncio
import ssl
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from cubernetes.host.feed import Feed
from cubernetes.host.web.doorstep import Room
from cubernetes.host.web.listener import Listener
from cubernetes.host.web.messages import (
    ANONYMOUS,
    Identity,
    Malformed,
    Request,
    Response,
    Unread,
    identity_of,
    target_of,
)
from cubernetes.host.web.sockets import keep_alive
from cubernetes.host.web.transfer import (
    CLIENT_TROUBLES,
    PART_BYTES,
    ClientBody,
    send_feed,
    send_parts,
    send_stream,
    short,
)

KEEPALIVE_S = 75.0
LINGER_S = 1.0
HEAD_LINE_BYTES_MAX = 8190
HEAD_FIELDS_MAX = 64
NO_LIMIT = sys.maxsize


class Site(Protocol):
    """What a server answers; how it comes and goes over connections is the server's."""

    def answering(
        self, request: Request, unread: Unread | None
    ) -> AbstractAsyncContextManager[Response]:
        """Answer a request by its head, for as long as the answer is being sent.

        unread is its body, which nobody has asked the client for yet; None where it has none. Never
        raises but for cancellation, which comes when the client goes away.
        """
        ...

    def refused(self, request: Request, error: Malformed) -> Response:
        """Answer what cannot be understood; of the request there is what could be."""
        ...

    async def turn(self, request: Request) -> None:
        """Wait for a turn to go on with a long answer."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a client may use of a server. Times in seconds.

    head_deadline_s: for a request's head, and for TLS. take_deadline_s: a client that takes nothing
    of what it was sent for so long is let go. bodies_bytes_max: of all bodies in memory, where the
    site takes turns for them. connections_max: over it no client that comes is kept. unknown_max,
    unknown_of_address_max: of those without a certificate, in all and of one address; over them the
    oldest goes.
    """

    head_deadline_s: float = 10.0
    body_deadline_s: float = 30.0
    take_deadline_s: float = 30.0
    body_bytes_max: int = 64 * 1024
    bodies_bytes_max: int = 1024 * 1024
    query_fields_max: int = 100
    connections_max: int = 1000
    unknown_max: int = NO_LIMIT
    unknown_of_address_max: int = NO_LIMIT


class Connection(RequestHandler):
    """One client's connection: aiohttp's, with deadlines for heads and for taking answers.

    It remembers whose certificate the client has shown, and where the client is. take_deadline_s
    is the server's, until the connection is switched to another protocol.
    """

    _identity: Identity | None = None
    _address: str | None = None

    def __init__(self, server: "HttpServer", **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        self._head_timer: asyncio.TimerHandle | None = None
        self._take_timer: asyncio.TimerHandle | None = None
        self._is_answering = False
        self._waiting: Callable[[], None] | None = None
        self.take_deadline_s = server.limits.take_deadline_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        keep_alive(transport)
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
        self._take_timer = loop.call_later(self.take_deadline_s, self.let_go)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_take_timer()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting()

    def send(self, piece: bytes) -> None:
        """Write a piece of an answer that has begun. Raises: ConnectionResetError: he has left."""
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has left")
        transport.write(piece)

    def when_taken(self, call: Callable[[], None]) -> None:
        """Call when the client has taken enough of what it was sent: at once, where it has."""
        if self.writing_paused:
            self._waiting = call
        else:
            call()

    @property
    def identity(self) -> Identity:
        """The client as its certificate names it; TLS has verified the certificate."""
        if self._identity is None:
            transport = self.transport
            peer = transport.get_extra_info("peercert") if transport is not None else None
            self._identity = identity_of(peer or {})
        return self._identity

    @property
    def address(self) -> str:
        """Where the client is, as text."""
        if self._address is None:
            transport = self.transport
            peer = transport.get_extra_info("peername") if transport is not None else None
            self._address = str(peer[0]) if peer else ""
        return self._address

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
        error = Malformed(f"not a request that is understood: {message or status}")
        response = short(self._server.site.refused(Request("", "", address=self.address), error))
        response.force_close()
        return response

    def _await_head(self) -> None:
        loop = asyncio.get_running_loop()
        self._head_timer = loop.call_later(self._server.limits.head_deadline_s, self._give_up)

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
    """Serves a site. Work for a request ends when its client goes away."""

    def __init__(
        self,
        site: Site,
        limits: Limits,
        *,
        headers: Sequence[str] | None = (),
        refused_headers: str = "",
        troubles: tuple[type[Exception], ...] = (),
    ) -> None:
        """headers: the names, in lower case, of the header fields that the site reads; None: all.

        refused_headers: what the names of fields begin with that the site refuses; their values are
        left out. troubles: what the streams of the site may raise where they cannot go on.
        """
        super().__init__(self._answered, handler_cancellation=True)
        self.site, self.limits = site, limits
        self._headers, self._refused_headers = headers, refused_headers
        self._troubles = (*CLIENT_TROUBLES, *troubles)
        self._listening: Listener[Connection] | None = None
        self._asks_for_certificates = False

    def __call__(self) -> Connection:
        return Connection(
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
            return await self._answer(incoming, connection)
        finally:
            connection.end()

    async def _answer(
        self, incoming: web.BaseRequest, connection: Connection
    ) -> web.StreamResponse:
        try:
            request = self._request(incoming, connection)
        except Malformed as error:
            path = incoming.raw_path.partition("?")[0]
            asked = Request(incoming.method, path, address=connection.address)
            return self._last(connection, short(self.site.refused(asked, error)))
        limits = self.limits
        body = ClientBody(incoming, limits.body_bytes_max, limits.body_deadline_s)
        async with self.site.answering(request, body.unread) as response:
            if response.switch is not None:
                return cast(web.StreamResponse, await response.switch(incoming))
            content, deadline_s = response.body, limits.take_deadline_s
            if isinstance(content, Feed):
                return await send_feed(incoming, response, content, connection, self._troubles)
            if not isinstance(content, bytes):
                return await send_stream(incoming, response, content, deadline_s, self._troubles)
            if len(content) > PART_BYTES and request.method != "HEAD":
                turn = partial(self.site.turn, request)
                return await send_parts(incoming, response, content, deadline_s, turn)
            outgoing = short(response)
            return outgoing if body.is_read else self._last(connection, outgoing)

    def _request(self, incoming: web.BaseRequest, connection: Connection) -> Request:
        """Return what is asked, by its head alone.

        Raises: Malformed.
        """
        path, query = target_of(incoming.raw_path, self.limits.query_fields_max)
        given = incoming.headers
        # A field may come in several lines: a client of SPDY/3.1 sends one for each protocol.
        names = self._headers if self._headers is not None else tuple(given)
        headers = {name.lower(): ", ".join(given.getall(name)) for name in names if name in given}
        if refused := self._refused_headers:
            headers |= {name.lower(): "" for name in given if name.lower().startswith(refused)}
        return Request(
            incoming.method,
            path,
            query,
            headers,
            identity=connection.identity,
            address=connection.address,
            target=incoming.raw_path,
            fields=incoming.raw_headers,
        )

    def _last(self, connection: Connection, outgoing: web.Response) -> web.Response:
        """Make an answer the last of its connection, where the body that was sent is not read.

        Nobody knows where the next request would begin. What still comes is dropped for a moment,
        so that a client that is busy sending hears the answer. Where clients show certificates, an
        unknown one keeps what it has not sent.
        """
        outgoing.force_close()
        connection.close()
        is_unknown = self._asks_for_certificates and connection.identity == ANONYMOUS
        if is_unknown and connection.transport is not None:
            connection.transport.pause_reading()
        return outgoing

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
        self._asks_for_certificates = tls is not None and tls.verify_mode is not ssl.CERT_NONE
        limits = self.limits
        room = Room(limits.connections_max, limits.unknown_max, limits.unknown_of_address_max)
        self._listening = Listener(self, room, tls, limits.head_deadline_s)
        await self._listening.open(host, port)

    async def stop(self, deadline_s: float) -> None:
        """Take no new connection, let requests finish for so long, then close what is left."""
        if self._listening is not None:
            self._listening.close()
        self.pre_shutdown()
        await self.shutdown(deadline_s)
