"""One pod of a fake runtime, its kubelet's server and an API server, over real TLS on loopback."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp

from apiserver.http.app import App
from apiserver.http.kubelets import HttpsKubelets
from apiserver.server import ApiServer
from apiserver.settings import Limits, Settings
from apiserver.storage.memory import MemoryStore
from cubernetes.api.bodies.envelopes import Status
from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod
from cubernetes.client.wire import channels, endings
from cubernetes.client.wire.channels import Channel
from cubernetes.client.wire.exitcodes import exit_code_in
from cubernetes.host.env import Env
from cubernetes.host.web.httpserver import HttpServer
from cubernetes.host.web.messages import Identity, Request
from cubernetes.host.web.sockets import TcpStream
from cubernetes.host.web.tls import server_tls
from cubernetes.host.web.websocket.client import Dial, DialledWebSocket, dialled
from kubelet.keptlogs.shelf import KeptLogs
from kubelet.keptlogs.site import KeptSite
from kubelet.logserver import ContainerLogs, Sources, Streaming, log_server
from kubelet.network.namespace import OWN
from kubelet.network.podports import connected, connected_at
from kubelet.observer import Observer
from kubelet.runtime.driver import ContainerSpec, SandboxSpec
from kubelet.runtime.fake import Behaviour, FakeMachine, FakeRuntime
from tests.contract.api.tls import Cluster, write_config
from tests.contract.api.world import NODES, PODS, Tree, a_node, a_pod
from tests.contract.runtime.worlds import COMMANDS
from tests.contract.store.certificates import Authority, write_pair

ADMIN = Identity("kubernetes-admin", ("system:masters",))
DEADLINE_S = 60.0


class HerePods:
    """The pods of the node, as its kubelet knows them."""

    def __init__(self) -> None:
        self.pods: list[Pod] = []

    def named(self, namespace: str, name: str) -> Pod | None:
        wanted = (namespace, name)
        held = (one for one in self.pods if (one.metadata.namespace, one.metadata.name) == wanted)
        return next(held, None)

    async def address_of(self, pod: Pod) -> str:
        return "127.0.0.1" if pod.spec.containers else ""


@dataclass
class ExecWorld:
    folder: Path
    cluster: Cluster
    server: ApiServer
    app: App
    kubelet: HttpServer
    machine: FakeMachine
    container_id: str
    tls: ssl.SSLContext
    here: HerePods
    runtime: FakeRuntime
    kept: KeptLogs

    def dialled(
        self, query: Sequence[tuple[str, str]], protocols: Sequence[str] = channels.PROTOCOLS
    ) -> AbstractAsyncContextManager[DialledWebSocket]:
        return dialled(Dial(self.url(query), self.tls), protocols)

    def url(self, query: Sequence[tuple[str, str]], pod: str = "web-0") -> str:
        return f"https://127.0.0.1:{self.app.port}{PODS}/{pod}/exec?{urlencode(query)}"

    @property
    def running_count(self) -> int:
        """How many commands run in the container beside its own."""
        return len(self.machine.lives[self.container_id].executions)

    async def another_pod(self, tree: Tree, image: str, **fields: Any) -> str:
        """Let a pod of one container run here; return the id of that."""
        pod = await a_bound(self, tree)
        self.here.pods.append(pod)
        return await a_container_of(pod, self.runtime, image, **fields)

    async def another_life(self, pod: Pod, image: str, **fields: Any) -> str:
        """Let one more container of a pod run here; return its id."""
        return await a_container_of(pod, self.runtime, image, **fields)

    async def call(self, method: str, path: str, body: Tree) -> None:
        request = Request(method, path, (), {}, codec_bytes(body), ADMIN)
        response = await self.server.handle(request)
        assert response.status < 300, response.body


def codec_bytes(tree: Tree) -> bytes:
    import json

    return json.dumps(tree).encode()


@asynccontextmanager
async def a_session(world: ExecWorld) -> AsyncIterator[aiohttp.ClientSession]:
    """Yield a session of HTTP with the server, whose requests have a deadline."""
    connector = aiohttp.TCPConnector(ssl=world.tls)
    base = f"https://127.0.0.1:{world.app.port}"
    limit = aiohttp.ClientTimeout(total=DEADLINE_S)
    async with aiohttp.ClientSession(base, connector=connector, timeout=limit) as made:
        yield made


@asynccontextmanager
async def an_exec_world(folder: Path, limits: Limits | None = None) -> AsyncIterator[ExecWorld]:
    authority = Authority()
    settings, tls = write_files(folder, authority, limits or Limits())
    env, here = Env(), HerePods()
    machine = FakeMachine(env, {"talks": Behaviour(commands=COMMANDS)}, ["talks", "pause:1"])
    runtime = FakeRuntime(machine)
    observer = Observer(runtime)
    streaming = Streaming(ping_s=0.2, connect=connected_here, connect_at=connected_at_here)
    kept = KeptLogs(folder / "kept", runtime, env)
    sources = Sources(here, runtime, observer, kept)
    logs = ContainerLogs("system:apiserver", sources, env.clock, streaming)
    kubelet = log_server(logs, more=KeptSite(kept, env.clock).routes())
    await kubelet.listen(
        "127.0.0.1", 0, server_tls(f"{folder}/n1.crt", f"{folder}/n1.key", f"{folder}/ca.crt")
    )
    store, kubelets = MemoryStore(env), HttpsKubelets(settings)
    server = ApiServer(store, env, settings, logs=kubelets)
    app = App(server, settings)
    await app.start()
    await server.start()
    cluster = Cluster(folder, app.port)
    admin = authority.sign(ADMIN.user, "system:masters")
    ca = (folder / "ca.crt").read_bytes()
    write_config(folder, "admin", app.port, ca, *admin)
    world = ExecWorld(folder, cluster, server, app, kubelet, machine, "", tls, here, runtime, kept)
    try:
        here.pods.append(await a_bound_pod(world))
        world.container_id = await a_container_of(here.pods[0], runtime)
        yield world
    finally:
        await app.stop()
        await server.stop()
        await kubelet.stop(0.1)
        await logs.close()
        await kubelets.close()
        await observer.close()
        await store.close()
        machine.close()


async def connected_here(netns: str, port: int) -> TcpStream:
    """Connect to a port of this machine: a fake container has no network of its own."""
    assert netns
    return await connected(OWN, port)


async def connected_at_here(netns: str, address: str, port: int) -> TcpStream:
    assert netns
    return await connected_at(OWN, address, port)


def write_files(
    folder: Path, authority: Authority, limits: Limits
) -> tuple[Settings, ssl.SSLContext]:
    (folder / "ca.crt").write_bytes(authority.own.cert)
    for name, user, group in (
        ("server", "kube-apiserver", ""),
        ("apiserver", "system:apiserver", ""),
        ("n1", "system:node:n1", "system:nodes"),
        ("client", ADMIN.user, "system:masters"),
    ):
        write_pair(folder, name, authority.sign(user, group, (name,)))
    tls = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    tls.load_cert_chain(folder / "client.crt", folder / "client.key")
    settings = Settings(
        listen_address="127.0.0.1",
        listen_port=0,
        cert=str(folder / "server.crt"),
        key=str(folder / "server.key"),
        client_ca=str(folder / "ca.crt"),
        kubelet_cert=str(folder / "apiserver.crt"),
        kubelet_key=str(folder / "apiserver.key"),
        kubelet_ca=str(folder / "ca.crt"),
        limits=limits,
    )
    return settings, tls


async def a_bound_pod(world: ExecWorld) -> Pod:
    node = a_node("n1")
    node["status"] = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": world.kubelet.port}},
    }
    await world.call("POST", NODES, node)
    await world.call("PUT", f"{NODES}/n1/status", node)
    return await a_bound(world, a_pod("web-0"))


async def a_bound(world: ExecWorld, tree: Tree) -> Pod:
    path = f"{PODS}/{tree['metadata']['name']}"
    await world.call("POST", PODS, tree)
    await world.call("POST", f"{path}/binding", {"target": {"name": "n1"}})
    await world.call("PUT", f"{path}/status", tree | {"status": {"phase": "Running"}})
    response = await world.server.handle(Request("GET", path, identity=ADMIN))
    assert isinstance(response.body, bytes)
    return codec.decode(Pod, response.body)


async def a_container_of(
    pod: Pod, runtime: FakeRuntime, image: str = "talks", **fields: Any
) -> str:
    uid, name = pod.metadata.uid, pod.metadata.name
    box = await runtime.start_sandbox(SandboxSpec(uid, name, "default", name, "pause:1"))
    spec = replace(ContainerSpec(uid, name, "default", "main", image), **fields)
    made = await runtime.start_container(spec, box.id)
    return made.id


@dataclass
class Told:
    """What a session has brought."""

    out: bytes = b""
    err: bytes = b""
    status: Status | None = None
    code: int | None = None


async def all_told(socket: DialledWebSocket) -> Told:
    """Read a session to its end."""
    pieces: dict[Channel, list[bytes]] = {Channel.STDOUT: [], Channel.STDERR: []}
    told = Told()
    async with asyncio.timeout(DEADLINE_S):
        while (message := await socket.read()) is not None:
            frame = channels.frame_of(message)
            if frame.channel is Channel.ERROR:
                told.status = endings.status_in(frame.content)
                told.code = exit_code_in(frame.content)
            else:
                pieces[frame.channel].append(frame.content)
    told.out, told.err = b"".join(pieces[Channel.STDOUT]), b"".join(pieces[Channel.STDERR])
    return told


async def until(holds: Callable[[], bool], limit_s: float = DEADLINE_S) -> None:
    """Look again until it holds."""
    async with asyncio.timeout(limit_s):
        while True:
            if holds():
                return
            await asyncio.sleep(0.02)


def asking(command: Sequence[str], *flags: str, **more: str) -> list[tuple[str, str]]:
    """Return the query for a command, with stdout and stderr unless other streams are named."""
    named = flags or ("stdout", "stderr")
    query = [("command", word) for word in command]
    return [*query, *((flag, "true") for flag in named), *more.items()]
