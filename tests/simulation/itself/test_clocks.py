"""Clocks that disagree by minutes: no duration is taken from the difference of two of them."""

import asyncio

import pytest

from cubernetes.api.core.pod import Pod
from kubelet.runtime.fake import Behaviour
from tests.simulation.calm import CalmCluster, Errors, calm_cluster
from tests.simulation.loop import run_simulated

STUBBORN = "cubernetes/stubborn:1"
GRACE_S = 30
# Each machine in turn is ahead or behind, and all of them at once, each by its own error.
SKEWS = (
    Errors(nodes_s=(100.0, 0.0, 0.0)),
    Errors(nodes_s=(-100.0, 0.0, 0.0)),
    Errors(server_s=100.0),
    Errors(server_s=-100.0),
    Errors(controllers_s=100.0),
    Errors(controllers_s=-100.0),
    Errors(100.0, -100.0, 50.0, (-100.0, 100.0, 3600.0)),
)
FEW_SKEWS = (*SKEWS[:2], SKEWS[-1])


async def _stubborn_pod(cluster: CalmCluster, node: str) -> None:
    """Make a pod whose container uses its grace to the last second."""
    machine = next(one for one in cluster.machines if one.name == node)
    machine.runtime.behaviours[STUBBORN] = Behaviour(ignores_term=True)
    await cluster.make_pod("web", node, image=STUBBORN)


@pytest.mark.parametrize("errors", SKEWS, ids=str)
def test_a_pod_has_its_grace_whatever_the_clocks_say(errors: Errors) -> None:
    async def story() -> float:
        async with calm_cluster(errors) as cluster:
            await _stubborn_pod(cluster, "n1")
            await cluster.user.delete(Pod, "web", "default")
            return await cluster.until(lambda: not cluster.machines[0].running())

    assert GRACE_S - 1 < run_simulated(story()) < GRACE_S + 2


@pytest.mark.parametrize("errors", FEW_SKEWS, ids=str)
def test_asked_again_with_less_a_pod_has_that_much_in_all(errors: Errors) -> None:
    async def story() -> float:
        async with calm_cluster(errors) as cluster:
            await _stubborn_pod(cluster, "n1")
            await cluster.user.delete(Pod, "web", "default")
            await asyncio.sleep(4)
            await cluster.user.delete(Pod, "web", "default", grace_s=10)
            return 4 + await cluster.until(lambda: not cluster.machines[0].running())

    assert 9 < run_simulated(story()) < 12


@pytest.mark.parametrize("errors", FEW_SKEWS, ids=str)
def test_a_node_that_hears_late_of_a_deletion_gives_the_whole_grace(errors: Errors) -> None:
    """Cut off while its pod was deleted, it stops the program as it was promised."""

    async def story() -> float:
        async with calm_cluster(errors) as cluster:
            await _stubborn_pod(cluster, "n1")
            cluster.cut("n1")
            await cluster.user.delete(Pod, "web", "default")
            await asyncio.sleep(60)
            assert len(cluster.machines[0].running()) == 2
            cluster.heal("n1")
            return await cluster.until(lambda: not cluster.machines[0].running())

    assert GRACE_S - 1 < run_simulated(story()) < GRACE_S + 35


@pytest.mark.parametrize("errors", SKEWS, ids=str)
def test_nodes_are_heard_and_missed_whatever_the_clocks_say(errors: Errors) -> None:
    async def story() -> tuple[float, float]:
        async with calm_cluster(errors) as cluster:
            await asyncio.sleep(120)
            assert cluster.ready_nodes() == ["n1", "n2", "n3"]
            cluster.cut("n1")
            silent_s = await cluster.until(lambda: cluster.ready_nodes() == ["n2", "n3"])
            cluster.heal("n1")
            back_s = await cluster.until(lambda: cluster.ready_nodes() == ["n1", "n2", "n3"])
            return silent_s, back_s

    silent_s, back_s = run_simulated(story())

    assert 8 < silent_s < 15
    assert back_s < 35
