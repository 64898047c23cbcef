"""The API on a port of this machine, in plain HTTP: each request with our certificate or token.

Imported by the verb that needs it, for it is slow to import. A connection carries one request, so
that none goes by unseen; what follows its head is handed on as it is. Where another protocol is
asked for, nothing more is handed on before the server has taken it.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from cubectl.connection.filter import (
    HEAD_BYTES_MAX,
    Filter,
    Head,
    NoHead,
    asks_to_switch,
    declined,
    handed_on,
    has_switched,
    head_in,
)
from cubectl.connection.transport import ServerAddress
from cubernetes.host.web.duplex import Broken
from cubernetes.host.web.sockets import SocketStream, relay_to_server

CONNECT_S = 5.0
# Browsers open connections in advance; one that says nothing gives its place back.
HEAD_S = 30.0
# A server may reach for a pod before it takes another protocol.
SWITCH_S = 300.0
CONNECTIONS_MAX = 256


@dataclass(frozen=True, slots=True)
class Plan:
    """Where is listened (a file, or an address and port; 0 is any that is free), and to what.

    prefix: of paths here, which paths there do not have. say: called once with where it is.
    """

    address: str
    port: int
    file: str
    prefix: str
    filter: Filter
    say: Callable[[str], None]


def serve(place: ServerAddress, plan: Plan) -> None:
    """Serve until interrupted or told to end. Raises: OSError: it cannot be listened there."""
    asyncio.run(Proxy(place, plan).run())


class _ToServer(SocketStream):
    """TLS knows no half close: a client that has said all waits for its answer."""

    async def finish(self) -> None:
        return

    async def head(self) -> bytes:
        """Return how an answer begins. Raises: OSError, IncompleteReadError, LimitOverrunError."""
        return await self._reader.readuntil(b"\r\n\r\n")


class Proxy:
    """The connections that are open."""

    def __init__(self, place: ServerAddress, plan: Plan) -> None:
        self._place, self._plan = place, plan
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        plan = self._plan
        if plan.file:
            server = await asyncio.start_unix_server(
                self._connected, sock=_private_socket(plan.file), limit=HEAD_BYTES_MAX
            )
        else:
            server = await asyncio.start_server(
                self._connected, plan.address, plan.port, limit=HEAD_BYTES_MAX
            )
        name = server.sockets[0].getsockname()
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        plan.say(f"Starting to serve on {name if plan.file else f'{name[0]}:{name[1]}'}")
        try:
            await ended.wait()
        finally:
            server.close()
            if plan.file:
                with suppress(FileNotFoundError):
                    os.unlink(plan.file)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection in a task of our own: a library's would tell of being cancelled."""
        if len(self._tasks) >= CONNECTIONS_MAX:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        near = SocketStream(reader, writer)
        try:
            await self._answer(reader, near)
            writer.close()
        except (Broken, OSError, TimeoutError, asyncio.IncompleteReadError):
            return  # the client has gone, or says nothing
        finally:
            if not writer.is_closing():
                near.abort()

    async def _answer(self, reader: asyncio.StreamReader, near: SocketStream) -> None:
        """Raises: Broken, OSError, TimeoutError, IncompleteReadError."""
        try:
            async with asyncio.timeout(HEAD_S):
                head = head_in(await reader.readuntil(b"\r\n\r\n"))
        except (NoHead, asyncio.LimitOverrunError) as error:
            await near.write(_refused("400 Bad Request", str(error)))
            return
        asked = head._replace(target=head.target.removeprefix(self._plan.prefix))
        # What is judged is what the server will hear.
        why = self._plan.filter.refusal(asked)
        if not head.target.startswith(f"{self._plan.prefix}/"):
            why = f"paths begin with {self._plan.prefix}/ (--api-prefix)"
        if why:
            await near.write(_refused("403 Forbidden", why))
            return
        await self._ask(asked, near)

    async def _ask(self, asked: Head, near: SocketStream) -> None:
        """Raises: Broken, OSError, TimeoutError, IncompleteReadError."""
        parts = urlsplit(self._place.url)
        try:
            far = await self._reached(parts.hostname or "", parts.port or 443)
        except (OSError, TimeoutError) as error:
            said = f"the API server is not reached: {error or 'it does not answer'}"
            await near.write(_refused("502 Bad Gateway", said))
            return
        try:
            proof = tuple(self._place.headers.items())
            await far.write(handed_on(asked, parts.path.rstrip("/"), parts.netloc, proof))
            if not asks_to_switch(asked) or await _is_switched(near, far, asked.method):
                await relay_to_server(near, far)
        finally:
            far.abort()

    async def _reached(self, host: str, port: int) -> _ToServer:
        """Raises: OSError, TimeoutError."""
        name = self._place.server_name or host
        async with asyncio.timeout(CONNECT_S):
            pair = await asyncio.open_connection(
                host, port, ssl=self._place.tls, server_hostname=name, limit=HEAD_BYTES_MAX
            )
        return _ToServer(*pair)


def _private_socket(file: str) -> socket.socket:
    """Return a socket at a file that nobody else may open. Raises: OSError."""
    made = socket.socket(socket.AF_UNIX)
    before = os.umask(0o077)
    try:
        made.bind(file)
    except OSError:
        made.close()
        raise
    finally:
        os.umask(before)
    return made


async def _is_switched(near: SocketStream, far: _ToServer, method: str) -> bool:
    """Hand on the head of an answer; where it takes no other protocol, all of it, and no request.

    Raises: Broken, OSError, TimeoutError, IncompleteReadError.
    """
    try:
        async with asyncio.timeout(SWITCH_S):
            answer = await far.head()
    except asyncio.LimitOverrunError as error:
        await near.write(_refused("502 Bad Gateway", f"the API server's answer: {error}"))
        return False
    if has_switched(answer):
        await near.write(answer)
        return True
    head, body = declined(answer, method)
    await near.write(head)
    while not body.is_over and (piece := await far.read()) is not None:
        try:
            part = body.taken(piece)
        except ValueError as error:
            raise Broken(f"the API server sent {error}") from error
        await near.write(part)
    return False


def _refused(status: str, why: str) -> bytes:
    body = f"{why}\n".encode()
    lines = [f"HTTP/1.1 {status}", "Content-Type: text/plain; charset=utf-8",
             f"Content-Length: {len(body)}", "Connection: close", "", ""]  # fmt: skip
    return "\r\n".join(lines).encode() + body
