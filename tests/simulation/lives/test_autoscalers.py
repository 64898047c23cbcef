"""Autoscalers beside a store that tells of new samples, is away, and comes back."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count

import pytest

from controllers.autoscaling.hpa import HorizontalPodAutoscalers
from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.autoscaling.horizontalpodautoscaler import HorizontalPodAutoscaler
from cubernetes.api.coding import codec
from cubernetes.api.meta import Object, ObjectMeta, replaced
from cubernetes.client.rest import Client
from cubernetes.host.clock import Clock
from cubernetes.reconcile.readings import Sample, SourceTrouble, Track
from cubernetes.reconcile.run import LoopSettings, run_planners
from tests.given import a_deployment, a_pod
from tests.simulation.clock import BEGIN
from tests.simulation.loop import run_simulated
from tests.simulation.smallworld import SmallWorld, small_world

IDLE, BUSY = 0.1, 1.0
# From a sample's moment until the store has it, and until it answers a question.
SCRAPE_S, ANSWER_S = 0.03, 0.01
DECISION_S = 2.0
# From a sample's moment until the decision that follows from it.
FOLLOWS_S = 0.5
SHOWN = 0.55  # a target of 50 %, and a tolerance of a tenth of it


@dataclass
class SampledStore:
    """Has each second what a pod has used until then; begun_s: since when it is busy."""

    clock: Clock
    begun_s: float = math.inf
    is_away: bool = False
    is_telling: bool = True
    asked: list[float] = field(default_factory=list)

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def used(self, at_s: float) -> float:
        busy_s = max(0.0, at_s - self.begun_s)
        return IDLE * (at_s - busy_s) + BUSY * busy_s

    def rate(self, at_s: int) -> float:
        """Return what was used in the second until then: a window of two has two samples."""
        return self.used(at_s) - self.used(at_s - 1)

    @property
    def newest_s(self) -> int:
        return math.floor(self._now_s() - SCRAPE_S)

    async def samples(self, query: str) -> Sequence[Sample]:
        self.asked.append(self._now_s())
        await asyncio.sleep(ANSWER_S)
        if self.is_away:
            raise SourceTrouble("connection refused")
        return [
            Sample(
                self.rate(self.newest_s), self.clock.now(), {"pod": "web-0", "container": "main"}
            )
        ]

    async def arrived(self, after: int, wait_s: float) -> int:
        if self.is_away or not self.is_telling:
            raise SourceTrouble("connection refused")
        if self.newest_s == after:
            # Samples come once a second.
            await asyncio.sleep(min(wait_s, after + 1 + SCRAPE_S - self._now_s() + 1e-6))
        return self.newest_s

    async def tracks(self, query: str) -> Sequence[Track]:
        return []

    async def push(self, text: str) -> None:
        if self.is_away:
            raise SourceTrouble("connection refused")


def an_hpa() -> HorizontalPodAutoscaler:
    share = {"type": "Utilization", "averageUtilization": 50}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicas": 1,
        "maxReplicas": 9,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": share}}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
    }
    tree = {"metadata": {"name": "web", "namespace": "default"}, "spec": spec}
    return codec.from_tree(HorizontalPodAutoscaler, tree).model


def as_new[T: Object](one: T) -> T:
    meta = one.metadata
    own = ObjectMeta(name=meta.name, namespace=meta.namespace, labels=meta.labels)
    return replaced(one, metadata=own)


@dataclass
class Scaled:
    """A Deployment with one pod of a core, its autoscaler, and its controllers."""

    client: Client
    store: SampledStore

    async def make(self) -> None:
        await self.client.create(as_new(a_deployment("web", replicas=1)))
        await self.client.create(an_hpa())
        pod = a_pod("web-0", cpu="1", node="n1", phase="Running", is_ready=True)
        made = await self.client.create(as_new(pod))
        status = replaced(pod.status, start_time=BEGIN - timedelta(hours=1))
        await self.client.update_status(replaced(made, status=status))

    async def replicas(self) -> int:
        return (await self.client.get(Deployment, "web", "default")).spec.replicas

    async def says(self) -> str:
        found = await self.client.get(HorizontalPodAutoscaler, "web", "default")
        told = {one.type: one for one in found.status.conditions}
        active = told.get("ScalingActive")
        return f"{active.status}: {active.message}" if active is not None else ""

    async def until_scaled(self, before: int, within_s: float = 60.0) -> float:
        """Return when there are others than so many, as the loop's time goes."""
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + within_s
        while loop.time() < ends_s:
            if await self.replicas() != before:
                return loop.time()
            await asyncio.sleep(0.02)
        raise AssertionError(f"{before} replicas after {within_s:g} s")


