"""A site of paper: jobs end as a script says, by the clock; answers are late, lost or repeated."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cubernetes.api.gpu.gpujob import GpuJob
from cubernetes.api.gpu.gpusite import GpuSite
from cubernetes.host.clock import Clock
from gpu.driver import Observation, Report, SiteTrouble
from gpu.machine import Event


@dataclass(frozen=True, slots=True)
class Script:
    """How one attempt goes: it waits, runs, and ends; a lost one is gone with its machine."""

    wait_s: float = 0.0
    run_s: float = 1.0
    end: Event = Event.SUCCEEDED
    exit_code: int | None = 0


@dataclass(slots=True)
class PaperJob:
    site: str
    script: Script
    at: datetime
    devices: tuple[str, ...]
    cancelled_at: datetime | None = None

    @property
    def begins_at(self) -> datetime:
        return self.at + timedelta(seconds=self.script.wait_s)

    @property
    def ends_at(self) -> datetime:
        return self.begins_at + timedelta(seconds=self.script.run_s)

    def state(self, now: datetime) -> Event:
        cancelled_at = self.cancelled_at
        if cancelled_at is not None and cancelled_at < self.ends_at:
            return Event.CANCELLED
        if now < self.begins_at:
            return Event.QUEUED
        return Event.RUNNING if now < self.ends_at else self.script.end


@dataclass
class PaperSites:
    """What lasts while programs come and go: the sites themselves.

    loses: called before each request is carried out and after it: whether it, or its answer, is
    lost. runs: how often each key has begun to run.
    """

    clock: Clock
    script: Callable[[GpuJob, str], Script] = lambda _job, _key: Script()
    loses: Callable[[], bool] = lambda: False
    gpus: int = 2
    jobs: dict[str, PaperJob] = field(default_factory=dict)
    runs: Counter[str] = field(default_factory=Counter)
    # Ended, and taken away: the site does not know them any more.
    removed: set[str] = field(default_factory=set)


class FakeSites:
    """A driver of sites of paper. An answer takes latency_s."""

    def __init__(self, paper: PaperSites, latency_s: float = 0.0) -> None:
        self.paper, self._latency_s = paper, latency_s

    def on_change(self, wake: Callable[[], None]) -> None:
        """Paper tells nothing by itself."""

    async def run(self) -> None:
        """Paper does nothing by itself."""

    async def observe(self, site: GpuSite) -> Report:
        await self._travels("question")
        paper = self.paper
        devices = {f"gpu-{index}": "paper" for index in range(paper.gpus)}
        jobs = {
            key: self._observation(job)
            for key, job in paper.jobs.items()
            if job.site == site.metadata.name
        }
        await self._travels("answer")
        return Report(devices, jobs, "a site of paper")

    async def submit(self, site: GpuSite, job: GpuJob, key: str) -> None:
        await self._travels("submission")
        paper = self.paper
        if key not in paper.jobs:
            paper.jobs[key] = PaperJob(
                site.metadata.name, paper.script(job, key), paper.clock.now(), job.status.devices
            )
            paper.runs[key] += 1
        await self._travels("answer")

    async def cancel(self, site: GpuSite, job: GpuJob, key: str) -> None:  # noqa: ARG002
        await self._travels("cancellation")
        found = self.paper.jobs.get(key)
        if found is not None and found.cancelled_at is None:
            found.cancelled_at = self.paper.clock.now()
        await self._travels("answer")

    async def remove(self, site: GpuSite, job: GpuJob, key: str) -> None:  # noqa: ARG002
        await self._travels("removal")
        if self.paper.jobs.pop(key, None) is not None:
            self.paper.removed.add(key)
        await self._travels("answer")

    async def _travels(self, what: str) -> None:
        if self._latency_s:
            await self.paper.clock.sleep(self._latency_s)
        if self.paper.loses():
            raise SiteTrouble(f"the {what} was lost")

    def _observation(self, job: PaperJob) -> Observation:
        now = self.paper.clock.now()
        state = job.state(now)
        has_begun, has_ended = now >= job.begins_at, now >= job.ends_at
        code = job.script.exit_code if state in (Event.SUCCEEDED, Event.FAILED) else None
        return Observation(
            state=state,
            exit_code=code,
            node="paper",
            started_at=job.begins_at if has_begun else None,
            ended_at=job.ends_at if has_ended else None,
        )
