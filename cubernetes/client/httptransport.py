"""HTTP/1.1 over mutual TLS to one of several API servers: the door to aiohttp.

Calls go to one server until it cannot be reached, or says that it cannot serve (503: its store is
away, it is starting, it is stopping); then to the next. A stream tells a dead peer
from a quiet one by TCP keep-alive, within about half a minute.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Self

import aiohttp
from yarl import URL

from cubernetes.client.outcome import UnknownOutcome, Unreachable
from cubernetes.host.web.messages import Request, Response

UNAVAILABLE = 503
CONNECT_MAX_S = 3.0
CONNECTION_MAX = 100
ANSWER_BYTES_MAX = 256 * 1024 * 1024
KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
)


class HttpTransport:
    """Transport over aiohttp; made anywhere, used within one running loop."""

    def __init__(
        self,
        servers: Sequence[str],
        ca: Path | None,
        cert: Path | None = None,
        key: Path | None = None,
        token: str = "",
    ) -> None:
        """Read the certificates now; connect later. ca None is for plain `http://` servers.

        Raises: OSError, ssl.SSLError, ValueError (no server).
        """
        if not servers:
            raise ValueError("a client needs at least one server")
        self._servers = [URL(server) for server in servers]
        self._turn = 0
        self._headers: Mapping[str, str] = {"authorization": f"Bearer {token}"} if token else {}
        self._server_name, self._connection_max = "", CONNECTION_MAX
        self._tls = _tls_of(ca, cert, key) if ca is not None else None
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def of(
        cls,
        server: str,
        tls: ssl.SSLContext,
        headers: Mapping[str, str],
        *,
        server_name: str = "",
        connection_max: int = CONNECTION_MAX,
    ) -> Self:
        """Return a transport to one server; tls: whom we trust, and who we are."""
        made = cls([server], None)
        made._tls, made._server_name, made._headers = tls, server_name, headers
        made._connection_max = connection_max
        return made

    async def send(self, request: Request, *, deadline_s: float) -> Response:
        turn = self._turn
        try:
            async with asyncio.timeout(deadline_s):
                answer = await self._ask(request)
                async with answer:
                    body = await _body(answer)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise self._unreachable(turn, error) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._unknown(turn, error) from error
        self._heard(turn, answer.status)
        return _response(answer, body)

    async def open(self, request: Request, *, deadline_s: float) -> Response:
        turn = self._turn
        try:
            async with asyncio.timeout(deadline_s):
                answer = await self._ask(request)
                self._heard(turn, answer.status)
                if answer.status != 200:
                    async with answer:
                        return _response(answer, await _body(answer))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise self._unreachable(turn, error) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._unknown(turn, error) from error
        return _response(answer, _stream(answer))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(self, request: Request) -> aiohttp.ClientResponse:
        if self._session is None:
            self._session = self._new_session()
        headers = {**request.headers, **self._headers}
        server = self._servers[self._turn % len(self._servers)]
        url = server.with_path(server.path.rstrip("/") + request.path)
        return await self._session.request(
            request.method,
            url.with_query(list(request.query)),
            headers=headers,
            data=request.body or None,
            allow_redirects=False,
            server_hostname=self._server_name or None,
        )

    def _new_session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            ssl=self._tls if self._tls is not None else True,
            limit=self._connection_max,
            socket_factory=_socket,
        )
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_MAX_S)
        session = aiohttp.ClientSession(connector=connector, timeout=limits, auto_decompress=True)
        # It would send a PUT or DELETE again by itself where the server hangs up: a deletion might
        # hit the next of that name, a refusal of the second pass for the answer to the first.
        session._retry_connection = False
        return session

    def _unreachable(self, turn: int, error: Exception) -> Unreachable:
        self._leave(turn)
        return Unreachable(_said(error))

    def _unknown(self, turn: int, error: Exception) -> UnknownOutcome:
        self._leave(turn)
        return UnknownOutcome(_said(error))

    def _heard(self, turn: int, status: int) -> None:
        if status == UNAVAILABLE:
            self._leave(turn)

    def _leave(self, turn: int) -> None:
        """Go on to the next server, once for all calls that failed at the same one."""
        if turn == self._turn:
            self._turn += 1


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _tls_of(ca: Path, cert: Path | None, key: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert is not None:
        context.load_cert_chain(str(cert), str(key) if key is not None else None)
    return context


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    for level, option, value in KEEPALIVE:
        made.setsockopt(level, option, value)
    return made


def _response(answer: aiohttp.ClientResponse, body: bytes | AsyncGenerator[bytes]) -> Response:
    headers = {key.lower(): value for key, value in answer.headers.items()}
    return Response(answer.status, body, headers, answer.content_type)


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    parts, size_bytes = [], 0
    async for part in answer.content.iter_any():
        size_bytes += len(part)
        if size_bytes > ANSWER_BYTES_MAX:
            raise UnknownOutcome(f"the answer has more than {ANSWER_BYTES_MAX} bytes")
        parts.append(part)
    return b"".join(parts)


async def _stream(answer: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    try:
        async for part in answer.content.iter_any():
            yield part
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise UnknownOutcome(f"the stream broke: {_said(error)}") from error
    finally:
        # A watch has no end to wait for: the connection goes with it, and at once. A polite TLS
        # farewell would wait for an answer long after the reader has gone.
        if answer.connection is not None and answer.connection.transport is not None:
            answer.connection.transport.abort()
        answer.close()
