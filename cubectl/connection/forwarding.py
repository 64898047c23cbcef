"""Ports of this machine that lead to a pod's, over one WebSocket with many streams.

Imported by the verb that needs it, for it is slow to import.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from cubectl.connection.transport import ServerAddress, Unreachable
from cubernetes.client.wire import portforward
from cubernetes.client.wire.portforward import Ports
from cubernetes.host.web.duplex import Broken
from cubernetes.host.web.sockets import TcpStream, relay_to_server
from cubernetes.host.web.spdy.frames import Malformed
from cubernetes.host.web.spdy.session import Session, Stream
from cubernetes.host.web.websocket.client import Dial, DialledWebSocket, HandshakeRefused, dialled

__all__ = ["HandshakeRefused", "Plan", "forward"]

# A kubelet pings every five seconds: a stream that is silent for longer is dead.
SILENCE_S = 60.0
ERROR_BYTES_MAX = 4096
BACKLOG_MAX = 128


@dataclass(frozen=True, slots=True)
class Plan:
    """What is forwarded, and where it is told: say a line of the answer, tell one beside it."""

    ports: Sequence[Ports]
    addresses: Sequence[str]
    say: Callable[[str], None]
    tell: Callable[[str], None]


def forward(place: ServerAddress, target: str, plan: Plan, timeout_s: float) -> None:
    """Forward until the way to the pod is lost.

    Raises: Unreachable, HandshakeRefused, OSError: no port of this machine can be listened on.
    """
    dial = Dial(place.url + target, place.tls, place.server_name, place.headers, timeout_s)
    try:
        asyncio.run(_forwarded(dial, plan))
    except (Broken, Malformed) as error:
        raise Unreachable(f"lost connection to pod: {error}") from error
    raise Unreachable("lost connection to pod")


class _Carrier:
    """A WebSocket as a stream of bytes, which is dead when nothing is heard for SILENCE_S."""

    def __init__(self, socket: DialledWebSocket) -> None:
        self._socket = socket

    async def read(self) -> bytes | None:
        return await self._socket.read(SILENCE_S)

    async def write(self, piece: bytes) -> None:
        await self._socket.write(piece)

    async def finish(self) -> None:
        await self._socket.finish()

    def abort(self) -> None:
        """The context that has dialled closes it."""


async def _forwarded(dial: Dial, plan: Plan) -> None:
    async with AsyncExitStack() as stack:
        socket = await stack.enter_async_context(dialled(dial, (portforward.TUNNEL,)))
        session = Session(_Carrier(socket), is_client=True)
        # The session must read before anybody opens a stream, and until the last has ended: one
        # that it ends itself has been lost, and that would be told.
        reading = asyncio.create_task(session.run())
        stack.push_async_callback(_ended, reading)
        forwarding = Forwarding(session, plan)
        stack.push_async_callback(forwarding.close)
        await forwarding.listen()
        # Who waits for it alone would end it first when he is interrupted.
        await asyncio.wait((reading,))
        reading.result()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class Forwarding:
    """The ports that are listened on here, and their connections."""

    def __init__(self, session: Session, plan: Plan) -> None:
        self._session, self._plan = session, plan
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._request_count = 0

    async def listen(self) -> None:
        """Raises: OSError: on none of the addresses is a port free."""
        for ports in self._plan.ports:
            local = ports.local
            errors = []
            for address in self._plan.addresses:
                try:
                    local = await self._listen_on(address, local, ports.remote)
                except OSError as error:
                    errors.append(error)
            if len(errors) == len(self._plan.addresses):
                raise errors[0]

    async def _listen_on(self, address: str, local: int, remote: int) -> int:
        """Listen, and return the port, which is free where local is 0. Raises: OSError."""
        shown = local

        def connected(near: TcpStream) -> None:
            task = asyncio.create_task(self._handle(Ports(shown, remote), near))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        server = await asyncio.get_running_loop().create_server(
            lambda: TcpStream(connected), address, local, backlog=BACKLOG_MAX
        )
        self._servers.append(server)
        name = server.sockets[0].getsockname()
        shown = int(name[1])
        is_v6 = server.sockets[0].family is socket.AF_INET6
        host = f"[{name[0]}]" if is_v6 else name[0]
        self._plan.say(f"Forwarding from {host}:{shown} -> {remote}")
        return shown

    async def _handle(self, ports: Ports, near: TcpStream) -> None:
        self._plan.say(f"Handling connection for {ports.local}")
        self._request_count += 1
        request, opened = self._request_count, list[Stream]()
        try:
            words = portforward.stream_headers("error", ports.remote, request)
            error = await self._session.open(words, is_last=True)
            opened.append(error)
            words = portforward.stream_headers("data", ports.remote, request)
            data = await self._session.open(words)
            opened.append(data)
            await relay_to_server(near, data)
            with suppress(Broken):
                await data.finish()
            why = await _text_of(error)
            if why:
                way = f"{ports.local} -> {ports.remote}"
                self._plan.tell(f"an error occurred forwarding {way}: {why}")
        except Broken as broken:
            self._plan.tell(f"a connection was not forwarded: {broken}")
        finally:
            for stream in opened:
                stream.abort()
            near.abort()

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()


async def _text_of(stream: Stream) -> str:
    """Return what the server says on a stream, as far as it is of use."""
    text = b""
    while (piece := await stream.read()) is not None:
        text = (text + piece)[:ERROR_BYTES_MAX]
    return text.decode(errors="replace")
