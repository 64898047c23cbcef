"""Pods over their limits of the disk: what counts, which limit, and Kubernetes' words for it."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container, Resources
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.core.podspec.volumes.volume import EmptyDir, HostPath, Volume
from cubernetes.api.quantities import Quantity
from kubelet.eviction.storage import (
    Held,
    PodDisk,
    disk_volumes,
    has_limits,
    over_limit,
    quantity_text,
)
from tests.given import a_pod

MIB = 1 << 20


def a_volume(name: str, limit: str = "", medium: str = "") -> Volume:
    size = Quantity(limit) if limit else None
    return Volume(name=name, empty_dir=EmptyDir(medium=medium, size_limit=size))  # type: ignore[arg-type]


def a_pod_of(*volumes: Volume, limits: Mapping[str, str] | None = None) -> Pod:
    """Return a pod with a container for each limit; an empty one is none."""
    containers = tuple(
        Container(
            name=name,
            image="app:1",
            resources=Resources(limits={"ephemeral-storage": Quantity(limit)} if limit else {}),
        )
        for name, limit in (limits or {"main": ""}).items()
    )
    return a_pod("web", spec=PodSpec(containers=containers, volumes=volumes))


def holds(volumes: Mapping[str, int] | None = None, **containers: int) -> PodDisk:
    return PodDisk(
        {name: Held(size) for name, size in (volumes or {}).items()},
        {name: Held(size) for name, size in containers.items()},
    )


def why(pod: Pod, disk: PodDisk) -> str:
    eviction = over_limit(pod, disk)
    return eviction.message if eviction is not None else ""


def test_a_volume_over_its_size_is_told_by_its_name_and_limit() -> None:
    pod = a_pod_of(a_volume("free"), a_volume("cache", "1Mi"))
    assert why(pod, holds({"cache": MIB, "free": 9 * MIB})) == ""
    said = 'Usage of EmptyDir volume "cache" exceeds the limit "1Mi". '
    assert why(pod, holds({"cache": MIB + 1})) == said


def test_all_that_a_pod_holds_counts_against_the_sum_of_its_containers_limits() -> None:
    pod = a_pod_of(a_volume("data"), limits={"one": "1Mi", "two": "2Mi"})
    assert why(pod, holds({"data": MIB}, one=MIB, two=MIB)) == ""
    said = "Pod ephemeral local storage usage exceeds the total limit of containers 3Mi. "
    assert why(pod, holds({"data": MIB + 1}, one=MIB, two=MIB)) == said


def test_a_container_over_its_own_limit_ends_its_pod() -> None:
    pod = a_pod_of(limits={"one": "1Mi", "two": "2Mi"})
    said = 'Container one exceeded its local ephemeral storage limit "1Mi". '
    assert why(pod, holds(one=MIB + 1)) == said


@pytest.mark.parametrize(
    ("volume", "is_measured"),
    [
        (a_volume("one"), False),
        (a_volume("one", "1Mi"), True),
        (a_volume("one", "1Mi", "Memory"), False),
        (Volume(name="one", host_path=HostPath(path="/srv")), False),
    ],
)
def test_only_what_has_a_limit_and_is_on_the_disk_is_measured(
    volume: Volume, *, is_measured: bool
) -> None:
    assert has_limits(a_pod_of(volume)) == is_measured
    assert has_limits(a_pod_of(volume, limits={"main": "1Mi"}))


def test_volumes_of_the_node_and_in_memory_are_no_pods_disk() -> None:
    volumes = (a_volume("disk"), a_volume("memory", medium="Memory"))
    host = Volume(name="host", host_path=HostPath(path="/srv"))
    assert [one.name for one in disk_volumes(a_pod_of(*volumes, host))] == ["disk"]


@given(st.integers(0, 4 * MIB), st.integers(0, 4 * MIB), st.integers(0, 4 * MIB))
def test_who_holds_more_is_over_no_less(volume: int, layer: int, more: int) -> None:
    pod = a_pod_of(a_volume("data", "2Mi"), limits={"main": "3Mi"})
    if why(pod, holds({"data": volume}, main=layer)):
        assert why(pod, holds({"data": volume + more}, main=layer))
        assert why(pod, holds({"data": volume}, main=layer + more))


@given(st.integers(0, 1 << 50))
def test_a_number_of_bytes_is_read_back_as_it_was(count: int) -> None:
    assert Quantity(quantity_text(count)).whole == count
