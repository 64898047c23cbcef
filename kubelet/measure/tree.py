"""One pass over this machine's control groups: those of some pods, and the root's. It may block."""

import os
from collections.abc import Sequence
from pathlib import Path

from kubelet.measure.usage import (
    Hierarchies,
    PodGroup,
    Tree,
    Usage,
    container_id_of,
    hierarchies_of,
    machine_usage,
    usage_of,
)
from kubelet.runtime.cgroup import group_folders, pod_cgroup

DRIVERS = ("cgroupfs", "systemd")
# Of one pass: groups beyond are not read, and the pass says so.
GROUPS_MAX = 4096
FILE_BYTES_MAX = 64 * 1024


def read_tree(proc: Path, cgroup_root: str, uids: Sequence[str]) -> Tree:
    """Read the groups of the pods of these uids, whatever driver has made them.

    cgroup_root: the group that all pods' groups are in, as the runtime has it.
    """
    return _Pass(proc, hierarchies_of(_text(str(proc / "mounts")))).tree(cgroup_root, uids)


class _Pass:
    """Reads, and counts what it reads."""

    def __init__(self, proc: Path, found: Hierarchies) -> None:
        self._proc, self._found = proc, found
        self._file_count = self._group_count = 0

    def tree(self, cgroup_root: str, uids: Sequence[str]) -> Tree:
        pods = {}
        for uid in uids:
            if self._group_count >= GROUPS_MAX:
                break
            group = self._group_of(cgroup_root, uid) if self._found.main else ""
            if group:
                pods[uid] = self._pod(group)
        stat, meminfo = (_text(str(self._proc / name)) for name in ("stat", "meminfo"))
        node = machine_usage(self._usage(""), stat, meminfo, os.sysconf("SC_CLK_TCK"))
        return Tree(node, pods, self._file_count, self._group_count >= GROUPS_MAX)

    def _group_of(self, cgroup_root: str, uid: str) -> str:
        """Return the path of a pod's group below the mount points; empty where it has none."""
        main = self._found.main
        for driver in DRIVERS:
            (folder,) = group_folders([main], pod_cgroup(driver, cgroup_root, uid))
            if os.path.isdir(folder):
                return str(folder).removeprefix(main)
        return ""

    def _pod(self, group: str) -> PodGroup:
        try:
            with os.scandir(self._found.main + group) as found:
                names = sorted(one.name for one in found if one.is_dir())
        except OSError:
            names = []  # it has ended just now
        room = max(0, GROUPS_MAX - self._group_count)
        inner = {container_id_of(one): self._usage(f"{group}/{one}") for one in names[:room]}
        return PodGroup(self._usage(group), inner)

    def _usage(self, group: str) -> Usage:
        self._group_count += 1
        texts = {}
        for name, path in self._found.files(group):
            texts[name] = _text(path)
            self._file_count += 1
        return usage_of(texts)


def _text(path: str) -> str:
    """Return what a file says, no more of it than the limit; empty where it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(FILE_BYTES_MAX).decode("ascii", "replace")
    except OSError:
        # A group that has ended, or a controller that is off: it is not told of.
        return ""
