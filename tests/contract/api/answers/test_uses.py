"""metrics.k8s.io: what kubelets say of their own pods; a silent one hides nothing of others."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from apiserver.proxying.exchange import Answer, Asked, Target
from cubernetes.api.core.node import Node
from cubernetes.api.errors import ServiceUnavailable
from cubernetes.host.web.messages import Identity, Upgrade
from tests.contract.api.world import NODES, PODS, World, a_node, a_pod, a_world

ROOT = "/apis/metrics.k8s.io/v1beta1"
AT = "2026-01-01T00:00:00Z"
USED = f"{ROOT}/namespaces/default/pods"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


class MeasuringKubelets:
    """Tell what tests have written down, by node; a node of which nothing is written is silent."""

    def __init__(self) -> None:
        self.said: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []

    async def open(self, node: Node, path: str, query: str) -> AsyncIterator[bytes]:
        name = node.metadata.name
        self.asked.append((name, path))
        if name not in self.said:
            raise ServiceUnavailable(f"the kubelet of node {name} cannot be reached")
        return self._pieces(self.said[name])

    async def _pieces(self, text: bytes) -> AsyncIterator[bytes]:
        yield text[:10]
        yield text[10:]

    async def exchange(self, target: Target, asked: Asked) -> Answer:
        raise ServiceUnavailable("nothing is handed on here")

    async def upgrade(
        self, node: Node, path: str, query: str, headers: Mapping[str, str]
    ) -> Upgrade:
        raise ServiceUnavailable("no sessions here")


def stats(nano: int | None, held: int) -> dict[str, Any]:
    cpu = {"time": AT} if nano is None else {"time": AT, "usageNanoCores": nano}
    return {"cpu": cpu, "memory": {"time": AT, "workingSetBytes": held}}


def of_pod(uid: str, nano: int | None = 250_000_000) -> dict[str, Any]:
    containers = [{"name": "main", **stats(nano, 64 * 2**20)}]
    return {"podRef": {"name": "x", "namespace": "y", "uid": uid}, "containers": containers}


def summary(*pods: dict[str, Any]) -> bytes:
    told = {"node": stats(1_500_000_000, 2**31), "pods": pods, "windowSeconds": 15.0}
    return json.dumps(told).encode()


@pytest.fixture
def kubelets() -> MeasuringKubelets:
    return MeasuringKubelets()


@pytest.fixture
async def world(kubelets: MeasuringKubelets) -> AsyncIterator[World]:
    async with a_world(logs=kubelets) as one:
        uids = {}
        for node, pod in (("n1", "one"), ("n2", "two")):
            await one.call("POST", NODES, {**a_node(), "metadata": {"name": node}})
            tree = a_pod(pod)
            tree["metadata"]["labels"] = {"app": pod}
            uids[node] = (await one.call("POST", PODS, tree)).tree["metadata"]["uid"]
            await one.call("POST", f"{PODS}/{pod}/binding", {"target": {"name": node}})
        for node, uid in uids.items():
            kubelets.said[node] = summary(of_pod(uid))
        yield one


async def test_pods_and_nodes_tell_what_they_use(world: World) -> None:
    listed = (await world.call("GET", USED)).tree
    assert (listed["kind"], listed["apiVersion"]) == ("PodMetricsList", "metrics.k8s.io/v1beta1")
    one, two = listed["items"]
    assert (one["metadata"]["name"], one["metadata"]["labels"]) == ("one", {"app": "one"})
    assert (one["timestamp"], one["window"]) == ("2026-01-01T00:00:00Z", "15s")
    used = {"cpu": "250000000n", "memory": "65536Ki"}
    assert one["containers"] == two["containers"] == [{"name": "main", "usage": used}]
    (first, _) = (await world.call("GET", f"{ROOT}/nodes")).tree["items"]
    assert first["usage"] == {"cpu": "1500000000n", "memory": "2097152Ki"}
    node = (await world.call("GET", f"{ROOT}/nodes/n2")).tree
    assert (node["kind"], node["metadata"]["name"]) == ("NodeMetrics", "n2")
    assert (await world.call("GET", f"{ROOT}/pods")).names == ["one", "two"]


async def test_one_pod_is_asked_of_its_own_node(world: World, kubelets: MeasuringKubelets) -> None:
    assert (await world.call("GET", f"{USED}/two")).tree["metadata"]["name"] == "two"
    assert kubelets.asked == [("n2", "/stats/summary")]


async def test_selectors_choose(world: World) -> None:
    for selector in ({"labelSelector": "app=two"}, {"fieldSelector": "metadata.name=two"}):
        assert (await world.call("GET", USED, query=selector)).names == ["two"]


async def test_a_silent_node_hides_nothing_of_the_others(
    world: World, kubelets: MeasuringKubelets
) -> None:
    del kubelets.said["n1"]
    assert (await world.call("GET", USED)).names == ["two"]
    assert (await world.call("GET", f"{ROOT}/nodes")).names == ["n2"]
    assert (await world.call("GET", f"{USED}/one")).code == 503
    assert (await world.call("GET", f"{ROOT}/nodes/n1")).code == 503


async def test_a_pod_without_figures_is_not_found(
    world: World, kubelets: MeasuringKubelets
) -> None:
    uid = (await world.call("GET", f"{PODS}/one")).tree["metadata"]["uid"]
    kubelets.said["n1"] = summary(of_pod(uid, nano=None))
    answer = await world.call("GET", f"{USED}/one")
    assert (answer.code, answer.tree["message"]) == (
        404, 'pods.metrics.k8s.io "one" not found',
    )  # fmt: skip
    assert (await world.call("GET", USED)).names == ["two"]
    assert (await world.call("GET", f"{USED}/nobody")).code == 404
    assert (await world.call("GET", f"{ROOT}/nodes/nobody")).code == 404


async def test_a_kubelet_is_believed_of_its_own_pods_alone(
    world: World, kubelets: MeasuringKubelets
) -> None:
    uid = (await world.call("GET", f"{PODS}/two")).tree["metadata"]["uid"]
    kubelets.said["n1"] = summary(of_pod(uid, nano=10**15))
    listed = (await world.call("GET", USED)).tree["items"]
    (two,) = listed
    assert two["containers"][0]["usage"]["cpu"] == "250000000n"


@pytest.mark.parametrize("text", [b"", b"no json at all", b'{"pods": 5}', b"[1]"])
async def test_what_is_no_summary_is_a_silent_kubelet(
    world: World, kubelets: MeasuringKubelets, text: bytes
) -> None:
    kubelets.said["n1"] = text
    assert (await world.call("GET", USED)).names == ["two"]
    assert (await world.call("GET", f"{USED}/one")).code == 503


async def test_they_can_be_read_and_nothing_else(world: World) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert (await world.call(method, f"{USED}/one", {})).code == 405
    assert (await world.call("GET", USED, query={"watch": "true"})).code == 405
    node = Identity("system:node:n1", ("system:nodes",))
    assert (await world.call("GET", USED, identity=node)).code == 403
    assert (await world.call("GET", USED, identity=Identity("system:controllers"))).code == 200


async def test_tables_show_cores_and_memory(world: World) -> None:
    table = (await world.call("GET", USED, headers={"accept": TABLE})).tree
    assert [row["cells"][:3] for row in table["rows"]] == [
        ["one", "250m", "64Mi"],
        ["two", "250m", "64Mi"],
    ]


async def test_discovery_tells_of_the_group(world: World) -> None:
    groups = (await world.call("GET", "/apis")).tree["groups"]
    assert "metrics.k8s.io" in [one["name"] for one in groups]
    told = (await world.call("GET", ROOT)).tree["resources"]
    assert [(one["name"], one["kind"]) for one in told] == [
        ("nodes", "NodeMetrics"),
        ("pods", "PodMetrics"),
    ]


async def test_without_a_way_to_kubelets_it_is_said() -> None:
    async with a_world() as world:
        assert (await world.call("GET", USED)).code == 503
