"""How much one TCP connection carries from node to node, for a second at most.

The node that is to take it opens a port for one connection, of one node, that brings the token; the
node that is to send is told both. Only the API server's certificate may ask for either.
"""

import asyncio
import hmac
from collections.abc import Callable, Iterable
from http import HTTPStatus
from ipaddress import IPv4Address

from cubernetes.api.bodies.reach import RateReport, SinkReport
from cubernetes.api.coding import codec
from cubernetes.host.clock import Clock
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Request, Response
from cubernetes.host.web.site import HttpRefusal, Route
from kubelet.network.driver import Peer

SINK, SEND = "/reach/sink", "/reach/throughput"
SPAN_S, SPAN_BYTES = 1.0, 256 << 20
DEADLINE_S = 10.0
SINKS_MAX = 4
CHUNK_BYTES, COUNT_BYTES, TOKEN_CHARS = 256 << 10, 8, 32


class Sink:
    """Takes what one connection brings, and answers with how much that was.

    peer: who may connect. is_over: it has taken that, or nobody brought it in time.
    """

    def __init__(self, peer: Peer, token: str) -> None:
        self._peer, self._token = peer, token.encode()
        self.is_over, self._is_taken = asyncio.Event(), False

    async def open(self) -> asyncio.Server:
        """Raises: OSError: there is no port."""
        return await asyncio.start_server(self._take, "0.0.0.0", 0, limit=CHUNK_BYTES)  # noqa: S104  its own address is not known where plugins carry

    async def run(self, server: asyncio.Server) -> None:
        """Take what comes, and close."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self.is_over.wait()
        except TimeoutError:
            return
        finally:
            server.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(DEADLINE_S):
                if not await self._is_known(reader, writer):
                    return
                count = 0
                while count <= SPAN_BYTES and (part := await reader.read(CHUNK_BYTES)):
                    count += len(part)
                writer.write(count.to_bytes(COUNT_BYTES, "big"))
                await writer.drain()
                self.is_over.set()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _is_known(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        came_from = IPv4Address(writer.get_extra_info("peername")[0])
        if came_from != self._peer.address and came_from not in self._peer.pod_cidr:
            return False
        token = await reader.readexactly(len(self._token))
        if self._is_taken or not hmac.compare_digest(token, self._token):
            return False
        self._is_taken = True
        return True


async def sent(address: str, port: int, token: str, clock: Clock) -> RateReport:
    """Send as much as is taken in a second; return what the other end says it got, and the time.

    Raises: OSError, TimeoutError, asyncio.IncompleteReadError: it did not arrive.
    """
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection(address, port)
        try:
            writer.write(token.encode())
            chunk, count, begun_s = bytes(CHUNK_BYTES), 0, clock.monotonic()
            while count < SPAN_BYTES and clock.monotonic() - begun_s < SPAN_S:
                writer.write(chunk)
                await writer.drain()
                count += len(chunk)
            writer.write_eof()
            got = int.from_bytes(await reader.readexactly(COUNT_BYTES), "big")
            return RateReport(got_bytes=got, span_s=clock.monotonic() - begun_s)
        finally:
            writer.close()


class Throughput:
    """peers: the other nodes as known now. has_ends: each has an address in its pods' range.

    sinks: the measurements that go on here.
    """

    def __init__(
        self, env: Env, peers: Callable[[], Iterable[Peer]], has_ends: Callable[[], bool]
    ) -> None:
        self._env, self._peers, self._has_ends = env, peers, has_ends
        self.sinks: set[asyncio.Task[None]] = set()

    def routes(self) -> list[Route]:
        return [("GET", SINK, self.sink), ("GET", SEND, self.send)]

    async def sink(self, request: Request) -> Response:
        """Open a port for one connection of the node `from`. Raises: HttpRefusal."""
        if len(self.sinks) >= SINKS_MAX:
            raise HttpRefusal(HTTPStatus.TOO_MANY_REQUESTS, f"{SINKS_MAX} measurements go on here")
        sink = Sink(self._peer(request, "from"), token := self._env.rng.chars(TOKEN_CHARS))
        try:
            server = await sink.open()
        except OSError as error:
            raise HttpRefusal(HTTPStatus.SERVICE_UNAVAILABLE, f"no port: {error}") from error
        port: int = server.sockets[0].getsockname()[1]
        task = asyncio.create_task(sink.run(server))
        self.sinks.add(task)
        task.add_done_callback(self.sinks.discard)
        return Response(200, codec.encode(SinkReport(port=port, token=token)))

    async def send(self, request: Request) -> Response:
        """Send to the port that the node `to` has opened. Raises: HttpRefusal."""
        peer, port = self._peer(request, "to"), request.parameter("port")
        if not (port.isascii() and port.isdigit()):
            raise HttpRefusal(HTTPStatus.BAD_REQUEST, "port: must be a whole number")
        address = peer.pod_cidr.network_address if self._has_ends() else peer.address
        try:
            token = request.parameter("token")
            found = await sent(str(address), int(port), token, self._env.clock)
        except (OSError, TimeoutError, OverflowError, asyncio.IncompleteReadError) as error:
            found = RateReport(why=str(error) or "it did not arrive in time")
        return Response(200, codec.encode(found))

    def _peer(self, request: Request, field: str) -> Peer:
        name = request.parameter(field)
        found = next((one for one in self._peers() if one.name == name), None)
        if found is None:
            told = f"{field}: no other node is called {name[:80]!r}"
            raise HttpRefusal(HTTPStatus.NOT_FOUND, told)
        return found
