"""What a machine has, as its files tell it."""

import os
from pathlib import Path

import pytest

from cubernetes.api.core.node import NodeSystemInfo
from cubernetes.api.meta import replaced
from cubernetes.api.quantities import Quantity
from kubelet.devices.book import Offer
from kubelet.eviction.reserved import allocatable
from kubelet.node import capacity
from kubelet.node.capacity import MachineFacts
from kubelet.node.node import (
    IMAGES_MAX,
    MARGINS,
    NodePlace,
    images_told,
    lease_for,
    status_for,
)
from kubelet.runtime.driver import LocalImage
from tests.given import NOW, a_node

MEMINFO = "MemTotal:       24576000 kB\nMemFree:         1000 kB\n"


def test_memory_is_the_cgroups_limit_or_the_machines_all() -> None:
    assert capacity.memory_total_bytes(MEMINFO) == 24_576_000 * 1024
    assert capacity.memory_limit_bytes("3221225472\n") == 3 << 30
    for unlimited in ("max\n", "9223372036854771712\n", "", "garbage"):
        assert capacity.memory_limit_bytes(unlimited) is None


@pytest.mark.parametrize(
    ("quota", "period", "milli"),
    [("150000", "100000", 1500), ("-1", "100000", None), ("max", "100000", None), ("", "", None)],
)
def test_cores_are_the_quota_where_there_is_one(quota: str, period: str, milli: int | None) -> None:
    assert capacity.cpu_quota_milli(quota, period) == milli


def test_a_node_tells_its_largest_images_in_an_order_that_stays() -> None:
    images = [LocalImage((f"image:{at}",), 1000 + at % 70) for at in range(90)]
    told = images_told(images)
    assert told == images_told(images[::-1])
    assert len(told) == IMAGES_MAX
    assert [one.size_bytes for one in told[:2]] == [1069, 1068]
    (many,) = images_told([LocalImage(tuple(f"web:{at}" for at in range(9)), 1)])
    assert many.names == ("web:0", "web:1", "web:2", "web:3", "web:4")


def test_a_node_states_its_capacity_and_keeps_some_of_it_for_itself() -> None:
    facts = MachineFacts(2000, 4 << 30, NodeSystemInfo())
    stated = capacity.amounts(facts, 110, {})
    usable = allocatable(stated, None, MARGINS)

    assert {name: amount.text for name, amount in stated.items()} == {
        "cpu": "2",
        "memory": "4194304Ki",
        "pods": "110",
    }
    assert usable["cpu"].milli == 1900
    assert usable["memory"].whole == (4 << 30) - (256 << 20)
    few = capacity.amounts(MachineFacts(100, 128 << 20, NodeSystemInfo()), 110, {})
    tiny = allocatable(few, None, MARGINS)
    assert (tiny["cpu"].milli, tiny["memory"].whole) == (50, 64 << 20)


def test_devices_written_into_the_node_stay_there_and_are_all_for_pods() -> None:
    facts = MachineFacts(2000, 4 << 30, NodeSystemInfo(), storage_bytes=100 << 30)
    node = a_node("n1")
    written = {"cpu": Quantity("99"), "example.com/gpu": Quantity("2"), "odd": Quantity("1")}
    node = replaced(node, status=replaced(node.status, capacity=written))

    status = status_for(node, facts, NodePlace("10.0.0.1", 10250, 110), "", NOW)

    assert {name: amount.whole for name, amount in status.capacity.items()} == {
        "cpu": 2,
        "memory": 4 << 30,
        "pods": 110,
        "ephemeral-storage": 100 << 30,
        "example.com/gpu": 2,
    }
    assert status.allocatable["example.com/gpu"].whole == 2
    assert status.allocatable["ephemeral-storage"].whole == 90 << 30
    again = status_for(replaced(node, status=status), facts, NodePlace("10.0.0.1", 10250, 110), "",
                       NOW)  # fmt: skip
    assert again == status


def test_found_devices_win_over_written_ones_and_sick_ones_are_not_for_pods() -> None:
    facts = MachineFacts(2000, 4 << 30, NodeSystemInfo())
    node = a_node("n1")
    written = {"nvidia.com/gpu": Quantity("8"), "example.com/nic": Quantity("1")}
    node = replaced(node, status=replaced(node.status, capacity=written))
    place = NodePlace("10.0.0.1", 10250, 110, {"nvidia.com/gpu": Offer(4, 3)})

    status = status_for(node, facts, place, "", NOW)

    names = ("nvidia.com/gpu", "example.com/nic")
    assert [status.capacity[name].whole for name in names] == [4, 1]
    assert [status.allocatable[name].whole for name in names] == [3, 1]


@pytest.mark.parametrize(
    ("found_gib", "stated_gib"),
    [(100, 100), (109, 100), (91, 100), (110, 100), (112, 112), (88, 88), (50, 50)],
)
def test_a_disk_that_shares_its_pool_keeps_its_size_while_it_is_about_the_same(
    found_gib: int, stated_gib: int
) -> None:
    """Ten percent more or less is what others have written; more is another disk."""
    node = a_node("n1")
    before = {"ephemeral-storage": Quantity(f"{100 << 20}Ki")}
    node = replaced(node, status=replaced(node.status, capacity=before))
    facts = MachineFacts(2000, 4 << 30, NodeSystemInfo(), storage_bytes=found_gib << 30)

    status = status_for(node, facts, NodePlace("10.0.0.1", 10250, 110), "", NOW)

    assert status.capacity["ephemeral-storage"].whole == stated_gib << 30


def test_the_size_of_the_disk_is_that_of_the_kubelets_folder(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)

    facts = capacity.machine_facts(tmp_path, "v1", "fake://1")

    assert facts.storage_bytes == found.f_frsize * found.f_blocks > 0


def test_the_system_is_called_by_its_pretty_name() -> None:
    release = 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'
    assert capacity.os_name(release) == "Debian GNU/Linux 12 (bookworm)"
    assert capacity.os_name("") == "Linux"


def test_a_node_tells_which_machine_and_programs_it_is(tmp_path: Path) -> None:
    facts = capacity.machine_facts(tmp_path, "v1.36.0", "docker://27.5.1")

    info = status_for(a_node("n1"), facts, NodePlace("10.0.0.1", 10250, 110), "", NOW).node_info

    assert info.kernel_version == os.uname().release
    assert info.operating_system == "linux"
    assert info.architecture == {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    assert info.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert info.os_image
    machine_id = Path("/etc/machine-id")
    assert info.machine_id == (machine_id.read_text().strip() if machine_id.exists() else "")
    assert info.container_runtime_version == "docker://27.5.1"
    assert (info.kubelet_version, info.kube_proxy_version) == ("v1.36.0", "v1.36.0")


def test_a_lease_says_whose_sign_of_life_it_is_since_when_and_for_how_long() -> None:
    spec = lease_for(a_node("n1"), 10, NOW).spec

    assert (spec.holder_identity, spec.lease_duration_seconds) == ("n1", 10)
    assert (spec.acquire_time, spec.renew_time) == (NOW, NOW)
