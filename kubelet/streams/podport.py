"""One port of a pod as a bare stream: `/podPort/<namespace>/<pod>/<port>`, for the API server.

What is spoken on it is the API server's (HTTP of `pods/proxy`). It leads to the pod's own address,
where it listens for other pods, and not to its localhost.
"""

from collections import Counter
from collections.abc import Awaitable, Callable

from aiohttp import web

from cubernetes.host.web.duplex import Duplex
from cubernetes.host.web.messages import Upgrade
from cubernetes.host.web.upgrade import relayed

STREAMS_MAX = 128
# A user may have three quarters of a node's, and keep them for hours; to one pod so many.
STREAMS_OF_A_POD_MAX = 32
HEADERS = {"Connection": "Upgrade", "Upgrade": "tcp"}

type ConnectAt = Callable[[str, str, int], Awaitable[Duplex[bytes, bytes]]]
"""Given a network namespace, an address and a port, connects there. Raises: OSError."""


class PodPorts:
    """The streams of this node."""

    def __init__(self, connect: ConnectAt) -> None:
        self._connect = connect
        self._streams = Counter[str]()

    async def answer(
        self, netns: str, name: str, address: str, port: int, incoming: web.BaseRequest
    ) -> web.StreamResponse:
        """Connect, and relay until either side has ended: a Switch. name: the pod's."""
        if incoming.headers.get("upgrade", "").lower() != HEADERS["Upgrade"]:
            return web.Response(status=400, text="upgrade: must be tcp")
        if said := self._full(name):
            return web.Response(status=503, text=f"{said}, the most allowed")
        self._streams[name] += 1
        try:
            try:
                pod = await self._connect(netns, address, port)
            except OSError as error:
                return web.Response(status=502, text=str(error))
            return await relayed(Upgrade(HEADERS, pod), incoming)
        finally:
            self._streams[name] -= 1
            if not self._streams[name]:
                del self._streams[name]

    def _full(self, name: str) -> str:
        """Return who has no room for another stream to a pod; empty: there is room."""
        if self._streams[name] >= STREAMS_OF_A_POD_MAX:
            return f"pod {name} has {STREAMS_OF_A_POD_MAX} streams to its ports"
        is_full = self._streams.total() >= STREAMS_MAX
        return f"this node has {STREAMS_MAX} streams to pods" if is_full else ""
