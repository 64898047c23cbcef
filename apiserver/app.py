"""The door to HTTP: aiohttp's requests become ours, and our responses become bytes on a wire."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, cast
from urllib.parse import parse_qsl, unquote

from aiohttp import web
from aiohttp.http import StreamWriter

from apiserver.connection import Connection, GuardedServer
from apiserver.server import ApiServer
from apiserver.settings import Settings
from apiserver.statuses import response_of
from cubernetes.api.errors import ApiError, BadRequest, RequestTooLarge, Timeout
from cubernetes.api.http import Request, Response
from cubernetes.host.log import Log

# The header fields that anything in the server reads.
HEADERS = (
    "accept",
    "authorization",
    "content-encoding",
    "content-type",
    "cubernetes-fence",
    "user-agent",
)
QUERY_FIELDS_MAX = 100
PIECE_BYTES = 256 * 1024
STOP_DEADLINE_S = 5.0
BACKLOG = 1024

log = Log(__name__)


class App:
    """Serves an ApiServer over HTTP/1.1, with TLS where there is a certificate."""

    def __init__(self, server: ApiServer, settings: Settings) -> None:
        self._server = server
        self._settings = settings
        self._limits = settings.limits
        self._web: GuardedServer | None = None
        self._listening: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that it listens on, once started; for settings that ask for any (0)."""
        assert self._listening is not None  # noqa: S101  start comes first
        return int(self._listening.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Listen. Raises: OSError, ssl.SSLError: the address or the certificate is no good."""
        loop = asyncio.get_running_loop()
        tls = tls_context(self._settings) if self._settings.cert else None
        handshake = {"ssl_handshake_timeout": self._limits.header_deadline_s} if tls else {}
        self._web = GuardedServer(self._answer, head_deadline_s=self._limits.header_deadline_s)
        self._listening = await loop.create_server(
            cast(Any, self._web),
            self._settings.listen_address,
            self._settings.listen_port,
            ssl=tls,
            backlog=BACKLOG,
            **cast(Any, handshake),
        )

    async def stop(self) -> None:
        """Take no new connection, let requests finish, then close what is left."""
        if self._listening is not None:
            self._listening.close()
        if self._web is not None:
            self._web.pre_shutdown()
            await self._web.shutdown(STOP_DEADLINE_S)

    async def _answer(self, incoming: web.BaseRequest) -> web.StreamResponse:
        connection = cast(Connection, incoming.protocol)
        connection.begin()
        try:
            return await self._answered(incoming, connection)
        finally:
            connection.end()

    async def _answered(
        self, incoming: web.BaseRequest, connection: Connection
    ) -> web.StreamResponse:
        try:
            request = await self._request(incoming, connection)
            async with asyncio.timeout(self._limits.request_deadline_s):
                response = await self._server.handle(request)
        except TimeoutError:
            error = Timeout("the deadline passed; a write may have happened: read again")
            response = response_of(error)
        except ApiError as error:
            # The rest of such a request is not read: nobody knows where the next one begins.
            response = response_of(error)
            outgoing = _short(response)
            outgoing.force_close()
            connection.close()
            return outgoing
        if not isinstance(response.body, bytes):
            return await self._stream(incoming, response, response.body)
        if len(response.body) > PIECE_BYTES:
            return await self._long(incoming, response, response.body)
        return _short(response)

    async def _request(self, incoming: web.BaseRequest, connection: Connection) -> Request:
        path, _, query = incoming.raw_path.partition("?")
        try:
            decoded = unquote(path, errors="strict")
            fields = parse_qsl(
                query, keep_blank_values=True, errors="strict", max_num_fields=QUERY_FIELDS_MAX
            )
        except ValueError as error:
            raise BadRequest(f"the path or the query cannot be read: {error}") from error
        headers = incoming.headers
        return Request(
            incoming.method,
            decoded,
            tuple(fields),
            {name: headers[name] for name in HEADERS if name in headers},
            await self._body(incoming) if incoming.body_exists else b"",
            connection.identity,
        )

    async def _body(self, incoming: web.BaseRequest) -> bytes:
        """Read a body, no further than the limit.

        Raises: RequestTooLarge, BadRequest: it did not come in time.
        """
        most = self._limits.body_bytes_max
        if (incoming.content_length or 0) > most:
            raise RequestTooLarge(f"the body has over {most} bytes")
        expected = incoming.headers.get("expect", "")
        if expected.lower() == "100-continue":
            await incoming.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            incoming.writer.output_size = 0
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_deadline_s):
                async for piece in incoming.content.iter_any():
                    body += piece
                    if len(body) > most:
                        raise RequestTooLarge(f"the body has over {most} bytes")
        except TimeoutError as error:
            raise BadRequest("the body did not come in time") from error
        except web.RequestPayloadError as error:
            raise BadRequest("the body is cut off, or not encoded as its head says") from error
        return bytes(body)

    async def _stream(
        self, incoming: web.BaseRequest, response: Response, pieces: AsyncIterator[bytes]
    ) -> web.StreamResponse:
        """Hand on a stream; a client that reads too slowly is let go, one that left ends it."""
        async with aclosing(cast(Any, pieces)):
            outgoing = web.StreamResponse(status=response.status, headers=_headers(response))
            await outgoing.prepare(incoming)
            writer = cast(StreamWriter, incoming.writer)
            try:
                async for piece in pieces:
                    await writer.write(piece, drain=False)
                    # A deadline costs more than a write: only who makes us wait gets one.
                    if incoming.protocol.writing_paused:
                        async with asyncio.timeout(self._limits.write_deadline_s):
                            await writer.drain()
            except (TimeoutError, ConnectionResetError, ApiError) as why:
                _break_off(incoming, why)
                return outgoing
            await outgoing.write_eof()
            return outgoing

    async def _long(
        self, incoming: web.BaseRequest, response: Response, body: bytes
    ) -> web.StreamResponse:
        """Hand on a long list in pieces: who reads slowly makes us hold it once, and not for ever.

        Each piece has the deadline; the answer as a whole has none, so that a thin line may do.
        """
        outgoing = web.StreamResponse(status=response.status, headers=_headers(response))
        outgoing.content_length = len(body)
        await outgoing.prepare(incoming)
        view = memoryview(body)
        try:
            for begin in range(0, len(body), PIECE_BYTES):
                async with asyncio.timeout(self._limits.write_deadline_s):
                    await outgoing.write(view[begin : begin + PIECE_BYTES])
        except (TimeoutError, ConnectionResetError) as why:
            _break_off(incoming, why)
            return outgoing
        await outgoing.write_eof()
        return outgoing


def _short(response: Response) -> web.Response:
    body = cast(bytes, response.body)
    return web.Response(status=response.status, body=body, headers=_headers(response))


def _break_off(incoming: web.BaseRequest, why: Exception) -> None:
    log.info("answer broken off", path=incoming.path, why=repr(why))
    if incoming.transport is not None:
        incoming.transport.abort()


def _headers(response: Response) -> dict[str, str]:
    return {"Content-Type": response.content_type, "Server": "cubernetes", **response.headers}


def tls_context(settings: Settings) -> ssl.SSLContext:
    """Return TLS 1.2 or later; a client certificate is not needed, but where shown must be ours."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.cert, settings.key)
    if settings.client_ca:
        context.load_verify_locations(settings.client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context
