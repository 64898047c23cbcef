"""Devices of our own nodes as a site."""

from collections.abc import Mapping

from cubernetes.api.condition import Condition
from cubernetes.api.core.node import Node
from cubernetes.api.gpu.gpujob import GpuResources
from cubernetes.api.gpu.gpusite import GpuSiteSpec, Local
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.api.quantities import Quantity
from gpu.sites.local import devices_on
from gpu.sites.standinpods import observation_of, pod_for
from tests.unit.gpu.gpuworld import a_gpujob, a_gpusite

GPU = "nvidia.com/gpu"
LOCAL = Local(image="toolkit:1", node_selector={"pool": "gpu"})
SITE = replaced(a_gpusite(), spec=GpuSiteSpec(type="local", local=LOCAL))


def a_node(name: str, count: int, labels: Mapping[str, str], *, is_ready: bool = True) -> Node:
    node = Node(metadata=ObjectMeta(name=name, labels=labels))
    status = replaced(
        node.status,
        allocatable={GPU: Quantity(count)},
        conditions=(Condition(type="Ready", status="True" if is_ready else "False"),),
    )
    return replaced(node, status=status)


def test_a_pod_asks_for_the_devices_of_its_job_in_the_image_of_the_site() -> None:
    job = a_gpujob(resources=GpuResources(gpus=2))

    made = pod_for(job, SITE, "uid-add-1", "stand-in:1", {"run.sh": ""})

    (container,) = made.spec.containers
    assert container.image == "toolkit:1"
    assert container.resources.limits[GPU] == container.resources.requests[GPU] == Quantity(2)
    assert {one.name: one.value for one in container.env}["CUBE_RESOURCE"] == GPU
    assert made.spec.node_selector == {"pool": "gpu"}
    assert list(made.problems()) == []


def test_devices_are_those_of_chosen_nodes_that_are_ready() -> None:
    chosen = {"pool": "gpu"}
    nodes = [
        a_node("n1", 2, chosen | {"gpu.cubernetes.io/model": "NVIDIA-H200"}),
        a_node("n2", 1, chosen),
        a_node("n3", 8, chosen, is_ready=False),
        a_node("n4", 8, {}),
    ]
    assert devices_on(nodes, LOCAL) == {"n1/0": "nvidia-h200", "n1/1": "nvidia-h200", "n2/0": "gpu"}


def test_nothing_is_said_of_a_stand_in_where_there_is_none() -> None:
    made = pod_for(a_gpujob(), SITE, "uid-add-1", "stand-in:1", {"run.sh": ""})

    assert observation_of(made, "").message == "its pod begins"
    assert observation_of(made).message == "CPU STAND-IN: its pod begins"
