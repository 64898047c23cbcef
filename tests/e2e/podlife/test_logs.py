"""One text, searched for in the logs of all programs on all nodes, tells a pod's story in order."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.core.pod import Pod
from cubernetes.client.rest import Client
from tests.e2e.cluster import Cluster, ready_pods, until
from tests.e2e.uses.test_serving import created, removed

pytestmark = [pytest.mark.lab]


def begun(line: dict[str, Any]) -> datetime:
    """Return when what a line tells began: a request is written down after it was answered."""
    took = timedelta(milliseconds=float(line.get("latency_ms", 0)))
    return datetime.fromisoformat(line["time"]) - took


async def found(cluster: Cluster, text: str) -> list[dict[str, Any]]:
    """Return the lines of all nodes that contain a text, in the order in which they began."""
    lines: list[dict[str, Any]] = []
    for node in cluster.names:
        argv = ["sh", "-c", f"cat /var/log/cubernetes/*.log | grep -a -e {text} || true"]
        ended = await cluster.run(node, argv)
        lines += [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    return sorted(lines, key=begun)


def missing_from(lines: list[dict[str, Any]], chapters: list[dict[str, str]]) -> list[str]:
    """Return the chapters that are not found in this order: the words of each are in its line."""
    rest = iter(lines)
    return [
        str(wanted)
        for wanted in chapters
        if not any(
            all(word in str(line.get(key, "")) for key, word in wanted.items()) for line in rest
        )
    ]


async def test_a_search_for_one_cause_tells_a_pods_story_over_all_programs(
    cluster: Cluster, client: Client
) -> None:
    await created(client, "told", 1)
    try:

        async def runs() -> list[Pod]:
            return await ready_pods(client, "app=told")

        await until("the pod is ready", runs)
        (pod,) = await runs()
        cause = (await client.get(ReplicaSet, "told", "default")).metadata.uid[:13]
    finally:
        await removed(client, "told")
    name, uid, audit = pod.metadata.name, pod.metadata.uid, "apiserver.audit"
    made = {"from": audit, "verb": "create", "resource": "pods", "user": "system:controllers"}
    bound = {"from": audit, "resource": "pods/binding", "user": "system:scheduler"}
    pod_story = [
        {"from": audit, "verb": "create", "resource": "replicasets", "request_id": "-"},
        made,
        bound,
        {"from": "kubelet", "message": "step begun", "step": "StartSandbox", "pod": uid},
        {"from": "kubelet", "message": "step begun", "step": "StartContainer", "pod": uid},
        {"from": "cubernetes.reconcile.records", "message": "event", "reason": "Started"},
        {"from": audit, "resource": "pods/status", "user": "system:node:"},
        {"from": audit, "verb": "delete", "resource": "replicasets"},
        {"from": "kubelet", "message": "nothing left of a pod"},
    ]
    # What a program says of its own write: others act on that write before it has its answer.
    told_by_writers = [
        [made, {"from": "cubernetes.reconcile.execute", "message": "created", "object": name}],
        [bound, {"from": "scheduler.run", "message": "pod bound", "node": pod.spec.node_name}],
    ]

    def untold(lines: list[dict[str, Any]]) -> list[str]:
        stories = [pod_story, *told_by_writers]
        return [missing for story in stories for missing in missing_from(lines, story)]

    async def is_told() -> bool:
        return not untold(await found(cluster, cause))

    try:
        await until("the story is written", is_told)
    except AssertionError as error:
        lines = await found(cluster, cause)
        told = "\n".join(map(str, lines))
        raise AssertionError(f"{untold(lines)} not in\n{told}") from error
    assert all(line["cause"] == cause for line in await found(cluster, cause))
