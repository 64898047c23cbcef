"""What is done about jobs: one thing at a time for each, and many jobs at once."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from cubernetes.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from cubernetes.api.gpu.gpujob import FINALIZER, GpuJob
from cubernetes.api.gpu.gpusite import SITE_FINALIZER, GpuSite
from cubernetes.api.meta import Object, replaced
from cubernetes.client.cache import revision_of
from cubernetes.client.informer import Informer
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.reconcile.plan import Record
from cubernetes.reconcile.records import EventRecorder
from gpu.decide import Act, Next, refused, taken
from gpu.driver import JobRefused, SiteDriver, SiteTrouble

log = Log(__name__)

SEEN_S = 10.0  # for a write to come back by the watch
FAILED_PAUSE_S = 1.0
# A site that was asked to end a job, or has said nothing new of one, is left alone for so long.
AGAIN_S = 1.0
DEADLINE_S = 60.0


class DrivenSite(NamedTuple):
    """A site, and what reaches it."""

    site: GpuSite
    driver: SiteDriver


class Hands:
    """Carries out what was decided.

    busy: what is under way, by uid: each job as it will be once that is done. settled_at_s: when
    the last thing was done about a job: what its site said before tells nothing. unsent: jobs that
    were admitted here and never sent, by uid, with their keys: no site needs to be asked for these.
    """

    def __init__(
        self,
        client: Client,
        env: Env,
        jobs: Informer[GpuJob],
        recorder: EventRecorder,
        hands_max: int,
        changed: Callable[[], None],
    ) -> None:
        self._client, self._env, self._jobs, self._recorder = client, env, jobs, recorder
        self._changed = changed
        self._slots = asyncio.Semaphore(hands_max)
        self._tasks: set[asyncio.Task[None]] = set()
        self.busy: dict[str, GpuJob] = {}
        self.settled_at_s: dict[str, float] = {}
        self.unsent: dict[str, str] = {}
        self.writing: set[str] = set()

    def begin(self, job: GpuJob, after: Next, place: DrivenSite | None = None) -> None:
        """Begin what is next for a job: its status is written first, then its site is asked."""
        uid = job.metadata.uid
        self.busy[uid] = replaced(job, status=after.status)
        self._do(uid, self._carry_out(job, after, place), lambda: self._settled(uid))

    def remove(self, job: GpuJob, key: str, place: DrivenSite) -> None:
        """Take away what is left of an attempt that is over."""
        self._once(key, place.driver.remove(place.site, job, key))

    def write_status(self, informer: Informer[Any], one: Object) -> None:
        """Write the status of a site or a queue, unless one of it is being written."""

        async def write() -> None:
            written = await self._client.update_status(one)
            await informer.at_least(revision_of(written), SEEN_S)

        self._once(str(one.ref), write())

    def create(self, informer: Informer[Any], one: Object) -> None:
        async def create() -> None:
            try:
                made = await self._client.create(one)
            except AlreadyExists:
                return
            await informer.at_least(revision_of(made), SEEN_S)

        self._once(str(one.ref), create())

    def release_site(self, informer: Informer[GpuSite], site: GpuSite) -> None:
        """Let a deleted site go, at which nothing of ours is left."""
        if SITE_FINALIZER not in site.metadata.finalizers:
            return

        async def release() -> None:
            change = _without(site, SITE_FINALIZER)
            gone = await self._client.patch(GpuSite, site.metadata.name, "", change)
            await informer.at_least(revision_of(gone), SEEN_S)

        self._once(str(site.ref), release())

    def forget_absent(self, there: set[str]) -> None:
        for uid in self.settled_at_s.keys() - there:
            del self.settled_at_s[uid]
            self.unsent.pop(uid, None)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _settled(self, uid: str) -> None:
        self.busy.pop(uid, None)
        self.settled_at_s[uid] = self._env.clock.monotonic()

    def _once(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        if name in self.writing:
            work.close()
            return
        self.writing.add(name)
        self._do(name, work, lambda: self.writing.discard(name))

    def _do(self, name: str, work: Coroutine[Any, Any, None], ended: Callable[[], object]) -> None:
        async def doing() -> None:
            try:
                async with self._slots, asyncio.timeout(DEADLINE_S):
                    await work
            except (Conflict, NotFound) as error:
                log.debug("not done, looking again", what=name, why=error)
                await self._env.clock.sleep(FAILED_PAUSE_S)
            except (ApiError, TransportError, SiteTrouble, TimeoutError) as error:
                log.warning("not done, trying again", what=name, why=error)
                await self._env.clock.sleep(FAILED_PAUSE_S)
            except Exception as error:  # noqa: BLE001  a bug must not take its neighbours down
                log.bug("an action failed", error, what=name)
                await self._env.clock.sleep(FAILED_PAUSE_S)
            finally:
                work.close()
                ended()
                self._changed()

        task = asyncio.get_running_loop().create_task(doing())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, job: GpuJob, after: Next, place: DrivenSite | None) -> None:
        if after.status != job.status:
            job = await self._written(job, replaced(job, status=after.status))
        if after.act in (Act.RELEASE, Act.EXPIRE):
            await self._let_go(job, after.act)
        elif place is not None and after.act is not Act.NOTHING:
            await self._ask(job, after.act, place)

    async def _written(self, old: GpuJob, new: GpuJob) -> GpuJob:
        written = await self._client.update_status(new)
        before, now = old.status, written.status
        if before.phase != now.phase:
            if (before.phase, now.phase) == ("Pending", "Submitting"):
                self.unsent[written.metadata.uid] = now.submission_key
            log.info("phase changed", job=new.ref, phase=now.phase, site=now.site, why=now.reason)
            self._recorder.record(_record_of(written))
        await self._jobs.at_least(revision_of(written), SEEN_S)
        return written

    async def _ask(self, job: GpuJob, act: Act, place: DrivenSite) -> None:
        (site, driver), key = place, job.status.submission_key
        match act:
            case Act.SUBMIT:
                # Whatever comes of this, it may be there from now on.
                self.unsent.pop(job.metadata.uid, None)
                try:
                    await driver.submit(site, job, key)
                except JobRefused as why:
                    status = refused(job, str(why), self._env.clock.now())
                    await self._written(job, replaced(job, status=status))
                    return
                log.info("submitted", job=job.ref, key=key, site=site.metadata.name)
                # What the site says next is a question away.
                status = taken(job, self._env.clock.now())
                await self._written(job, replaced(job, status=status))
            case Act.CANCEL:
                await driver.cancel(site, job, key)
                await self._env.clock.sleep(AGAIN_S)
            case _:
                await driver.remove(site, job, key)
                await self._env.clock.sleep(AGAIN_S)

    async def _let_go(self, job: GpuJob, act: Act) -> None:
        meta = job.metadata
        if act is Act.EXPIRE:
            gone = await self._client.delete(GpuJob, meta.name, meta.namespace, uid=meta.uid)
            await self._jobs.at_least(int(gone or 0), SEEN_S)
            return
        change = _without(job, FINALIZER)
        changed = await self._client.patch(GpuJob, meta.name, meta.namespace, change)
        await self._jobs.at_least(revision_of(changed), SEEN_S)


def _without(one: Object, finalizer: str) -> dict[str, object]:
    """Return the change that takes a finalizer from an object as it is now."""
    meta = one.metadata
    return {
        "metadata": {
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
            "finalizers": [each for each in meta.finalizers if each != finalizer],
        }
    }


def _record_of(job: GpuJob) -> Record:
    """Return what people are told of a new phase."""
    status = job.status
    is_bad = status.phase in ("Failed", "TimedOut", "OutOfMemory", "Pending")
    place = f" at site {status.site}" if status.site else ""
    told = f"{status.phase}{place}" + (f": {status.message}" if status.message else "")
    return Record(job, status.phase, told, "Warning" if is_bad else "Normal")
