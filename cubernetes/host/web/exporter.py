"""/metrics and /livez on this machine's loopback, for a program that serves nothing else."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from cubernetes.host.env import Env
from cubernetes.host.metrics import TEXT_FORMAT, Metrics
from cubernetes.host.supervise import supervised
from cubernetes.host.web.httpserver import HttpServer, Limits
from cubernetes.host.web.messages import TEXT, Request, Response
from cubernetes.host.web.site import RoutedSite

LOOPBACK = "127.0.0.1"
STOP_DEADLINE_S = 1.0
# Anybody on this machine may ask, and shall not take our file descriptors.
LIMITS = Limits(connections_max=16)


class Exporting(Protocol):
    """Settings that say where: metrics_port 0 is nowhere."""

    @property
    def metrics_port(self) -> int: ...


def exported[S: Exporting](
    run: Callable[[S, Env], Awaitable[None]],
) -> Callable[[S, Env], Awaitable[None]]:
    """Return a program that also serves its metrics, for as long as it runs.

    A port that is taken keeps nobody from working: it is told, and tried again and again.
    """

    async def both(settings: S, env: Env) -> None:
        if not settings.metrics_port:
            return await run(settings, env)
        serve = partial(serve_metrics, settings.metrics_port, env)
        serving = asyncio.ensure_future(supervised("metrics", serve, env))
        try:
            await run(settings, env)
        finally:
            serving.cancel()
            await asyncio.wait([serving])

    return both


async def serve_metrics(port: int, env: Env) -> None:
    """Serve until cancelled. Raises: OSError: the port is taken."""
    server = metrics_server(env.metrics)
    await server.listen(LOOPBACK, port, None)
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        await server.stop(STOP_DEADLINE_S)


def metrics_server(metrics: Metrics, limits: Limits = LIMITS) -> HttpServer:
    async def text(_: Request) -> Response:
        return Response(200, metrics.text(), content_type=TEXT_FORMAT)

    async def livez(_: Request) -> Response:
        # A program that answers at all has a loop that turns.
        return Response(200, b"ok", content_type=TEXT)

    routes = [("GET", "/metrics", text), ("GET", "/livez", livez)]
    return HttpServer(RoutedSite(routes, limits), limits)
