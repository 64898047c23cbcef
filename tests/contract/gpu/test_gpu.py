"""GPU jobs from their objects to their ends: a real API server, the program, and sites."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.event import Event as Happening
from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import ApiError, NotFound
from cubernetes.api.gpu.gpujob import FINALIZER, GpuJob
from cubernetes.api.gpu.gpuqueue import GpuQueue
from cubernetes.api.gpu.gpusite import GpuSite
from cubernetes.client.connect import ClientSettings
from cubernetes.client.rest import Client
from gpu.driver import Report
from gpu.run import run
from gpu.settings import GpuSettings
from gpu.sites.fake import FakeSites, PaperSites
from gpu.sites.registry import Drivers
from gpu.sites.standin import StandIns
from tests.contract.gpu.worlds import (
    DEADLINE_S,
    LOOK_S,
    PROGRAM,
    StandInWorld,
    a_job,
    a_site,
    api,
    until,
)
from tests.direct import DirectTransport


class World:
    """The program, with the rights that it has, and the hand of its nodes."""

    def __init__(self, server: object, admin: Client, env: object) -> None:
        self._server, self.admin, self._env = server, admin, env
        self._task: asyncio.Task[None] | None = None
        client = Client(DirectTransport(server, PROGRAM), env)  # type: ignore[arg-type]  # of api()
        self._client = client
        self.nodes = StandInWorld(admin, StandIns(client, env, "image:1"), [])  # type: ignore[arg-type]

    async def begin(self, drivers: Drivers | None = None) -> None:
        told = GpuSettings(client=ClientSettings(servers=(), ca=""), look_interval_s=0.2)
        self._task = asyncio.create_task(run(told, self._env, self._client, drivers))  # type: ignore[arg-type]

    async def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            (ended,) = await asyncio.gather(self._task, return_exceptions=True)
            assert isinstance(ended, asyncio.CancelledError), ended
            self._task = None

    async def job(self, name: str, holds: Callable[[GpuJob], object]) -> GpuJob:
        """Return a job once something holds of it."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                found = await self.admin.get(GpuJob, name, "default")
                if holds(found):
                    return found
                await asyncio.sleep(LOOK_S)

    async def sent(self, name: str) -> GpuJob:
        return await self.job(name, lambda one: one.status.phase in ("Queued", "Running"))


class AnswersOnce(FakeSites):
    """Sites that are asked once, and then never say what they have."""

    is_asked = False

    async def observe(self, site: GpuSite) -> Report:
        if self.is_asked:
            await asyncio.Event().wait()
        self.is_asked = True
        return await super().observe(site)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with _world() as made:
        yield made


@asynccontextmanager
async def _world() -> AsyncIterator[World]:
    async with api() as (server, admin, env):
        made = World(server, admin, env)
        await made.begin()
        try:
            yield made
        finally:
            await made.end()


async def test_two_jobs_at_once_are_spread_run_and_end_each_in_its_own_way(world: World) -> None:
    """W39 too: sites are objects; nothing of them is compiled in."""
    await a_site(world.admin, "a")
    await a_site(world.admin, "b")
    await asyncio.gather(a_job(world.admin, "one"), a_job(world.admin, "two"))
    one, two = await world.sent("one"), await world.sent("two")

    assert {one.status.site, two.status.site} == {"a", "b"}
    assert FINALIZER in one.metadata.finalizers
    assert one.status.devices == ("cpu-stand-in-0",)
    await world.nodes.runs(one.status.submission_key)
    await world.job("one", lambda found: found.status.phase == "Running")
    await world.nodes.ends(one.status.submission_key, 0)
    await world.nodes.ends(two.status.submission_key, 3)

    one = await world.job("one", lambda found: found.status.ended_at)
    two = await world.job("two", lambda found: found.status.ended_at)
    assert (one.status.phase, one.status.exit_code) == ("Succeeded", 0)
    assert (two.status.phase, two.status.exit_code) == ("Failed", 3)
    assert "CPU STAND-IN" in two.status.message

    async def is_told() -> bool:
        events = (await world.admin.list(Happening, "default")).items
        return {"Succeeded", "Failed"} <= {event.reason for event in events}

    await until(is_told)


