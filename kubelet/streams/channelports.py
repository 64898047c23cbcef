"""Ports of a pod forwarded over channels of a WebSocket, as client libraries of Kubernetes ask.

The query names the ports, and each has one connection, from the beginning on. The protocol has no
half close: the session ends when the client leaves, or every connection has ended in the pod.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from cubernetes.client.wire.portforward import greeting
from cubernetes.host.clock import Clock
from cubernetes.host.web.duplex import Broken, Duplex
from cubernetes.host.web.sockets import relay_to_server
from cubernetes.host.web.websocket.server import WebSocket

# How long a pod may take to end its side once the client has left.
LINGER_S = 1.0

type Connect = Callable[[str, int], Awaitable[Duplex[bytes, bytes]]]
"""Given a network namespace and a port, connects to it there. Raises: OSError."""


class Unspoken(Exception):
    """A message is on no channel of the session."""


class Idle(Exception):
    """Nothing was forwarded for too long."""


class Channel:
    """The client's end of one connection: a Duplex over the WebSocket that all of them share."""

    def __init__(self, socket: WebSocket, number: int) -> None:
        self._socket, self._number = socket, number
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._is_over = self._has_left = False

    async def put(self, piece: bytes) -> None:
        """Take what the client sent, once there is room."""
        if not self._is_over:
            await self._pieces.put(piece)

    def leave(self) -> None:
        """Let nothing come any more behind what has come."""
        self._has_left = True
        if self._pieces.empty():
            self._pieces.put_nowait(None)

    async def read(self) -> bytes | None:
        piece = await self._pieces.get()
        if self._has_left and self._pieces.empty():
            self._pieces.put_nowait(None)
        return piece

    async def write(self, piece: bytes) -> None:
        await self._socket.write(bytes((self._number,)) + piece)

    async def finish(self) -> None:
        """The protocol has no word for it."""

    def abort(self) -> None:
        """Drop what comes from now on."""
        self._is_over = True
        if self._pieces.full():
            self._pieces.get_nowait()


class ChannelForwarding:
    """One session: a connection for each port, until the client leaves or all have ended."""

    def __init__(
        self, connect: Connect, clock: Clock, netns: str, socket: WebSocket, ports: Sequence[int]
    ) -> None:
        self._connect, self._clock, self._netns = connect, clock, netns
        self._socket, self._ports = socket, ports
        self._channels = tuple(Channel(socket, 2 * index) for index in range(len(ports)))
        self._moved_at = clock.monotonic()

    async def run(self, ping_s: float, idle_s: float) -> str:
        """Return why it ended."""
        serving = asyncio.create_task(self._served())
        reading = asyncio.create_task(self._inward())
        watching = asyncio.create_task(self._keep_alive(ping_s, idle_s))
        tasks = (serving, reading, watching)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if serving not in done:
                # What the client sent last still reaches the pod.
                await asyncio.wait((serving,), timeout=LINGER_S)
            done.pop().result()
            if not reading.done():
                await self._socket.finish()
                return "the pod has ended its side"
        except Unspoken as error:
            await self._socket.refuse(str(error))
            return str(error)
        except (Broken, Idle) as ended:
            return str(ended)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return "the client has left"

    async def _served(self) -> None:
        """Serve all connections to their ends, and until the client has read what came of them.

        Raises: Broken: the client has left.
        """
        async with asyncio.TaskGroup() as group:
            for index, port in enumerate(self._ports):
                group.create_task(self._serve(index, port))
        await self._socket.taken()

    async def _serve(self, index: int, port: int) -> None:
        channel, error = self._channels[index], 2 * index + 1
        try:
            with suppress(Broken):  # the reader of the stream tells of it
                await self._socket.write(greeting(error - 1, port))
                await self._socket.write(greeting(error, port))
                try:
                    pod = await self._connect(self._netns, port)
                except OSError as trouble:
                    said = f"failed to connect to the pod's localhost: {trouble}"
                    await self._socket.write(bytes((error,)) + said.encode())
                    return
                try:
                    await relay_to_server(channel, pod, self._moved)
                finally:
                    pod.abort()
        finally:
            channel.abort()

    async def _inward(self) -> None:
        """Hand on what the client sends, for as long as it is there. Raises: Broken, Unspoken."""
        try:
            while (message := await self._socket.read()) is not None:
                self._moved()
                number = message[0] if message else len(self._channels) * 2
                if number >= len(self._channels) * 2:
                    raise Unspoken(f"channel {number}: {len(self._ports)} ports have two each")
                if number % 2 == 0 and message[1:]:
                    await self._channels[number // 2].put(message[1:])
        finally:
            for channel in self._channels:
                channel.leave()

    def _moved(self) -> None:
        self._moved_at = self._clock.monotonic()

    async def _keep_alive(self, ping_s: float, idle_s: float) -> None:
        """Raises: Idle, Broken."""
        while True:
            await self._clock.sleep(ping_s)
            if self._clock.monotonic() - self._moved_at > idle_s:
                raise Idle(f"nothing was forwarded for {idle_s:.0f} s")
            await self._socket.ping()
