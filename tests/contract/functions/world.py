"""The functions' program against a real API server, with real runners in the place of pods."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from io import BytesIO
from pathlib import Path

import aiohttp

from apiserver.server import ApiServer
from apiserver.settings import Limits, Settings
from apiserver.storage.memory import MemoryStore
from cubernetes.api.condition import Condition
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podstatus import PodStatus
from cubernetes.api.errors import Conflict, NotFound
from cubernetes.api.meta import Object, ObjectMeta, replaced
from cubernetes.api.serverless.function import Function, FunctionSpec
from cubernetes.api.serverless.functionrevision import FunctionRevision
from cubernetes.api.serverless.route import Route, RouteSpec
from cubernetes.client.connect import ClientSettings
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Identity
from serverless.brain.naming import INSTANCES_NAMESPACE
from serverless.bus.bus import Bus
from serverless.envelope import CallHead, ResultHead
from serverless.instances import Code, HttpInstances
from serverless.run import Platform
from serverless.settings import ServerlessSettings
from tests.contract.functions.runners import HELLO, Runner
from tests.direct import DirectTransport

DEADLINE_S = 60.0
LOOK_S = 0.02
PROGRAM = Identity("system:serverless")


class PaperNode:
    """Has a runner for each pod of the instances' namespace, and says that it is ready."""

    def __init__(self, admin: Client) -> None:
        self._admin = admin
        self.runners: dict[str, Runner] = {}
        # Where a pod's address leads.
        self.addresses: dict[str, str] = {}
        self.begun_count = 0
        # A node that has no room: pods stay as they are.
        self.is_stalled = False
        self.is_ended = False
        self.look_s = LOOK_S

    async def run(self) -> None:
        while not self.is_ended:
            listed = await self._admin.list(Pod, INSTANCES_NAMESPACE)
            names = {pod.metadata.name for pod in listed.items}
            for name in self.runners.keys() - names:
                await asyncio.to_thread(self.runners.pop(name).end)
            for pod in listed.items:
                if pod.metadata.name not in self.runners and not self.is_stalled:
                    await self._begin(pod)
            await asyncio.sleep(self.look_s)

    async def _begin(self, pod: Pod) -> None:
        runner = self.runners[pod.metadata.name] = await asyncio.to_thread(Runner)
        self.begun_count += 1
        address = f"10.1.{self.begun_count // 250}.{self.begun_count % 250 + 1}"
        self.addresses[f"{address}:8080"] = runner.address
        status = PodStatus(
            phase="Running",
            pod_ip=address,
            conditions=(Condition(type="Ready", status="True"),),
        )
        while True:
            try:
                found = await self._admin.get(Pod, pod.metadata.name, INSTANCES_NAMESPACE)
                await self._admin.update_status(replaced(found, status=status))
            except NotFound:
                return
            except Conflict:
                continue  # it was claimed in between
            return

    async def end(self, name: str) -> None:
        """End a pod as a crash does: its process is gone, and the node says so."""
        await asyncio.to_thread(self.runners[name].end)
        found = await self._admin.get(Pod, name, INSTANCES_NAMESPACE)
        await self._admin.update_status(replaced(found, status=PodStatus(phase="Failed")))

    async def close(self) -> None:
        for runner in self.runners.values():
            await asyncio.to_thread(runner.end)


class Through(HttpInstances):
    """Reaches instances by the addresses of their pods."""

    def __init__(self, node: PaperNode) -> None:
        super().__init__()
        self._node = node

    async def load(self, address: str, key: str, code: Code) -> float:
        return await super().load(self._node.addresses[address], key, code)

    async def call(
        self, address: str, key: str, revision: str, head: CallHead, body: bytes
    ) -> tuple[ResultHead, bytes]:
        return await super().call(self._node.addresses[address], key, revision, head, body)

    def forget(self, address: str) -> None:
        super().forget(self._node.addresses.get(address, address))


