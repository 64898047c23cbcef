"""/metrics and /livez on this machine's loopback, for a program that serves nothing else."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from aiohttp import web

from cubernetes.host.env import Env
from cubernetes.host.metrics import TEXT_FORMAT
from cubernetes.host.supervise import supervised

LOOPBACK = "127.0.0.1"
STOP_DEADLINE_S = 1.0


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
    app = web.Application()
    app.router.add_get("/metrics", partial(_metrics, env))
    app.router.add_get("/livez", _livez)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_DEADLINE_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, port).start()
        await asyncio.get_running_loop().create_future()
    finally:
        await runner.cleanup()


async def _metrics(env: Env, _: web.Request) -> web.Response:
    return web.Response(body=env.metrics.text(), headers={"Content-Type": TEXT_FORMAT})


async def _livez(_: web.Request) -> web.Response:
    """Who answers at all has a loop that turns."""
    return web.Response(text="ok")
