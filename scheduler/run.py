"""The scheduler's loop: follow Pods and Nodes, decide one pod at a time, write many at a time.

Deciding never waits: a pod counts on its node from the moment its binding is sent (see snapshot).
Writes run beside each other, up to a limit. A write of unknown outcome leaves the assumption in
place and is repeated for the same node, which is harmless where it has succeeded: no pod is ever
sent to a second node while the first may have it.
"""

import asyncio
from collections.abc import Callable

from cubernetes.api.condition import with_condition
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.errors import (
    ApiError,
    Conflict,
    NotFound,
)
from cubernetes.api.meta import replaced
from cubernetes.api.policy.poddisruptionbudget import PodDisruptionBudget
from cubernetes.client.cache import Key, key_of
from cubernetes.client.connect import connect
from cubernetes.client.informer import Informer
from cubernetes.client.outcome import UNDECIDED, TransportError
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.timing.waiting import wait_until
from cubernetes.reconcile.lease import run_as_leader
from cubernetes.reconcile.plan import Record
from cubernetes.reconcile.records import EventRecorder
from cubernetes.scheduling.nodeinfo import PodRequests, facts_of, images_of, requests_of
from cubernetes.scheduling.peers.neighbour import neighbour_of
from cubernetes.scheduling.plan import Placement, Unschedulable, cursor_of, place
from cubernetes.scheduling.plugin import WaitReason
from cubernetes.scheduling.preempt import (
    Preemption,
    PreemptionMemory,
    Preemptor,
    awaited,
    preemption,
)
from cubernetes.scheduling.registry import weighted
from cubernetes.scheduling.snapshot import Assignment, Snapshot
from cubernetes.scheduling.standing import standing_of
from scheduler.asking import Asking, Write, asks_anew, is_bound_as_asked, weighs_the_same
from scheduler.claims import ClaimBook
from scheduler.counts import Counts
from scheduler.settings import SchedulerSettings
from scheduler.waiting import Waiting

log = Log(__name__)

RECORDS_MAX = 8192  # that wait while a burst of pods is bound
# Of a pod that a node takes, and that waits for its volumes there: no news of nodes help it.
NOTHING_REFUSED = WaitReason(PodRequests(), frozenset())


async def run(
    settings: SchedulerSettings,
    env: Env,
    client: Client | None = None,
    loaded: Callable[[], object] = lambda: None,
) -> None:
    """Give every pod a node, until cancelled. loaded: is called once the cluster is known."""
    own = client or connect(settings.client, env, "scheduler")

    async def work(leading: Client) -> None:
        await Scheduler(settings, env, leading, loaded).run()

    try:
        await run_as_leader(settings.lease, "scheduler", own, env, work)
    finally:
        if client is None:
            await own.close()


