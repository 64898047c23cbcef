"""autoscaling/v1 is the same objects in older words; what it has no words for stays as it is."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.api.world import World, a_world

NEWER = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
OLDER = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
WEB = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
MEMORY = {
    "type": "Resource",
    "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Mi"}},
}


def older(**spec: Any) -> dict[str, Any]:
    whole = {"scaleTargetRef": WEB, "maxReplicas": 5, **spec}
    return {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web"}, "spec": whole}  # fmt: skip


def cpu(share: int) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": share}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as one:
        yield one


async def test_what_is_written_in_older_words_is_read_in_newer_ones(world: World) -> None:
    made = await world.call("POST", OLDER, older(targetCPUUtilizationPercentage=50))
    assert (made.code, made.tree["apiVersion"]) == (201, "autoscaling/v1")
    stored = (await world.call("GET", f"{NEWER}/web")).tree
    assert stored["spec"]["metrics"] == [cpu(50)]
    assert made.tree["metadata"]["uid"] == stored["metadata"]["uid"]


async def test_what_is_left_out_is_what_kubernetes_fills_in(world: World) -> None:
    made = await world.call("POST", OLDER, older())
    assert made.tree["spec"]["targetCPUUtilizationPercentage"] == 80
    assert made.tree["spec"]["minReplicas"] == 1


async def test_an_older_client_keeps_what_it_does_not_know(world: World) -> None:
    body = older()
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 7}}
    body["spec"] |= {"metrics": [cpu(50), MEMORY], "behavior": behavior}
    await world.call("POST", NEWER, {**body, "apiVersion": "autoscaling/v2"})
    shown = (await world.call("GET", f"{OLDER}/web")).tree
    shown["spec"]["targetCPUUtilizationPercentage"] = 60
    assert (await world.call("PUT", f"{OLDER}/web", shown)).code == 200
    stored = (await world.call("GET", f"{NEWER}/web")).tree["spec"]
    assert stored["metrics"] == [cpu(60), MEMORY]
    assert stored["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 7
    change = {"spec": {"maxReplicas": 9}}
    assert (await world.call("PATCH", f"{OLDER}/web", change)).code == 200
    stored = (await world.call("GET", f"{NEWER}/web")).tree["spec"]
    assert (stored["maxReplicas"], stored["metrics"]) == (9, [cpu(60), MEMORY])


async def test_a_status_is_told_in_older_words(world: World) -> None:
    await world.call("POST", OLDER, older(targetCPUUtilizationPercentage=50))
    now = {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 42}}}
    status = {"currentReplicas": 2, "desiredReplicas": 3, "currentMetrics": [now]}
    await world.call("PATCH", f"{NEWER}/web/status", {"status": status})
    told = (await world.call("GET", f"{OLDER}/web")).tree["status"]
    assert (told["currentReplicas"], told["desiredReplicas"]) == (2, 3)
    assert told["currentCPUUtilizationPercentage"] == 42


async def test_lists_watches_and_deletions_are_of_the_same_objects(world: World) -> None:
    watch = await world.watch(OLDER)
    await world.call("POST", NEWER, {**older(), "apiVersion": "autoscaling/v2"})
    assert await watch.told() == ("ADDED", "web")
    assert (await world.call("GET", OLDER)).names == ["web"]
    assert (await world.call("DELETE", f"{OLDER}/web")).code == 200
    assert await watch.told() == ("DELETED", "web")
    assert (await world.call("GET", NEWER)).names == []


async def test_what_is_wrong_is_refused(world: World) -> None:
    for spec in ({"targetCPUUtilizationPercentage": 0}, {"maxReplicas": 0}):
        assert (await world.call("POST", OLDER, older(**spec))).code == 422
    assert (await world.call("GET", NEWER)).names == []


async def test_discovery_prefers_what_is_stored(world: World) -> None:
    group = (await world.call("GET", "/apis/autoscaling")).tree
    assert [one["version"] for one in group["versions"]] == ["v2", "v1"]
    assert group["preferredVersion"]["version"] == "v2"
    listed = (await world.call("GET", "/apis")).tree["groups"]
    assert group["versions"] in [one["versions"] for one in listed]
