"""Run planners against the API: observe, plan, execute, key by key, for ever.

One informer for each kind, shared by all planners of the program. Each planner has its own queue
and barrier. A key that fails waits and is planned again; a key whose plan is a bug waits longer,
its story is logged and recorded at its object, and no other key suffers from it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cubernetes.api.apiextensions.customresourcedefinition import CustomResourceDefinition
from cubernetes.api.errors import ApiError, Conflict, Forbidden, Invalid, NotFound
from cubernetes.api.meta import Object, Ref
from cubernetes.client.informer import Informer
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.metrics import following
from cubernetes.host.timing.waiting import wait_until
from cubernetes.reconcile.arrivals import Telling, follow
from cubernetes.reconcile.asking import Asker
from cubernetes.reconcile.barrier import Barrier
from cubernetes.reconcile.customkinds import CustomKinds
from cubernetes.reconcile.execute import Executor, NameTaken
from cubernetes.reconcile.journal import Journal
from cubernetes.reconcile.plan import (
    Action,
    Asking,
    OfEveryKind,
    Planner,
    Record,
    Reporting,
    RequeueAfter,
    View,
)
from cubernetes.reconcile.readings import SampleStore
from cubernetes.reconcile.records import EventRecorder
from cubernetes.reconcile.view import CacheView, Informers
from cubernetes.reconcile.workqueue import Workqueue

log = Log(__name__)


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """component signs the records. Every key is planned anew each resync_s, whatever happened."""

    component: str
    worker_count: int = 4
    barrier_s: float = 10.0
    resync_s: float = 600.0


async def run_planners(
    planners: Sequence[Planner],
    client: Client,
    env: Env,
    settings: LoopSettings,
    source: SampleStore | None = None,
) -> None:
    """Run until cancelled; raises only where our own code outside of plans has a bug.

    source answers planners that ask for metrics; without one their readings are absent.
    """
    kinds = dict.fromkeys(kind for planner in planners for kind in planner.kinds)
    informers = {kind: Informer[Any](client, kind, env) for kind in kinds}
    recorder = EventRecorder(client, env, settings.component)
    journal = Journal(source, env)
    asker = Asker(source, env)
    shared = Shared(informers, client, env, recorder, settings, asker, journal)
    loops = [Loop(planner, shared) for planner in planners]
    broad = [loop for loop in loops if loop.is_of_every_kind]
    definitions = informers.get(CustomResourceDefinition)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(recorder.run())
        tasks.create_task(journal.run())
        if isinstance(source, Telling):
            tasks.create_task(follow(source, asker, loops, shared.begun, env))
        for loop in loops:
            tasks.create_task(loop.run())
        if broad and definitions is not None:
            tasks.create_task(CustomKinds(client, env, definitions, broad).run())
        for informer in informers.values():
            tasks.create_task(informer.run())


@dataclass(frozen=True, slots=True)
class Shared:
    """What all planners of a program have in common."""

    informers: Informers
    client: Client
    env: Env
    recorder: EventRecorder
    settings: LoopSettings
    asker: Asker
    journal: Journal
    # Some planner has keys that follow samples.
    begun: asyncio.Event = field(default_factory=asyncio.Event)


class ViewStale(Exception):
    """Planning on what the view shows could repeat what is done already: wait, then look again."""


class Loop:
    """One planner with its queue: which keys are to be planned, and by which workers."""

    def __init__(self, planner: Planner, shared: Shared) -> None:
        """Register with the informers; they must not run yet."""
        self._planner = planner
        # Looked at once: to ask a protocol costs more than a short plan.
        self._asking = planner if isinstance(planner, Asking) else None
        self._reporting = planner if isinstance(planner, Reporting) else None
        self._of_every_kind = planner if isinstance(planner, OfEveryKind) else None
        self._informers = {kind: shared.informers[kind] for kind in planner.kinds}
        self._env = shared.env
        self._recorder = shared.recorder
        self._settings = shared.settings
        self._asker = shared.asker
        self._view = CacheView(self._informers)
        self._barrier = Barrier(shared.client, self._informers)
        self._executor = Executor(shared.client, self._barrier, shared.recorder, shared.journal)
        self._queue: Workqueue[Ref] = Workqueue()
        # In the order of their coming: who is woken first must not depend on hashes.
        self._followers: dict[Ref, None] = {}
        self._begun = shared.begun
        self._wake = asyncio.Event()
        self._is_open = False
        self._count(planner.name)
        for informer in self._informers.values():
            informer.on_change(self._changed)

    def _count(self, name: str) -> None:
        metrics = self._env.metrics
        rounds = "Rounds of planning a key and carrying the plan out."
        self._rounds = metrics.histogram("cube_loop_round_seconds", rounds, "loop").labels(name)
        failures = metrics.counter(
            "cube_loop_failures_total", "Rounds that failed and are repeated.", "loop", "reason"
        )
        self._refusals, self._bugs = failures.labels(name, "api"), failures.labels(name, "bug")
        ready = metrics.gauge("cube_loop_ready_keys", "Keys that wait for a worker.", "loop")
        self._ready = ready.labels(name)

    @property
    def is_of_every_kind(self) -> bool:
        return self._of_every_kind is not None

    def follow(self, kind: type[Object], informer: Informer[Any]) -> None:
        """Hear of the changes of a custom kind; its informer does not run yet."""
        self._informers[kind] = informer
        informer.on_change(self._changed)

    def know(self, kinds: Sequence[type[Object]]) -> None:
        """Plan about these custom kinds from now on, and about no others."""
        if self._of_every_kind is None:
            return
        before = frozenset(self._planner.kinds)
        self._of_every_kind.know(kinds)
        for kind in (one for one in kinds if self._is_open and one not in before):
            for one in self._informers[kind].cache.list():
                self._concern(one)

    def forget(self, kind: type[Object]) -> None:
        """Follow a custom kind no more, and plan about it no more."""
        if self._of_every_kind is not None:
            others = (one for one in self._planner.kinds if one is not kind)
            self._of_every_kind.know([one for one in others if one.resource.is_custom])
        self._informers.pop(kind, None)
        self._barrier.forget(kind)

    def tell(self, gone: Sequence[Object]) -> None:
        """Plan what the end of these objects concerns; the view has them no more."""
        for one in gone:
            self._changed(one, None)

    def follower_count(self) -> int:
        return len(self._followers)

    def is_behind(self) -> bool:
        return any(self._queue.is_waiting(key) for key in self._followers)

    def wake_followers(self) -> None:
        for key in self._followers:
            self._queue.add_early(key)
        self._wake.set()

    async def run(self) -> None:
        for informer in tuple(self._informers.values()):
            await informer.synced.wait()
        # Before every kind is there, keys() would answer from half a view.
        self._is_open = True
        with following(self._ready, lambda: len(self._queue)):
            await self._work_for_ever()

    async def _work_for_ever(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._resync())
            tasks.create_task(self._dispatch(tasks))

    async def _resync(self) -> None:
        while True:
            for informer in self._informers.values():
                for one in informer.cache.list():
                    self._concern(one)
            await self._env.clock.sleep(self._settings.resync_s)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if not self._is_open:
            return
        for one in (old, new):
            if one is not None:
                self._concern(one)

    def _concern(self, one: Object) -> None:
        """Ask for every key that an object concerns."""
        try:
            keys = tuple(self._planner.keys(one, self._view))
        except Exception as bug:  # noqa: BLE001  one poisonous object must not stop the others
            log.bug("keys failed", bug, planner=self._planner.name, object=one.ref)
            return
        for key in keys:
            self._queue.add(key)
        if keys:
            self._wake.set()

    async def _dispatch(self, tasks: asyncio.TaskGroup) -> None:
        """Hand keys to workers, at most worker_count at a time."""
        slots = asyncio.Semaphore(self._settings.worker_count)
        while True:
            await slots.acquire()
            key = await self._next()
            task = tasks.create_task(self._work(key))
            task.add_done_callback(lambda _: slots.release())

    async def _next(self) -> Ref:
        clock = self._env.clock
        while True:
            key = self._queue.take(clock.monotonic())
            if key is not None:
                return key
            self._wake.clear()
            due_s = self._queue.due_s()
            wait_s = None if due_s is None else max(0.0, due_s - clock.monotonic())
            await wait_until(self._wake, wait_s)

    async def _work(self, key: Ref) -> None:
        """Give a key one round, and give it back to the queue, whatever became of it."""
        began_at = self._env.clock.monotonic()
        try:
            await self._plan_and_execute(key)
        except (ApiError, TransportError, NameTaken, ViewStale) as error:
            self._failed(key, error)
        except Exception as bug:  # noqa: BLE001  a bug is isolated to its key and told
            self._poisoned(key, bug)
        else:
            self._queue.done(key)
            self._rounds.observe(self._env.clock.monotonic() - began_at)
        self._wake.set()

    async def _plan_and_execute(self, key: Ref) -> None:
        # Asked first: the view that is planned on has seen what others wrote meanwhile.
        view = await self._view_for(key)
        if not await self._barrier.clear(self._settings.barrier_s):
            raise ViewStale("the view does not show yet what was done")
        for action in tuple(self._planner.plan(key, view, self._env.clock.now())):
            if isinstance(action, RequeueAfter):
                self._queue.add_at(key, self._env.clock.monotonic() + action.after_s)
            else:
                await self._carry_out(key, action)

    async def _carry_out(self, key: Ref, action: Action) -> None:
        try:
            await self._executor.carry_out(action)
        except (Forbidden, Invalid) as refusal:
            if self._reporting is not None:
                why, now = refusal.message, self._env.clock.now()
                for one in tuple(self._reporting.refused(key, action, why, self._view, now)):
                    await self._executor.carry_out(one)
            raise

    async def _view_for(self, key: Ref) -> View:
        """Return the view, with the readings that the planner wants for this key."""
        if self._asking is None:
            return self._view
        questions = self._asking.asks(key, self._view)
        if questions:
            self._followers[key] = None
            self._begun.set()
        else:
            self._followers.pop(key, None)
        return self._view.with_readings(await self._asker.answers(questions))

    def _failed(self, key: Ref, error: Exception) -> None:
        self._refusals.inc()
        clock = self._env.clock
        pause_s = self._queue.retry(key, clock.monotonic(), self._env.rng.fraction())
        # The first of a streak is news; that someone wrote first is everyday life.
        is_news = self._queue.failure_count(key) == 1 and not isinstance(error, Conflict | NotFound)
        tell = log.warning if is_news else log.debug
        name = self._planner.name
        facts = {"planner": name, "key": key, "cause": self._cause_of(key)}
        tell("not done, planning again", error=error, pause_s=pause_s, **facts)

    def _poisoned(self, key: Ref, bug: Exception) -> None:
        self._bugs.inc()
        log.bug("plan failed", bug, planner=self._planner.name, key=key, cause=self._cause_of(key))
        clock = self._env.clock
        self._queue.retry(key, clock.monotonic(), self._env.rng.fraction(), is_held=True)
        if (about := self._object_of(key)) is not None:
            message = f"{self._planner.name} cannot plan this: {type(bug).__name__}: {bug}"
            self._recorder.record(Record(about, "PlanFailed", message, "Warning"))

    def _cause_of(self, key: Ref) -> str:
        one = self._object_of(key)
        return one.cause if one is not None else ""

    def _object_of(self, key: Ref) -> Object | None:
        kind = next((one for one in self._planner.kinds if one.resource.word == key.kind), None)
        return None if kind is None else self._view.get(kind, key.name, key.namespace)
