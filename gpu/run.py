"""The program of GPU jobs: observe, decide, act. All that it knows stands in the objects.

Jobs and queues come from the API, what becomes of jobs from their sites. A turn is made at each
change, and where nothing changes once in a while.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from cubernetes.api.gpu.gpujob import GpuJob, has_ended
from cubernetes.api.gpu.gpuqueue import DEFAULT, GpuQueue
from cubernetes.api.gpu.gpusite import GpuSite
from cubernetes.api.meta import Object, ObjectMeta, replaced
from cubernetes.client.connect import connect
from cubernetes.client.informer import Informer
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.supervise import supervised
from cubernetes.host.timing.waiting import wait_until
from cubernetes.reconcile.lease import run_as_leader
from cubernetes.reconcile.records import EventRecorder
from gpu import plan
from gpu.decide import (
    Act,
    Holders,
    Next,
    Sight,
    admitted,
    held_of,
    is_held,
    is_waiting,
    next_of,
    stepped_back,
    waiting_of,
    waits,
)
from gpu.driver import SiteDriver
from gpu.hands import DrivenSite, Hands
from gpu.machine import Event
from gpu.outputs import Outputs
from gpu.settings import GpuSettings
from gpu.sites.registry import Drivers, drivers_for
from gpu.statuses import queue_status, site_status, usage_of
from gpu.watching import Known, Watching

log = Log(__name__)

# Turns are made for at most this part of the time, however many jobs change.
TURN_SHARE = 1 / 10
TURN_PAUSE_S = 0.02
# What waiting jobs are told is not worth more writes than this at once, nor more often.
WAITS_MAX = 20
WAIT_AGAIN_S = 5.0
STAND_IN, SLURM = "standin", "slurm"


async def run(
    settings: GpuSettings, env: Env, client: Client | None = None, drivers: Drivers | None = None
) -> None:
    """Send jobs to sites until cancelled. What runs there runs on."""
    own = client or connect(settings.client, env, "gpu")

    async def work(leading: Client) -> None:
        runner = Runner(leading, env, settings, drivers)
        await supervised("gpu", runner.run, env)

    try:
        await run_as_leader(settings.lease, "gpu", own, env, work)
    finally:
        if client is None:
            await own.close()


class Runner:
    """One leader's life."""

    def __init__(
        self, client: Client, env: Env, settings: GpuSettings, drivers: Drivers | None = None
    ) -> None:
        self._env, self._settings = env, settings
        self._changed = asyncio.Event()
        self._jobs = Informer(client, GpuJob, env)
        self._sites = Informer(client, GpuSite, env)
        self._queues = Informer(client, GpuQueue, env)
        self._recorder = EventRecorder(client, env, "gpu")
        self._drivers = drivers or drivers_for(client, env, settings)
        self._watching = Watching(self._drivers, env, settings, self._changed.set)
        self._hands = Hands(
            client, env, self._jobs, self._recorder, settings.hands_max, self._changed.set
        )
        # When a waiting job was told last what it waits for.
        self._told_at_s: dict[str, float] = {}
        metrics = env.metrics
        self._turns = metrics.histogram("cube_gpu_turn_seconds", "Turns over all jobs.")
        jobs = metrics.gauge("cube_gpu_jobs", "Jobs that have not ended.", "phase")
        self._counts = {
            phase: jobs.labels(phase)
            for phase in ("Pending", "Submitting", "Queued", "Running", "Cancelling")
        }

    @property
    def _informers(self) -> tuple[Informer[Any], ...]:
        return (self._jobs, self._sites, self._queues)

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._recorder.run())
            for informer in self._informers:
                informer.on_change(self._note)
                tasks.create_task(informer.run())
            if self._settings.cert:
                outputs = Outputs(self._settings, self)
                tasks.create_task(supervised("outputs", outputs.run, self._env))
            for name, driver in self._drivers.items():
                tasks.create_task(supervised(f"site {name}", driver.run, self._env))
            try:
                await self._work()
            finally:
                await self._watching.close()
                await self._hands.close()

    def site_named(self, name: str) -> tuple[GpuSite, SiteDriver] | None:
        """Return a site, and what reaches it; None where there is none of that name."""
        site = self._sites.cache.get(name)
        return (site, self._watching.driver(site)) if site is not None else None

    def is_over(self, key: str) -> bool:
        """Whether a submission is its job's last and the job has ended, or is not its last."""
        uid = key.rpartition("-")[0]
        job = next((one for one in self._jobs.cache.list() if one.metadata.uid == uid), None)
        return job is None or has_ended(job) or job.status.submission_key != key

    def _note(self, _old: Object | None, _new: Object | None) -> None:
        self._changed.set()

    async def _work(self) -> None:
        for informer in self._informers:
            await informer.synced.wait()
        clock = self._env.clock
        while True:
            self._changed.clear()
            began_s = clock.monotonic()
            self._turn()
            spent_s = clock.monotonic() - began_s
            self._turns.observe(spent_s)
            await clock.sleep(max(TURN_PAUSE_S, spent_s / TURN_SHARE))
            await wait_until(self._changed, self._settings.look_interval_s)

    def _turn(self) -> None:
        """Do what is to be done now."""
        now, hands = self._env.clock.now(), self._hands
        jobs = [hands.busy.get(one.metadata.uid, one) for one in self._jobs.cache.list()]
        sites = {one.metadata.name: one for one in self._sites.cache.list()}
        if self._queues.cache.get(DEFAULT) is None:
            hands.create(self._queues, GpuQueue(metadata=ObjectMeta(name=DEFAULT)))
        self._watching.ask(sites.values())
        holders = Holders(jobs)
        for job in jobs:
            if job.metadata.uid not in hands.busy:
                self._advance(job, sites, holders, now)
        # As they will be, once what has just begun is done.
        jobs = [hands.busy.get(one.metadata.uid, one) for one in jobs]
        self._plan(jobs, sites, now)
        self._sweep(jobs, sites)
        self._tell(jobs, sites, now)
        there = {one.metadata.uid for one in jobs}
        hands.forget_absent(there)
        self._told_at_s = {uid: at_s for uid, at_s in self._told_at_s.items() if uid in there}

    def _advance(
        self, job: GpuJob, sites: dict[str, GpuSite], holders: Holders, now: datetime
    ) -> None:
        site = sites.get(job.status.site)
        after = next_of(job, self._sight(job, site), now)
        if after.act is Act.SUBMIT and holders.is_shared(job):
            after = Next(stepped_back(job))
            holders.let_go(job)
        if after.status != job.status or after.act is not Act.NOTHING:
            self._begin(job, after, site)

    def _begin(self, job: GpuJob, after: Next, site: GpuSite | None) -> None:
        self._hands.begin(job, after, self._place(site) if site is not None else None)

    def _place(self, site: GpuSite) -> DrivenSite:
        return DrivenSite(site, self._watching.driver(site))

    def _sight(self, job: GpuJob, site: GpuSite | None) -> Sight:
        if site is None:
            return Sight(is_gone=True)
        if self._hands.unsent.get(job.metadata.uid) == job.status.submission_key:
            # Nobody can have sent it: it is known to be absent.
            return Sight(has_news=True)
        known = self._watching.known.get(site.metadata.uid, Known())
        settled_at_s = self._hands.settled_at_s.get(job.metadata.uid, float("-inf"))
        if known.report is None or known.trouble:
            return Sight()
        if known.asked_at_s <= settled_at_s:
            if is_held(job) or job.metadata.is_deleted:
                known.is_due = True
                self._changed.set()
            return Sight()
        return Sight(has_news=True, observation=known.report.jobs.get(job.status.submission_key))

    def _plan(self, jobs: Sequence[GpuJob], sites: dict[str, GpuSite], now: datetime) -> None:
        """Send those whose turn it is, and tell the others what they wait for."""
        busy = self._hands.busy
        waiting = {
            one.metadata.uid: one
            for one in jobs
            if is_waiting(one) and one.metadata.uid not in busy
        }
        if not waiting:
            return
        by_queue = _by_queue(jobs)
        made = plan.plan(
            now,
            [waiting_of(one) for one in waiting.values()],
            [held_of(one, now) for one in jobs if is_held(one)],
            [self._plan_site(one) for one in sites.values()],
            [
                _plan_queue(one, by_queue[one.metadata.name], now)
                for one in self._queues.cache.list()
            ],
            sum(one.status.attempt for one in jobs),
        )
        for admission in made.admissions:
            job = waiting[admission.uid]
            self._begin(job, Next(admitted(job, admission, now)), sites[admission.site])
        now_s = self._env.clock.monotonic()
        for uid, wait in made.waits.items():
            job, status = waiting[uid], waits(waiting[uid], wait)
            is_new = uid not in self._told_at_s
            told_at_s = self._told_at_s.get(uid, float("-inf"))
            if status == job.status or now_s - told_at_s < WAIT_AGAIN_S:
                continue
            if len(busy) >= WAITS_MAX and not is_new:
                break
            self._told_at_s[uid] = now_s
            self._begin(job, Next(status), None)

    def _plan_site(self, site: GpuSite) -> plan.Site:
        known = self._watching.known.get(site.metadata.uid, Known())
        is_going = "it is being deleted" if site.metadata.is_deleted else ""
        return plan.Site(
            name=site.metadata.name,
            devices=known.report.devices if known.report is not None else {},
            jobs_max=site.spec.max_jobs,
            is_stand_in=site.spec.type == STAND_IN,
            spans_nodes=site.spec.type == SLURM,
            trouble=known.trouble or is_going,
        )

    def _sweep(self, jobs: Sequence[GpuJob], sites: dict[str, GpuSite]) -> None:
        """Take away what runs at sites under the keys of attempts that are over.

        At a site that is deleted, all that is left once no job of ours is there.
        """
        by_uid = {one.metadata.uid: one for one in jobs}
        for site in sites.values():
            known = self._watching.known.get(site.metadata.uid)
            report = known.report if known is not None else None
            if report is None or known is None:
                continue
            is_going = site.metadata.is_deleted and not any(
                is_held(one) and one.status.site == site.metadata.name for one in jobs
            )
            # Other keys are of jobs that another cluster has there.
            is_empty = not any(key.rpartition("-")[0] in by_uid for key in report.jobs)
            if is_going and is_empty and not known.trouble:
                self._hands.release_site(self._sites, site)
            for key, found in report.jobs.items():
                job = by_uid.get(key.rpartition("-")[0])
                # One that is not there any more has been waited for: its finalizer saw to that.
                if job is None or job.metadata.uid in self._hands.busy:
                    continue
                is_old = key != job.status.submission_key
                is_live = found.state in (Event.QUEUED, Event.RUNNING)
                if is_old or is_going or (is_live and has_ended(job)):
                    self._hands.remove(job, key, self._place(site))

    def _tell(self, jobs: Sequence[GpuJob], sites: dict[str, GpuSite], now: datetime) -> None:
        """Write the statuses of sites and queues that differ from what is shown."""
        phases = Counter[str](one.status.phase for one in jobs)
        for phase, gauge in self._counts.items():
            gauge.set(phases[phase])
        self._tell_sites(jobs, sites, now)
        by_queue = _by_queue(jobs)
        for queue in self._queues.cache.list():
            told = queue_status(queue, by_queue[queue.metadata.name], now)
            if told != queue.status:
                self._hands.write_status(self._queues, replaced(queue, status=told))

    def _tell_sites(self, jobs: Sequence[GpuJob], sites: dict[str, GpuSite], now: datetime) -> None:
        at_site: defaultdict[str, list[GpuJob]] = defaultdict(list)
        for one in jobs:
            if is_held(one):
                at_site[one.status.site].append(one)
        for site in sites.values():
            known = self._watching.known.get(site.metadata.uid, Known())
            if known.asked_at_s == float("-inf"):
                continue
            here = at_site[site.metadata.name]
            status = site_status(site, known.report, known.trouble, here, now)
            if status != site.status:
                self._hands.write_status(self._sites, replaced(site, status=status))


def _by_queue(jobs: Iterable[GpuJob]) -> defaultdict[str, list[GpuJob]]:
    found: defaultdict[str, list[GpuJob]] = defaultdict(list)
    for one in jobs:
        found[one.spec.queue].append(one)
    return found


def _plan_queue(queue: GpuQueue, jobs: Iterable[GpuJob], now: datetime) -> plan.Queue:
    spec = queue.spec
    return plan.Queue(
        name=queue.metadata.name,
        weight=spec.weight,
        usage=usage_of(queue, jobs, now),
        gpus_max=spec.max_gpus,
        jobs_max=spec.max_jobs,
    )
