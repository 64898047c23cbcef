"""Quality of service: one definition, as Kubernetes has it."""

from collections.abc import Mapping

import pytest

from apiserver.strategies.pod import Pods
from cubernetes.api.core.podspec.container import Container, Resources
from cubernetes.api.core.podspec.qos import oom_score_adj, qos_of
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.quantities import Quantity
from kubelet.pod.decisions.memory import Memory
from kubelet.pod.decisions.status import status_for
from tests.given import NOW, a_pod

GIB = 1 << 30
BOTH = {"cpu": "1", "memory": "1Gi"}


def a_container(
    limits: Mapping[str, str] | None = None, requests: Mapping[str, str] | None = None
) -> Container:
    resources = Resources(
        limits={name: Quantity(text) for name, text in (limits or {}).items()},
        requests={name: Quantity(text) for name, text in (requests or {}).items()},
    )
    return Container(name="c", image="i", resources=resources)


def a_spec(*containers: Container) -> PodSpec:
    return PodSpec(containers=containers)


# Rows of Kubernetes' own table: pkg/apis/core/v1/helper/qos/qos_test.go.
CLASSES = [
    ("BestEffort", [a_container()]),
    ("BestEffort", [a_container(requests={"cpu": "0", "memory": "0"})]),
    ("BestEffort", [a_container(), a_container()]),
    ("BestEffort", [a_container(requests={"ephemeral-storage": "1Gi"})]),
    ("BestEffort", [a_container(limits={"ephemeral-storage": "1Gi"})]),
    ("Guaranteed", [a_container(limits=BOTH)]),
    ("Guaranteed", [a_container(limits=BOTH, requests=BOTH)]),
    ("Guaranteed", [a_container(limits=BOTH, requests={"cpu": "1000m"})]),
    ("Guaranteed", [a_container(limits=BOTH | {"ephemeral-storage": "2Gi"},
                                requests=BOTH | {"ephemeral-storage": "1Gi"})]),
    ("Guaranteed", [a_container(limits=BOTH), a_container(limits=BOTH, requests=BOTH)]),
    ("Burstable", [a_container(limits=BOTH), a_container()]),
    ("Burstable", [a_container(limits=BOTH, requests={"cpu": "500m"})]),
    ("Burstable", [a_container(limits=BOTH, requests={"memory": "0"})]),
    ("Burstable", [a_container(requests=BOTH)]),
    ("Burstable", [a_container(limits={"memory": "1Gi"})]),
    ("Burstable", [a_container(limits={"cpu": "0", "memory": "1Gi"})]),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "containers"), CLASSES)
def test_a_class_is_what_cpu_and_memory_say(wanted: str, containers: list[Container]) -> None:
    assert qos_of(a_spec(*containers)) == wanted


@pytest.mark.parametrize(("wanted", "containers"), CLASSES)
def test_admission_and_the_kubelet_tell_the_same_class(
    wanted: str, containers: list[Container]
) -> None:
    pod = a_pod(spec=a_spec(*containers))
    admitted = Pods().prepared(pod)

    assert admitted.status.qos_class == wanted
    assert status_for(pod, [], Memory(), "", "192.168.0.1", NOW).qos_class == wanted


def score_of(container: Container, *others: Container, node_bytes: int = 8 * GIB) -> int:
    return oom_score_adj(a_spec(container, *others), container, node_bytes)


def test_whom_the_kernel_ends_first_follows_the_class() -> None:
    assert score_of(a_container()) == 1000
    assert score_of(a_container(limits=BOTH)) == -997
    assert score_of(a_container(requests={"memory": "4Gi"})) == 500
    assert score_of(a_container(requests={"memory": "2Gi"})) == 750
    assert score_of(a_container(limits={"memory": "4Gi"})) == 500


def test_a_burstable_container_is_never_with_the_best_efforts_nor_with_the_guaranteed() -> None:
    assert score_of(a_container(requests={"cpu": "1"})) == 999
    assert score_of(a_container(), a_container(limits=BOTH)) == 999
    assert score_of(a_container(requests={"memory": "8Gi"})) == 3
    assert score_of(a_container(requests={"memory": "80Gi"})) == 3
    assert score_of(a_container(requests={"memory": "1Gi"}), node_bytes=0) == 3
