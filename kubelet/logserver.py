"""Logs of containers, ways into pods, and what pods use, over HTTPS: for the API server."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.spec import every_program
from cubernetes.api.errors import BadRequest
from cubernetes.client.wire.execquery import ExecQuery, attach_query, exec_query
from cubernetes.client.wire.logquery import log_query
from cubernetes.client.wire.portforward import NoPort, port_of, ports_in
from cubernetes.host.clock import Clock
from cubernetes.host.web.httpserver import HttpServer, Limits
from cubernetes.host.web.messages import TEXT, Request, Response
from cubernetes.host.web.site import HttpRefusal, Route, RoutedSite
from cubernetes.host.web.tls import server_tls
from kubelet.execserver import PING_S, Executions, Work
from kubelet.keptlogs.asked import limited, options_of
from kubelet.keptlogs.retention import Life, chosen
from kubelet.keptlogs.shelf import KeptLogs
from kubelet.measure.cadvisor import cadvisor_text
from kubelet.measure.exposition import resource_text, summary_json
from kubelet.measure.measuring import Measuring
from kubelet.network.driver import NetworkTrouble
from kubelet.network.podports import connected, connected_at
from kubelet.observer import Observer
from kubelet.runtime.driver import (
    SANDBOX,
    AttachSpec,
    Container,
    ExecSpec,
    RuntimeDriver,
    RuntimeTrouble,
    State,
)
from kubelet.settings import ServingSettings
from kubelet.streams.channelports import Connect
from kubelet.streams.podport import ConnectAt, PodPorts
from kubelet.streams.portforward import Forwards

EVERYWHERE = "0.0.0.0"  # noqa: S104  who may ask is known by his certificate

# Of a process's descriptors (1024 in the least case) most are for starting pods. The API server
# has one connection for each log that is followed, and for each session.
LIMITS = Limits(
    query_fields_max=100, connections_max=256, unknown_max=64, unknown_of_address_max=16
)
STOP_S = 1.0
# Clients of this group may read what pods use, and nothing else.
MONITORING = "system:monitoring"
METRICS_PATH, SUMMARY_PATH = "/metrics/resource", "/stats/summary"
CADVISOR_PATH = "/metrics/cadvisor"
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class PodsHere(Protocol):
    """The pods of this node."""

    def named(self, namespace: str, name: str) -> Pod | None: ...

    async def address_of(self, pod: Pod) -> str:
        """Return where a pod is, as this node knows itself; empty where it has no network yet."""
        ...


@dataclass(frozen=True, slots=True)
class Sources:
    """Where logs are found, and ways into pods."""

    pods: PodsHere
    runtime: RuntimeDriver
    observer: Observer
    kept: KeptLogs


def serve_logs(
    settings: ServingSettings, sources: Sources, clock: Clock, more: Sequence[Route]
) -> Callable[[], Awaitable[None]]:
    """Return the work that serves containers' logs, commands in them, and more, for ever."""
    logs = ContainerLogs(settings.client_name, sources, clock)

    async def serve() -> None:
        server = log_server(logs, more=more)
        tls = server_tls(settings.cert, settings.key, settings.client_ca)
        await server.listen(EVERYWHERE, settings.port, tls)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await server.stop(STOP_S)
            await logs.close()

    return serve


def log_server(
    logs: "ContainerLogs", limits: Limits = LIMITS, more: Sequence[Route] = ()
) -> HttpServer:
    site = RoutedSite([*logs.routes(), *more], limits, check_may=logs.check_may)
    return HttpServer(site, limits, troubles=(RuntimeTrouble,))


@dataclass(frozen=True, slots=True)
class Streaming:
    """ping_s: how often a session's client is pinged.

    connect: the way to a port of a pod's localhost; connect_at: to one of its own address.
    """

    ping_s: float = PING_S
    connect: Connect = connected
    connect_at: ConnectAt = connected_at


