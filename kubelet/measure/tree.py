"""One pass over this machine's control groups: those of some pods, and the root's. It may block."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kubelet.measure.details import (
    RESOURCES,
    Details,
    Interface,
    details_of,
    first_pid,
    interfaces_of,
    pressures_of,
)
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


def read_tree(
    proc: Path, cgroup_root: str, uids: Sequence[str], *, is_detailed: bool = False
) -> Tree:
    """Read the groups of the pods of these uids, whatever driver has made them.

    cgroup_root: the group that all pods' groups are in, as the runtime has it.
    """
    found = hierarchies_of(_text(str(proc / "mounts")))
    return _Pass(proc, found, is_detailed=is_detailed).tree(cgroup_root, uids)


class _Pass:
    """Reads, and counts what it reads."""

    def __init__(self, proc: Path, found: Hierarchies, *, is_detailed: bool) -> None:
        self._proc, self._found, self._is_detailed = proc, found, is_detailed
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
        is_cut = self._group_count >= GROUPS_MAX
        network: Sequence[Interface] = ()
        if self._is_detailed:
            node = replace(node, details=self._node_details(node))
            network = interfaces_of(self._counted(str(self._proc / "net/dev")))
        return Tree(node, pods, self._file_count, is_cut, network)

    def _node_details(self, node: Usage) -> Details:
        """Return what the root group says, with the pressure that only /proc knows of it."""
        texts = {one: self._counted(str(self._proc / "pressure" / one)) for one in RESOURCES}
        return replace(node.details or Details(), pressure=pressures_of(texts))

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
        network = self._network(group, names) if self._is_detailed else ()
        return PodGroup(self._usage(group), inner, network)

    def _network(self, group: str, names: Sequence[str]) -> Sequence[Interface]:
        """Return the interfaces of a pod, as any process of it sees them."""
        for name in names:
            procs = self._counted(f"{self._found.main}{group}/{name}/cgroup.procs")
            if (pid := first_pid(procs)) is not None:
                return interfaces_of(self._counted(str(self._proc / f"{pid}/net/dev")))
        return ()

    def _counted(self, path: str) -> str:
        self._file_count += 1
        return _text(path)

    def _usage(self, group: str) -> Usage:
        self._group_count += 1
        texts = {}
        for name, path in self._found.files(group, is_detailed=self._is_detailed):
            texts[name] = self._counted(path)
        usage = usage_of(texts)
        return replace(usage, details=details_of(texts)) if self._is_detailed else usage


def _text(path: str) -> str:
    """Return what a file says, no more of it than the limit; empty where it cannot be read."""
    try:
        # Thousands of files a second: a file object for each would cost as much as the reading.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(file, FILE_BYTES_MAX).decode("ascii", "replace")
        finally:
            os.close(file)
    except OSError:
        # A group that has ended, or a controller that is off: it is not told of.
        return ""
