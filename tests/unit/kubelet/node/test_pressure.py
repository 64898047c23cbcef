"""Pressures of a node: how they are told, and where the figures come from."""

from pathlib import Path

import pytest

from cubernetes.api.core.node import NodeSystemInfo
from kubelet.eviction.room import NOT_COUNTED, Share
from kubelet.node import left
from kubelet.node.capacity import MachineFacts
from kubelet.node.node import NodePlace, status_for
from tests.given import NOW, a_node

MIB = 1 << 20


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
    machine = Share(1_024_000 * 1024, 2_048_000 * 1024)
    assert left.memory_left(meminfo, "max", "1", "") == machine
    assert left.memory_left(meminfo, "", "", "") == machine
    assert left.memory_left("", "", "", "") == NOT_COUNTED
    v1 = "inactive_file 1\ntotal_inactive_file 4194304\n"
    own = Share(40 * MIB, 90 * MIB)
    assert left.memory_left(meminfo, str(90 * MIB), str(54 * MIB), v1) == own
    # The machine may be full though this cgroup is not.
    full = "MemTotal: 2048 kB\nMemAvailable: 1024 kB\n"
    assert left.memory_left(full, str(90 * MIB), str(54 * MIB), "") == Share(MIB, 2 * MIB)
    v2 = "inactive_file 4194304\n"
    assert left.memory_left(meminfo, str(90 * MIB), str(54 * MIB), v2) == own


def test_process_ids_are_counted_against_the_lower_limit() -> None:
    loadavg = "0.1 0.2 0.3 2/900 4711\n"
    assert left.pids_left(loadavg, "32768\n", "1000\n") == Share(100, 1000)
    assert left.pids_left("", "1000") == Share(0, 0)
    assert left.pids_left(loadavg, "") == Share(0, 0)


def test_this_machine_can_be_read(tmp_path: Path) -> None:
    room = left.room_left(tmp_path)
    assert room.disk.total > 0
    assert 0 < room.pids.free < room.pids.total
    assert 0 < room.memory.free < room.memory.total


@pytest.mark.parametrize("is_v2", [True, False])
def test_the_cgroup_is_read_in_either_version(tmp_path: Path, is_v2: bool) -> None:
    names = ("memory.max", "memory.current", "memory.stat")
    if not is_v2:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat")
    folder = tmp_path if is_v2 else tmp_path / "memory"
    folder.mkdir(exist_ok=True)
    for name, text in zip(names, ("94371840\n", "94371839\n", "inactive_file 0\n"), strict=True):
        (folder / name).write_text(text)
    assert left.room_left(tmp_path, cgroup=tmp_path).memory.free == 1
