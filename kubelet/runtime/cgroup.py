"""What the kernel says of processes and their control groups, as text: names made, text read."""

from collections.abc import Collection
from pathlib import PurePosixPath

# capabilities(7): without it nobody, root included, may lower an oom_score_adj.
CAP_SYS_RESOURCE = 24
OOM_SCORE_MIN = -1000
# The group that the groups of all pods are in.
CGROUP_ROOT = "cubernetes"

V1 = frozenset({"cgroup"})
V1_AND_V2 = frozenset({"cgroup", "cgroup2"})

# What a runtime may make groups by.
DRIVERS = ("cgroupfs", "systemd")
# The kernel's bounds of cpu.shares; the least is also of what asks for nothing.
CPU_SHARES_MIN, CPU_SHARES_MAX = 2, 262_144


def cpu_shares_of(cpu_milli: int) -> int:
    """Return the weight of so many thousandths of a core: 1024 shares a core."""
    return min(max(CPU_SHARES_MIN, cpu_milli * 1024 // 1000), CPU_SHARES_MAX)


def pod_cgroup(driver: str, root: str, pod_uid: str) -> str:
    """Return the cgroup parent of a pod's containers, as the runtime's cgroup driver wants it.

    A systemd slice spells its parents with `-`, so the uid's own dashes become `_`.
    """
    if driver == "systemd":
        return f"{root}-pod{pod_uid.replace('-', '_')}.slice"
    return f"/{root}/pod{pod_uid}"


def pods_group(driver: str, root: str) -> str:
    """Return the group that the groups of all pods are in, as `pod_cgroup` spells them."""
    return f"{root}.slice" if driver == "systemd" else f"/{root}"


def has_cgroup(proc_cgroup: str, container_id: str) -> bool:
    """True where a line of /proc/<pid>/cgroup (v1 or v2) lies in the container's group.

    Drivers differ in the spelling (`<id>`, `docker-<id>.scope`), never in that the id is in it.
    """
    return any(container_id in line.split(":", 2)[-1] for line in proc_cgroup.splitlines())


def is_dead(proc_stat: str) -> bool:
    """True where /proc/<pid>/stat shows a process of which only the entry is left.

    The command name is in parentheses and may hold anything, so fields count from the last one.
    A zombie leader whose other threads still run is alive.
    """
    fields = proc_stat.rpartition(")")[2].split()
    state, thread_count = fields[0], int(fields[17])
    return state in {"X", "x"} or (state == "Z" and thread_count <= 1)


def started_ticks(proc_stat: str) -> int:
    """Return when the process of /proc/<pid>/stat started: with its pid, an identity."""
    return int(proc_stat.rpartition(")")[2].split()[19])


def oom_score_floor(proc_status: str, oom_score_adj: str) -> int:
    """Return the lowest oom_score_adj that the process of these two files of /proc may give.

    A machine that is itself a container often lacks the right: runc then starts nothing that is
    to have less than its engine has (containerd's `restrict_oom_score_adj` is for the same).
    """
    rows = (line.split() for line in proc_status.splitlines())
    effective = next((int(row[1], 16) for row in rows if row[:1] == ["CapEff:"]), 0)
    return OOM_SCORE_MIN if effective >> CAP_SYS_RESOURCE & 1 else int(oom_score_adj)


def group_folders(hierarchies: list[str], parent: str) -> list[PurePosixPath]:
    """Return where a pod's group lies, below each mount point of a hierarchy.

    A slice lies in the slice whose name is its own without the last part, and so does that one.
    """
    if parent.endswith(".slice"):
        parts = parent.removesuffix(".slice").split("-")
        names = ("-".join(parts[:count]) for count in range(1, len(parts) + 1))
        parent = "/".join(f"{name}.slice" for name in names)
    return [PurePosixPath(mount) / parent.lstrip("/") for mount in hierarchies]


def hierarchies(proc_mounts: str, *, kinds: Collection[str] = V1_AND_V2) -> list[str]:
    """Return the mount points of every cgroup hierarchy of these kinds in /proc/mounts, sorted."""
    rows = (line.split() for line in proc_mounts.splitlines())
    return sorted({row[1] for row in rows if len(row) > 2 and row[2] in kinds})
