"""Which node a pod goes to, and what is said where there is none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.condition import Condition
from cubernetes.api.coordination.lease import Lease
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import NotFound
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.api.scheduling.priorityclass import PriorityClass
from cubernetes.client.rest import Client
from tests.e2e.cluster import CUBEROOT, Cluster, ready_pods, until
from tests.e2e.pods import SLEEP, pod, records_of, shell, until_gone, until_phase
from tests.e2e.uses.test_serving import web
from tests.e2e.uses.test_tour import cubectl

pytestmark = [pytest.mark.lab]

QUIET_S = 6.0


def scheduled(one: Pod) -> Condition | None:
    conditions = {each.type: each for each in one.status.conditions}
    return conditions.get("PodScheduled")


async def labelled(client: Client, node: str, **labels: str | None) -> None:
    await client.patch(Node, node, "", {"metadata": {"labels": labels}})


async def revision(client: Client) -> int:
    """Return the store's revision: it counts every write of the cluster."""
    return int((await client.list(Pod, "default", limit=1)).metadata.resource_version)


async def test_w46_a_selector_that_one_node_satisfies_brings_all_pods_there(
    client: Client,
) -> None:
    await labelled(client, "n3", disk="fast")
    names = [f"fast-{index}" for index in range(3)]
    for name in names:
        wish = pod(name, [shell(SLEEP)], namespace="default", nodeSelector={"disk": "fast"})
        await client.create(wish)
    for name in names:
        one = await until_phase(client, name, "Running", namespace="default")
        assert one.spec.node_name == "n3"
    for name in names:
        await client.delete(Pod, name, "default")
    for name in names:
        await until_gone(client, name, namespace="default")
    await labelled(client, "n3", disk=None)


async def test_a_taint_ends_pods_that_do_not_bear_it_and_keeps_others_away(client: Client) -> None:
    here = {"kubernetes.io/hostname": "n3"}
    bears = [{"key": "spot", "operator": "Exists", "effect": "NoExecute"}]
    wishes = [
        pod("plain", [shell(SLEEP)], namespace="default", nodeSelector=here),
        pod("tough", [shell(SLEEP)], namespace="default", nodeSelector=here, tolerations=bears),
    ]
    for wish in wishes:
        await client.create(wish)
    for wish in wishes:
        await until_phase(client, wish.metadata.name, "Running", namespace="default")
    await client.patch(
        Node, "n3", "", {"spec": {"taints": [{"key": "spot", "effect": "NoExecute"}]}}
    )
    await until_gone(client, "plain", namespace="default")
    await client.create(pod("late", [shell(SLEEP)], namespace="default", nodeSelector=here))

    async def is_told() -> bool:
        late = scheduled(await client.get(Pod, "late", "default"))
        return late is not None and "n3 has the taint spot:NoExecute" in late.message

    await until("the pod is told which taint keeps it away", is_told)
    assert (await client.get(Pod, "tough", "default")).status.phase == "Running"
    await client.patch(Node, "n3", "", {"spec": {"taints": []}})
    await until_phase(client, "late", "Running", namespace="default")
    for name in ("late", "tough"):
        await client.delete(Pod, name, "default")
        await until_gone(client, name, namespace="default")


async def why(kubeconfig: Path, name: str, *suppositions: str) -> list[str]:
    """Return the lines of `cubectl why pod`."""
    words = [word for one in suppositions for word in ("--if", one)]
    return (await asyncio.to_thread(cubectl, kubeconfig, "why", "pod", name, *words)).splitlines()


async def until_says(kubeconfig: Path, name: str, supposition: str, *lines: str) -> None:
    """Wait until `cubectl why pod` has these lines: a node may have a taint that passes."""

    async def says() -> bool:
        said = await why(kubeconfig, name, supposition)
        return any(tuple(said[at : at + len(lines)]) == lines for at in range(len(said)))

    await until(f"{name} is told {lines}", says)


@asynccontextmanager
async def colours_and_misfits(client: Client) -> AsyncIterator[None]:
    """Two pods that fit nowhere while no node is blue; in the end neither they nor colours stay."""
    huge = {**shell(SLEEP), "resources": {"limits": {"cpu": "64"}}}
    blue = {"color": "blue"}
    try:
        await labelled(client, "n1", color="red")
        await client.create(pod("odd", [shell(SLEEP)], namespace="default", nodeSelector=blue))
        await client.create(pod("huge", [huge], namespace="default"))
        yield
    finally:
        for name in ("odd", "huge"):
            with suppress(NotFound):
                await client.delete(Pod, name, "default")
        for name in ("n1", "n2"):
            await labelled(client, name, color=None)
        for name in ("odd", "huge"):
            await until_gone(client, name, namespace="default")


