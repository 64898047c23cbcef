"""HTTP to the Docker engine over its unix socket: every call has a deadline, every error a name."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from cubernetes.host.web.duplex import Broken
from cubernetes.host.web.upgrade import ByteStream, body_stream
from kubelet.runtime.docker_words import is_half_down, is_newer
from kubelet.runtime.driver import RuntimeDown, RuntimeTrouble

API_VERSION_MIN = "1.41"
API_VERSION_MAX = "1.48"  # what these files were written against; an older engine leads
CALL_DEADLINE_S = 10.0
CONNECT_DEADLINE_S = 5.0
CONNECTIONS_MAX = 512
ERROR_BODY_BYTES_MAX = 64 << 10
ANSWER_BYTES_MAX = 1024 * 1024
TAR = {"Content-Type": "application/x-tar"}


class EngineError(Exception):
    """The engine answered with an error: its status and its own sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Silent(RuntimeDown):
    """The deadline passed without an answer, or between two pieces of one."""


class DockerApi:
    """One engine. A lost connection or a passed deadline is RuntimeDown, never an answer."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._session: aiohttp.ClientSession | None = None
        self._version = ""

    async def version(self) -> str:
        """Return the API version spoken here: the engine's, or ours where that is older."""
        if not self._version:
            async with self._request("GET", "/_ping", None, None, _within(CALL_DEADLINE_S)) as pong:
                theirs = pong.headers.get("Api-Version", "")
            if not theirs or is_newer(API_VERSION_MIN, theirs):
                said = f"the engine speaks API {theirs!r}, {API_VERSION_MIN} is needed"
                raise RuntimeTrouble("RuntimeTooOld", said)
            self._version = API_VERSION_MAX if is_newer(theirs, API_VERSION_MAX) else theirs
        return self._version

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        deadline_s: float = CALL_DEADLINE_S,
    ) -> Any:
        """Return the engine's JSON (docker_words gives it meaning), or None for no body.

        Raises: Refused, RuntimeDown.
        """
        versioned = f"/v{await self.version()}{path}"
        async with self._request(method, versioned, query, body, _within(deadline_s)) as answer:
            content = await answer.read()
        return json.loads(content) if content.strip() else None

    async def upload(
        self, path: str, query: Mapping[str, str], pieces: AsyncIterable[bytes], deadline_s: float
    ) -> bytes:
        """POST what comes in pieces, and return the answer's body. Raises: Refused, RuntimeDown."""
        versioned = f"/v{await self.version()}{path}"
        limit = _within(deadline_s)
        async with self._request("POST", versioned, query, pieces, limit, TAR) as answer:
            return await answer.content.read(ANSWER_BYTES_MAX)

    async def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        silence_s: float | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Yield first b"" when the engine has begun its answer, then its body, piece by piece.

        silence_s is the longest pause between two pieces; None is forever. Ends, without an
        error, where the engine ends it. Closing the iterator closes the connection.

        Raises: Refused, RuntimeDown.
        """
        versioned = f"/v{await self.version()}{path}"
        limit = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_DEADLINE_S, sock_read=silence_s
        )
        async with self._request(method, versioned, query, None, limit, headers) as answer:
            yield b""
            async for piece in answer.content.iter_any():
                yield piece

    @asynccontextmanager
    async def hijack(self, path: str, body: object) -> AsyncGenerator[ByteStream, None]:
        """POST, and take the connection over: what follows the head is raw, in both directions.

        No silence is too long. Leaving the context closes the connection.

        Raises: Refused, RuntimeDown.
        """
        versioned = f"/v{await self.version()}{path}"
        limit = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_DEADLINE_S)
        async with AsyncExitStack() as calls:
            try:
                async with asyncio.timeout(CALL_DEADLINE_S):
                    call = self._request("POST", versioned, None, body, limit)
                    stream = body_stream(await calls.enter_async_context(call))
            except TimeoutError as error:
                raise Silent(f"POST {versioned}: no answer within the deadline") from error
            except Broken as error:
                raise RuntimeDown(f"POST {versioned}: {error}") from error
            try:
                yield stream
            finally:
                stream.abort()

    async def close(self) -> None:
        """End every open call."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: object,
        limit: aiohttp.ClientTimeout,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        try:
            async with self._opened().request(
                method,
                f"http://docker{path}",
                params=query,
                **_carried(body),
                timeout=limit,
                headers=headers,
            ) as answer:
                if answer.status >= 400:
                    raise _refusal(answer.status, await _sentence(answer))
                yield answer
        except TimeoutError as error:
            raise Silent(f"{method} {path}: no answer within the deadline") from error
        except (aiohttp.ClientError, OSError) as error:
            # The next engine on this socket may be another version.
            self._version = ""
            raise RuntimeDown(f"{method} {path}: {error}") from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            # A connection for each call: one kept from before a restart of the engine would fail
            # a call that never reached it, and the outcome would be unknown without need.
            connector = aiohttp.UnixConnector(
                str(self._socket), force_close=True, limit=CONNECTIONS_MAX
            )
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session


def _carried(body: object) -> dict[str, Any]:
    """Return how a body goes: what comes in pieces as it is, all else as JSON."""
    return {"data" if isinstance(body, AsyncIterable) else "json": body}


def _within(deadline_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=deadline_s, sock_connect=CONNECT_DEADLINE_S)


def _refusal(status: int, message: str) -> EngineError | RuntimeDown:
    if status >= 500 and is_half_down(message):
        return RuntimeDown(message)
    return EngineError(status, message)


async def _sentence(answer: aiohttp.ClientResponse) -> str:
    raw = await answer.content.read(ERROR_BODY_BYTES_MAX)
    try:
        return str(json.loads(raw)["message"])
    except (ValueError, KeyError, TypeError):
        return raw.decode(errors="replace").strip() or f"HTTP {answer.status}"