@asynccontextmanager
async def scaled(world: SmallWorld) -> AsyncIterator[Scaled]:
    env = world.env("loop")
    store = SampledStore(env.clock)
    found = Scaled(world.client(), store)
    await found.make()
    planners = [HorizontalPodAutoscalers()]
    settings = LoopSettings(component="controllers")
    work = run_planners(planners, world.client("loop"), env, settings, store)
    task = asyncio.create_task(work)
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize("phase", range(10))
def test_overload_leads_to_a_decision_within_two_seconds(phase: int) -> None:
    async def main() -> tuple[float, float]:
        async with small_world(str(phase)) as world:
            # Controllers begin at any time between two samples, and so does the load.
            await asyncio.sleep(0.3 * phase)
            async with scaled(world) as one:
                now_s = asyncio.get_running_loop().time()
                await asyncio.sleep(20 + phase / 10 - now_s % 1)
                begun_s = one.store.begun_s = asyncio.get_running_loop().time()
                decided_s = await one.until_scaled(1)
                shown = (at_s for at_s in count(math.ceil(begun_s)) if one.store.rate(at_s) > SHOWN)
                return decided_s - begun_s, decided_s - next(shown)

    took_s, after_sample_s = run_simulated(main(), str(phase))
    assert took_s < DECISION_S
    assert 0 < after_sample_s < FOLLOWS_S


def test_each_sample_is_asked_for_once() -> None:
    async def main() -> list[float]:
        async with small_world() as world, scaled(world) as one:
            await asyncio.sleep(30.5)
            return one.store.asked

    asked = run_simulated(main())[3:]
    assert len(asked) == round(asked[-1] - asked[0]) + 1
    assert all(at_s % 1 < FOLLOWS_S for at_s in asked), asked


def test_a_store_that_tells_of_no_arrivals_is_asked_each_second() -> None:
    async def main() -> float:
        async with small_world() as world, scaled(world) as one:
            one.store.is_telling = False
            await asyncio.sleep(20)
            one.store.begun_s = asyncio.get_running_loop().time()
            return await one.until_scaled(1) - one.store.begun_s

    assert run_simulated(main()) < 2 * DECISION_S


def test_while_the_store_is_away_autoscalers_hold_and_say_so_and_then_go_on() -> None:
    async def main() -> None:
        async with small_world() as world, scaled(world) as one:
            await asyncio.sleep(10)
            one.store.begun_s = asyncio.get_running_loop().time()
            before = await one.replicas()
            await one.until_scaled(before)
            grown = await one.replicas()
            # Away in the middle of the load, and for longer than any window of the samples.
            one.store.is_away = True
            await asyncio.sleep(5)
            held = await one.replicas()
            assert held >= grown > before
            for _ in range(100):
                await asyncio.sleep(1)
                assert await one.replicas() == held
            assert (await one.says()).startswith("False: ")
            assert "connection refused" in await one.says()
            # What was used meanwhile is known when it is back, and the load is over.
            now_s = asyncio.get_running_loop().time()
            one.store.begun_s = now_s + 1e9
            one.store.is_away = False
            await one.until_scaled(held)
            assert (await one.says()).startswith("True: ")

    run_simulated(main())