async def test_w17_a_pod_that_fits_nowhere_is_told_why_costs_nothing_and_is_bound_when_it_fits(
    cluster: Cluster, client: Client, kubeconfig: Path
) -> None:
    async with colours_and_misfits(client):

        async def is_told() -> bool:
            told = [scheduled(await client.get(Pod, name, "default")) for name in ("odd", "huge")]
            return all(one is not None and one.status == "False" for one in told)

        await until("both pods are told that they fit nowhere", is_told)
        odd = scheduled(await client.get(Pod, "odd", "default"))
        assert odd is not None
        assert odd.reason == "Unschedulable"
        for name in cluster.names:
            assert name in odd.message, odd.message

        async def is_recorded() -> bool:
            told = [await records_of(client, name, "default") for name in ("odd", "huge")]
            return all(any("n1" in one.message for one in each) for each in told)

        await until("events tell of both pods", is_recorded)

        async def is_quiet() -> bool:
            # Leases are renewed meanwhile (nodes and leaders, every 2 s); nothing else is.
            before, begun = await revision(client), asyncio.get_running_loop().time()
            await asyncio.sleep(QUIET_S)
            spent_s = asyncio.get_running_loop().time() - begun
            written = await revision(client) - before
            print(f"{written} writes in {spent_s:.1f} s")  # noqa: T201  a figure
            lease_count = len((await client.list(Lease)).items)
            return written <= lease_count * (spent_s / 2 + 1)

        # What earlier tests have left may still be written down.
        await until("nothing is written beside the leases", is_quiet)

        lacks = "  3 by selector: lacks the label color=blue: n1, n2, n3"
        would = "if label n2 color=blue: n2 takes it; 1 of 3 nodes can: n2"
        none = "now: no node takes it, of 3"
        await until_says(kubeconfig, "odd", "label n2 color=blue", none, lacks, would)
        would = "if node n3 +64cpu: n3 takes it; 1 of 3 nodes can: n3"
        await until_says(kubeconfig, "huge", "node n3 +64cpu", would)
        await labelled(client, "n2", color="blue")
        one = await until_phase(client, "odd", "Running", namespace="default")
        assert one.spec.node_name == "n2"
        assert (await client.get(Pod, "huge", "default")).spec.node_name == ""


async def test_a_cordoned_node_takes_no_new_pod_and_keeps_its_old_ones(client: Client) -> None:
    replicaset, _ = web("cordon", 3)
    await client.create(replicaset)

    async def has(count: int) -> bool:
        return len(await ready_pods(client, "app=cordon")) == count

    await until("three pods", lambda: has(3))
    await client.patch(Node, "n1", "", {"spec": {"unschedulable": True}})
    try:
        on_n1 = [
            one.metadata.name
            for one in await ready_pods(client, "app=cordon")
            if one.spec.node_name == "n1"
        ]
        await client.scale(ReplicaSet, "cordon", "default", 7)
        await until("seven pods", lambda: has(7))
        now = [
            one.metadata.name
            for one in await ready_pods(client, "app=cordon")
            if one.spec.node_name == "n1"
        ]
        assert now == on_n1
        await client.scale(ReplicaSet, "cordon", "default", 2)
        await until("two pods", lambda: has(2))
    finally:
        await client.patch(Node, "n1", "", {"spec": {"unschedulable": None}})
    await client.scale(ReplicaSet, "cordon", "default", 0)

    async def none_left() -> bool:
        return not (await client.list(Pod, "default", labels="app=cordon")).items

    await until("no pods", none_left)
    assert (await client.get(ReplicaSet, "cordon", "default")).status.replicas == 0
    await client.delete(ReplicaSet, "cordon", "default")


async def test_a_pod_with_a_node_name_needs_no_scheduler(cluster: Cluster, client: Client) -> None:
    await client.patch(Node, "n2", "", {"spec": {"unschedulable": True}})
    try:
        wish = pod("fixed", [shell(SLEEP)], namespace="default", nodeName="n2")
        await client.create(wish)
        one = await until_phase(client, "fixed", "Running", namespace="default")
        assert one.spec.node_name == "n2"
    finally:
        await client.patch(Node, "n2", "", {"spec": {"unschedulable": None}})
    await client.delete(Pod, "fixed", "default")
    await until_gone(client, "fixed", namespace="default")
    assert (await cluster.run("n2", [*CUBEROOT, "status"])).code == 0