class ContainerLogs:
    """Answers for pods of this node; anybody but the API server is refused."""

    def __init__(
        self,
        client_name: str,
        sources: Sources,
        clock: Clock,
        streaming: Streaming = Streaming(),
    ) -> None:
        self._client_name, self._clock = client_name, clock
        self._pods, self._runtime = sources.pods, sources.runtime
        self._observer, self._kept = sources.observer, sources.kept
        self._executions = Executions(clock, streaming.ping_s)
        self._forwards = Forwards(streaming.connect, clock, streaming.ping_s)
        self._ports = PodPorts(streaming.connect_at)

    def routes(self) -> list[Route]:
        return [
            ("GET", "/containerLogs/{namespace}/{pod}/{container}", self.log),
            ("GET", "/exec/{namespace}/{pod}/{container}", self.execute),
            ("GET", "/attach/{namespace}/{pod}/{container}", self.attach),
            ("GET", "/portForward/{namespace}/{pod}", self.forward),
            ("GET", "/podPort/{namespace}/{pod}/{port}", self.port),
            ("GET", "/healthz", self.healthz),
        ]

    def check_may(self, request: Request) -> None:
        """Raises: Refused."""
        is_read = request.path in (METRICS_PATH, SUMMARY_PATH, CADVISOR_PATH)
        if is_read and MONITORING in request.identity.groups:
            return
        if request.identity.user != self._client_name:
            raise HttpRefusal(403, f"only {self._client_name} may ask")

    async def log(self, request: Request) -> Response:
        """Raises: Refused."""
        try:
            asked = log_query(request.query)
        except (BadRequest, ValueError) as error:
            raise HttpRefusal(400, str(error)) from error
        one = await self._found(request, asked.back)
        if one is None:
            word = ("", "previous ")[asked.back] if asked.back < 2 else f"{asked.back} lives old "
            container = dict(request.names)["container"]
            raise HttpRefusal(400, f"there is no {word}container {container!r} to read")
        options = options_of(asked, self._clock.now())
        if isinstance(one, Life):
            text = self._kept.log_of(one, options)
        else:
            text = self._runtime.logs(one.id, options)
        if asked.limit_bytes is not None:
            text = limited(text, asked.limit_bytes)
        return Response(200, text, content_type="text/plain")

    async def execute(self, request: Request) -> Response:
        """Raises: Refused."""
        try:
            asked = exec_query(request.query)
        except BadRequest as error:
            raise HttpRefusal(400, str(error)) from error
        _, one = await self._running(request)
        spec = ExecSpec(asked.command, asked.stdin, asked.stdout, asked.stderr, asked.tty)
        begin = partial(self._runtime.exec, one.id, spec)
        return self._session(Work("exec", one.id, asked, begin))

    async def attach(self, request: Request) -> Response:
        """Raises: Refused."""
        try:
            asked = attach_query(request.query)
        except BadRequest as error:
            raise HttpRefusal(400, str(error)) from error
        pod, one = await self._running(request)
        spec = attach_spec(pod, one.name, asked)
        begin = partial(self._runtime.attach, one.id, spec)
        return self._session(Work("attach", one.id, asked, begin))

    def _session(self, work: Work) -> Response:
        return Response(101, b"", switch=partial(self._executions.answer, work))

    async def _running(self, request: Request) -> tuple[Pod, Container]:
        """Return the pod of a request's path, and its container, which runs. Raises: Refused."""
        pod, found = await self._pod_found(request)
        named = dict(request.names)
        one = newest(pod, found, named["container"])
        if one is None or one.state is not State.RUNNING:
            said = f"container {named['container']!r} of pod {named['pod']} is not running"
            raise HttpRefusal(400, said)
        return pod, one

    async def forward(self, request: Request) -> Response:
        """Raises: Refused."""
        pod, sandbox = await self._sandbox(request)
        try:
            ports = ports_in(request.query)
        except NoPort as error:
            raise HttpRefusal(400, str(error)) from error
        name = f"{pod.metadata.namespace}/{pod.metadata.name}"
        return Response(101, b"", switch=partial(self._forwards.answer, sandbox.netns, name, ports))

    async def port(self, request: Request) -> Response:
        """Raises: Refused."""
        pod, sandbox = await self._sandbox(request)
        asked = dict(request.names)["port"]
        try:
            port = port_of({"port": asked})
            address = await self._pods.address_of(pod)
        except NoPort as error:
            raise HttpRefusal(400, str(error)) from error
        except NetworkTrouble as error:
            raise HttpRefusal(503, str(error)) from error
        if not address:
            raise HttpRefusal(503, f"pod {pod.metadata.name} has no network yet")
        name = f"{pod.metadata.namespace}/{pod.metadata.name}"
        answer = partial(self._ports.answer, sandbox.netns, name, address, port)
        return Response(101, b"", switch=answer)

    async def healthz(self, _: Request) -> Response:
        """Say that this program's loop turns."""
        return Response(200, b"ok", content_type=TEXT)

    async def _sandbox(self, request: Request) -> tuple[Pod, Container]:
        """Return the pod of a request's path, and its sandbox, which runs. Raises: Refused."""
        pod, found = await self._pod_found(request)
        sandboxes = (one for one in found if one.name == SANDBOX and one.state is State.RUNNING)
        sandbox = next(sandboxes, None)
        if sandbox is None:
            raise HttpRefusal(400, f"pod {pod.metadata.name} is not running")
        return pod, sandbox

    async def _found(self, request: Request, back: int) -> Container | Life | None:
        """Return the life of a container that is so many back. Raises: Refused."""
        pod, found = await self._pod_found(request)
        name, uid = dict(request.names)["container"], pod.metadata.uid
        lives = of_name(pod, found, name)
        if back < len(lives):
            return chosen(lives, (), back)
        try:
            every = await self._kept.of_pod(pod.metadata.namespace, pod.metadata.name)
        except OSError as error:
            raise HttpRefusal(503, f"the kept logs cannot be read: {error}") from error
        kept = [one for one in every if (one.life.uid, one.life.container) == (uid, name)]
        return chosen(lives, kept, back)

    async def _pod_found(self, request: Request) -> tuple[Pod, Sequence[Container]]:
        """Return the pod of a request's path, and its containers. Raises: Refused."""
        asked_for = dict(request.names)
        pod = self._pods.named(asked_for["namespace"], asked_for["pod"])
        if pod is None:
            raise HttpRefusal(404, "no such pod on this node")
        try:
            found = (await self._observer.listing()).of_pod(pod.metadata.uid)
        except RuntimeTrouble as error:
            raise HttpRefusal(503, str(error)) from error
        return pod, found

    async def close(self) -> None:
        """Wait for the end of what sessions have left."""
        await self._executions.close()


