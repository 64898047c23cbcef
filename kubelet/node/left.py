"""What this machine has left of memory, disk and process ids: read here; the sums are pure."""

import os
from pathlib import Path

from kubelet.eviction.room import NOT_COUNTED, MachineRoom, Share
from kubelet.measure.usage import usage_of
from kubelet.node.capacity import memory_limit_bytes, text_of

CGROUP = Path("/sys/fs/cgroup")


def room_left(root: Path, proc: Path = Path("/proc"), cgroup: Path = CGROUP) -> MachineRoom:
    """Read what is left; root: the kubelet's folder, whose disk pods write on. It may block."""
    found = os.statvfs(root)
    return MachineRoom(
        memory=memory_left(text_of(proc / "meminfo"), *_cgroup_texts(cgroup)),
        disk=Share(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize),
        inodes=Share(found.f_favail, found.f_files),
        pids=pids_left(
            text_of(proc / "loadavg"),
            text_of(proc / "sys/kernel/pid_max"),
            text_of(proc / "sys/kernel/threads-max"),
        ),
    )


def memory_left(meminfo: str, limit: str, usage: str, stat: str) -> Share:
    """Return what the machine, or its own cgroup where that is limited, has left of memory.

    As Kubernetes counts: all but the working set, which is what is used less inactive files.
    """
    fields = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    free, total = (_bytes_in(fields.get(name, "")) for name in ("MemAvailable", "MemTotal"))
    machine = NOT_COUNTED if free is None or not total else Share(free, total)
    limit_bytes = memory_limit_bytes(limit)
    used_bytes = usage_of({"memory.current": usage, "memory.stat": stat}).working_set_bytes
    if limit_bytes is None or used_bytes is None:
        return machine
    own = Share(max(0, limit_bytes - used_bytes), limit_bytes)
    return own if machine is NOT_COUNTED else min(own, machine, key=lambda one: one.free)


def _bytes_in(field: str) -> int | None:
    words = field.split()
    return int(words[0]) * 1024 if words else None


def pids_left(loadavg: str, *limits: str) -> Share:
    """Return how many processes may still begin: the fourth word of loadavg counts all that are."""
    words = loadavg.split()
    counts = [int(one) for one in limits if one.strip().isdigit()]
    if len(words) < 4 or not counts:
        return Share(0, 0)
    running = int(words[3].partition("/")[2])
    return Share(max(0, min(counts) - running), min(counts))


def _cgroup_texts(cgroup: Path) -> tuple[str, str, str]:
    v2 = ("memory.max", "memory.current", "memory.stat")
    v1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat")
    folder, names = (cgroup, v2) if (cgroup / v2[0]).exists() else (cgroup / "memory", v1)
    limit, usage, stat = (text_of(folder / name) for name in names)
    return limit.strip(), usage.strip(), stat