class World:
    """One cluster with functions, and a client of its gateway."""

    def __init__(
        self, server: ApiServer, env: Env, settings: ServerlessSettings, bus: Bus | None
    ) -> None:
        self.server, self._env, self._settings, self.bus = server, env, settings, bus
        self.admin = Client(DirectTransport(server), env)
        self.node = PaperNode(self.admin)
        self.instances = Through(self.node)
        self.platform = self._made()
        self._task: asyncio.Task[None] | None = None
        # Whether the program is to begin without its bus.
        self.is_bus_away = False

    def _made(self) -> Platform:
        client = Client(DirectTransport(self.server, PROGRAM), self._env)
        return Platform(self._settings, self._env, client, self.instances, self.bus)

    async def begin(self) -> None:
        """Begin the program, again where it ran before; return when it answers."""
        self.platform = self._made()
        self._task = asyncio.create_task(self.platform.run())
        await until(self._is_answering)

    async def _is_answering(self) -> bool:
        # IndexError: it has no socket yet.
        with suppress(AssertionError, IndexError, aiohttp.ClientError):
            return (await self.call("/readyz"))[0] == 200 or self.is_bus_away
        return False

    async def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            (ended,) = await asyncio.gather(self._task, return_exceptions=True)
            assert isinstance(ended, asyncio.CancelledError), ended
            self._task = None

    async def deploy(self, name: str, text: str, **fields: object) -> Function:
        """Make a function of one file, or change it; the other fields are those of its spec."""
        spec = replaced(FunctionSpec(files={"action.py": text}), **fields)
        meta = ObjectMeta(name=name, namespace="default")
        while True:
            try:
                found = await self.admin.get(Function, name, "default")
                return await self.admin.update(replaced(found, spec=spec))
            except NotFound:
                return await self.admin.create(Function(metadata=meta, spec=spec))
            except Conflict:
                continue  # its status was written in between

    async def route(self, name: str, path: str, function: str, **fields: object) -> Route:
        spec = replaced(RouteSpec(path=path, function=function), **fields)
        meta = ObjectMeta(name=name, namespace="default")
        made = await self.admin.create(Route(metadata=meta, spec=spec))
        await self.accepted(name)
        return made

    async def accepted(self, name: str, status: str = "True") -> str:
        """Return what is told of a route, once it is told so."""
        told = ""

        async def is_told() -> bool:
            nonlocal told
            found = await self.admin.get(Route, name, "default")
            told = "".join(one.message for one in found.status.conditions)
            return any(one.status == status for one in found.status.conditions)

        await until(is_told)
        return told

    async def loaded(self, name: str, status: str = "True") -> str:
        """Return what is told of a function's newest code, once it is told so."""
        told = ""

        async def is_told() -> bool:
            nonlocal told
            found = await self.admin.get(Function, name, "default")
            told = "".join(one.message for one in found.status.conditions)
            is_new = found.status.observed_generation == found.metadata.generation
            return is_new and any(one.status == status for one in found.status.conditions)

        await until(is_told)
        return told

    async def status(self, name: str) -> Function:
        return await self.admin.get(Function, name, "default")

    async def pods(self, function: str = "") -> list[str]:
        """Return the pods of a function, or those of the pool."""
        listed = await self.admin.list(Pod, INSTANCES_NAMESPACE)
        label = "serverless.cubernetes.io/function"
        return [
            one.metadata.name
            for one in listed.items
            if one.metadata.labels.get(label, "") == function and not one.metadata.is_deleted
        ]

    async def revisions(self) -> list[str]:
        listed = await self.admin.list(FunctionRevision, "default")
        return [one.metadata.name for one in listed.items]

    async def call(
        self,
        target: str,
        body: bytes | None = None,
        *,
        method: str = "",
        host: str = "",
        fields: dict[str, str] | None = None,
    ) -> tuple[int, str, dict[str, str]]:
        """Ask the gateway; fields are more headers."""
        url = f"http://127.0.0.1:{self.platform.server.port}{target}"
        headers = ({"Host": host} if host else {}) | (fields or {})
        verb = method or ("GET" if body is None else "POST")
        wait = aiohttp.ClientTimeout(total=DEADLINE_S)
        async with (
            aiohttp.ClientSession(timeout=wait) as session,
            session.request(verb, url, data=body and BytesIO(body), headers=headers) as response,
        ):
            text = await response.text()
            return response.status, text, {k.lower(): v for k, v in response.headers.items()}


@asynccontextmanager
async def functions_world(
    folder: Path, bus: Bus | None = None, env: Env | None = None, **settings: object
) -> AsyncIterator[World]:
    """Run an API server, a node and the program, with a bus where one is given."""
    env = env or Env()
    server = ApiServer(MemoryStore(env), env, Settings(limits=Limits(bookmark_interval_s=0.2)))
    await server.start()
    told = ServerlessSettings(
        client=ClientSettings(servers=(), ca=""),
        root=str(folder),
        host="127.0.0.1",
        port=0,
        look_interval_s=0.1,
        pool_size=1,
    )
    world = World(server, env, _with(told, settings), bus)
    if not await _has_default(world.admin):
        await world.admin.create(Namespace(metadata=ObjectMeta(name="default")))
    node = asyncio.create_task(world.node.run())
    try:
        await world.begin()
        yield world
    finally:
        await world.end()
        # Not cancelled: a runner that begins just now would be nobody's to end.
        world.node.is_ended = True
        await node
        await world.node.close()
        await world.instances.close()
        await server.stop()


def _with(settings: ServerlessSettings, changes: dict[str, object]) -> ServerlessSettings:
    import msgspec

    return msgspec.structs.replace(settings, **changes)


async def _has_default(admin: Client) -> bool:
    listed = await admin.list(Namespace)
    return any(one.metadata.name == "default" for one in listed.items)


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if await holds():
                return
            await asyncio.sleep(LOOK_S)


__all__ = ["HELLO", "Object", "World", "functions_world", "until"]
