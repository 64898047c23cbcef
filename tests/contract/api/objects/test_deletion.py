"""How objects go: at once, with grace, after their finalizers, or not at all."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest

from apiserver.state.keys import key_of
from apiserver.storage.memory import MemoryStore
from apiserver.storage.store import Compare, Delete, Op, Outcome, Put
from cubernetes.api.core.pod import Pod
from tests.contract.api.world import (
    NODES,
    PODS,
    SERVICES,
    SETS,
    World,
    a_namespace,
    a_node,
    a_pod,
    a_service,
    a_set,
    a_world,
)

MERGE = {"content-type": "application/merge-patch+json"}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as one:
        await one.call("POST", NODES, a_node())
        yield one


async def _bound_pod(world: World, name: str = "web") -> None:
    await world.call("POST", PODS, a_pod(name))
    binding = {"metadata": {"name": name}, "target": {"kind": "Node", "name": "n1"}}
    answer = await world.call("POST", f"{PODS}/{name}/binding", binding)
    assert answer.code == 201


async def test_a_pod_that_nobody_runs_goes_at_once(world: World) -> None:
    await world.call("POST", PODS, a_pod())
    answer = await world.call("DELETE", f"{PODS}/web")

    assert (answer.code, answer.tree["kind"]) == (200, "Pod")
    assert (await world.call("GET", f"{PODS}/web")).code == 404


async def test_a_pod_on_a_node_gets_its_grace_and_then_its_kubelet_removes_it(
    world: World,
) -> None:
    await _bound_pod(world)
    answer = await world.call("DELETE", f"{PODS}/web")

    assert answer.tree["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:30Z"
    assert answer.tree["metadata"]["deletionGracePeriodSeconds"] == 30
    assert (await world.call("GET", f"{PODS}/web")).code == 200
    assert (await world.call("DELETE", f"{PODS}/web", {"gracePeriodSeconds": 0})).code == 200
    assert (await world.call("GET", f"{PODS}/web")).code == 404


async def test_grace_gets_shorter_but_never_longer(world: World) -> None:
    await _bound_pod(world)
    await world.call("DELETE", f"{PODS}/web", {"gracePeriodSeconds": 20})
    await world.clock.advance(5)
    longer = await world.call("DELETE", f"{PODS}/web", {"gracePeriodSeconds": 60})
    assert longer.tree["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:20Z"
    shorter = await world.call("DELETE", f"{PODS}/web", query={"gracePeriodSeconds": "10"})
    assert shorter.tree["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:10Z"
    assert shorter.tree["metadata"]["deletionGracePeriodSeconds"] == 10


async def test_a_finished_pod_goes_at_once(world: World) -> None:
    await _bound_pod(world)
    status = {"status": {"phase": "Succeeded"}}
    await world.call("PATCH", f"{PODS}/web/status", status, headers=MERGE)
    await world.call("DELETE", f"{PODS}/web")

    assert (await world.call("GET", f"{PODS}/web")).code == 404


async def test_a_finalizer_keeps_an_object_until_it_is_taken_away(world: World) -> None:
    held = a_set()
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await world.call("POST", SETS, held)
    first = await world.call("DELETE", f"{SETS}/web")
    await world.clock.advance(60)
    second = await world.call("DELETE", f"{SETS}/web")
    stamp = first.tree["metadata"]["deletionTimestamp"]
    assert second.tree["metadata"]["deletionTimestamp"] == stamp

    added = {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}
    assert (await world.call("PATCH", f"{SETS}/web", added, headers=MERGE)).code == 422
    emptied = {"metadata": {"finalizers": None}}
    assert (await world.call("PATCH", f"{SETS}/web", emptied, headers=MERGE)).code == 200
    assert (await world.call("GET", f"{SETS}/web")).code == 404


async def test_a_deletion_may_name_the_incarnation_it_means(world: World) -> None:
    old = (await world.call("POST", PODS, a_pod())).tree["metadata"]
    await world.call("DELETE", f"{PODS}/web")
    new = (await world.call("POST", PODS, a_pod())).tree["metadata"]

    def meaning(**conditions: str) -> dict[str, object]:
        return {"preconditions": conditions}

    assert (await world.call("DELETE", f"{PODS}/web", meaning(uid=old["uid"]))).code == 409
    stale = meaning(resourceVersion=old["resourceVersion"])
    assert (await world.call("DELETE", f"{PODS}/web", stale)).code == 409
    assert (await world.call("DELETE", f"{PODS}/web", meaning(uid=new["uid"]))).code == 200


@pytest.mark.parametrize(
    ("policy", "finalizer"), [("Orphan", "orphan"), ("Foreground", "foregroundDeletion")]
)
async def test_a_propagation_that_needs_work_first_is_left_to_the_garbage_controller(
    world: World, policy: str, finalizer: str
) -> None:
    await world.call("POST", SETS, a_set())
    answer = await world.call("DELETE", f"{SETS}/web", {"propagationPolicy": policy})

    assert answer.tree["metadata"]["finalizers"] == [finalizer]
    assert (await world.call("GET", f"{SETS}/web")).code == 200


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [
        ("Orphan", "Foreground", ["foregroundDeletion"]),
        ("Foreground", "Orphan", ["orphan"]),
        ("Foreground", None, ["foregroundDeletion"]),
        ("Foreground", "Foreground", ["foregroundDeletion"]),
        ("Foreground", "Background", None),
        ("Orphan", "Background", None),
    ],
)
async def test_a_propagation_that_is_asked_for_later_takes_the_place_of_the_earlier(
    world: World, first: str, second: str | None, left: list[str] | None
) -> None:
    await world.call("POST", SETS, a_set())
    await world.call("DELETE", f"{SETS}/web", {"propagationPolicy": first})
    options = {"propagationPolicy": second} if second else {}
    answer = await world.call("DELETE", f"{SETS}/web", options)

    assert answer.code == 200
    found = await world.call("GET", f"{SETS}/web")
    assert found.code == (200 if left else 404)
    assert left is None or found.tree["metadata"]["finalizers"] == left


async def test_a_dry_run_may_be_asked_for_in_the_options_too(world: World) -> None:
    await world.call("POST", PODS, a_pod("web"))

    assert (await world.call("DELETE", f"{PODS}/web", {"dryRun": ["All"]})).code == 200
    assert (await world.call("GET", f"{PODS}/web")).code == 200
    assert (await world.call("DELETE", f"{PODS}/web", {"dryRun": ["Some"]})).code == 400
    assert (await world.call("DELETE", f"{PODS}/web", {"dryRun": []})).code == 200
    assert (await world.call("GET", f"{PODS}/web")).code == 404


async def test_the_two_words_for_propagation_are_not_used_together(world: World) -> None:
    await world.call("POST", SETS, a_set())
    both = {"propagationPolicy": "Orphan", "orphanDependents": True}

    assert (await world.call("DELETE", f"{SETS}/web", both)).code == 400
    await world.call("DELETE", f"{SETS}/web", {"orphanDependents": True})
    found = await world.call("GET", f"{SETS}/web")
    assert found.tree["metadata"]["finalizers"] == ["orphan"]
    assert (await world.call("DELETE", f"{SETS}/web", {"orphanDependents": False})).code == 200
    assert (await world.call("GET", f"{SETS}/web")).code == 404


async def test_background_deletion_removes_the_owner_at_once(world: World) -> None:
    await world.call("POST", SETS, a_set())
    answer = await world.call("DELETE", f"{SETS}/web", {"propagationPolicy": "Background"})

    assert (answer.tree["kind"], answer.tree["status"]) == ("Status", "Success")
    assert answer.tree["details"]["name"] == "web"
    assert (await world.call("GET", f"{SETS}/web")).code == 404


async def test_a_collection_goes_by_selector(world: World) -> None:
    for name in ("a", "b", "c"):
        pod = a_pod(name)
        pod["metadata"]["labels"] = {"keep": str(name == "b").lower()}
        await world.call("POST", PODS, pod)
    answer = await world.call("DELETE", PODS, query={"labelSelector": "keep=false"})

    assert answer.code == 200
    assert (await world.call("GET", PODS)).names == ["b"]


class InterruptedStore:
    """A memory store in which something else happens before the first deletion is committed."""

    def __init__(self, inner: MemoryStore) -> None:
        self.inner = inner
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def commit(self, compares: Sequence[Compare], ops: Sequence[Op]) -> Outcome:
        if self.meanwhile is not None and any(isinstance(op, Delete) for op in ops):
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return await self.inner.commit(compares, ops)


async def test_an_empty_name_is_not_the_collection(world: World) -> None:
    """A client that leaves out an empty name asks for the path with a slash at its end."""
    await world.call("POST", PODS, a_pod())
    answer = await world.call("DELETE", f"{PODS}/")

    assert (answer.code, answer.tree["message"]) == (400, "resource name may not be empty")
    assert (await world.call("GET", f"{PODS}/web")).code == 200


async def test_a_collection_is_what_was_there_and_not_who_has_its_name_next() -> None:
    async with a_world(wrapped=InterruptedStore) as world:
        for name in ("a", "b"):
            await world.call("POST", PODS, a_pod(name))

        async def again() -> None:
            await world.call("DELETE", f"{PODS}/b")
            await world.call("POST", PODS, a_pod("b"))

        assert isinstance(world.store, InterruptedStore)
        world.store.meanwhile = again
        answer = await world.call("DELETE", PODS)

        assert answer.code == 200
        assert (await world.call("GET", PODS)).names == ["b"]


async def test_a_deleted_service_gives_its_address_back(world: World) -> None:
    address = (await world.call("POST", SERVICES, a_service())).tree["spec"]["clusterIP"]
    wanted = a_service("other", clusterIP=address)
    assert (await world.call("POST", SERVICES, wanted)).code == 422
    gone = await world.call("DELETE", f"{SERVICES}/web")
    assert gone.tree["kind"] == "Service"
    assert (await world.call("POST", SERVICES, wanted)).code == 201


async def test_a_namespace_ends_when_it_is_finalized(world: World) -> None:
    await world.call("POST", "/api/v1/namespaces", a_namespace("team"))
    pods = "/api/v1/namespaces/team/pods"
    assert (await world.call("POST", pods, a_pod())).code == 201
    going = await world.call("DELETE", "/api/v1/namespaces/team")
    assert going.tree["status"]["phase"] == "Terminating"
    refused = await world.call("POST", pods, a_pod("late"))
    assert (refused.code, refused.tree["reason"]) == (403, "Forbidden")
    assert "because it is being terminated" in refused.tree["message"]

    await world.call("DELETE", f"{pods}/web")
    emptied = going.tree | {"spec": {"finalizers": []}}
    finalize = "/api/v1/namespaces/team/finalize"
    assert (await world.call("PUT", finalize, emptied)).code == 200
    assert (await world.call("GET", "/api/v1/namespaces/team")).code == 404


async def test_a_write_of_a_namespace_does_not_finalize_it(world: World) -> None:
    made = (await world.call("POST", "/api/v1/namespaces", a_namespace("team"))).tree
    await world.call("PUT", "/api/v1/namespaces/team", made | {"spec": {}})
    await world.call("DELETE", "/api/v1/namespaces/team")

    assert (await world.call("GET", "/api/v1/namespaces/team")).code == 200


async def test_the_first_namespaces_cannot_be_deleted(world: World) -> None:
    for name in ("default", "kube-system", "kube-node-lease", "cube-road-lease"):
        assert (await world.call("DELETE", f"/api/v1/namespaces/{name}")).code == 403


async def test_a_binding_is_given_once(world: World) -> None:
    await _bound_pod(world)
    await world.call("POST", NODES, a_node("n2"))

    async def bind(node: str, **metadata: str) -> int:
        body = {"metadata": metadata, "target": {"name": node}}
        return (await world.call("POST", f"{PODS}/web/binding", body)).code

    assert await bind("n2") == 409
    assert await bind("n1") == 201
    assert await bind("n1", uid="another") == 409
    await world.call("POST", PODS, a_pod("free"))
    absent = {"target": {"name": "n9"}}
    assert (await world.call("POST", f"{PODS}/free/binding", absent)).code == 404
    pod = (await world.call("GET", f"{PODS}/web")).tree
    assert pod["spec"]["nodeName"] == "n1"
    assert pod["status"]["conditions"][0]["type"] == "PodScheduled"
    moved = pod | {"spec": pod["spec"] | {"nodeName": "n2"}}
    assert (await world.call("PUT", f"{PODS}/web", moved)).code == 422


async def test_a_pod_that_stood_before_a_rule_came_gets_a_node_and_reports(world: World) -> None:
    await world.call("POST", PODS, a_pod())
    key = key_of(Pod, "default", "web")
    entry, _ = await world.store.get(key)
    assert entry is not None
    older = entry.value.replace(b'"busybox', b'"no image ')
    assert older != entry.value
    await world.store.commit([], [Put(key, older)])

    binding = {"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "n1"}}
    assert (await world.call("POST", f"{PODS}/web/binding", binding)).code == 201
    pod = (await world.call("GET", f"{PODS}/web")).tree
    running = pod | {"status": pod["status"] | {"phase": "Running"}}
    assert (await world.call("PUT", f"{PODS}/web/status", running)).code == 200
    assert (await world.call("PUT", f"{PODS}/web", pod)).code == 409
    stale = pod["metadata"] | {"resourceVersion": ""}
    assert (await world.call("PUT", f"{PODS}/web", pod | {"metadata": stale})).code == 422
