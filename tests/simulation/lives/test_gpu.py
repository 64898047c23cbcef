"""The program of GPU jobs on a lossy network, beside sites that lose answers: nothing doubles."""

import asyncio
import os
import random
from collections import Counter, defaultdict
from datetime import datetime

import pytest

from cubernetes.api.errors import AlreadyExists, ApiError, NotFound
from cubernetes.api.gpu.gpujob import GpuJob, GpuJobSpec, GpuResources, has_ended
from cubernetes.api.gpu.gpusite import GpuSite, GpuSiteSpec
from cubernetes.api.meta import ObjectMeta
from cubernetes.client.connect import ClientSettings
from cubernetes.client.outcome import TransportError
from cubernetes.host.web.messages import Identity
from gpu.machine import Event
from gpu.run import run
from gpu.settings import GpuSettings
from gpu.sites.fake import FakeSites, PaperSites, Script
from tests.simulation.faults import Faults
from tests.simulation.loop import run_simulated
from tests.simulation.smallworld import SmallWorld, small_world

PROGRAM = Identity("system:gpu")
JOBS, RETRIES, SITES = 8, 2, 2
LIFE_S_MAX = 3600.0
# Of the lives that CUBE_SEEDS asks for one in five.
COUNT = max(1, int(os.environ.get("CUBE_SEEDS", "30")) // 5)


class Life:
    """One cluster with jobs, and a program that dies now and then."""

    def __init__(self, seed: str, world: SmallWorld) -> None:
        self._chance = random.Random(f"{seed}:gpu")
        self._world = world
        self.paper = PaperSites(
            world.env("paper").clock,
            script=self._script,
            loses=lambda: self._chance.random() < 0.1,
        )
        self.admin = world.client()
        self.ends: dict[str, set[str]] = defaultdict(set)
        self.life_count = 0

    def _script(self, job: GpuJob, _key: str) -> Script:
        ends = (Event.SUCCEEDED, Event.SUCCEEDED, Event.LOST, Event.FAILED, Event.OUT_OF_MEMORY)
        wait_s, run_s = self._chance.uniform(0, 5), self._chance.uniform(0, 20)
        return Script(wait_s, run_s, self._chance.choice(ends), exit_code=3)

    async def make(self) -> None:
        for index in range(SITES):
            site = GpuSite(
                metadata=ObjectMeta(name=f"s{index}"), spec=GpuSiteSpec(type="standin", max_jobs=3)
            )
            await self._created(site)
        for index in range(JOBS):
            spec = GpuJobSpec(
                script="true", allow_stand_in=True, retries=RETRIES,
                resources=GpuResources(gpus=self._chance.choice((1, 1, 2))),
                time_limit_seconds=60,
            )  # fmt: skip
            meta = ObjectMeta(name=f"j{index}", namespace="default")
            await self._created(GpuJob(metadata=meta, spec=spec))

    async def _created(self, one: GpuJob | GpuSite) -> None:
        while True:
            try:
                await self.admin.create(one)
            except AlreadyExists:
                return
            except (ApiError, TransportError):
                await asyncio.sleep(0.1)
            else:
                return

    async def program(self) -> None:
        """Run the program; it dies at any moment, and is begun anew."""
        while True:
            self.life_count += 1
            place = f"gpu-{self.life_count}"
            client = self._world.client(place, PROGRAM)
            told = GpuSettings(
                client=ClientSettings(servers=(), ca=""), lease="", ask_interval_s=1.0
            )
            drivers = {"standin": FakeSites(self.paper, latency_s=0.2)}
            life = asyncio.create_task(run(told, self._world.env(place), client, drivers))
            await asyncio.wait([life], timeout=self._chance.uniform(1, 30))
            life.cancel()
            (ended,) = await asyncio.gather(life, return_exceptions=True)
            assert isinstance(ended, asyncio.CancelledError), ended

    async def cancels(self) -> None:
        """Cancel one job, and delete another, at some moment."""
        await asyncio.sleep(self._chance.uniform(0, 40))
        await self._trying(lambda: self.admin.patch(
            GpuJob, "j0", "default", {"spec": {"cancel": True}}
        ))  # fmt: skip
        await asyncio.sleep(self._chance.uniform(0, 20))
        await self._trying(lambda: self.admin.delete(GpuJob, "j1", "default"))

    async def _trying(self, ask: object) -> None:
        while True:
            try:
                await ask()  # type: ignore[operator]  # a request
            except NotFound:
                return
            except (ApiError, TransportError):
                await asyncio.sleep(0.1)
            else:
                return

    async def watch(self) -> list[GpuJob]:
        """Return all jobs once each has ended; check at each look what must hold always."""
        while True:
            try:
                jobs = (await self.admin.list(GpuJob, "default")).items
            except (ApiError, TransportError):
                await asyncio.sleep(0.1)
                continue
            for one in jobs:
                if has_ended(one):
                    self.ends[one.metadata.name].add(f"{one.status.phase} {one.status.ended_at}")
            self._check_devices()
            if "j1" not in {one.metadata.name for one in jobs} and all(map(has_ended, jobs)):
                return list(jobs)
            await asyncio.sleep(0.5)

    def _check_devices(self) -> None:
        now: datetime = self.paper.clock.now()
        used = Counter(
            (job.site, device)
            for job in self.paper.jobs.values()
            if job.state(now) is Event.RUNNING
            for device in job.devices
        )
        assert all(count == 1 for count in used.values()), used


async def live(seed: str) -> None:
    faults = Faults(latency_s_max=0.3, lost_request=0.03, lost_reply=0.03, stream_cut=0.02)
    async with small_world(seed, faults) as world:
        life = Life(seed, world)
        await life.make()
        tasks = [asyncio.create_task(life.program()), asyncio.create_task(life.cancels())]
        try:
            async with asyncio.timeout(LIFE_S_MAX):
                jobs = await life.watch()
                await tasks[1]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    # Each key ran once, however often it was sent; each job ended once, and stayed so.
    assert all(count == 1 for count in life.paper.runs.values()), life.paper.runs
    assert {one.metadata.name for one in jobs} == {f"j{index}" for index in range(JOBS)} - {"j1"}
    assert all(len(ends) == 1 for ends in life.ends.values()), life.ends
    # Of a job that was deleted nothing is left at its site.
    uids = {one.metadata.uid for one in jobs}
    assert {key.rpartition("-")[0] for key in life.paper.jobs} <= uids
    for one in jobs:
        assert one.status.attempt <= RETRIES + 1
        if one.status.reason == "MachineLost":
            assert one.status.attempt == RETRIES + 1


@pytest.mark.parametrize("seed", range(COUNT))
def test_each_key_runs_at_most_once_and_each_job_ends_exactly_once(seed: int) -> None:
    """W40, W41: a blip failed jobs, failures were told as done, and jobs stayed for ever."""
    run_simulated(live(str(seed)), str(seed), LIFE_S_MAX + 60)
