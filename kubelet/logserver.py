"""Container logs over HTTPS, for the API server alone."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Protocol
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import BadRequest
from cubernetes.api.logquery import LogQuery, log_query
from cubernetes.host.clock import Clock
from cubernetes.host.log import Log
from cubernetes.host.web.httpserver import HttpServer, break_off, server_tls
from kubelet.observer import Observer
from kubelet.runtime.driver import Container, LogOptions, RuntimeDriver, RuntimeTrouble
from kubelet.settings import ServingSettings

log = Log(__name__)

EVERYWHERE = "0.0.0.0"  # noqa: S104  who may ask is known by his certificate

QUERY_FIELDS_MAX = 16
WRITE_DEADLINE_S = 30.0  # for one piece: a reader that stands still is let go
# Without a head for so long, a connection ends; so does one without a handshake.
HEAD_DEADLINE_S = 10.0
STOP_S = 1.0
# Of a process's descriptors (1024 in the least case) most are for starting pods. The API server
# has one connection for each log that is followed.
CONNECTIONS_MAX = 256
UNKNOWN_MAX = 64  # who have not shown a certificate
UNKNOWN_OF_ADDRESS_MAX = 16


class PodsHere(Protocol):
    """The pods of this node."""

    def named(self, namespace: str, name: str) -> Pod | None: ...


def serve_logs(
    settings: ServingSettings,
    pods: PodsHere,
    runtime: RuntimeDriver,
    observer: Observer,
    clock: Clock,
) -> Callable[[], Awaitable[None]]:
    """Return the work that serves `GET /containerLogs/<namespace>/<pod>/<container>` for ever."""
    logs = ContainerLogs(settings.client_name, pods, runtime, observer, clock)

    async def serve() -> None:
        server = log_server(logs)
        tls = server_tls(settings.cert, settings.key, settings.client_ca)
        await server.listen(EVERYWHERE, settings.port, tls)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await server.stop(STOP_S)

    return serve


def log_server(logs: "ContainerLogs", head_deadline_s: float = HEAD_DEADLINE_S) -> HttpServer:
    return HttpServer(
        logs.answer,
        lambda said: web.Response(status=400, text=said),
        head_deadline_s=head_deadline_s,
        take_deadline_s=WRITE_DEADLINE_S,
        connections_max=CONNECTIONS_MAX,
        unknown_max=UNKNOWN_MAX,
        unknown_of_address_max=UNKNOWN_OF_ADDRESS_MAX,
    )


class ContainerLogs:
    """Answers for pods of this node; anybody but the API server is refused."""

    def __init__(
        self,
        client_name: str,
        pods: PodsHere,
        runtime: RuntimeDriver,
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._client_name, self._clock = client_name, clock
        self._pods, self._runtime, self._observer = pods, runtime, observer

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if common_name(request) != self._client_name:
            return web.Response(status=403, text=f"only {self._client_name} may ask")
        path, _, query = request.raw_path.partition("?")
        match request.method, path.split("/"):
            case "GET", ["", "containerLogs", *rest] if len(rest) == 3:
                namespace, name, container = map(unquote, rest)
            case _:
                return web.Response(status=404, text="only GET /containerLogs/... is served")
        pod = self._pods.named(namespace, name)
        if pod is None:
            return web.Response(status=404, text="no such pod on this node")
        try:
            asked = log_query(parse_qsl(query, max_num_fields=QUERY_FIELDS_MAX))
        except (BadRequest, ValueError) as error:
            return web.Response(status=400, text=str(error))
        try:
            listing = await self._observer.found()
            found = listing.get(pod.metadata.uid, ())
            one = chosen(pod, found, container, is_previous=asked.previous)
        except RuntimeTrouble as error:
            return web.Response(status=503, text=str(error))
        if one is None:
            word = "previous " if asked.previous else ""
            return web.Response(
                status=400, text=f"there is no {word}container {container!r} to read"
            )
        options = options_of(asked, self._clock.now())
        return await self._stream(request, one, options, asked.limit_bytes)

    async def _stream(
        self, request: web.BaseRequest, one: Container, options: LogOptions, bytes_max: int | None
    ) -> web.StreamResponse:
        """Send the log; no more than bytes_max of it, where there is a limit."""
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        try:
            async with aclosing(self._runtime.logs(one.id, options)) as pieces:
                async for piece in pieces:
                    part = piece if bytes_max is None else piece[:bytes_max]
                    async with asyncio.timeout(WRITE_DEADLINE_S):
                        await response.write(part)
                    if bytes_max is not None and (bytes_max := bytes_max - len(part)) <= 0:
                        break
        except (RuntimeTrouble, TimeoutError, ConnectionResetError) as error:
            # The head is sent: all that can be done is to end without the final chunk.
            break_off(request, error)
            return response
        await response.write_eof()
        return response


def common_name(request: web.BaseRequest) -> str:
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


def options_of(asked: LogQuery, now: datetime) -> LogOptions:
    """Return what is asked of the runtime; seconds ago are counted on this node's own clock."""
    since_ns = asked.since_ns
    if asked.since_seconds is not None:
        since_ns = int((now.timestamp() - asked.since_seconds) * 1e9)
    return LogOptions(
        follow=asked.follow,
        tail_count=asked.tail_lines,
        timestamps=asked.timestamps,
        since_ns=max(0, since_ns),
    )
