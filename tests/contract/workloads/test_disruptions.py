"""Budgets of disruption against the real API server and controllers: never exceeded, and no stall.

No pod is lost here but by evictions, so the number of healthy pods must hold at every revision.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial

import pytest

from controllers.disruption.rebalance import ALLOWED
from cubernetes.api.core.pod import Pod, is_ready
from cubernetes.api.errors import NotFound, TooManyRequests
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.api.policy.poddisruptionbudget import (
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
)
from cubernetes.api.selectors import LabelSelector
from cubernetes.client.rest import Client
from tests.contract.workloads.tended import a_tended_cluster
from tests.contract.workloads.test_controllers import fresh, join, until
from tests.given import WEB, a_deployment, a_replicaset

REPLICAS, STAY = 5, 3
EVICTED_MIN = 12


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with a_tended_cluster("n1") as found:
        yield found


async def test_drains_at_once_never_leave_fewer_than_must_stay(client: Client) -> None:
    await client.create(fresh(a_replicaset(replicas=REPLICAS)))
    selector = LabelSelector(match_labels=WEB)
    spec = PodDisruptionBudgetSpec(min_available=STAY, selector=selector)
    meta = ObjectMeta(name="web", namespace="default")
    await client.create(PodDisruptionBudget(metadata=meta, spec=spec))

    async def is_whole() -> bool:
        return (await _budget(client)).status.disruptions_allowed == REPLICAS - STAY

    await until(is_whole)
    low: list[int] = []
    seen = asyncio.create_task(_least_healthy(client, low))
    evicted = await asyncio.gather(*(_drain(client, random.Random(seed)) for seed in range(3)))
    assert not seen.done(), seen
    seen.cancel()
    await asyncio.wait([seen])

    assert sum(evicted) >= EVICTED_MIN
    assert STAY <= min(low) < REPLICAS
    await until(is_whole)


async def test_pods_move_to_a_node_that_has_joined_and_all_serve_meanwhile(
    client: Client,
) -> None:
    wanted = a_deployment(replicas=REPLICAS)
    meta = ObjectMeta(name="web", namespace="default", annotations={ALLOWED: "true"})
    await client.create(replaced(wanted, metadata=meta))
    spec = PodDisruptionBudgetSpec(min_available=REPLICAS, selector=LabelSelector(match_labels=WEB))
    budget = ObjectMeta(name="web", namespace="default")
    await client.create(PodDisruptionBudget(metadata=budget, spec=spec))

    async def on(*counts: int) -> bool:
        pods = (await client.list(Pod, "default")).items
        found = Counter(pod.spec.node_name for pod in pods if is_ready(pod))
        return len(pods) == REPLICAS and sorted(found.values()) == sorted(counts)

    await until(partial(on, REPLICAS))
    low: list[int] = []
    seen = asyncio.create_task(_least_healthy(client, low))
    await join(client, "n2", cpu="64")
    await until(partial(on, 2, 3))
    assert not seen.done(), seen
    seen.cancel()
    await asyncio.wait([seen])
    assert min(low) >= REPLICAS


async def _drain(client: Client, chance: random.Random) -> int:
    """Evict whatever is there, as fast as is allowed; return how many went."""
    count = 0
    async with asyncio.timeout(60):
        while count < EVICTED_MIN // 3:
            pods = (await client.list(Pod, "default")).items
            pod = chance.choice(pods)
            if pod.metadata.is_deleted or not is_ready(pod):
                await asyncio.sleep(0.005)
                continue
            try:
                await client.evict(pod.metadata.name, "default")
            except TooManyRequests:
                await asyncio.sleep(0.01)
            except NotFound:
                continue
            else:
                count += 1
    return count


async def _least_healthy(client: Client, low: list[int]) -> None:
    """Note at every revision how many pods are healthy."""
    listed = await client.list(Pod, "default")
    pods = {one.metadata.uid: one for one in listed.items}
    revision = listed.metadata.resource_version
    async with aclosing(client.watch(Pod, "default", revision=revision)) as changes:
        async for change in changes:
            if change.object is None:
                continue
            uid = change.object.metadata.uid
            pods.pop(uid, None)
            if change.type != "DELETED":
                pods[uid] = change.object
            low.append(sum(is_ready(one) and not one.metadata.is_deleted for one in pods.values()))


async def _budget(client: Client) -> PodDisruptionBudget:
    return await client.get(PodDisruptionBudget, "web", "default")