class Uses:
    """What pods and the node use, for monitors and for the API server."""

    def __init__(self, node_name: str, measuring: Measuring) -> None:
        self._node_name, self._measuring = node_name, measuring

    def routes(self) -> list[Route]:
        return [
            ("GET", METRICS_PATH, self.metrics),
            ("GET", SUMMARY_PATH, self.summary),
            ("GET", CADVISOR_PATH, self.cadvisor),
        ]

    async def metrics(self, _request: Request) -> Response:
        """Raises: Refused."""
        moment = await self._looked(self._measuring.look())
        text = resource_text(moment, is_whole=self._measuring.is_whole)
        return Response(200, text.encode(), content_type=METRICS_TYPE)

    async def cadvisor(self, _request: Request) -> Response:
        """Raises: Refused."""
        moment = await self._looked(self._measuring.look(is_detailed=True))
        return Response(200, cadvisor_text(moment).encode(), content_type=METRICS_TYPE)

    async def summary(self, _request: Request) -> Response:
        """Raises: Refused."""
        moment, rates = await self._looked(self._measuring.speeds())
        return Response(200, summary_json(self._node_name, moment, rates))

    async def _looked[T](self, look: Awaitable[T]) -> T:
        """Raises: Refused."""
        try:
            return await look
        except OSError as error:
            raise HttpRefusal(503, f"the control groups cannot be read: {error}") from error


def of_name(pod: Pod, found: Sequence[Container], name: str) -> list[Container]:
    """Return the lives of a pod's container; none of a name that the pod does not have.

    One that is only made has not begun to live: it may be made anew, and has written nothing.
    """
    if name not in {one.name for one in every_program(pod.spec)}:
        return []
    return [one for one in found if one.name == name and one.state is not State.CREATED]


def newest(pod: Pod, found: Sequence[Container], name: str) -> Container | None:
    """Return the newest life of a pod's container."""
    return max(of_name(pod, found, name), key=lambda one: one.attempt, default=None)


def attach_spec(pod: Pod, name: str, asked: ExecQuery) -> AttachSpec:
    """Return which streams of a container are reached.

    Raises: Refused: it was made without what is asked for.
    """
    wanted = next(one for one in every_program(pod.spec) if one.name == name)
    if asked.tty and not wanted.tty:
        raise HttpRefusal(400, f"tty: container {name!r} was made without a terminal (tty: true)")
    if asked.stdin and not wanted.stdin:
        raise HttpRefusal(400, f"stdin: container {name!r} was made without an input (stdin: true)")
    return AttachSpec(
        asked.stdin,
        asked.stdout,
        asked.stderr,
        is_terminal=wanted.tty,
        is_stdin_once=wanted.stdin_once,
    )
