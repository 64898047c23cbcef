"""A planner that asks for a metric, on a lossy network, beside a source that lies: it holds."""

import asyncio
import json
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from apiserver.state.keys import prefix_of
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.meta import Object, ObjectMeta, Ref, replaced
from cubernetes.reconcile.plan import Action, Asking, RequeueAfter, StillView, Update, View
from cubernetes.reconcile.readings import Absent, Metric, Question, Value, Why
from cubernetes.reconcile.run import LoopSettings, run_planners
from tests.given import NOW, a_replicaset
from tests.simulation.faults import Faults
from tests.simulation.loop import run_simulated
from tests.simulation.smallworld import SmallWorld, small_world
from tests.sources import LyingSource

HARSH = Faults(latency_s_max=0.5, lost_request=0.05, lost_reply=0.05, stream_cut=0.02)
PER_REPLICA = 100.0
LOOK_S = 10.0


@dataclass
class Sized:
    """Gives a ReplicaSet one replica for each hundred of its load; without a value it holds."""

    name = "sized"
    kinds: tuple[type[Object], ...] = (ReplicaSet,)
    held: list[Why] = field(default_factory=list)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:
        return (changed.ref,)

    def asks(self, key: Ref, view: View) -> Sequence[Question]:
        return (load_of(key),) if view.get(ReplicaSet, key.name, key.namespace) else ()

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:
        found = view.get(ReplicaSet, key.name, key.namespace)
        if found is None:
            return
        yield RequeueAfter(LOOK_S)
        reading = view.reading(load_of(key))
        if isinstance(reading, Absent):
            self.held.append(reading.why)
            return
        wanted = math.ceil(reading.number / PER_REPLICA)
        if found.spec.replicas != wanted:
            yield Update(replaced(found, spec=replaced(found.spec, replicas=wanted)))


def load_of(key: Ref) -> Metric:
    return Metric(f'load{{rs="{key.name}"}}')


def test_the_planner_is_one_that_asks_and_holds_on_every_absence() -> None:
    web, planner = a_replicaset("web", replicas=2), Sized()
    assert isinstance(planner, Asking)
    (question,) = planner.asks(web.ref, StillView([web]))

    def planned(reading: Value | Absent) -> list[Action]:
        view = StillView([web], readings={question: reading})
        return list(planner.plan(web.ref, view, NOW))

    for why in Why:
        assert planned(Absent(why)) == [RequeueAfter(LOOK_S)]
    assert planned(Value(150, NOW)) == [RequeueAfter(LOOK_S)]
    again, update = planned(Value(301, NOW))
    assert again == RequeueAfter(LOOK_S)
    assert isinstance(update, Update)
    assert isinstance(update.object, ReplicaSet)
    assert update.object.spec.replicas == 4


async def size_of(world: SmallWorld) -> int:
    """Return how many replicas the only ReplicaSet asks for, as the store has it."""
    (entry,) = (await world.store.list(prefix_of(ReplicaSet))).entries
    replicas: int = json.loads(entry.value)["spec"]["replicas"]
    return replicas


@pytest.mark.parametrize("seed", range(6))
def test_whatever_a_source_lies_the_size_was_true_once_and_is_true_in_the_end(seed: int) -> None:
    planner = Sized()

    async def main() -> tuple[set[int], int]:
        sizes: set[int] = set()
        async with small_world(str(seed)) as world:
            env = world.env("loop")
            meta = ObjectMeta(name="web", namespace="default")
            wanted = ReplicaSet(metadata=meta, spec=a_replicaset("web", replicas=1).spec)
            made = await world.client().create(wanted)
            query = load_of(made.ref).query
            source = LyingSource(env.clock, {}, lying=0.7, rng=random.Random(seed))
            world.network.faults = HARSH
            settings = LoopSettings(component="sized")
            work = run_planners([planner], world.client("loop"), env, settings, source)
            task = asyncio.get_running_loop().create_task(work)
            for load in (250.0, 900.0, 120.0, 0.0, 480.0):
                source.numbers[query] = load
                source.lying = 0.7 if load != 480.0 else 0.0
                for _ in range(120):
                    await asyncio.sleep(1.0)
                    sizes.add(await size_of(world))
            task.cancel()
            await asyncio.wait([task])
            assert set(source.told) > {"late", "stale", "wrong"}
            return sizes, await size_of(world)

    sizes, last = run_simulated(main(), str(seed))

    assert last == 5
    assert sizes <= {1, 3, 9, 2, 0, 5}
    # Each lie was met with an absence, and no question was forgotten.
    assert {Why.LATE, Why.STALE, Why.WRONG} <= set(planner.held)
    assert Why.NOT_ASKED not in planner.held
