"""Control groups as machines mount them, and the limits that each tree keeps."""

import pytest

from lab.host.cgroup import Group, Hierarchy, hierarchies_in, limits_for
from lab.state import Size

SEPARATE = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
JOINED = """\
30 25 0:26 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/,name=systemd
33 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:11 - cgroup cgroup rw,cpu,cpuacct
"""
UNIFIED = "29 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
SIZE = Size(memory_bytes=1 << 30, cpus=0.5)


def test_separate_trees_leave_the_empty_version_two_tree_alone() -> None:
    assert hierarchies_in(SEPARATE) == (
        Hierarchy(1, "/sys/fs/cgroup/cpu", ("cpu",)),
        Hierarchy(1, "/sys/fs/cgroup/memory", ("memory",)),
        Hierarchy(1, "/sys/fs/cgroup/systemd", ("name=systemd",)),
    )


def test_joined_controllers_are_one_tree_and_mount_options_are_no_controllers() -> None:
    assert hierarchies_in(JOINED) == (
        Hierarchy(1, "/sys/fs/cgroup/systemd", ("name=systemd",)),
        Hierarchy(1, "/sys/fs/cgroup/cpu,cpuacct", ("cpu", "cpuacct")),
    )


def test_a_unified_tree_is_alone() -> None:
    assert hierarchies_in(UNIFIED + SEPARATE) == (Hierarchy(2, "/sys/fs/cgroup"),)


@pytest.mark.parametrize(
    ("words", "options"),
    [(("cpu", "cpuacct"), "cpu,cpuacct"), (("name=systemd",), "none,name=systemd")],
)
def test_a_tree_knows_how_it_is_mounted_again(words: tuple[str, ...], options: str) -> None:
    assert Hierarchy(1, "/sys/fs/cgroup/x", words).options == options


def test_each_version_keeps_its_own_limits() -> None:
    first = {
        word: dict(limits_for(Hierarchy(1, "/x", (word,)), SIZE)) for word in ("cpu", "memory")
    }

    assert first == {
        "cpu": {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000"},
        "memory": {"memory.limit_in_bytes": "1073741824"},
    }
    assert dict(limits_for(Hierarchy(2, "/x"), SIZE)) == {
        "memory.max": "1073741824",
        "cpu.max": "50000 100000",
    }


def test_no_quota_is_no_limit() -> None:
    assert "cpu.max" not in dict(limits_for(Hierarchy(2, "/x"), Size(cpus=0)))


def test_guests_of_a_version_two_node_go_to_its_leaf() -> None:
    group = Group([Hierarchy(2, "/sys/fs/cgroup")], "cuberoot-lab-x", "n1")

    assert group.gates() == ["/sys/fs/cgroup/cuberoot-lab-x/n1/cgroup.procs"]
    assert group.doors() == ["/sys/fs/cgroup/cuberoot-lab-x/n1/init.scope/cgroup.procs"]