async def test_nobody_is_asked_for_a_key_that_was_just_made_and_never_sent() -> None:
    """Each question is a call of a site: half of what a job waits until it is sent."""
    async with api() as (server, admin, env):
        world, sites = World(server, admin, env), AnswersOnce(PaperSites(env.clock))
        await world.begin({"standin": sites})
        try:
            await a_site(admin, "a")
            await a_job(admin)
            job = await world.sent("add")
        finally:
            await world.end()
        assert dict(sites.paper.runs) == {job.status.submission_key: 1}


async def test_jobs_wait_their_turn_with_their_place_and_reason(world: World) -> None:
    await a_site(world.admin, "a", gpus=1)
    await a_job(world.admin, "first")
    first = await world.sent("first")
    # Those of one second have no order of their own.
    await a_job(world.admin, "second", priority=1)
    await a_job(world.admin, "third", allow_stand_in=False)

    second = await world.job("second", lambda one: one.status.message)
    assert (second.status.phase, second.status.position) == ("Pending", 1)
    assert "site a has 0 free; starts before" in second.status.message
    third = await world.job("third", lambda one: one.status.position == 2)
    assert "CPU stand-in" in third.status.message

    await world.nodes.ends(first.status.submission_key, 0)
    second = await world.sent("second")
    assert second.status.position == 0

    async def counts() -> bool:
        queue = await world.admin.get(GpuQueue, "default")
        site = await world.admin.get(GpuSite, "a")
        told = (queue.status.running_jobs, queue.status.waiting_jobs)
        return told == (1, 1) and (site.status.gpus.total, site.status.gpus.free) == (1, 0)

    await until(counts)


async def test_w41_a_job_is_cancelled_and_a_deleted_one_leaves_nothing(world: World) -> None:
    await a_site(world.admin, "a")
    await a_job(world.admin)
    job = await world.sent("add")
    key = job.status.submission_key
    await world.nodes.runs(key)
    await world.admin.patch(GpuJob, "add", "default", {"spec": {"cancel": True}})
    await world.job("add", lambda one: one.status.phase == "Cancelling")

    async def is_asked() -> bool:
        pod = await world.admin.get(Pod, f"gpujob-{key}", "default")
        return pod.spec.active_deadline_seconds == 1

    await until(is_asked)
    await world.nodes.cancelled(key)
    job = await world.job("add", lambda one: one.status.phase == "Cancelled")
    assert job.status.reason == "Cancelled"

    await world.admin.delete(GpuJob, "add", "default")

    async def is_gone() -> bool:
        gone = []
        for kind, name in ((GpuJob, "add"), (Pod, f"gpujob-{key}"), (ConfigMap, f"gpujob-{key}")):
            try:
                await world.admin.get(kind, name, "default")
            except NotFound:
                gone.append(name)
        return len(gone) == 3

    await until(is_gone)


async def test_w40_a_program_that_is_begun_anew_goes_on_where_it_was(world: World) -> None:
    """W40: after a restart of its runner nobody knew of a job any more."""
    await a_site(world.admin, "a")
    await a_job(world.admin)
    job = await world.sent("add")
    await world.end()
    await world.nodes.ends(job.status.submission_key, 0)
    await world.begin()

    job = await world.job("add", lambda one: one.status.ended_at)

    assert (job.status.phase, job.status.attempt) == ("Succeeded", 1)
    assert len((await world.admin.list(Pod, "default")).items) == 1


async def test_a_lost_pod_is_tried_again_under_a_new_key(world: World) -> None:
    await a_site(world.admin, "a")
    await a_job(world.admin, retries=1)
    job = await world.sent("add")
    await world.nodes.loses(job.status.submission_key)

    again = await world.job("add", lambda one: one.status.attempt == 2)

    assert again.status.submission_key == f"{job.metadata.uid}-2"


async def test_a_job_goes_after_it_was_kept_for_long_enough(world: World) -> None:
    await a_site(world.admin, "a")
    await a_job(world.admin, keep_seconds=0)
    job = await world.sent("add")
    await world.nodes.ends(job.status.submission_key, 0)

    async def is_gone() -> bool:
        return not (await world.admin.list(GpuJob, "default")).items

    await until(is_gone)


async def test_the_program_may_do_what_it_does_and_no_more(world: World) -> None:
    client = world._client
    for kind in (GpuJob, GpuSite):
        assert (await client.list(kind)).items is not None
    job = await a_job(world.admin)
    with pytest.raises(ApiError, match="cannot create"):
        await client.create(job)
    with pytest.raises(ApiError, match="cannot update"):
        await client.update(job)
