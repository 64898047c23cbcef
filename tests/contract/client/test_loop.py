"""The loop under every controller, against a real API server on a late and lossy network."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.core.event import Event
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import Object, ObjectMeta, Ref
from cubernetes.host.random import SeededRng
from cubernetes.reconcile.plan import (
    Action,
    Create,
    Delete,
    Planner,
    RequeueAfter,
    UpdateStatus,
    View,
)
from cubernetes.reconcile.run import LoopSettings, run_planners
from tests.given import a_pod, a_replicaset
from tests.simulation.faults import Faults
from tests.simulation.loop import run_simulated
from tests.simulation.smallworld import SmallWorld, small_world
from tests.simulation.story import told

HARSH = Faults(
    latency_s_max=0.5, lost_request=0.05, lost_reply=0.05, stream_cut=0.02, stream_lag=0.5,
    lag_s_max=3.0,
)  # fmt: skip


@dataclass
class Careless:
    """Makes pods of any name until there are enough: only a view that is true keeps it right."""

    name = "careless"
    kinds: tuple[type[Object], ...] = (ReplicaSet, Pod)
    names: SeededRng = field(default_factory=lambda: SeededRng("names"))

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:
        if isinstance(changed, ReplicaSet):
            return (changed.ref,)
        owner = changed.metadata.controller
        return (Ref("ReplicaSet", "default", owner.name),) if owner is not None else ()

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:
        wanted = view.get(ReplicaSet, key.name, key.namespace)
        if wanted is None:
            return
        pods = view.owned(Pod, wanted.metadata.uid)
        for _ in range(wanted.spec.replicas - len(pods)):
            yield Create(_new_pod(self.names.chars(8), wanted))
        for pod in pods[wanted.spec.replicas :]:
            yield Delete(Pod, pod.ref, pod.metadata.uid, grace_s=0)


@dataclass
class Poisoned:
    """Fails on one object, and puts down when it was asked for which."""

    kinds: tuple[type[Object], ...] = (ReplicaSet,)
    rounds: list[tuple[str, datetime]] = field(default_factory=list)

    name = "poisoned"

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:
        return (changed.ref,)

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:
        self.rounds.append((key.name, now))
        assert key.name != "bad", "this one is poison"
        found = view.get(ReplicaSet, key.name, key.namespace)
        if found is not None:
            # The same status again is no write: else this would go round for ever.
            yield UpdateStatus(found)
        yield RequeueAfter(30.0)


def _new_pod(name: str, owner: ReplicaSet) -> Pod:
    meta = ObjectMeta(name=name, namespace="default", owner_references=(owner.owner_reference(),))
    return Pod(metadata=meta, spec=a_pod().spec)


def _wanted(name: str, replicas: int) -> ReplicaSet:
    meta = ObjectMeta(name=name, namespace="default")
    return ReplicaSet(metadata=meta, spec=a_replicaset(name, replicas=replicas).spec)


@asynccontextmanager
async def running(world: SmallWorld, planner: Planner) -> AsyncIterator[None]:
    settings = LoopSettings(component=planner.name)
    work = run_planners([planner], world.client("loop"), world.env("loop"), settings)
    task = asyncio.get_running_loop().create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


@pytest.mark.parametrize("seed", range(8))
def test_a_planner_never_acts_on_a_view_older_than_its_own_deeds(seed: int) -> None:
    async def main() -> tuple[int, int]:
        most, count = 0, 0
        async with small_world(str(seed)) as world:
            for name in ("one", "two"):
                await world.client().create(_wanted(name, 5))
            world.network.faults = HARSH
            async with running(world, Careless()):
                for _ in range(120):
                    await asyncio.sleep(1.0)
                    count = len((await world.store.list("/cubernetes/pods/")).entries)
                    most = max(most, count)
            return most, count

    # Five each, and never one more: also not where an answer was lost and the pod is there.
    assert run_simulated(main(), str(seed)) == (10, 10)


@pytest.mark.parametrize("seed", range(4))
def test_too_many_are_taken_away_and_no_one_more(seed: int) -> None:
    async def main() -> tuple[int, int]:
        least, count = 99, 0
        async with small_world(str(seed)) as world:
            user = world.client()
            owner = await user.create(_wanted("one", 3))
            for number in range(8):
                await user.create(_new_pod(f"pod-{number}", owner))
            world.network.faults = HARSH
            async with running(world, Careless()):
                for _ in range(120):
                    await asyncio.sleep(1.0)
                    count = len((await world.store.list("/cubernetes/pods/")).entries)
                    least = min(least, count)
            return least, count

    assert run_simulated(main(), str(seed)) == (3, 3)


def test_a_plan_that_is_a_bug_delays_its_own_key_alone() -> None:
    planner = Poisoned()

    async def main() -> list[Event]:
        async with small_world() as world, running(world, planner):
            for name in ("bad", "good"):
                await world.client().create(_wanted(name, 1))
            await asyncio.sleep(300.0)
            events = await world.client().list(Event, "default")
            return list(events.items)

    with told(None, logging.ERROR) as story:
        events = run_simulated(main())

    rounds = Counter(name for name, _ in planner.rounds)
    # The good key comes every thirty seconds, as it asked; the bad one ever more seldom.
    assert 10 <= rounds["good"] <= 12
    assert 8 <= rounds["bad"] <= 12
    assert len(story.bugs) == rounds["bad"]
    assert [(one.reason, one.involved_object.name) for one in events] == [("PlanFailed", "bad")]
    assert events[0].count == rounds["bad"]


def test_nothing_is_written_where_nothing_changes() -> None:
    async def main() -> tuple[int, int]:
        async with small_world() as world, running(world, Poisoned()):
            await world.client().create(_wanted("good", 1))
            await asyncio.sleep(5.0)
            before = (await world.store.get("/"))[1]
            await asyncio.sleep(1000.0)
            return before, (await world.store.get("/"))[1]

    before, after = run_simulated(main())

    assert before == after
