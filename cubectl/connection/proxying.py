"""The API on a port of this machine, in plain HTTP: each request with our certificate or token.

Imported by the verb that needs it, for it is slow to import. A connection carries one request, so
that none goes by unseen; what follows its head is handed on as it is.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from cubectl.connection.filter import HEAD_BYTES_MAX, Filter, NoHead, handed_on, head_in
from cubectl.connection.transport import ServerAddress
from cubernetes.host.web.duplex import Broken
from cubernetes.host.web.sockets import SocketStream, relay_to_server

CONNECT_S = 5.0
# Browsers open connections in advance; one that says nothing gives its place back.
HEAD_S = 30.0
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
    """Serve until interrupted. Raises: OSError: it cannot be listened there."""
    asyncio.run(Proxy(place, plan).run())


class _ToServer(SocketStream):
    """TLS knows no half close: a client that has said all waits for its answer."""

    async def finish(self) -> None:
        return


class Proxy:
    """The connections that are open."""

    def __init__(self, place: ServerAddress, plan: Plan) -> None:
        self._place, self._plan = place, plan
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        plan = self._plan
        if plan.file:
            server = await asyncio.start_unix_server(
                self._connected, plan.file, limit=HEAD_BYTES_MAX
            )
        else:
            server = await asyncio.start_server(
                self._connected, plan.address, plan.port, limit=HEAD_BYTES_MAX
            )
        name = server.sockets[0].getsockname()
        plan.say(f"Starting to serve on {name if plan.file else f'{name[0]}:{name[1]}'}")
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            server.close()
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
        why = self._plan.filter.refusal(head)
        if not why and not head.target.startswith(f"{self._plan.prefix}/"):
            why = f"paths begin with {self._plan.prefix}/ (--api-prefix)"
        if why:
            await near.write(_refused("403 Forbidden", why))
            return
        parts = urlsplit(self._place.url)
        try:
            far = await self._reached(parts.hostname or "", parts.port or 443)
        except (OSError, TimeoutError) as error:
            said = f"the API server is not reached: {error or 'it does not answer'}"
            await near.write(_refused("502 Bad Gateway", said))
            return
        try:
            proof = tuple(self._place.headers.items())
            asked = head._replace(target=head.target.removeprefix(self._plan.prefix))
            await far.write(handed_on(asked, parts.path.rstrip("/"), parts.netloc, proof))
            await relay_to_server(near, far)
        finally:
            far.abort()

    async def _reached(self, host: str, port: int) -> SocketStream:
        """Raises: OSError, TimeoutError."""
        name = self._place.server_name or host
        async with asyncio.timeout(CONNECT_S):
            pair = await asyncio.open_connection(
                host, port, ssl=self._place.tls, server_hostname=name
            )
        return _ToServer(*pair)


def _refused(status: str, why: str) -> bytes:
    body = f"{why}\n".encode()
    lines = [f"HTTP/1.1 {status}", "Content-Type: text/plain; charset=utf-8",
             f"Content-Length: {len(body)}", "Connection: close", "", ""]  # fmt: skip
    return "\r\n".join(lines).encode() + body
