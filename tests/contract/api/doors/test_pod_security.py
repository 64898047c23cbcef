"""Pod Security levels at the API: who is refused, who is warned, and what the audit tells."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from tests.contract.api.world import (
    NODES,
    Answer,
    Tree,
    World,
    a_node,
    a_pod,
    a_set,
    a_world,
    settled,
)

NAMESPACES = "/api/v1/namespaces"
PODS = f"{NAMESPACES}/strict/pods"
SETS = "/apis/apps/v1/namespaces/strict/replicasets"
LABEL = "pod-security.kubernetes.io"
MERGE = {"content-type": "application/merge-patch+json"}
APPLY = {"content-type": "application/apply-patch+yaml"}
SAFE: Tree = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
# What an everyday pod hears of the strictest level.
ASKED = (
    'PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "main" must set '
    'securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "main" '
    'must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container '
    '"main" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "main" '
    'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
)
QUOTED = ASKED.replace('"', '\\"')


def a_place(name: str = "strict", **modes: str) -> Tree:
    labels = {f"{LABEL}/{mode.replace('_', '-')}": level for mode, level in modes.items()}
    meta = {"name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}


def a_safe_pod(name: str = "safe") -> Tree:
    return a_pod(name, containers=[{"name": "main", "image": "a:1", "securityContext": SAFE}])


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as one:
        yield one


async def made(world: World, **modes: str) -> None:
    answer = await world.call("POST", NAMESPACES, a_place(**modes))
    assert answer.code == 201, answer.tree


async def names(world: World) -> list[str]:
    return (await world.call("GET", PODS)).names


async def labelled(world: World, query: Mapping[str, str] | None = None, **modes: Any) -> Answer:
    labels = {f"{LABEL}/{mode.replace('_', '-')}": level for mode, level in modes.items()}
    change = {"metadata": {"labels": labels}}
    path = f"{NAMESPACES}/strict"
    return await world.call("PATCH", path, change, query=query, headers=MERGE)


@pytest.mark.parametrize("query", [{}, {"dryRun": "All"}])
async def test_a_pod_that_violates_the_enforced_level_is_forbidden_and_not_made(
    world: World, query: dict[str, str]
) -> None:
    await made(world, enforce="restricted")
    refused = await world.call("POST", PODS, a_pod(), query=query)
    assert (refused.code, refused.tree["reason"]) == (403, "Forbidden")
    assert refused.tree["message"] == f'pods "web" is forbidden: violates {ASKED}'
    assert "Warning" not in refused.headers
    applied = await world.call("PATCH", f"{PODS}/web", a_pod(), query=query | {"fieldManager": "a"},
                               headers=APPLY)  # fmt: skip
    assert applied.code == 403
    assert await names(world) == []
    taken = await world.call("POST", PODS, a_safe_pod(), query=query)
    assert (taken.code, taken.headers.get("Warning")) == (201, None)


async def test_other_namespaces_are_not_held_to_it(world: World) -> None:
    await made(world, enforce="restricted")
    assert (await world.call("POST", f"{NAMESPACES}/default/pods", a_pod())).code == 201


@pytest.mark.parametrize("query", [{}, {"dryRun": "All"}])
async def test_a_pod_is_warned_of_and_made(world: World, query: dict[str, str]) -> None:
    await made(world, enforce="baseline", warn="restricted")
    answer = await world.call("POST", PODS, a_pod(), query=query)
    assert answer.code == 201
    assert answer.headers["Warning"] == f'299 - "would violate {QUOTED}"'
    assert await names(world) == ([] if query else ["web"])


async def test_a_workload_is_taken_and_its_author_warned_of_what_is_enforced(world: World) -> None:
    await made(world, enforce="restricted")
    answer = await world.call("POST", SETS, a_set())
    assert answer.code == 201
    assert answer.headers["Warning"] == f'299 - "would violate {QUOTED}"'
    changed = await world.call("PATCH", f"{SETS}/web", {"spec": {"replicas": 2}}, headers=MERGE)
    assert "would violate" in changed.headers["Warning"]
    scaled = await world.call(
        "PATCH", f"{SETS}/web/scale", {"spec": {"replicas": 3}}, headers=MERGE
    )
    noted = await world.call(
        "PATCH", f"{SETS}/web/status", {"status": {"replicas": 1}}, headers=MERGE
    )
    assert [(one.code, one.headers.get("Warning")) for one in (scaled, noted)] == [(200, None)] * 2


@pytest.mark.parametrize(
    ("group", "plural", "spec"),
    [
        ("apps", "deployments", {"selector": {"matchLabels": {"app": "web"}}}),
        ("apps", "daemonsets", {"selector": {"matchLabels": {"app": "web"}}}),
        ("apps", "statefulsets", {"selector": {"matchLabels": {"app": "web"}}, "serviceName": "w"}),
        ("batch", "jobs", {}),
        ("batch", "cronjobs", {"schedule": "* * * * *"}),
    ],
)
async def test_every_kind_that_makes_pods_warns(
    world: World, group: str, plural: str, spec: Tree
) -> None:
    await made(world, warn="restricted")
    policy = "Never" if group == "batch" else "Always"
    containers = [{"name": "main", "image": "a:1"}]
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": containers, "restartPolicy": policy},
    }
    whole: Tree = {**spec, "template": template}
    if plural == "cronjobs":
        whole = {**spec, "jobTemplate": {"spec": {"template": template}}}
    path = f"/apis/{group}/v1/namespaces/strict/{plural}"
    answer = await world.call("POST", path, {"metadata": {"name": "web"}, "spec": whole})
    assert answer.code == 201, answer.tree
    assert answer.headers["Warning"] == f'299 - "would violate {QUOTED}"'


async def test_an_ephemeral_container_is_held_to_the_level_as_well(world: World) -> None:
    await made(world, enforce="restricted")
    await world.call("POST", NODES, a_node())
    assert (await world.call("POST", PODS, a_safe_pod())).code == 201
    path = f"{PODS}/safe/ephemeralcontainers"
    strategic = {"content-type": "application/strategic-merge-patch+json"}
    look = {"name": "look", "image": "tools:1"}

    refused = await world.call(
        "PATCH", path, {"spec": {"ephemeralContainers": [look]}}, headers=strategic
    )
    assert refused.code == 403
    whose = 'container "look" must set securityContext.allowPrivilegeEscalation=false'
    assert whose in refused.tree["message"]
    safe = {"spec": {"ephemeralContainers": [{**look, "securityContext": SAFE}]}}
    assert (await world.call("PATCH", path, safe, headers=strategic)).code == 200


async def test_a_pod_that_stands_lives_on_but_takes_no_other_image(world: World) -> None:
    await made(world)
    assert (await world.call("POST", PODS, a_pod())).code == 201
    await labelled(world, enforce="restricted")
    path = f"{PODS}/web"
    label = {"metadata": {"labels": {"more": "labels"}}}
    assert (await world.call("PATCH", path, label, headers=MERGE)).code == 200
    status = {"status": {"phase": "Running"}}
    assert (await world.call("PATCH", f"{path}/status", status, headers=MERGE)).code == 200
    image = {"spec": {"containers": [{"name": "main", "image": "other:1"}]}}
    strategic = {"content-type": "application/strategic-merge-patch+json"}
    refused = await world.call("PATCH", path, image, headers=strategic)
    assert (refused.code, "violates PodSecurity" in refused.tree["message"]) == (403, True)
    assert (await world.call("DELETE", path)).code == 200


async def test_a_namespace_that_becomes_stricter_names_the_pods_that_stand(world: World) -> None:
    await made(world)
    for name in ("a", "b"):
        await world.call("POST", PODS, a_pod(name))
    await settled()
    told = (
        '299 - "existing pods in namespace \\"strict\\" violate the new PodSecurity enforce level '
        '\\"restricted:latest\\"", 299 - "a (and 1 other pod): allowPrivilegeEscalation != false, '
        'unrestricted capabilities, runAsNonRoot != true, seccompProfile"'
    )
    tried = await labelled(world, {"dryRun": "All"}, enforce="restricted")
    assert (tried.code, tried.headers["Warning"]) == (200, told)
    done = await labelled(world, enforce="restricted")
    assert (done.code, done.headers["Warning"]) == (200, told)
    again = await labelled(world, enforce="baseline")
    assert "Warning" not in again.headers


async def test_a_level_that_there_is_none_of_is_refused_by_name(world: World) -> None:
    refused = await world.call("POST", NAMESPACES, a_place(enforce="strict", warn_version="1.30"))
    assert refused.code == 422
    assert refused.tree["message"] == (
        'Namespace "strict" is invalid: ['
        f'metadata.labels[{LABEL}/enforce]: Invalid value: "strict": '
        "must be one of privileged, baseline, restricted, "
        f'metadata.labels[{LABEL}/warn-version]: Invalid value: "1.30": '
        'must be "latest" or "v1.x"]'
    )
    await made(world)
    assert (await labelled(world, audit="Restricted")).code == 422
    assert (await labelled(world, audit="restricted", audit_version="v1.30")).code == 200


async def test_the_audit_tells_what_is_enforced_and_what_would_be_violated(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await made(world, enforce="baseline", audit="restricted", warn="privileged")
    caplog.set_level("INFO", logger="apiserver.audit")
    caplog.clear()
    answer = await world.call("POST", PODS, a_pod())
    assert (answer.code, answer.headers.get("Warning")) == (201, None)
    refused = await world.call("POST", PODS, a_pod("root", hostNetwork=True))
    assert refused.code == 403
    await world.call("POST", SETS, a_set())
    records = [one for one in caplog.records if one.name == "apiserver.audit"]
    facts = [one.cube_facts for one in records]  # type: ignore[attr-defined]
    assert [one.get(f"{LABEL}/enforce-policy") for one in facts] == ["baseline:latest"] * 2 + [None]
    violations = [one[f"{LABEL}/audit-violations"] for one in facts]
    assert violations[0] == violations[2] == f"would violate {ASKED}"
    assert "host namespaces (hostNetwork=true)" in violations[1]

    # What is quoted of a body does not make a line as long as the body.
    caplog.clear()
    notes = {"container.apparmor.security.beta.kubernetes.io/c": "x" * 100_000}
    long = a_pod("long")
    long["metadata"]["annotations"] = notes
    await world.call("POST", PODS, long)
    (fact,) = [one.cube_facts for one in caplog.records]  # type: ignore[attr-defined]
    assert max(len(str(text)) for text in fact.values()) == 2000


async def test_a_default_of_the_cluster_holds_without_labels_and_spares_its_exempt() -> None:
    settings = {"pod_security": "restricted", "pod_security_exempt": ("kube-system",)}
    async with a_world(settings=settings) as world:
        refused = await world.call("POST", f"{NAMESPACES}/default/pods", a_pod())
        assert refused.code == 403
        spared = await world.call("POST", f"{NAMESPACES}/kube-system/pods", a_pod())
        assert spared.code == 201
        await world.call("POST", NAMESPACES, a_place(enforce="privileged"))
        assert (await world.call("POST", PODS, a_pod())).code == 201
