"""`cubectl debug` against the real API server: what it adds, copies and makes, and takes away."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.api.tls import Cluster, a_cluster

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}, annotations: {note: x}}
spec:
  containers:
    - name: main
      image: "web:1"
      livenessProbe: {tcpSocket: {port: 80}}
    - {name: side, image: "side:1", command: [a], args: [b]}
---
apiVersion: v1
kind: Node
metadata: {name: n1}
"""

PROFILES: list[tuple[str, object]] = [
    ("baseline", None),
    ("legacy", None),
    ("netadmin", {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}}),
    ("sysadmin", {"privileged": True}),
    (
        "restricted",
        {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    ),
]
SENSELESS = {
    "debug web": "--image is required",
    "debug web --image x -t": "-i/--stdin is required",
    "debug web --image x --rm": "--rm should only be used for attached containers",
    "debug web --image x --same-node": "--same-node is about a copy",
    "debug web --image x --set-image a=b": "--set-image is about a copy",
    "debug web --image x --copy-to y --target main": "a copy shares its processes",
    "debug up web --image x": "one of net, trace, profile before it",
    "debug web --image x --env A": "write KEY=VALUE",
}


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with a_cluster(tmp_path) as made:
        await made.ok("apply -f -", stdin=POD)
        yield made


async def spec_of(cluster: Cluster, name: str = "web") -> Any:
    return json.loads(await cluster.ok(f"get pod {name} -o json"))["spec"]


async def test_a_container_is_added_to_a_pod_and_taken_out_again(cluster: Cluster) -> None:
    words = "debug web --image tools:1 -c look --target main --env A=1 --arguments-only -- one two"
    await cluster.ok(words)
    (one,) = (await spec_of(cluster))["ephemeralContainers"]
    assert one["args"] == ["one", "two"]
    assert "command" not in one
    assert (one["name"], one["targetContainerName"]) == ("look", "main")
    assert one["env"] == [{"name": "A", "value": "1"}]
    assert one["securityContext"] == {"capabilities": {"add": ["SYS_PTRACE"]}}

    said = await cluster.cubectl("debug web --image tools:1")
    assert "Defaulting debug container name to debugger-" in said.err
    assert len((await spec_of(cluster))["ephemeralContainers"]) == 2

    said = await cluster.cubectl("debug web --remove look")
    assert said.out == 'ephemeral container "look" removed from pod "web"\n'
    (left,) = (await spec_of(cluster))["ephemeralContainers"]
    assert left["name"].startswith("debugger-")
    said = await cluster.cubectl("debug web --remove look")
    assert (said.code, 'has no ephemeral container "look"' in said.err) == (1, True), said.err


async def test_a_profile_says_what_the_container_may_do(cluster: Cluster) -> None:
    for profile, _ in PROFILES:
        await cluster.ok(f"debug web -q --image tools:1 -c {profile} --profile {profile}")

    made = {one["name"]: one for one in (await spec_of(cluster))["ephemeralContainers"]}
    assert [(name, one.get("securityContext")) for name, one in made.items()] == PROFILES


async def test_a_copy_is_another_pod_that_shares_processes_and_serves_nobody(
    cluster: Cluster,
) -> None:
    await cluster.ok("debug web --image tools:1 -c look")
    await cluster.ok("debug web --copy-to copy --image tools:1 -c look --set-image side=side:2")
    copy = json.loads(await cluster.ok("get pod copy -o json"))
    spec = copy["spec"]
    assert [(one["name"], one["image"]) for one in spec["containers"]] == [
        ("main", "web:1"),
        ("side", "side:2"),
        ("look", "tools:1"),
    ]
    assert spec["shareProcessNamespace"] is True
    assert "ephemeralContainers" not in spec
    assert "livenessProbe" not in spec["containers"][0]
    assert "labels" not in copy["metadata"]

    await cluster.ok("debug web --copy-to other --share-processes=false -c side -- sh -c x")
    spec = await spec_of(cluster, "other")
    side = spec["containers"][1]
    assert (side["command"], side.get("args"), side["image"]) == (["sh", "-c", "x"], None, "side:1")
    assert "shareProcessNamespace" not in spec

    await cluster.ok("debug web --copy-to third --replace --set-image *=new:1")
    assert {one["image"] for one in (await spec_of(cluster, "third"))["containers"]} == {"new:1"}
    assert "not found" in (await cluster.cubectl("get pod web")).err


async def test_a_node_is_looked_into_by_a_pod_in_its_namespaces(cluster: Cluster) -> None:
    said = await cluster.cubectl("debug node/n1 --image tools:1")
    assert "Creating debugging pod node-debugger-n1-" in said.err
    (pod,) = (
        one
        for one in json.loads(await cluster.ok("get pods -o json"))["items"]
        if one["metadata"]["name"].startswith("node-debugger-n1-")
    )
    spec = pod["spec"]
    assert (spec["nodeName"], spec["restartPolicy"]) == ("n1", "Never")
    assert spec["hostNetwork"] and spec["hostPID"] and spec["hostIPC"]  # noqa: PT018  one fact
    assert spec["volumes"][0]["hostPath"]["path"] == "/"
    assert spec["containers"][0]["volumeMounts"][0]["mountPath"] == "/host"
    assert {"operator": "Exists"} in spec["tolerations"]


async def test_what_makes_no_sense_is_refused_before_anything_is_made(cluster: Cluster) -> None:
    for words, told in SENSELESS.items():
        said = await cluster.cubectl(words)
        assert (said.code, told in said.err) == (2, True), (words, said)

    assert "ephemeralContainers" not in await spec_of(cluster)
    assert await cluster.ok("get pods -o name") == "pod/web\n"


async def test_a_short_form_is_a_container_with_tools_which_is_taken_away_again(
    cluster: Cluster,
) -> None:
    said = await cluster.cubectl("debug trace web -c look --pod-running-timeout 10ms")
    assert (said.code, "timed out waiting for it" in said.err) == (1, True), said.err
    assert "ephemeral container look removed" in said.err
    assert "ephemeralContainers" not in await spec_of(cluster)
    # It was there, and went: the pod has seen both.
    assert await cluster.ok("get pod web -o jsonpath={.metadata.generation}") == "3"
