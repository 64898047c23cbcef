"""Sites of GPU jobs for tests: paper, and stand-ins of a real API server and no kubelet."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from apiserver.server import ApiServer
from apiserver.settings import Limits, Settings
from apiserver.storage.memory import MemoryStore
from cubernetes.api.condition import Condition
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podstatus import (
    ContainerState,
    ContainerStatus,
    PodStatus,
    StateRunning,
    StateTerminated,
)
from cubernetes.api.errors import NotFound
from cubernetes.api.gpu.gpujob import GpuJob, GpuJobSpec, GpuResources
from cubernetes.api.gpu.gpusite import GpuSite, GpuSiteSpec, Local, StandIn
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.api.quantities import Quantity
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Identity
from gpu.driver import Report, SiteDriver
from gpu.machine import Event
from gpu.sites.fake import FakeSites, PaperSites, Script
from gpu.sites.local import LocalSites
from gpu.sites.standin import StandIns
from tests.direct import DirectTransport

PROGRAM = Identity("system:gpu")
FAKE_GPU = "cubernetes.io/fake-gpu"
DEADLINE_S, LOOK_S = 60.0, 0.02
FOR_EVER = Script(wait_s=0, run_s=10**6)


class SiteWorld(Protocol):
    """A driver, and the hand of those who run its sites."""

    driver: SiteDriver
    admin: Client
    script: str

    async def site(self, name: str = "a") -> GpuSite: ...

    async def runs(self, key: str) -> None:
        """Let the program of a submission begin."""
        ...

    async def ends(self, key: str, code: int) -> None:
        """Let it end."""
        ...

    async def loses(self, key: str) -> None:
        """Let its machine be gone, with it."""
        ...

    def run_count(self, key: str) -> int: ...


class PaperWorld:
    script = "true"

    def __init__(self, admin: Client, env: Env) -> None:
        self.admin = admin
        self.paper = PaperSites(env.clock, script=lambda _job, _key: Script(wait_s=10**6))
        self.driver: SiteDriver = FakeSites(self.paper)

    async def site(self, name: str = "a") -> GpuSite:
        return await a_site(self.admin, name)

    async def runs(self, key: str) -> None:
        self._play(key, FOR_EVER)

    async def ends(self, key: str, code: int) -> None:
        end = Event.FAILED if code else Event.SUCCEEDED
        self._play(key, Script(run_s=0, end=end, exit_code=code))

    async def loses(self, key: str) -> None:
        self._play(key, Script(run_s=0, end=Event.LOST))

    def _play(self, key: str, script: Script) -> None:
        self.paper.jobs[key].script = script

    def run_count(self, key: str) -> int:
        return self.paper.runs[key]


class StandInWorld:
    script = "true"

    def __init__(self, admin: Client, driver: StandIns, created: list[str]) -> None:
        self.admin = admin
        self.driver: SiteDriver = driver
        self._created = created

    async def site(self, name: str = "a") -> GpuSite:
        return await a_site(self.admin, name)

    async def runs(self, key: str) -> None:
        now = ContainerState(running=StateRunning())
        await self._report(key, "Running", now)

    async def ends(self, key: str, code: int) -> None:
        now = ContainerState(terminated=StateTerminated(exit_code=code, reason="Error"))
        await self._report(key, "Failed" if code else "Succeeded", now)

    async def loses(self, key: str) -> None:
        await self.admin.delete(Pod, f"gpujob-{key}", "default", grace_s=0)

    async def cancelled(self, key: str) -> None:
        """End a pod as its kubelet does whose deadline has passed."""
        await self._report(key, "Failed", ContainerState(), reason="DeadlineExceeded")

    async def _report(self, key: str, phase: str, state: ContainerState, reason: str = "") -> None:
        pod = await self.admin.get(Pod, f"gpujob-{key}", "default")
        told = replaced(
            PodStatus(), phase=phase, reason=reason,
            container_statuses=(ContainerStatus(name="job", state=state),),
            start_time=pod.metadata.creation_timestamp,
        )  # fmt: skip
        await self.admin.update_status(replaced(pod, status=told))

    def run_count(self, key: str) -> int:
        return self._created.count(f"gpujob-{key}")


class LocalWorld(StandInWorld):
    """A node with two devices, and no kubelet."""

    async def site(self, name: str = "a") -> GpuSite:
        local = Local(image="image:1", resource=FAKE_GPU)
        spec = GpuSiteSpec(type="local", local=local)
        return await self.admin.create(GpuSite(metadata=ObjectMeta(name=name), spec=spec))


@asynccontextmanager
async def api() -> AsyncIterator[tuple[ApiServer, Client, Env]]:
    env = Env()
    server = ApiServer(MemoryStore(env), env, Settings(limits=Limits(bookmark_interval_s=0.2)))
    await server.start()
    admin = Client(DirectTransport(server), env)
    listed = await admin.list(Namespace)
    if not any(one.metadata.name == "default" for one in listed.items):
        await admin.create(Namespace(metadata=ObjectMeta(name="default")))
    try:
        yield server, admin, env
    finally:
        await server.stop()


@asynccontextmanager
async def paper_world() -> AsyncIterator[SiteWorld]:
    async with api() as (_, admin, env):
        yield PaperWorld(admin, env)


@asynccontextmanager
async def stand_in_world() -> AsyncIterator[SiteWorld]:
    async with api() as (server, admin, env):
        driver = StandIns(Client(DirectTransport(server, PROGRAM), env), env, "image:1")
        async with _running(driver) as seen:
            yield StandInWorld(admin, driver, seen)


@asynccontextmanager
async def local_world() -> AsyncIterator[SiteWorld]:
    async with api() as (server, admin, env):
        amounts = {FAKE_GPU: Quantity(2)}
        node = await admin.create(Node(metadata=ObjectMeta(name="n1")))
        ready = (Condition(type="Ready", status="True"),)
        status = replaced(node.status, capacity=amounts, allocatable=amounts, conditions=ready)
        await admin.update_status(replaced(node, status=status))
        driver = LocalSites(Client(DirectTransport(server, PROGRAM), env), env)
        async with _running(driver) as seen:
            yield LocalWorld(admin, driver, seen)


@asynccontextmanager
async def _running(driver: StandIns) -> AsyncIterator[list[str]]:
    """Let a driver run; the names of all pods that come up are in the list."""
    seen: list[str] = []
    driver._pods.on_change(
        lambda old, new: seen.append(new.metadata.name) if old is None and new else None
    )
    task = asyncio.create_task(driver.run())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def a_site(admin: Client, name: str = "a", gpus: int = 2) -> GpuSite:
    spec = GpuSiteSpec(type="standin", stand_in=StandIn(gpus=gpus))
    return await admin.create(GpuSite(metadata=ObjectMeta(name=name), spec=spec))


async def a_job(admin: Client, name: str = "add", gpus: int = 1, **fields: object) -> GpuJob:
    spec = GpuJobSpec(script="true", allow_stand_in=True, resources=GpuResources(gpus=gpus))
    meta = ObjectMeta(name=name, namespace="default")
    return await admin.create(GpuJob(metadata=meta, spec=replaced(spec, **fields)))


async def must_report(world: SiteWorld, site: GpuSite, holds: Callable[[Report], bool]) -> Report:
    """Return what a site says, once something holds of it."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            report = await world.driver.observe(site)
            if holds(report):
                return report
            await asyncio.sleep(LOOK_S)


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if await holds():
                return
            await asyncio.sleep(LOOK_S)


async def is_there(admin: Client, kind: type[Pod], name: str) -> bool:
    try:
        await admin.get(kind, name, "default")
    except NotFound:
        return False
    return True
