"""The brain's loop: observe, plan, act, and say which instances take calls.

What is needed changes with each call, and is read from the board of the same process; what there
is comes from the API. A turn is made at each change, and where nothing changes once in a while.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.pod import Pod, is_ready
from cubernetes.api.errors import AlreadyExists, ApiError
from cubernetes.api.meta import Object, ObjectMeta, replaced
from cubernetes.api.serverless.function import Function
from cubernetes.api.serverless.route import Route
from cubernetes.client.informer import Informer
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.timing.waiting import wait_until
from serverless.board.decisions import Decision, Decisions
from serverless.board.kept import KeptLogs
from serverless.board.key import FunctionKey
from serverless.board.routes import RouteTable
from serverless.brain import statuses
from serverless.brain.hands import Hands
from serverless.brain.known import (
    Memory,
    function_for,
    has_ended,
    is_instance,
    seat_of,
    why_waiting,
)
from serverless.brain.naming import INSTANCES_NAMESPACE
from serverless.brain.plan import (
    Instance,
    Revisions,
    World,
    key_of,
    plan,
    revisions_by_function,
)
from serverless.brain.pods import size_of
from serverless.calls import Calls
from serverless.instances import Instances

log = Log(__name__)

NAMESPACE_PAUSE_S = 1.0
# Where changes never cease, this share of the time goes into turns: the rest is the calls'.
TURN_SHARE = 1 / 4
TURN_PAUSE_S = 0.002


class Brain:
    """Keeps instances for calls."""

    def __init__(self, client: Client, env: Env, instances: Instances, logs: KeptLogs) -> None:
        self._client, self._env, self._logs = client, env, logs
        self._changed = asyncio.Event()
        self.memory = Memory()
        self.calls = Calls(env.clock, self._changed.set)
        self.hands = Hands(client, env, instances, self.memory, self._changed.set)
        self.decisions = Decisions()
        self.table = RouteTable(())
        self._is_table_old = True
        self.is_synced = asyncio.Event()
        self.pool_size = 0
        self.look_interval_s = 1.0

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        hands = self.hands
        follow = (hands.functions, hands.revisions, hands.routes, hands.triggers, hands.workflows)
        return (*follow, hands.pods)

    async def run(self) -> None:
        """Run until cancelled."""
        await self._make_namespace()
        async with asyncio.TaskGroup() as tasks:
            for informer in self.informers:
                informer.on_change(self._note)
                tasks.create_task(informer.run())
            try:
                await self._work()
            finally:
                await self.hands.close()

    def _note(self, old: Object | None, new: Object | None) -> None:
        if isinstance(new or old, Route):
            self._is_table_old = True
        self._changed.set()

    async def _work(self) -> None:
        for informer in self.informers:
            await informer.synced.wait()
        while True:
            self._changed.clear()
            began_s = self._env.clock.monotonic()
            pause_s = self._turn()
            spent_s = self._env.clock.monotonic() - began_s
            self.is_synced.set()
            await self._env.clock.sleep(max(TURN_PAUSE_S, spent_s / TURN_SHARE))
            await wait_until(self._changed, pause_s)

    async def _make_namespace(self) -> None:
        """See to it that instances have their namespace; one that is terminating is waited for."""
        is_told = False
        while True:
            try:
                found = await self._client.create(
                    Namespace(metadata=ObjectMeta(name=INSTANCES_NAMESPACE))
                )
            except AlreadyExists:
                found = await self._client.get(Namespace, INSTANCES_NAMESPACE)
            except (ApiError, TransportError) as error:
                if not is_told:
                    log.warning("no namespace for instances yet", why=error)
                is_told = True
                await self._env.clock.sleep(NAMESPACE_PAUSE_S)
                continue
            if not found.metadata.is_deleted:
                return
            await self._env.clock.sleep(NAMESPACE_PAUSE_S)

    def function(self, key: FunctionKey) -> Function | None:
        return self.hands.functions.cache.get(key.name, key.namespace)

    def lost(self, instance: str, revision: str) -> None:
        """An instance has said that it has not a revision: it is given it again."""
        pod = self.hands.pods.cache.get(instance, INSTANCES_NAMESPACE)
        if pod is not None:
            log.warning("an instance has lost a revision", pod=pod.ref, revision=revision)
            self.memory.lost(pod.metadata.uid, revision)
            self._changed.set()

    def spoiled(self, instance: str, why: str) -> None:
        """An instance will never run a call: another takes its place."""
        pod = self.hands.pods.cache.get(instance, INSTANCES_NAMESPACE)
        if pod is not None:
            log.warning("an instance is of no use", pod=pod.ref, why=why)
            self.memory.of(pod.metadata.uid).is_broken = True
            self._changed.set()

    def why_waiting(self, key: FunctionKey) -> str:
        """Return what the instances of a function wait for."""
        own = [
            pod
            for pod in self.hands.pods.cache.list()
            if function_for(pod, self.memory.of(pod.metadata.uid)) == key
        ]
        if not own:
            return "no instance could be made yet"
        for ref, lacking in self.memory.lacking.items():
            revision = self.hands.revisions.cache.get(ref.name, ref.namespace)
            if revision is not None and key == (ref.namespace, revision.spec.function):
                return lacking
        for pod in own:
            if told := why_waiting(pod, self.memory.of(pod.metadata.uid)):
                return told
        return "every instance is busy or loads its code"

    def _turn(self) -> float:
        """Do what is to be done now; return for how long nothing changes by itself."""
        functions = [
            one for one in self.hands.functions.cache.list() if not one.metadata.is_deleted
        ]
        pods = [pod for pod in self.hands.pods.cache.list() if is_instance(pod)]
        shown = self.hands.revisions.cache.list()
        revisions = revisions_by_function(self.memory.revisions(shown))
        self.memory.forget_absent(pods)
        self._open(functions)
        world = self._world(functions, revisions, pods)
        for action in plan(world):
            self.hands.begin(action)
        self._seat(world, pods)
        self._tell(world)
        now_s = self._env.clock.monotonic()
        spans_s = [
            self.calls.board.changes_in_s(key_of(one), one.spec.idle_seconds, now_s)
            for one in functions
        ]
        return min([self.look_interval_s, *(span_s for span_s in spans_s if span_s is not None)])

    def _open(self, functions: Sequence[Function]) -> None:
        known = {key_of(one) for one in functions}
        for key in self.calls.board.functions:
            if key not in known:
                self.calls.close(key)
                self._logs.forget(key)
                self.decisions.forget(key)
        for one in functions:
            spec = one.spec
            self.calls.board.open(key_of(one), concurrency=spec.concurrency, queue_max=spec.queue)

    def _world(
        self,
        functions: Sequence[Function],
        revisions: Revisions,
        pods: Iterable[Pod],
    ) -> World:
        now_s, board = self._env.clock.monotonic(), self.calls.board
        shown = {pod.metadata.name for pod in pods}
        return World(
            functions=functions,
            revisions=revisions,
            instances=[self._instance(pod) for pod in pods],
            needed={
                key_of(one): board.most_needed(key_of(one), one.spec.idle_seconds, now_s)
                for one in functions
            },
            coming=[told for name, told in self.memory.coming.items() if name not in shown],
            making=frozenset(self.memory.making),
            lacking=self.memory.lacking,
            pool_size=self.pool_size,
        )

    def _instance(self, pod: Pod) -> Instance:
        one, now_s = self.memory.of(pod.metadata.uid), self._env.clock.monotonic()
        function = function_for(pod, one)
        name = pod.metadata.name
        return Instance(
            name=name,
            function=function,
            size=size_of(pod) or "small",
            is_ready=is_ready(pod) and bool(pod.status.pod_ip),
            is_busy=one.is_busy,
            is_broken=has_ended(pod, one),
            is_draining=one.is_draining,
            loaded=one.loaded,
            failed=tuple(one.failed),
            resting=tuple(told for told, it in one.failed.items() if it.again_s > now_s),
            running_count=self.calls.board.running_count(function, name) if function else 0,
        )

    def _seat(self, world: World, pods: Iterable[Pod]) -> None:
        """Say which instances take calls, and of which functions none ever will."""
        by_function: dict[FunctionKey, list[Pod]] = {}
        for pod in pods:
            function = function_for(pod, self.memory.of(pod.metadata.uid))
            if function is not None:
                by_function.setdefault(function, []).append(pod)
        for key, aim in world.aims.items():
            if aim.latest is not None and aim.is_hopeless:
                self.calls.refuse(key, statuses.failure_of(aim.latest))
                continue
            split = [(one.revision.metadata.name, one.percent) for one in aim.split.shares]
            found = [
                seat_of(pod, self.memory.of(pod.metadata.uid), split)
                for pod in by_function.get(key, ())
            ]
            self.calls.seat(key, {seat.instance: seat for seat in found if seat is not None})

    def _tell(self, world: World) -> None:
        """Write statuses that differ from what is shown."""
        now = self._env.clock.now()
        for one in world.functions:
            wanted = world.aims[key_of(one)].wanted
            status = statuses.function_status(one, world, wanted, now)
            in_hand = self.calls.board.in_hand_count(key_of(one))
            self.decisions.note(key_of(one), Decision(now, wanted, in_hand, status.reason))
            if status != one.status:
                self.hands.write_status(self.hands.functions, replaced(one, status=status))
        routes = self.hands.routes.cache.list()
        if self._is_table_old:
            self._is_table_old = False
            self.table = RouteTable(routes)
        functions = {key_of(one) for one in world.functions}
        for route in routes:
            conflict = self.table.conflicts.get(route.ref, "")
            told = statuses.route_status(route, conflict, functions, now)
            if told != route.status:
                self.hands.write_status(self.hands.routes, replaced(route, status=told))
