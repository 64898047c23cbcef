"""`cubectl top`: heads, units and order are kubectl's."""

from typing import Any

from cubernetes.api.coding import codec
from cubernetes.api.notation.jsontext import Tree
from tests.given import a_node
from tests.unit.cubectl.tinyserver import TinyServer, run

ROOT = "/apis/metrics.k8s.io/v1beta1"


def a_pod(name: str, *containers: tuple[str, str, str], namespace: str = "default") -> Tree:
    used = [{"name": one, "usage": {"cpu": cpu, "memory": held}} for one, cpu, held in containers]
    return {
        "kind": "PodMetrics",
        "metadata": {"name": name, "namespace": namespace},
        "containers": used,
    }


def a_server(*trees: Tree) -> TinyServer:
    server = TinyServer(a_node("n1"))
    for tree in trees:
        meta: dict[str, Any] = tree["metadata"]
        place = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
        plural = "pods" if tree["kind"] == "PodMetrics" else "nodes"
        server.trees[f"{ROOT}{place}/{plural}/{meta['name']}"] = tree
    return server


SMALL = a_pod("a", ("main", "100000001n", "64Mi"), ("log", "5m", "2048Ki"))
LARGE = a_pod("b", ("main", "2", "1Gi"))
FAR = a_pod("c", ("main", "1m", "3Gi"), namespace="far")


def lines(server: TinyServer, *words: str) -> list[list[str]]:
    said = run(server, ["top", *words])
    assert (said.code, said.err) == (0, "")
    return [line.split() for line in said.out.splitlines()]


def test_pods_are_told_with_the_sum_of_their_containers() -> None:
    assert lines(a_server(SMALL, LARGE, FAR), "pod") == [
        ["NAME", "CPU(cores)", "MEMORY(bytes)"],
        ["a", "106m", "66Mi"],
        ["b", "2000m", "1024Mi"],
    ]


def test_containers_and_namespaces_are_told_where_asked() -> None:
    assert lines(a_server(SMALL, FAR), "pods", "--containers", "-A") == [
        ["NAMESPACE", "POD", "NAME", "CPU(cores)", "MEMORY(bytes)"],
        ["default", "a", "log", "5m", "2Mi"],
        ["default", "a", "main", "101m", "64Mi"],
        ["far", "c", "main", "1m", "3072Mi"],
    ]


def test_the_most_comes_first_where_asked() -> None:
    server = a_server(SMALL, LARGE, FAR)
    by_cpu = lines(server, "po", "-A", "--sort-by", "cpu", "--no-headers")
    assert [line[1] for line in by_cpu] == ["b", "a", "c"]
    by_memory = lines(server, "po", "-A", "--sort-by", "memory", "--no-headers")
    assert [line[1] for line in by_memory] == ["c", "b", "a"]


def test_one_pod_is_told_by_its_name() -> None:
    assert lines(a_server(SMALL, LARGE), "pod", "b")[1:] == [["b", "2000m", "1024Mi"]]
    said = run(a_server(SMALL), "top pod nobody")
    assert said.code == 1
    assert "not found" in said.err


def test_nodes_are_told_with_their_share_of_what_pods_may_use() -> None:
    used = {"cpu": "1", "memory": "512Mi"}
    server = a_server({"kind": "NodeMetrics", "metadata": {"name": "n1"}, "usage": used})
    node = codec.to_tree(a_node("n1"))
    node["status"]["allocatable"] = {"cpu": "4", "memory": "2Gi"}
    server.keep(node)
    assert lines(server, "node") == [
        ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"],
        ["n1", "1000m", "25%", "512Mi", "25%"],
    ]


def test_nothing_to_tell_is_a_failure() -> None:
    said = run(a_server(), "top pod")
    assert said.code == 1
    assert "metrics not available yet" in said.err


def test_what_cannot_be_is_misuse() -> None:
    for words in (["node", "--containers"], ["pod", "a", "-l", "app=x"], ["service"]):
        assert run(a_server(), ["top", *words]).code == 2
