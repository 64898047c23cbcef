"""Pressures of a node: when they begin, when they end, and where the figures come from."""

from pathlib import Path

import pytest

from cubernetes.api.core.node import NodeSystemInfo
from kubelet.node import left, pressure
from kubelet.node.capacity import MachineFacts
from kubelet.node.node import NodePlace, status_for
from kubelet.node.pressure import MachineRoom, Share
from tests.given import NOW, a_node

MIB = 1 << 20
PLENTY = MachineRoom(101 * MIB, Share(10, 100), Share(5, 100), Share(10, 100))


@pytest.mark.parametrize(
    ("room", "pressed"),
    [
        (PLENTY, set()),
        (MachineRoom(), set()),
        (MachineRoom(100 * MIB), set()),
        (MachineRoom(100 * MIB - 1), {"MemoryPressure"}),
        (MachineRoom(disk=Share(99, 1000)), {"DiskPressure"}),
        (MachineRoom(inodes=Share(49, 1000)), {"DiskPressure"}),
        (MachineRoom(disk=Share(0, 1), inodes=Share(0, 1)), {"DiskPressure"}),
        (MachineRoom(pids=Share(99, 1000)), {"PIDPressure"}),
        # btrfs has no inodes of a fixed count.
        (MachineRoom(inodes=Share(0, 0)), set()),
    ],
)
def test_a_pressure_begins_below_the_threshold_of_kubernetes(
    room: MachineRoom, pressed: set[str]
) -> None:
    assert pressure.pressures(room) == pressed


def test_a_pressure_lasts_five_minutes_beyond_the_last_sight_of_it() -> None:
    disk = frozenset({"DiskPressure"})
    seen = pressure.seen_after({}, disk, 100.0)
    assert set(pressure.seen_after(seen, frozenset(), 399.0)) == disk
    assert set(pressure.seen_after(seen, frozenset(), 400.0)) == set()
    again = pressure.seen_after(seen, disk, 399.0)
    assert set(pressure.seen_after(again, frozenset(), 698.0)) == disk


def test_a_node_tells_its_pressures_before_ready_as_a_kubelet_does() -> None:
    facts, place = MachineFacts(2000, 4 << 30, NodeSystemInfo()), NodePlace("10.0.0.1", 10250, 110)
    status = status_for(a_node("n1"), facts, place, "", NOW, frozenset({"DiskPressure"}))
    told = {one.type: (one.status, one.reason) for one in status.conditions}
    assert told == {
        "MemoryPressure": ("False", "KubeletHasSufficientMemory"),
        "DiskPressure": ("True", "KubeletHasDiskPressure"),
        "PIDPressure": ("False", "KubeletHasSufficientPID"),
        "Ready": ("True", "KubeletReady"),
    }


def test_free_memory_is_the_machines_or_what_its_own_cgroup_leaves() -> None:
    meminfo = "MemTotal: 2048000 kB\nMemAvailable: 1024000 kB\n"
    assert left.memory_free_bytes(meminfo, "max", "1", "") == 1_024_000 * 1024
    assert left.memory_free_bytes(meminfo, "", "", "") == 1_024_000 * 1024
    assert left.memory_free_bytes("", "", "", "") is None
    v1 = "inactive_file 1\ntotal_inactive_file 4194304\n"
    assert left.memory_free_bytes(meminfo, str(90 * MIB), str(54 * MIB), v1) == 40 * MIB
    # The machine may be full though this cgroup is not.
    full = "MemAvailable: 1024 kB\n"
    assert left.memory_free_bytes(full, str(90 * MIB), str(54 * MIB), "") == MIB
    v2 = "inactive_file 4194304\n"
    assert left.memory_free_bytes(meminfo, str(90 * MIB), str(54 * MIB), v2) == 40 * MIB


def test_process_ids_are_counted_against_the_lower_limit() -> None:
    loadavg = "0.1 0.2 0.3 2/900 4711\n"
    assert left.pids_left(loadavg, "32768\n", "1000\n") == Share(100, 1000)
    assert left.pids_left("", "1000") == Share(0, 0)
    assert left.pids_left(loadavg, "") == Share(0, 0)


def test_this_machine_can_be_read(tmp_path: Path) -> None:
    room = left.room_left(tmp_path)
    assert room.disk.total > 0
    assert 0 < room.pids.free < room.pids.total
    assert room.memory_free_bytes


@pytest.mark.parametrize("is_v2", [True, False])
def test_the_cgroup_is_read_in_either_version(tmp_path: Path, is_v2: bool) -> None:
    names = ("memory.max", "memory.current", "memory.stat")
    if not is_v2:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat")
    folder = tmp_path if is_v2 else tmp_path / "memory"
    folder.mkdir(exist_ok=True)
    for name, text in zip(names, ("94371840\n", "94371839\n", "inactive_file 0\n"), strict=True):
        (folder / name).write_text(text)
    assert left.room_left(tmp_path, cgroup=tmp_path).memory_free_bytes == 1
