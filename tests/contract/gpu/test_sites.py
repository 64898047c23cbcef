"""What every driver of a site promises: the fakes and the real ones pass the same suite."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import pytest

from cubernetes.api.gpu.gpujob import GpuResources
from gpu.driver import JobRefused, Report, SiteTrouble
from gpu.machine import Event
from tests.contract.gpu.slurm_worlds import paper_slurm_world, real_slurm_world
from tests.contract.gpu.worlds import (
    SiteWorld,
    StandInWorld,
    a_job,
    local_world,
    must_report,
    paper_world,
    stand_in_world,
    until,
)

WORLDS = {
    "paper": paper_world,
    "stand-in": stand_in_world,
    "local": local_world,
    "paper slurm": paper_slurm_world,
}
REAL = "real slurm"
LIVE = (Event.QUEUED, Event.RUNNING)


@pytest.fixture(params=[*sorted(WORLDS), REAL])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[SiteWorld]:
    opened: AbstractAsyncContextManager[SiteWorld] = (
        real_slurm_world(request.getfixturevalue("real_slurm"))
        if request.param == REAL
        else WORLDS[request.param]()
    )
    async with opened as made:
        site = await made.site("probe")

        async def answers() -> bool:
            try:
                await made.driver.observe(site)
            except SiteTrouble:
                return False
            return True

        await until(answers)
        yield made


async def test_what_was_submitted_is_known_at_once_by_its_key_and_runs_once(
    world: SiteWorld,
) -> None:
    site, job = await world.site(), await a_job(world.admin, script=world.script)
    key = f"{job.metadata.uid}-1"
    assert key not in (await world.driver.observe(site)).jobs

    await asyncio.gather(*(world.driver.submit(site, job, key) for _ in range(8)))
    await world.driver.submit(site, job, key)

    report = await world.driver.observe(site)
    assert report.jobs[key].state in LIVE
    assert world.run_count(key) == 1


async def test_a_site_tells_of_its_own_jobs_and_gpus_alone(world: SiteWorld) -> None:
    site, other = await world.site("a"), await world.site("b")
    job = await a_job(world.admin, script=world.script)
    key = f"{job.metadata.uid}-1"
    await world.driver.submit(site, job, key)

    assert set((await world.driver.observe(site)).jobs) == {key}
    assert (await world.driver.observe(other)).jobs == {}
    assert len((await world.driver.observe(other)).devices) == 2


@pytest.mark.parametrize(("code", "state"), [(0, Event.SUCCEEDED), (3, Event.FAILED)])
async def test_w40_an_end_is_told_with_its_code_until_it_is_removed(
    world: SiteWorld, code: int, state: Event
) -> None:
    site, job = await world.site(), await a_job(world.admin, script=world.script)
    key = f"{job.metadata.uid}-1"
    await world.driver.submit(site, job, key)
    await world.runs(key)
    await must_report(world, site, lambda one: one.jobs[key].state is Event.RUNNING)
    await world.ends(key, code)

    report = await must_report(world, site, lambda one: one.jobs[key].state is state)
    assert report.jobs[key].exit_code == code
    await world.driver.submit(site, job, key)
    await world.driver.cancel(site, job, key)
    assert (await world.driver.observe(site)).jobs[key].state is state
    assert world.run_count(key) == 1

    await world.driver.remove(site, job, key)
    await must_report(world, site, lambda one: key not in one.jobs)


async def test_w41_what_is_cancelled_ends_or_is_not_known_any_more(world: SiteWorld) -> None:
    site, job = await world.site(), await a_job(world.admin, script=world.script)
    key = f"{job.metadata.uid}-1"
    await world.driver.submit(site, job, key)
    await world.runs(key)

    await world.driver.cancel(site, job, key)
    if isinstance(world, StandInWorld):
        await world.cancelled(key)

    def is_over(one: Report) -> bool:
        return key not in one.jobs or one.jobs[key].state is Event.CANCELLED

    await must_report(world, site, is_over)


async def test_what_never_began_is_gone_when_it_is_cancelled(world: SiteWorld) -> None:
    site, job = await world.site(), await a_job(world.admin, script=world.script)
    key = f"{job.metadata.uid}-1"
    await world.driver.submit(site, job, key)

    await world.driver.cancel(site, job, key)

    await must_report(
        world, site, lambda one: key not in one.jobs or one.jobs[key].state is Event.CANCELLED
    )


async def test_a_lost_machine_is_told_as_a_loss_or_not_at_all(world: SiteWorld) -> None:
    site, job = await world.site(), await a_job(world.admin, script=world.script)
    key = f"{job.metadata.uid}-1"
    await world.driver.submit(site, job, key)
    await world.runs(key)

    await world.loses(key)

    await must_report(
        world, site, lambda one: key not in one.jobs or one.jobs[key].state is Event.LOST
    )


async def test_what_is_not_there_may_be_cancelled_and_removed(world: SiteWorld) -> None:
    site, job = await world.site(), await a_job(world.admin, script=world.script)
    await world.driver.cancel(site, job, "00-1")
    await world.driver.remove(site, job, "00-1")

    async def knows_nothing() -> bool:
        return (await world.driver.observe(site)).jobs == {}

    await until(knows_nothing)


async def test_a_job_that_fits_on_no_node_of_ours_is_refused() -> None:
    async with local_world() as world:
        site = await world.site()
        job = await a_job(world.admin, resources=GpuResources(gpus=3))

        async def is_known() -> bool:
            try:
                return len((await world.driver.observe(site)).devices) == 2
            except SiteTrouble:
                return False

        await until(is_known)
        with pytest.raises(
            JobRefused, match=r"no node has 3 cubernetes\.io/fake-gpu: .* at most 2"
        ):
            await world.driver.submit(site, job, f"{job.metadata.uid}-1")
