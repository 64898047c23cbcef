"""`pods/ephemeralcontainers`: what may be written there, in Kubernetes' words, and what is not."""

from collections.abc import AsyncIterator

import pytest

from cubernetes.host.web.messages import Identity
from tests.contract.api.world import NODES, PODS, Answer, Tree, World, a_node, a_pod, a_world

PATH = f"{PODS}/web/ephemeralcontainers"
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
STEPS = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
ROLES = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as one:
        await one.call("POST", NODES, a_node())
        assert (await one.call("POST", PODS, a_pod("web"))).code == 201
        yield one


def a_look(name: str = "look", **fields: object) -> Tree:
    return {"name": name, "image": "tools:1", **fields}


async def patched(world: World, change: object, media: str = STRATEGIC, **query: str) -> Answer:
    headers = {"content-type": media}
    return await world.call("PATCH", PATH, change, query=query, headers=headers)


async def added(world: World, *looks: Tree, media: str = STRATEGIC) -> Answer:
    return await patched(world, {"spec": {"ephemeralContainers": list(looks)}}, media)


async def names(world: World) -> list[str]:
    tree = (await world.call("GET", PATH)).tree
    return [one["name"] for one in tree["spec"].get("ephemeralContainers", ())]


async def test_each_kind_of_write_adds_one_and_leaves_the_pod_as_it_is(world: World) -> None:
    assert (await added(world, a_look("a"))).code == 200
    step = {"op": "add", "path": "/spec/ephemeralContainers/-", "value": a_look("b")}
    assert (await patched(world, [step], STEPS)).code == 200
    looks = (await world.call("GET", PATH)).tree["spec"]["ephemeralContainers"]
    assert (await added(world, *looks, a_look("c"), media=MERGE)).code == 200
    applied = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}}
    applied["spec"] = {"ephemeralContainers": [a_look("d", targetContainerName="main")]}
    assert (await patched(world, applied, APPLY, fieldManager="ann")).code == 200

    pod = (await world.call("GET", f"{PODS}/web")).tree
    pod["spec"]["ephemeralContainers"].append(a_look("e", stdin=True, tty=True))
    pod["spec"]["containers"][0]["image"] = "other:1"
    pod["metadata"]["labels"] = {"app": "other"}
    answer = await world.call("PUT", PATH, pod)
    assert answer.code == 200, answer.tree
    assert await names(world) == ["a", "b", "c", "d", "e"]
    assert answer.tree["spec"]["containers"][0]["image"] != "other:1"
    assert answer.tree["metadata"]["labels"] != {"app": "other"}
    one = answer.tree["spec"]["ephemeralContainers"][0]
    assert (one["imagePullPolicy"], one["terminationMessagePolicy"]) == ("IfNotPresent", "File")


@pytest.mark.parametrize("media", [STRATEGIC, MERGE])
async def test_one_that_stands_may_not_be_changed_or_left_out(world: World, media: str) -> None:
    await added(world, a_look("a"), a_look("b"))
    refused = await added(world, a_look("a", image="other:1"), a_look("b"), media=media)
    assert refused.code == 422
    assert 'existing ephemeral containers "a" may not be changed' in refused.tree["message"]
    gone = {"spec": {"ephemeralContainers": None}}
    refused = await patched(world, gone, media)
    assert 'existing ephemeral containers "b" may not be removed' in refused.tree["message"]
    # An order is no change.
    assert (await added(world, a_look("b"), a_look("a"), media=media)).code == 200


@pytest.mark.parametrize(
    ("fields", "field", "why"),
    [
        ({"ports": [{"containerPort": 80}]}, "ports", "cannot be set for an Ephemeral Container"),
        ({"resources": {"limits": {"cpu": "1"}}}, "resources", "cannot be set for an Ephemeral"),
        ({"livenessProbe": {"exec": {"command": ["x"]}}}, "livenessProbe", "cannot be set"),
        ({"readinessProbe": {"exec": {"command": ["x"]}}}, "readinessProbe", "cannot be set"),
        ({"startupProbe": {"exec": {"command": ["x"]}}}, "startupProbe", "cannot be set"),
        ({"lifecycle": {"preStop": {"exec": {"command": ["x"]}}}}, "lifecycle", "cannot be set"),
        ({"restartPolicy": "Always"}, "restartPolicy", "cannot be set"),
        ({"name": "main"}, "name", 'Duplicate value: "main"'),
        ({"name": "No Name"}, "name", "Invalid value"),
        ({"targetContainerName": "x"}, "targetContainerName", 'Not found: "x"'),
        (
            {"volumeMounts": [{"name": "x", "mountPath": "/x", "subPath": "y"}]},
            "volumeMounts[0].subPath",
            "cannot be set",
        ),
        ({"securityContext": {"runAsUser": -1}}, "securityContext.runAsUser", "Invalid value"),
    ],
)
async def test_what_is_no_ephemeral_container_is_refused_by_its_field(
    world: World, fields: Tree, field: str, why: str
) -> None:
    refused = await added(world, a_look() | fields)
    assert refused.code == 422
    causes = refused.tree["details"]["causes"]
    of_field = [one for one in causes if one["field"] == f"spec.ephemeralContainers[0].{field}"]
    assert any(why in one["message"] for one in of_field), causes
    assert await names(world) == []


