"""The door to HTTP: aiohttp's requests become ours, and our responses become bytes on a wire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any, cast
from urllib.parse import parse_qsl, unquote

from aiohttp import web
from aiohttp.http import StreamWriter

from apiserver.http.connection import ApiConnection, ApiHttpServer
from apiserver.server import ApiServer
from apiserver.settings import Limits, Settings
from apiserver.wire.bodies import Unread
from cubernetes.api.errors import ApiError, BadRequest, RequestTooLarge
from cubernetes.host.web.httpserver import (
    BodyBroken,
    BodyTooLarge,
    Clients,
    Turn,
    body_of,
    break_off,
    send_parts,
    server_tls,
)
from cubernetes.host.web.messages import ANONYMOUS, Request, Response

# The header fields that anything in the server reads.
HEADERS = (
    "accept",
    "authorization",
    "content-encoding",
    "content-type",
    "cubernetes-fence",
    "user-agent",
)
# What a name begins with whose header is not read, but refused.
REFUSED = "impersonate-"
QUERY_FIELDS_MAX = 100
PIECE_BYTES = 64 * 1024
STOP_DEADLINE_S = 5.0


class App:
    """Serves an ApiServer over HTTP/1.1, with TLS where there is a certificate."""

    def __init__(self, server: ApiServer, settings: Settings) -> None:
        self._server = server
        self._settings = settings
        self._limits = settings.limits
        self._web: ApiHttpServer | None = None

    @property
    def port(self) -> int:
        """The port that it listens on, once started; for settings that ask for any (0)."""
        assert self._web is not None  # noqa: S101  start comes first
        return self._web.port

    async def start(self) -> None:
        """Listen. Raises: OSError, ssl.SSLError: the address or the certificate is no good."""
        settings = self._settings
        # A client without a certificate may have a token, or ask what is open to all.
        tls = (
            server_tls(settings.cert, settings.key, settings.client_ca, Clients.MAY)
            if settings.cert
            else None
        )
        self._web = ApiHttpServer(
            self._answer,
            self._refusal,
            head_deadline_s=self._limits.header_deadline_s,
            take_deadline_s=self._limits.write_deadline_s,
            connections_max=self._limits.connections_max,
            unknown_max=self._limits.strangers_max,
            unknown_of_address_max=self._limits.strangers_of_address_max,
        )
        await self._web.listen(settings.listen_address, settings.listen_port, tls)

    async def stop(self) -> None:
        """Take no new connection, let requests finish, then close what is left."""
        if self._web is not None:
            await self._web.stop(STOP_DEADLINE_S)

    def _refusal(self, said: str) -> web.Response:
        """Return the answer to what is not even HTTP."""
        return _short(self._server.refused("", "", BadRequest(said)))

    async def _answer(self, incoming: web.BaseRequest) -> web.StreamResponse:
        try:
            request = _request(incoming)
        except BadRequest as error:
            path = incoming.raw_path.partition("?")[0]
            address = cast(ApiConnection, incoming.protocol).address
            outgoing = _short(self._server.refused(incoming.method, path, error, address))
            return _last(incoming, outgoing)
        body = _Body(incoming, self._limits)
        async with self._server.answering(request, body.unread) as response:
            if not isinstance(response.body, bytes):
                return await self._stream(incoming, response, response.body)
            if len(response.body) > PIECE_BYTES:
                turn = partial(self._server.turn, request)
                return await self._long(incoming, response, response.body, turn)
            outgoing = _short(response)
            return outgoing if body.is_read else _last(incoming, outgoing)

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
                    # The next one may be hours away.
                    del piece
            except (TimeoutError, ConnectionResetError, ApiError) as why:
                break_off(incoming, why)
                return outgoing
            await outgoing.write_eof()
            return outgoing

    async def _long(
        self, incoming: web.BaseRequest, response: Response, body: bytes, turn: Turn
    ) -> web.StreamResponse:
        """Hand on a long list in pieces: who reads slowly makes us hold it once."""
        outgoing = web.StreamResponse(status=response.status, headers=_headers(response))
        outgoing.content_length = len(body)
        view = memoryview(body)
        parts = (view[begin : begin + PIECE_BYTES] for begin in range(0, len(body), PIECE_BYTES))
        return await send_parts(incoming, outgoing, parts, self._limits.write_deadline_s, turn)


class _Body:
    """A request's body, which stays with its sender until somebody asks for it."""

    def __init__(self, incoming: web.BaseRequest, limits: Limits) -> None:
        self._incoming, self._limits = incoming, limits
        # There is none, or all of it was read.
        self.is_read = not incoming.body_exists

    @property
    def unread(self) -> Unread | None:
        if self.is_read:
            return None
        length = self._incoming.content_length
        # A body in chunks does not say how long it is.
        return Unread(self._limits.body_bytes_max if length is None else length, self._read)

    async def _read(self) -> bytes:
        """Read it, no further than the limit.

        Raises: RequestTooLarge, BadRequest: it did not come in time.
        """
        most = self._limits.body_bytes_max
        try:
            body = await body_of(self._incoming, most, self._limits.body_deadline_s)
        except BodyTooLarge as error:
            raise RequestTooLarge(f"the body has over {most} bytes") from error
        except BodyBroken as error:
            raise BadRequest(str(error)) from error
        self.is_read = True
        return body


def _request(incoming: web.BaseRequest) -> Request:
    """Return what is asked, by its head alone.

    Raises: BadRequest.
    """
    path, _, query = incoming.raw_path.partition("?")
    try:
        decoded = unquote(path, errors="strict")
        fields = parse_qsl(
            query, keep_blank_values=True, errors="strict", max_num_fields=QUERY_FIELDS_MAX
        )
    except ValueError as error:
        raise BadRequest(f"the path or the query cannot be read: {error}") from error
    given = incoming.headers
    headers = {name: given[name] for name in HEADERS if name in given}
    headers |= {name.lower(): "" for name in given if name.lower().startswith(REFUSED)}
    connection = cast(ApiConnection, incoming.protocol)
    return Request(
        incoming.method,
        decoded,
        tuple(fields),
        headers,
        identity=connection.identity,
        address=connection.address,
    )


def _last(incoming: web.BaseRequest, outgoing: web.Response) -> web.Response:
    """Make an answer the last of its connection, where the body that was sent is not read.

    Nobody knows where the next request would begin. What still comes is dropped for a moment, so
    that who is busy sending hears the answer; a stranger's stays with him.
    """
    outgoing.force_close()
    incoming.protocol.close()
    is_stranger = cast(ApiConnection, incoming.protocol).identity == ANONYMOUS
    if is_stranger and incoming.transport is not None:
        incoming.transport.pause_reading()
    return outgoing


def _short(response: Response) -> web.Response:
    body = cast(bytes, response.body)
    return web.Response(status=response.status, body=body, headers=_headers(response))


def _headers(response: Response) -> dict[str, str]:
    return {"Content-Type": response.content_type, "Server": "cubernetes", **response.headers}
