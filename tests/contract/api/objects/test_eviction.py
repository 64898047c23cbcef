"""Evictions: a pod goes where its budget allows it, and a budget is never spent twice."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.contract.api.world import NODES, PODS, Answer, Tree, World, a_node, a_pod, a_world

BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
VIOLATED = "Cannot evict pod as it would violate the pod's disruption budget."


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as one:
        await one.call("POST", NODES, a_node())
        yield one


async def a_running_pod(world: World, name: str, *, is_ready: bool = True) -> None:
    await world.call("POST", PODS, a_pod(name))
    binding = {"metadata": {"name": name}, "target": {"kind": "Node", "name": "n1"}}
    assert (await world.call("POST", f"{PODS}/{name}/binding", binding)).code == 201
    ready = {"type": "Ready", "status": "True" if is_ready else "False"}
    status = {"status": {"phase": "Running", "conditions": [ready]}}
    headers = {"content-type": "application/merge-patch+json"}
    answer = await world.call("PATCH", f"{PODS}/{name}/status", status, headers=headers)
    assert answer.code == 200


async def a_budget(world: World, name: str = "web", *, allowed: int = 1, **spec: object) -> None:
    """Make a budget, and let its controller have counted: one more healthy pod than must be."""
    wanted = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}, **spec}
    tree = {"metadata": {"name": name}, "spec": wanted}
    made = await world.call("POST", BUDGETS, tree)
    assert made.code == 201, made.tree
    counts = {"currentHealthy": 1 + allowed, "desiredHealthy": 1, "expectedPods": 3}
    await told(world, name, disruptionsAllowed=allowed, observedGeneration=1, **counts)


async def told(world: World, name: str = "web", **status: object) -> None:
    headers = {"content-type": "application/merge-patch+json"}
    change = {"status": status}
    answer = await world.call("PATCH", f"{BUDGETS}/{name}/status", change, headers=headers)
    assert answer.code == 200, answer.tree


async def evict(world: World, name: str, **fields: object) -> Answer:
    tree = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}, **fields}
    return await world.call("POST", f"{PODS}/{name}/eviction", tree)


async def status_of(world: World, name: str = "web") -> Tree:
    status: Tree = (await world.call("GET", f"{BUDGETS}/{name}")).tree["status"]
    return status


async def is_going(world: World, name: str) -> bool:
    found = await world.call("GET", f"{PODS}/{name}")
    return found.code == 404 or "deletionTimestamp" in found.tree["metadata"]


async def test_without_a_budget_an_eviction_is_a_deletion_that_says_why(world: World) -> None:
    await a_running_pod(world, "web-0")

    answer = await evict(world, "web-0")

    assert (answer.code, answer.tree["status"]) == (201, "Success")
    pod = (await world.call("GET", f"{PODS}/web-0")).tree
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 30
    reasons = {one["type"]: one.get("reason") for one in pod["status"]["conditions"]}
    assert reasons["DisruptionTarget"] == "EvictionByEvictionAPI"
    assert (await evict(world, "nobody")).code == 404


async def test_the_budget_is_taken_by_evictions_and_the_next_is_told_why_not(world: World) -> None:
    for name in ("web-0", "web-1"):
        await a_running_pod(world, name)
    await a_budget(world)

    first, second = await evict(world, "web-0"), await evict(world, "web-1")

    assert (first.code, second.code) == (201, 429)
    status = await status_of(world)
    assert status["disruptionsAllowed"] == 0
    assert status["disruptedPods"] == {"web-0": "2026-01-01T00:00:00Z"}
    assert (second.tree["reason"], second.tree["message"]) == ("TooManyRequests", VIOLATED)
    message = "The disruption budget web needs 1 healthy pods and has 2 currently"
    assert second.tree["details"]["causes"] == [{"reason": "DisruptionBudget", "message": message}]
    assert not await is_going(world, "web-1")
    assert "retryAfterSeconds" not in second.tree["details"]


@pytest.mark.parametrize("allowed", [0, 1, 3])
async def test_evictions_at_once_are_as_many_as_the_budget_allows(
    world: World, allowed: int
) -> None:
    names = [f"web-{place}" for place in range(8)]
    for name in names:
        await a_running_pod(world, name)
    await a_budget(world, allowed=allowed)

    answers = await asyncio.gather(*(evict(world, name) for name in names))

    assert sorted(one.code for one in answers) == [201] * allowed + [429] * (8 - allowed)
    going = [name for name in names if await is_going(world, name)]
    status = await status_of(world)
    assert len(going) == allowed
    assert (status["disruptionsAllowed"], sorted(status.get("disruptedPods", {}))) == (0, going)


async def test_a_budget_that_is_not_counted_yet_allows_nothing(world: World) -> None:
    await a_running_pod(world, "web-0")
    await a_budget(world)
    headers = {"content-type": "application/merge-patch+json"}
    change = {"spec": {"minAvailable": 0}}
    assert (await world.call("PATCH", f"{BUDGETS}/web", change, headers=headers)).code == 200

    answer = await evict(world, "web-0")

    assert (answer.code, answer.headers["Retry-After"]) == (429, "10")
    (cause,) = answer.tree["details"]["causes"]
    assert cause["message"] == "The disruption budget web is still being processed by the server."


async def test_a_budget_that_could_not_be_counted_says_so(world: World) -> None:
    await a_running_pod(world, "web-0")
    await a_budget(world, allowed=0)
    failed = {
        "type": "DisruptionAllowed",
        "status": "False",
        "reason": "SyncFailed",
        "message": "x",
    }
    await told(world, conditions=[failed])

    (cause,) = (await evict(world, "web-0")).tree["details"]["causes"]

    assert cause["message"].endswith("because it failed sync: x")


@pytest.mark.parametrize(
    ("policy", "healthy", "code"),
    [
        ("IfHealthyBudget", 1, 201), ("IfHealthyBudget", 0, 429), (None, 1, 201), (None, 0, 429),
        ("AlwaysAllow", 0, 201),
    ],
)  # fmt: skip
async def test_a_pod_that_is_not_ready_goes_as_the_policy_says(
    world: World, policy: str | None, healthy: int, code: int
) -> None:
    await a_running_pod(world, "web-0", is_ready=False)
    await a_budget(world, allowed=0, unhealthyPodEvictionPolicy=policy)
    await told(world, currentHealthy=healthy)

    assert (await evict(world, "web-0")).code == code
    assert "disruptedPods" not in await status_of(world)


async def test_pods_on_which_nobody_counts_go_whatever_the_budget(world: World) -> None:
    await a_budget(world, allowed=0)
    await world.call("POST", PODS, a_pod("pending"))
    await a_running_pod(world, "going")
    await world.call("DELETE", f"{PODS}/going")

    assert [(await evict(world, one)).code for one in ("pending", "going")] == [201, 201]


async def test_a_pod_under_two_budgets_is_not_evicted(world: World) -> None:
    await a_running_pod(world, "web-0")
    for name in ("one", "other"):
        await a_budget(world, name)

    answer = await evict(world, "web-0")

    assert answer.code == 500
    assert answer.tree["message"].startswith("This pod has more than one PodDisruptionBudget")


async def test_a_budget_of_other_pods_or_another_namespace_is_not_asked(world: World) -> None:
    await a_running_pod(world, "web-0")
    await a_budget(world, allowed=0, selector={"matchLabels": {"app": "other"}})
    await world.call("POST", "/api/v1/namespaces", {"metadata": {"name": "there"}})
    path = BUDGETS.replace("default", "there")
    spec = {"minAvailable": 1, "selector": {}}
    assert (await world.call("POST", path, {"metadata": {"name": "a"}, "spec": spec})).code == 201

    assert (await evict(world, "web-0")).code == 201


async def test_an_eviction_carries_the_options_of_its_deletion(world: World) -> None:
    await a_running_pod(world, "web-0")
    await a_budget(world)

    other = await evict(world, "web-0", deleteOptions={"preconditions": {"uid": "other"}})
    dry = await evict(world, "web-0", deleteOptions={"dryRun": ["All"]})
    assert (other.code, dry.code, await is_going(world, "web-0")) == (409, 201, False)
    assert (await status_of(world))["disruptionsAllowed"] == 1

    assert (await evict(world, "web-0", deleteOptions={"gracePeriodSeconds": 0})).code == 201
    assert (await world.call("GET", f"{PODS}/web-0")).code == 404


async def test_an_eviction_names_the_pod_of_its_path(world: World) -> None:
    await a_running_pod(world, "web-0")
    path = f"{PODS}/web-0/eviction"

    assert (await world.call("POST", path, {"metadata": {"name": "web-1"}})).code == 400
    assert (await world.call("POST", path, {"metadata": {}, "grace": 1})).code == 400


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"minAvailable": 1, "maxUnavailable": 1}, "cannot be both set"),
        ({"minAvailable": "half"}, "minAvailable"),
        ({"maxUnavailable": "101%"}, "maxUnavailable"),
        ({"maxUnavailable": -1}, "maxUnavailable"),
        ({"unhealthyPodEvictionPolicy": "Never"}, "unhealthyPodEvictionPolicy"),
        ({"selector": {"matchLabels": {"a b": "c"}}}, "selector"),
    ],
)
async def test_what_kubernetes_refuses_is_refused_by_its_field(
    world: World, spec: Tree, told: str
) -> None:
    answer = await world.call("POST", BUDGETS, {"metadata": {"name": "web"}, "spec": spec})

    assert answer.code == 422
    assert told in answer.tree["message"]


async def test_clients_find_evictions_in_discovery(world: World) -> None:
    listed = (await world.call("GET", "/api/v1")).tree["resources"]

    (found,) = [one for one in listed if one["name"] == "pods/eviction"]
    assert (found["group"], found["version"], found["kind"]) == ("policy", "v1", "Eviction")
