"""One port of a pod as a bare stream: `/podPort/<namespace>/<pod>/<port>`, for the API server.

What is spoken on it is the API server's (HTTP of `pods/proxy`). It leads to the pod's own address,
where it listens for other pods, and not to its localhost.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

from cubernetes.host.web.duplex import Duplex
from cubernetes.host.web.messages import Upgrade
from cubernetes.host.web.upgrade import relayed

STREAMS_MAX = 128
HEADERS = {"Connection": "Upgrade", "Upgrade": "tcp"}

type ConnectAt = Callable[[str, str, int], Awaitable[Duplex[bytes, bytes]]]
"""Given a network namespace, an address and a port, connects there. Raises: OSError."""


class PodPorts:
    """The streams of this node."""

    def __init__(self, connect: ConnectAt) -> None:
        self._connect = connect
        self._stream_count = 0

    async def answer(
        self, netns: str, address: str, port: int, incoming: web.BaseRequest
    ) -> web.StreamResponse:
        """Connect, and relay until either side has ended: a Switch."""
        if incoming.headers.get("upgrade", "").lower() != HEADERS["Upgrade"]:
            return web.Response(status=400, text="upgrade: must be tcp")
        if self._stream_count >= STREAMS_MAX:
            said = f"this node has {STREAMS_MAX} streams to pods, the most allowed"
            return web.Response(status=503, text=said)
        self._stream_count += 1
        try:
            try:
                pod = await self._connect(netns, address, port)
            except OSError as error:
                return web.Response(status=502, text=str(error))
            return await relayed(Upgrade(HEADERS, pod), incoming)
        finally:
            self._stream_count -= 1
