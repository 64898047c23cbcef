"""Sieve's failures of who counts: no quota and no budget is exceeded by what others do meanwhile.

Quotas are charged and evictions granted here by the very functions of the API server.
"""

from collections.abc import Callable

import pytest

from apiserver.state.items import stored
from apiserver.state.keys import key_of
from apiserver.storage.store import Put
from apiserver.strategies.admission.quotas import charged
from apiserver.subresources.eviction import after_grant
from controllers.disruption.budgets import Budgets
from controllers.quotas import Quotas
from controllers.replicaset import ReplicaSets
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod, is_ready
from cubernetes.api.core.resourcequota import ResourceQuota
from cubernetes.api.errors import Forbidden, TooManyRequests
from cubernetes.api.meta import replaced
from cubernetes.api.policy.poddisruptionbudget import PodDisruptionBudget
from tests.carry import World
from tests.given import a_pod, a_replicaset
from tests.unit.api.core.test_quota import a_quota
from tests.unit.controllers.disruption.test_budgets import a_budget
from tests.unit.controllers.planned.sieve import FAILING_ROUNDS, Story, suffer

HARD, LESS = 4, 3
REPLICAS, STAY = 4, 2


def made(world: World, name: str) -> None:
    """Create a pod as far as the quota goes, in one transaction."""
    pod = a_pod(name, node="n1")
    (quota,) = world.all(ResourceQuota)
    key = key_of(ResourceQuota, "default", quota.metadata.name)
    found = stored(ResourceQuota, key, codec.encode(quota), 1)
    try:
        (put,) = charged((key,), {key: found}, pod)
    except Forbidden:
        return
    assert isinstance(put, Put)
    world.put(codec.decode(ResourceQuota, put.value), pod)


def racing(turn: int) -> Callable[[World], None]:
    """Return the deed of three who create a pod each, at once."""

    def race(world: World) -> None:
        for number in range(3):
            made(world, f"p{turn}-{number}")

    return race


def _gone(world: World) -> None:
    if pods := world.all(Pod):
        world.remove(pods[0].ref)


def _fewer(world: World) -> None:
    """Make the quota smaller: what is there stays, and nothing more comes, from then on."""
    (quota,) = world.all(ResourceQuota)
    world.put(replaced(quota, spec=a_quota(hard={"pods": str(LESS)}).spec))
    racing(99)(world)


def _full_of_pods() -> Story:
    deeds = {turn: racing(turn) for turn in (2, 3, 5, 8, 9, 14, 20, FAILING_ROUNDS + 8)}
    deeds |= {6: _gone, 7: _gone, 10: _gone, 12: _fewer, 13: _gone, 17: _gone, 18: _gone}
    seen: list[int] = []

    def holds(world: World) -> None:
        (quota,) = world.all(ResourceQuota)
        count, hard = len(world.all(Pod)), int(quota.spec.hard["pods"].amount)
        before = seen[-1] if seen else 0
        seen.append(count)
        assert count <= max(hard, before), f"{count} pods of {hard}"

    return Story([a_quota(hard={"pods": str(HARD)})], [Quotas], deeds, holds)


def evicted(world: World) -> None:
    """Evict every pod that serves as far as the budget allows, each in one transaction."""
    for pod in filter(is_ready, world.all(Pod)):
        (budget,) = world.all(PodDisruptionBudget)
        going = replaced(pod, metadata=replaced(pod.metadata, deletion_timestamp=world.now))
        try:
            world.put(after_grant(budget, pod.metadata.name, world.now), going)
        except TooManyRequests:
            """It stays, until there is a budget for it."""


def _sized(replicas: int) -> Callable[[World], None]:
    def size(world: World) -> None:
        (one,) = world.all(ReplicaSet)
        meta = replaced(one.metadata, generation=one.metadata.generation + 1)
        world.put(replaced(one, metadata=meta, spec=replaced(one.spec, replicas=replicas)))

    return size


def _under_a_budget() -> Story:
    """Evictions alone take pods here, so that as many as must stay always serve, once they did."""
    began: list[bool] = []

    def holds(world: World) -> None:
        serving = sum(map(is_ready, world.all(Pod)))
        if serving >= REPLICAS:
            began.append(True)
        assert not began or serving >= STAY, f"{serving} of {STAY} serve"

    deeds: dict[int, Callable[[World], None]] = dict.fromkeys((*range(4, 20), 28), evicted)
    deeds[21] = _sized(REPLICAS + 1)
    budget = a_budget(min_available=STAY)
    return Story([a_replicaset(replicas=REPLICAS), budget], [ReplicaSets, Budgets], deeds, holds)


@pytest.mark.parametrize(
    ("make", "place"), [(_full_of_pods, 0), (_under_a_budget, 0), (_under_a_budget, 1)]
)
def test_no_bound_is_broken_and_the_end_is_the_same(make: Callable[[], Story], place: int) -> None:
    suffered = suffer(make, place)
    assert suffered.write_count
    assert suffered.unlike == []
