"""Finished pods are collected: only beyond the limit, evicted ones and the oldest first."""

from datetime import timedelta

import pytest

from controllers.cleanup.finishedpods import BURST, EVERY_POD, SWEEP_S, FinishedPods
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podstatus import Phase
from cubernetes.api.meta import replaced
from cubernetes.reconcile.plan import Delete, RequeueAfter
from tests.carry import World
from tests.given import NOW, a_pod


def ended(name: str, minutes: int, *, reason: str = "", phase: Phase = "Succeeded") -> Pod:
    pod = a_pod(name, phase=phase)
    meta = replaced(pod.metadata, creation_timestamp=NOW - timedelta(minutes=minutes))
    return replaced(pod, metadata=meta, status=replaced(pod.status, reason=reason))


def left(world: World, count_max: int) -> list[str]:
    world.carry_out(FinishedPods(count_max).plan(EVERY_POD, world.view(), NOW))
    return [pod.metadata.name for pod in world.all(Pod)]


def test_beyond_the_limit_the_oldest_go_and_nothing_that_runs() -> None:
    world = World([
        ended("new", 1), ended("old", 9), ended("older", 10, phase="Failed"), a_pod("runs"),
    ])  # fmt: skip
    assert left(world, 3) == ["new", "old", "older", "runs"]
    assert left(world, 1) == ["new", "runs"]


def test_evicted_pods_go_first() -> None:
    world = World([ended("old", 9), ended("evicted", 1, phase="Failed", reason="Evicted")])
    assert left(world, 1) == ["old"]


def test_a_pod_that_goes_already_is_part_of_the_extra_ones() -> None:
    """It waits for its Job to count it: nobody else has to go in its place."""
    going = ended("going", 1)
    going = replaced(going, metadata=replaced(
        going.metadata, deletion_timestamp=NOW, finalizers=("batch.kubernetes.io/job-tracking",)
    ))  # fmt: skip
    assert left(World([ended("old", 9), going]), 1) == ["going", "old"]


def test_a_backlog_is_swept_in_portions() -> None:
    world = World([ended(f"p{place:04}", place) for place in range(BURST + 6)])
    plan = list(FinishedPods(1).plan(EVERY_POD, world.view(), NOW))
    assert len([one for one in plan if isinstance(one, Delete)]) == BURST
    assert plan[-1] == RequeueAfter(1.0)
    assert left(world, 1)  # the rest in the next
    assert left(world, 1) == ["p0000"]


def test_many_ends_are_one_sweep_and_none_stays_unswept() -> None:
    pods, world = FinishedPods(1), World([ended("a", 1)])
    list(pods.plan(EVERY_POD, world.view(), NOW))
    world.put(ended("b", 2))
    soon = NOW + timedelta(seconds=5)
    assert list(pods.plan(EVERY_POD, world.view(), soon)) == [RequeueAfter(SWEEP_S - 5)]
    due = list(pods.plan(EVERY_POD, world.view(), NOW + timedelta(seconds=SWEEP_S)))
    assert [one.ref.name for one in due if isinstance(one, Delete)] == ["b"]


@pytest.mark.parametrize(("count_max", "is_asked"), [(0, False), (1, True)])
def test_without_a_limit_all_stay(count_max: int, is_asked: bool) -> None:
    world = World()
    keys = FinishedPods(count_max).keys(ended("a", 1), world.view())
    assert list(keys) == ([EVERY_POD] if is_asked else [])
    assert not list(FinishedPods(count_max or 1).keys(a_pod("runs"), world.view()))