class Scheduler:
    """One life of the scheduler: everything that it remembers, it can learn again."""

    def __init__(
        self,
        settings: SchedulerSettings,
        env: Env,
        client: Client,
        loaded: Callable[[], object] = lambda: None,
    ) -> None:
        self._settings, self._env, self._client = settings, env, client
        self._loaded = loaded
        self._pods = Informer(client, Pod, env)
        self._nodes = Informer(client, Node, env)
        self._namespaces = Informer(client, Namespace, env)
        self._budgets = Informer(client, PodDisruptionBudget, env)
        self._profiles = {name: weighted(weights) for name, weights in settings.profiles.items()}
        source = next(iter(self._profiles), "scheduler")
        self._recorder = EventRecorder(client, env, source, pending_max=RECORDS_MAX)
        self._snapshot = Snapshot()
        self._waiting = Waiting(
            retry_base_s=settings.retry_base_s,
            retry_limit_s=settings.retry_limit_s,
            wake_pause_s=settings.wake_pause_s,
        )
        self._counts = Counts(env.metrics)
        self._cursor = ""
        # The room that is made for a pod, by its uid.
        self._rooms: dict[str, Preemption] = {}
        self._known_rooms = PreemptionMemory()
        # Pods as they were decided on, by uid, until they are seen where they were sent.
        self._asked: dict[str, Pod] = {}
        self._news = asyncio.Event()
        # Whether there is nothing to decide; how many writes are under way.
        self._is_waiting, self._write_count = False, 0
        self._book = ClaimBook(client, env, self._pods.cache, self._snapshot, self._ask_again)

    async def run(self) -> None:
        self._pods.on_change(self._pod_changed)
        self._nodes.on_change(self._node_changed)
        self._namespaces.on_change(self._namespace_changed)
        with self._counts.of(self._waiting):
            await self._work()

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._recorder.run())
            tasks.create_task(self._pods.run())
            tasks.create_task(self._nodes.run())
            tasks.create_task(self._namespaces.run())
            tasks.create_task(self._budgets.run())
            self._book.begin(tasks)
            # Half a view would fill a few nodes, or call the cluster full.
            await self._pods.synced.wait()
            await self._nodes.synced.wait()
            await self._namespaces.synced.wait()
            await self._budgets.synced.wait()
            await self._book.synced()
            self._cursor = cursor_of(self._pods.cache.list())
            self._loaded()
            await self._decide_for_ever(tasks)

    # Observe

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        has_grown = False
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            has_grown = self._remove(old)
        if new is not None:
            has_grown |= self._count(old, new)
            if self._is_ours(new) and (old is None or asks_anew(old, new)):
                self._ask(new)
        if has_grown:
            self._wake()

    def _count(self, old: Pod | None, new: Pod) -> bool:
        """Let a pod weigh where it is bound, until it has finished; return whether room grew."""
        if not new.spec.node_name:
            return False
        if is_finished(new):
            return self._remove(new)
        if old is not None and weighs_the_same(old, new):
            return False
        uid = new.metadata.uid
        is_as_asked = is_bound_as_asked(self._asked.pop(uid, None), new)
        if is_as_asked and self._snapshot.confirm(uid, new.spec.node_name):
            return False
        return self._snapshot.see(
            uid,
            new.spec.node_name,
            requests_of(new),
            neighbour_of(new),
            standing_of(new),
        )

    def _ask(self, pod: Pod) -> None:
        standing = standing_of(pod)
        self._waiting.add(key_of(pod), standing.priority, standing.since_s)
        self._news.set()

    def _remove(self, pod: Pod) -> bool:
        """Let a pod count no longer, and its room be asked for by those for whom it left."""
        self._rooms.pop(pod.metadata.uid, None)
        self._asked.pop(pod.metadata.uid, None)
        kept = self._snapshot.lift(pod.metadata.uid)
        if kept is not None:
            self._snapshot.note_room(kept.node)
        for key in self._snapshot.nominated_on(pod.spec.node_name):
            self._ask_again(key)
        self._book.freed(pod)
        return self._snapshot.remove(pod.metadata.uid) or kept is not None

    def _ask_again(self, key: Key) -> None:
        """Let a pod that waits for something be decided on again, if it is there."""
        namespace, name = key
        if (waits := self._pods.cache.get(name, namespace)) is not None:
            self._ask(waits)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is not None:
            # A heartbeat that changes nothing that matters wakes nobody.
            if self._snapshot.set_node(facts_of(new)):
                self._wake()
        elif old is not None:
            self._snapshot.remove_node(old.metadata.name)

    def _namespace_changed(self, old: Namespace | None, new: Namespace | None) -> None:
        one = new or old
        labels = new.metadata.labels if new is not None else None
        if one is not None and self._snapshot.pods.set_namespace(one.metadata.name, labels):
            self._snapshot.note_namespaces()
            self._wake()

    def _wake(self) -> None:
        self._waiting.wake(self._env.clock.monotonic(), self._snapshot.changes())
        self._news.set()

    def _is_ours(self, pod: Pod) -> bool:
        """Tell whether the pod waits for us to find it a node."""
        is_waiting = not pod.spec.node_name and not pod.metadata.is_deleted
        is_waiting = is_waiting and not pod.spec.scheduling_gates
        is_named = pod.spec.scheduler_name in self._profiles
        return is_waiting and is_named and not is_finished(pod)

    # Decide

    async def _decide_for_ever(self, tasks: asyncio.TaskGroup) -> None:
        slots = asyncio.Semaphore(self._settings.write_count_max)

        def free(_: asyncio.Task[None]) -> None:
            slots.release()
            self._write_count -= 1
            self._let_records_go()

        self._recorder.hold()
        while True:
            key = await self._next()
            try:
                write = self._decide(key)
            except Exception as bug:  # noqa: BLE001  a poisonous pod must not stop the others
                self._poisoned(key, bug)
                continue
            if write is None:
                # Others must have their turn, also while a thousand pods find no room.
                await asyncio.sleep(0)
            else:
                await slots.acquire()
                self._write_count += 1
                tasks.create_task(self._carry_out(key, write)).add_done_callback(free)

    def _let_records_go(self) -> None:
        """Write the records of a burst once all its pods are bound: bindings go first."""
        if self._is_waiting and not self._write_count:
            self._recorder.release()

    async def _next(self) -> Key:
        clock = self._env.clock
        while True:
            key = self._waiting.take(clock.monotonic())
            if key is not None:
                return key
            self._news.clear()
            due_s = self._waiting.due_s()
            wait_s = None if due_s is None else max(0.0, due_s - clock.monotonic())
            self._is_waiting = True
            self._let_records_go()
            await wait_until(self._news, wait_s)
            self._is_waiting = False
            self._recorder.hold()

    def _decide(self, key: Key) -> Write | None:
        """Return what is to be written of a pod; None where nothing is."""
        namespace, name = key
        pod = self._pods.cache.get(name, namespace)
        if pod is None or not self._is_ours(pod):
            self._waiting.done(key)
            self._book.forget(key)
            return None
        if sent_to := self._snapshot.assumed(pod.metadata.uid):
            return Write(pod, Placement(sent_to), self._waiting.epoch)
        one = self._asking(pod)
        kept = self._snapshot.lift(pod.metadata.uid)
        nominated = kept.node if kept is not None else pod.status.nominated_node_name
        verdict = self._verdict(one, nominated)
        room = None
        if isinstance(verdict, Placement):
            self._cursor = verdict.node
            if one.needs.late:
                return self._before_its_volumes(key, one, verdict, kept)
            self._snapshot.assume(pod.metadata.uid, verdict.node, *one.weight)
            self._asked[pod.metadata.uid] = pod
        else:
            room = self._making_room(one, nominated)
        if kept is not None and kept.node != (room.node if room is not None else ""):
            self._snapshot.note_room(kept.node)
        write = Write(pod, verdict, self._waiting.epoch, room)
        if self._snapshot.has_news:
            # Room that is not kept, or a pod with a rule about this one: others may wait for it.
            self._wake()
        if isinstance(verdict, Unschedulable) and write.says_nothing_new:
            self._park(key, write.epoch, verdict.refused)
            return None
        return write

    def _asking(self, pod: Pod) -> Asking:
        needs = self._book.needs_of(pod)
        requests = requests_of(pod)._replace(volumes=needs.volumes)
        if "image-locality" in self._settings.profiles[pod.spec.scheduler_name]:
            requests = requests._replace(images=images_of(pod))
        return Asking(pod, requests, neighbour_of(pod), standing_of(pod), needs)

    def _before_its_volumes(
        self, key: Key, one: Asking, found: Placement, kept: Assignment | None
    ) -> Write | None:
        """Keep room for a pod on a node until its volumes are there; the claims tell when."""
        requests, _, standing = one.weight
        self._snapshot.nominate(one.pod.metadata.uid, found.node, requests, standing)
        if kept is not None and kept.node != found.node:
            self._snapshot.note_room(kept.node)
            self._wake()
        claims = one.needs.unwritten(found.node)
        if claims:
            return Write(one.pod, found, self._waiting.epoch, claims=claims)
        self._park(key, self._waiting.epoch, NOTHING_REFUSED)
        return None

    def _park(self, key: Key, epoch: int, refused: WaitReason) -> None:
        self._waiting.park(key, self._env.clock.monotonic(), epoch, refused)

    def _verdict(self, one: Asking, nominated: str) -> Placement | Unschedulable:
        if one.needs.held:
            count = len(self._snapshot)
            return Unschedulable({}, held=f"0/{count} nodes can take the pod: {one.needs.held}")
        clock, counts = self._env.clock, self._counts
        began_at = clock.monotonic()
        verdict = place(
            one.requests,
            self._snapshot,
            self._cursor,
            scores=self._profiles[one.pod.spec.scheduler_name],
            neighbour=one.neighbour,
            nominated=nominated or one.needs.chosen,
        )
        counts.deciding.observe(clock.monotonic() - began_at)
        (counts.placed if isinstance(verdict, Placement) else counts.unplaced).inc()
        return verdict

    def _making_room(self, one: Asking, nominated: str) -> Preemption | None:
        """Return which pods leave for a pod that no node takes, and keep their room for it."""
        uid = one.pod.metadata.uid
        if one.pod.spec.preemption_policy == "Never" or one.needs.held:
            return None
        pod = Preemptor(one.requests, one.neighbour, one.standing.priority)
        if not self._snapshot.has_lower(pod.priority):
            return None
        room = self._awaited(uid) or awaited(pod, self._snapshot, nominated)
        if room is None:
            budgets = self._budgets.cache.list()
            known = self._known_rooms
            room = preemption(pod, self._snapshot, self._cursor, budgets, known)
        if room is None:
            self._rooms.pop(uid, None)
            return None
        for other, victim in room.victims.items():
            if victim.is_nominated:
                # It is not there yet: it gives up the room that was kept for it.
                self._snapshot.lift(other)
                self._rooms.pop(other, None)
                self._ask_again(victim.standing.key)
        there = {other: one for other, one in room.victims.items() if not one.is_nominated}
        self._rooms[uid] = room = room._replace(victims=there)
        self._snapshot.nominate(uid, room.node, one.weight[0], one.standing)
        return room

    def _awaited(self, uid: str) -> Preemption | None:
        """Return the room that was made for a pod, with the victims that are still there."""
        room = self._rooms.get(uid)
        victims = self._snapshot.there(room.victims) if room is not None else {}
        return room._replace(victims=victims) if room is not None and victims else None

    # Act

    async def _carry_out(self, key: Key, write: Write) -> None:
        try:
            if isinstance(write.verdict, Placement) and write.claims:
                await self._book.select(key[0], write.claims, write.verdict.node)
                self._park(key, write.epoch, NOTHING_REFUSED)
                self._news.set()
            elif isinstance(write.verdict, Placement):
                await self._bind(key, write.pod, write.verdict.node)
            else:
                await self._tell(write.pod, write.verdict, write.nominated)
                if write.room is not None:
                    await self._make_room(write.pod, write.room)
                self._park(key, write.epoch, write.verdict.refused)
                self._news.set()
        except (TransportError, *UNDECIDED) as error:
            # It may have happened: the assumption stands, the same is asked again.
            self._failed(key, write.pod, error)
        except ApiError as error:
            if self._snapshot.refuse(write.pod.metadata.uid):
                self._wake()
            self._failed(key, write.pod, error)
        except Exception as bug:  # noqa: BLE001  a poisonous pod must not stop the others
            self._poisoned(key, bug, write.pod.cause)

    async def _bind(self, key: Key, pod: Pod, node: str) -> None:
        meta, began_at = pod.metadata, self._env.clock.monotonic()
        await self._client.bind(meta.name, meta.namespace, meta.uid, node)
        self._counts.binding.observe(self._env.clock.monotonic() - began_at)
        self._waiting.done(key)
        self._book.forget(key)
        message = f"Successfully assigned {meta.namespace}/{meta.name} to {node}"
        self._recorder.record(Record(pod, "Scheduled", message))
        log.info("pod bound", pod=pod.ref, node=node, cause=pod.cause)

    async def _make_room(self, pod: Pod, room: Preemption) -> None:
        """Delete the pods in whose place a pod comes; those that leave already are left alone."""
        for uid, victim in room.victims.items():
            if victim.neighbour.is_leaving:
                continue
            namespace, name = victim.standing.key
            found = self._pods.cache.get(name, namespace)
            try:
                await self._client.delete(Pod, name, namespace, uid=uid)
            except (NotFound, Conflict):
                # It is gone, or another one has its name: the watch will say so.
                continue
            log.info("pod preempted", pod=victim.standing.key, by=pod.ref, node=room.node)
            if found is not None:
                by = f"{pod.metadata.namespace}/{pod.metadata.name}"
                told = f"Preempted by {by} on node {room.node}"
                self._recorder.record(Record(found, "Preempted", told))

    async def _tell(self, pod: Pod, verdict: Unschedulable, nominated: str) -> None:
        now = self._env.clock.now()
        conditions = with_condition(pod.status.conditions, verdict.condition, now)
        status = replaced(pod.status, conditions=conditions, nominated_node_name=nominated)
        await self._client.update_status(replaced(pod, status=status))
        self._recorder.record(Record(pod, "FailedScheduling", verdict.message, "Warning"))

    def _failed(self, key: Key, pod: Pod, error: Exception) -> None:
        self._counts.failures.inc()
        pause_s = self._waiting.retry(key, self._env.clock.monotonic(), self._env.rng.fraction())
        self._news.set()
        is_news = self._waiting.failure_count(key) == 1
        is_everyday = isinstance(error, Conflict | NotFound)
        tell = log.warning if is_news and not is_everyday else log.debug
        tell("not written, deciding again", pod=key, error=error, pause_s=pause_s, cause=pod.cause)

    def _poisoned(self, key: Key, bug: Exception, cause: str = "") -> None:
        log.bug("pod not decided", bug, pod=key, cause=cause)
        fraction = self._env.rng.fraction()
        self._waiting.retry(key, self._env.clock.monotonic(), fraction, is_held=True)
        self._news.set()
