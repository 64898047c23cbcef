"""The ports at which verdicts are served: opened and closed as services come and go."""

import asyncio
from collections.abc import Mapping

from cubernetes.host.log import Log
from cubernetes.host.web.httpserver import HttpServer, Limits
from cubernetes.host.web.messages import Request, Response
from cubernetes.host.web.site import RoutedSite
from proxy.health.verdict import Verdict

log = Log(__name__)

EVERYWHERE = "0.0.0.0"  # noqa: S104  balancers outside ask
JSON = "application/json"
STOP_DEADLINE_S = 0.5
# Anybody may ask: a balancer or a few, one small question each.
LIMITS = Limits(connections_max=64, head_deadline_s=5.0, body_bytes_max=1024)


class HealthPorts:
    """Serves each verdict at its port. A port that is taken is told once and tried again."""

    def __init__(self) -> None:
        self._verdicts: Mapping[int, Verdict] = {}
        self._servers: dict[int, HttpServer] = {}
        self._refused: set[int] = set()

    @property
    def is_complete(self) -> bool:
        """Tell whether every wanted port is served."""
        return not self._refused

    async def serve(self, verdicts: Mapping[int, Verdict]) -> None:
        """Answer with these from now on, and at no other port."""
        self._verdicts = verdicts
        gone = [port for port in self._servers if port not in verdicts]
        await asyncio.gather(*(self._servers.pop(port).stop(STOP_DEADLINE_S) for port in gone))
        self._refused &= verdicts.keys()
        for port in sorted(verdicts.keys() - self._servers.keys()):
            await self._open(port)

    async def close(self) -> None:
        await self.serve({})

    async def _open(self, port: int) -> None:
        async def answer(_: Request) -> Response:
            verdict = self._verdicts[port]
            headers = {
                "X-Content-Type-Options": "nosniff",
                "X-Load-Balancing-Endpoint-Weight": str(verdict.endpoint_count),
            }
            return Response(verdict.status, verdict.body, headers, content_type=JSON)

        routes = [("GET", "/", answer), ("GET", "/{path}", answer)]
        server = HttpServer(RoutedSite(routes, LIMITS), LIMITS)
        try:
            await server.listen(EVERYWHERE, port, None)
        except OSError as error:
            if port not in self._refused:
                log.warning("the health check's port is not served", port=port, why=error)
            self._refused.add(port)
            return
        self._refused.discard(port)
        self._servers[port] = server
