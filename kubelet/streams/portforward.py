"""Ports of pods forwarded: `/portForward/<namespace>/<pod>`, for the API server.

The protocol is `portforward.k8s.io`: for each connection the client opens two streams of SPDY/3.1
that carry the same `requestid`, one for its bytes, and one on which the server says what went
wrong, or nothing. SPDY is spoken on the bare connection (Upgrade: SPDY/3.1) or within a WebSocket.
A WebSocket of channels, as libraries ask, is `channelports`.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from aiohttp import web

from cubernetes.client.wire import channels, portforward, spdywords
from cubernetes.host.clock import Clock
from cubernetes.host.log import Log
from cubernetes.host.web.duplex import Broken, Duplex
from cubernetes.host.web.sockets import relay_to_server
from cubernetes.host.web.spdy.frames import Malformed
from cubernetes.host.web.spdy.session import Session, Stream
from cubernetes.host.web.upgrade import switched
from cubernetes.host.web.websocket.server import NotWebSocket, WebSocket
from kubelet.streams.channelports import ChannelForwarding, Connect, Idle

SESSIONS_MAX = 64
# Kubernetes' streamingConnectionIdleTimeout: nothing was forwarded for so long.
IDLE_S = 4 * 3600.0
# How long the second stream of a connection may be behind the first.
PAIR_DEADLINE_S = 30.0

log = Log(__name__)


class Forwards:
    """The forwarding sessions of this node."""

    def __init__(self, connect: Connect, clock: Clock, ping_s: float) -> None:
        self._connect, self._clock, self._ping_s = connect, clock, ping_s
        self._session_count = 0

    async def answer(
        self, netns: str, pod: str, ports: Sequence[int], incoming: web.BaseRequest
    ) -> web.StreamResponse:
        """Forward ports until the client has left: a Switch. ports: those that a query names."""
        if self._session_count >= SESSIONS_MAX:
            said = f"this node has {SESSIONS_MAX} forwarding sessions, the most allowed"
            return web.Response(status=503, text=said)
        self._session_count += 1
        try:
            return await self._answered(netns, pod, ports, incoming)
        finally:
            self._session_count -= 1

    async def _answered(
        self, netns: str, pod: str, ports: Sequence[int], incoming: web.BaseRequest
    ) -> web.StreamResponse:
        if spdywords.asks_for_spdy(incoming.headers):
            if portforward.PROTOCOL not in spdywords.offered(incoming.headers):
                said = f"{spdywords.VERSION_HEADER}: {portforward.PROTOCOL} alone is spoken here"
                return web.Response(status=400, text=said)
            headers = spdywords.switched_to(portforward.PROTOCOL)
            outgoing, stream = await switched(incoming, headers)
            await self._run(stream, pod, self._streams(netns, stream))
            return outgoing
        try:
            socket = WebSocket(incoming, (channels.V4, portforward.TUNNEL), is_named=False)
        except NotWebSocket as error:
            said = f"port-forward needs SPDY/3.1, bare or within a WebSocket: {error}"
            return web.Response(status=400, text=said)
        if socket.protocol == portforward.TUNNEL:
            running = self._streams(netns, socket)
        elif ports:
            session = ChannelForwarding(self._connect, self._clock, netns, socket, ports)
            running = session.run(self._ping_s, IDLE_S)
        else:
            said = f"ports: is required with {channels.V4}: which ports its channels are of"
            return web.Response(status=400, text=said)
        try:
            await socket.open()
        except BaseException:
            running.close()
            raise
        await self._run(socket, pod, running)
        return socket.answer

    def _streams(self, netns: str, carrier: Duplex[bytes, bytes]) -> Coroutine[None, None, str]:
        return Forwarding(self._connect, self._clock, netns, carrier).run(self._ping_s)

    async def _run(
        self, carrier: Duplex[bytes, bytes], pod: str, running: Coroutine[None, None, str]
    ) -> None:
        log.info("port-forward begins", pod=pod)
        why = "the connection was lost"
        try:
            why = await running
        finally:
            carrier.abort()
            log.info("port-forward ends", pod=pod, why=why)


@dataclass
class _Pair:
    """The streams of one connection, as they come."""

    data: Stream | None = None
    error: Stream | None = None
    is_whole: asyncio.Event = field(default_factory=asyncio.Event)


class Forwarding:
    """One session: its connections, until the client leaves."""

    def __init__(
        self, connect: Connect, clock: Clock, netns: str, carrier: Duplex[bytes, bytes]
    ) -> None:
        self._connect, self._clock, self._netns = connect, clock, netns
        self._session = Session(carrier, is_client=False, came=self._came)
        self._pairs: dict[str, _Pair] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._moved_at = clock.monotonic()

    async def run(self, ping_s: float) -> str:
        """Return why it ended."""
        reading = asyncio.create_task(self._session.run())
        watching = asyncio.create_task(self._keep_alive(ping_s))
        try:
            done, _ = await asyncio.wait((reading, watching), return_when=asyncio.FIRST_COMPLETED)
            done.pop().result()
        except (Broken, Malformed, Idle) as ended:
            return str(ended)
        finally:
            tasks = (reading, watching, *self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._session.close()
        return "the client has left"

    def _came(self, stream: Stream) -> None:
        kind = stream.headers.get("streamtype", "")
        request = portforward.request_of(stream.headers, stream.id)
        if kind not in ("data", "error"):
            stream.abort()
            return
        pair = self._pairs.get(request)
        if pair is None:
            pair = self._pairs[request] = _Pair()
            task = asyncio.create_task(self._serve(request, pair))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if getattr(pair, kind) is not None:
            stream.abort()  # its number is taken
            return
        setattr(pair, kind, stream)
        if pair.data is not None and pair.error is not None:
            pair.is_whole.set()

    async def _serve(self, request: str, pair: _Pair) -> None:
        """Forward one connection, and let both of its streams end in every case."""
        try:
            with suppress(TimeoutError, Broken):
                async with asyncio.timeout(PAIR_DEADLINE_S):
                    await pair.is_whole.wait()
                if pair.data is not None and pair.error is not None:
                    await self._forward(pair.data, pair.error)
                    # The client has all of it. What it still sends is dropped.
                    pair.data.leave()
                    pair.error.leave()
        finally:
            self._pairs.pop(request, None)
            for stream in (pair.data, pair.error):
                if stream is not None:
                    stream.abort()

    async def _forward(self, data: Stream, error: Stream) -> None:
        """Raises: Broken: the client has left."""
        try:
            port = portforward.port_of(data.headers)
            pod = await self._connect(self._netns, port)
        except (portforward.NoPort, OSError) as trouble:
            await data.finish()
            await error.write(f"failed to connect to the pod's localhost: {trouble}".encode())
            await error.finish()
            return
        try:
            is_whole = await relay_to_server(data, pod, self._moved)
        finally:
            pod.abort()
        if is_whole:
            await data.finish()
        else:
            data.abort()
        await error.finish()

    def _moved(self) -> None:
        self._moved_at = self._clock.monotonic()

    async def _keep_alive(self, ping_s: float) -> None:
        """Raises: Idle, Broken."""
        while True:
            await self._clock.sleep(ping_s)
            if self._clock.monotonic() - self._moved_at > IDLE_S:
                raise Idle(f"nothing was forwarded for {IDLE_S:.0f} s")
            with suppress(TimeoutError):  # a client that takes nothing is slow
                async with asyncio.timeout(ping_s):
                    await self._session.ping()
