"""/metrics and /livez on this machine's loopback, for a program that serves nothing else."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from aiohttp import web

from cubernetes.host.env import Env
from cubernetes.host.metrics import TEXT_FORMAT
from cubernetes.host.supervise import supervised
from cubernetes.host.web.httpserver import HttpServer

LOOPBACK = "127.0.0.1"
STOP_DEADLINE_S = 1.0
DEADLINE_S = 5.0
# Whoever is on this machine may ask, and shall not take our file descriptors.
CONNECTIONS_MAX = 16


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

    async def answer(incoming: web.BaseRequest) -> web.Response:
        if incoming.path == "/metrics":
            return _text(env.metrics.text(), TEXT_FORMAT)
        # Who answers at all has a loop that turns.
        return _text(b"ok") if incoming.path == "/livez" else _text(b"not found", status=404)

    server = HttpServer(
        answer,
        lambda said: _text(said.encode(), status=400),
        head_deadline_s=DEADLINE_S,
        take_deadline_s=DEADLINE_S,
        connections_max=CONNECTIONS_MAX,
    )
    await server.listen(LOOPBACK, port, None)
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        await server.stop(STOP_DEADLINE_S)


def _text(body: bytes, kind: str = "text/plain; charset=utf-8", status: int = 200) -> web.Response:
    return web.Response(status=status, body=body, headers={"Content-Type": kind})