async def test_nothing_but_the_subresource_brings_one(world: World) -> None:
    new = a_pod("new")
    new["spec"]["ephemeralContainers"] = [a_look()]
    refused = await world.call("POST", PODS, new)
    assert "spec.ephemeralContainers: Forbidden: cannot be set on create" in refused.tree["message"]

    pod = (await world.call("GET", f"{PODS}/web")).tree
    pod["spec"]["ephemeralContainers"] = [a_look()]
    refused = await world.call("PUT", f"{PODS}/web", pod)
    assert refused.code == 422
    assert "spec.ephemeralContainers: Forbidden" in refused.tree["message"]

    job = {"metadata": {"name": "j"}, "spec": {"template": {"spec": dict(new["spec"])}}}
    job["spec"]["template"]["spec"]["restartPolicy"] = "Never"  # type: ignore[index]
    refused = await world.call("POST", "/apis/batch/v1/namespaces/default/jobs", job)
    assert "ephemeral containers not allowed in pod template" in refused.tree["message"]
    assert await names(world) == []


async def test_a_write_through_the_pod_keeps_those_that_stand(world: World) -> None:
    await added(world, a_look())
    change = {"metadata": {"labels": {"tier": "back"}}}
    answer = await world.call("PATCH", f"{PODS}/web", change, headers={"content-type": MERGE})
    assert answer.code == 200
    assert await names(world) == ["look"]


async def test_one_is_taken_out_again_by_its_name(world: World) -> None:
    await added(world, a_look("a"), a_look("b"))
    answer = await world.call("DELETE", PATH, query={"container": "a", "dryRun": "All"})
    assert answer.code == 200
    assert await names(world) == ["a", "b"]
    answer = await world.call("DELETE", PATH, query={"container": "a"})
    assert (answer.code, answer.tree["kind"]) == (200, "Pod")
    assert await names(world) == ["b"]

    for query, code in (({"container": "a"}, 404), ({"container": "main"}, 404), ({}, 400)):
        assert (await world.call("DELETE", PATH, query=query)).code == code
    assert await names(world) == ["b"]


async def test_a_role_says_who_may_look_into_pods(world: World) -> None:
    ann = Identity("ann", ())
    rule = {"apiGroups": [""], "resources": ["pods/ephemeralcontainers"], "verbs": ["patch"]}
    subject = {"kind": "User", "name": "ann", "apiGroup": "rbac.authorization.k8s.io"}
    change = {"spec": {"ephemeralContainers": [a_look()]}}
    headers = {"content-type": STRATEGIC}

    async def codes() -> tuple[int, int]:
        patch = await world.call("PATCH", PATH, change, headers=headers, identity=ann)
        removal = await world.call("DELETE", PATH, query={"container": "look"}, identity=ann)
        return patch.code, removal.code

    assert await codes() == (403, 403)
    role = {"metadata": {"name": "looker"}, "rules": [rule]}
    assert (await world.call("POST", f"{ROLES}/roles", role)).code == 201
    ref = {"kind": "Role", "name": "looker", "apiGroup": "rbac.authorization.k8s.io"}
    binding = {"metadata": {"name": "looker"}, "subjects": [subject], "roleRef": ref}
    assert (await world.call("POST", f"{ROLES}/rolebindings", binding)).code == 201
    # Who may add may not take away: that is a verb of its own.
    assert await codes() == (200, 403)


async def test_a_nodes_own_kubelet_adds_none(world: World) -> None:
    binding = {"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "n1"}}
    assert (await world.call("POST", f"{PODS}/web/binding", binding)).code == 201
    node = Identity("system:node:n1", ("system:nodes",))
    change = {"spec": {"ephemeralContainers": [a_look()]}}
    headers = {"content-type": STRATEGIC}
    assert (await world.call("PATCH", PATH, change, headers=headers, identity=node)).code == 403