async def test_pods_keep_apart_and_the_one_that_matters_most_takes_the_place_of_another(
    cluster: Cluster, client: Client, kubeconfig: Path
) -> None:
    meta = ObjectMeta(name="apart-urgent")
    await client.create(PriorityClass(metadata=meta, value=1000))
    names = [f"apart-{index}" for index in range(len(cluster.names))]
    apart = {
        "labelSelector": {"matchLabels": {"set": "apart"}},
        "topologyKey": "kubernetes.io/hostname",
    }
    rules = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}}

    def one_apart(name: str, **spec: object) -> Pod:
        made = pod(name, [shell(SLEEP)], namespace="default", affinity=rules, **spec)
        return replaced(made, metadata=replaced(made.metadata, labels={"set": "apart"}))

    for name in names:
        await client.create(one_apart(name))
    placed = [
        (await until_phase(client, name, "Running", namespace="default")).spec.node_name
        for name in names
    ]
    assert sorted(placed) == sorted(cluster.names)
    await client.create(one_apart("apart-late"))

    async def is_told() -> bool:
        late = scheduled(await client.get(Pod, "apart-late", "default"))
        return late is not None and "anti-affinity" in late.message

    await until("the pod is told what keeps it away", is_told)
    gates = [{"name": "asked"}]
    await client.create(
        one_apart("apart-first", priorityClassName="apart-urgent", schedulingGates=gates)
    )
    said = await why(kubeconfig, "apart-first")
    assert said[:2] == [
        "default/apart-first is held back by its scheduling gates: asked",
        "now: no node takes it, of 3",
    ]
    # Which of three alike is told from where the scheduler's round is, which is its own.
    pairs = zip(names, placed, strict=True)
    assert said[2] in [f"  {node} would, in the place of default/{name}" for name, node in pairs]
    await client.patch(Pod, "apart-first", "default", {"spec": {"schedulingGates": None}})
    first = await until_phase(client, "apart-first", "Running", namespace="default")

    left = {
        each.metadata.name: each
        for each in (await client.list(Pod, "default", labels="set=apart")).items
        if not each.metadata.is_deleted
    }
    gone = [name for name in names if name not in left]
    assert len(gone) == 1
    assert first.spec.node_name == placed[names.index(gone[0])]
    assert left["apart-late"].spec.node_name == ""
    for name in left:
        await client.delete(Pod, name, "default")
    for name in (*names, "apart-late", "apart-first"):
        await until_gone(client, name, namespace="default")
    await client.delete(PriorityClass, "apart-urgent")


async def test_each_pod_has_a_device_of_its_own_and_keeps_it_over_a_kubelet_that_is_killed(
    cluster: Cluster, client: Client
) -> None:
    gpu = "cubernetes.io/fake-gpu"
    container = {**shell(f"echo $CUBE_DEVICES; {SLEEP}"), "resources": {"limits": {gpu: "1"}}}
    names = ["first", "second", "third"]

    async def write(text: str) -> None:
        await cluster.run("n3", ["sh", "-c", f"echo '{text}' > /etc/cubernetes/devices.json"])

    async def offers(count: int) -> bool:
        node = await client.get(Node, "n3")
        return gpu in node.status.allocatable and node.status.allocatable[gpu].whole == count

    async def held() -> dict[str, str]:
        """Return what the engine's record says that containers have, by their pods' names."""
        words = '{{.Label "cubernetes.io/pod-name"}} {{.Label "cubernetes.io/devices"}}'
        argv = ["docker", "ps", "--format", words, "--filter", "label=cubernetes.io/devices"]
        lines = (await cluster.run("n3", argv)).stdout.splitlines()
        return dict(line.split() for line in lines)

    await write('{"fake": [{"id": "f0"}, {"id": "f1"}]}')
    await until("n3 offers two devices", partial(offers, 2))
    for name in names:
        await client.create(pod(name, [container], namespace="default"))

    async def placed() -> bool:
        phases = [(await client.get(Pod, name, "default")).status.phase for name in names]
        return phases.count("Running") == 2

    await until("two of three pods run", placed)
    before = await held()
    assert sorted(before.values()) == [f"{gpu}=f0", f"{gpu}=f1"]
    (left,) = set(names) - before.keys()

    async def is_told() -> bool:
        told = scheduled(await client.get(Pod, left, "default"))
        reason = f"n3 Insufficient {gpu}: needs 1, has 0 free"
        return told is not None and reason in told.message

    await until("the third is told why it waits", is_told)

    await cluster.kill("n3", "kubelet")
    freed, kept = sorted(before)
    await client.delete(Pod, freed, "default")
    await until_phase(client, left, "Running", namespace="default")
    assert await held() == {kept: before[kept], left: before[freed]}

    for name in (kept, left):
        await client.delete(Pod, name, "default")
        await until_gone(client, name, namespace="default")
    await cluster.run("n3", ["rm", "/etc/cubernetes/devices.json"])
    await until("n3 offers none", partial(offers, 0))
