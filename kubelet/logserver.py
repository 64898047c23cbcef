"""Container logs over HTTPS, for the API server alone."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing

from aiohttp import web

from cubernetes.api.pod import Pod
from cubernetes.host.httpserver import server_tls
from cubernetes.host.log import Log
from kubelet.observer import Observer
from kubelet.pods import PodWorkers
from kubelet.runtime.driver import Container, LogOptions, RuntimeDriver, RuntimeTrouble
from kubelet.settings import ServingSettings

log = Log(__name__)

TAIL_LIMIT = 1_000_000  # lines
WRITE_DEADLINE_S = 30.0  # for one piece: a reader that stands still is let go


def serve_logs(
    settings: ServingSettings, workers: PodWorkers, runtime: RuntimeDriver, observer: Observer
) -> Callable[[], Awaitable[None]]:
    """Return the work that serves `GET /containerLogs/<namespace>/<pod>/<container>` for ever."""
    logs = ContainerLogs(settings.client_name, workers, runtime, observer)

    async def serve() -> None:
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", logs.answer)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            tls = server_tls(settings.cert, settings.key, settings.client_ca)
            site = web.TCPSite(runner, port=settings.port, ssl_context=tls)
            await site.start()
            await asyncio.get_running_loop().create_future()
        finally:
            await runner.cleanup()

    return serve


class ContainerLogs:
    """Answers for pods of this node; anybody but the API server is refused."""

    def __init__(
        self, client_name: str, workers: PodWorkers, runtime: RuntimeDriver, observer: Observer
    ) -> None:
        self._client_name = client_name
        self._workers, self._runtime, self._observer = workers, runtime, observer

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if common_name(request) != self._client_name:
            return web.Response(status=403, text=f"only {self._client_name} may ask")
        pod = self._workers.named(request.match_info["namespace"], request.match_info["pod"])
        if pod is None:
            return web.Response(status=404, text="no such pod on this node")
        try:
            options = options_of(request.query.get)
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        try:
            listing = await self._observer.found()
            found = listing.get(pod.metadata.uid, ())
            is_previous = request.query.get("previous") == "true"
            one = chosen(pod, found, request.match_info["container"], is_previous=is_previous)
        except RuntimeTrouble as error:
            return web.Response(status=503, text=str(error))
        if one is None:
            word = "previous " if is_previous else ""
            name = request.match_info["container"]
            return web.Response(status=400, text=f"there is no {word}container {name!r} to read")
        return await self._stream(request, one, options)

    async def _stream(
        self, request: web.Request, one: Container, options: LogOptions
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        try:
            async with aclosing(self._runtime.logs(one.id, options)) as pieces:
                async for piece in pieces:
                    async with asyncio.timeout(WRITE_DEADLINE_S):
                        await response.write(piece)
        except (RuntimeTrouble, TimeoutError, ConnectionResetError) as error:
            # The head is sent: all that can be done is to end without the final chunk.
            log.warning("log stream broken off", container=one.name, why=error)
            if request.transport is not None:
                request.transport.abort()
        await response.write_eof()
        return response


def common_name(request: web.Request) -> str:
    """Return the CN of the client's certificate."""
    peer = request.get_extra_info("peercert") or {}
    pairs = [pair for part in peer.get("subject", ()) for pair in part]
    return next((str(value) for key, value in pairs if key == "commonName"), "")


def chosen(
    pod: Pod, found: Sequence[Container], name: str, *, is_previous: bool
) -> Container | None:
    """Return the container to read: the newest of that name, or the one before it."""
    if name not in {one.name for one in pod.spec.containers}:
        return None
    of_name = sorted((one for one in found if one.name == name), key=lambda one: one.attempt)
    back = 2 if is_previous else 1
    return of_name[-back] if len(of_name) >= back else None


def options_of(parameter: Callable[[str], str | None]) -> LogOptions:
    """Read the query of a log request.

    Raises:
        ValueError: names the parameter and the accepted form.
    """
    tail, since = (_count(parameter, name) for name in ("tailLines", "sinceSeconds"))
    return LogOptions(
        follow=parameter("follow") == "true",
        tail_count=tail,
        timestamps=parameter("timestamps") == "true",
        since_s=since,
    )


def _count(parameter: Callable[[str], str | None], name: str) -> int | None:
    text = parameter(name)
    if not text:
        return None
    if not text.isdecimal() or int(text) > TAIL_LIMIT:
        raise ValueError(f"{name}: must be a whole number from 0 to {TAIL_LIMIT}")
    return int(text)
