"""One pass over this machine's control groups: those of some pods, and the root's. It may block."""

import os
from collections.abc import Collection, Mapping, Sequence
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
from kubelet.measure.keptfiles import KeptFiles, text_at
from kubelet.measure.usage import (
    Depth,
    Hierarchies,
    PodGroup,
    Tree,
    Usage,
    container_id_of,
    hierarchies_of,
    machine_usage,
    usage_of,
)
from kubelet.runtime.cgroup import DRIVERS, group_folders, pod_cgroup

# Of one pass: groups beyond are not read, and the pass says so.
GROUPS_MAX = 4096

type Wanted = Mapping[str, Collection[str]]
"""The uids of pods, and the ids of each one's running containers."""


class GroupReader:
    """Reads the groups of pods, whatever driver has made them, and remembers where they are.

    cgroup_root: the group that all pods' groups are in, as the runtime has it. One pass at a time.
    """

    def __init__(self, proc: Path, cgroup_root: str, files: KeptFiles | None = None) -> None:
        self._proc, self._root = proc, cgroup_root
        self._files = KeptFiles() if files is None else files
        self._found = Hierarchies({})
        self._group_of_pod: dict[str, str] = {}
        self._group_of_container: dict[str, str] = {}
        self._group_count = 0

    def read(self, wanted: Wanted) -> Tree:
        """Read what autoscalers decide on."""
        return self._tree(wanted, is_detailed=False)

    def read_details(self, wanted: Wanted) -> Tree:
        """Read all that there is, for those who ask for it."""
        return self._tree(wanted, is_detailed=True)

    def _tree(self, wanted: Wanted, *, is_detailed: bool) -> Tree:
        self._group_count = 0
        pods = self._pods(wanted, is_detailed=is_detailed)
        texts = {name: self._files.once(str(self._proc / name)) for name in ("stat", "meminfo")}
        own = self._usage("", "detailed" if is_detailed else "container")
        node = machine_usage(own, texts["stat"], texts["meminfo"], os.sysconf("SC_CLK_TCK"))
        network: Sequence[Interface] = ()
        if is_detailed:
            node = replace(node, details=self._node_details(node))
            network = interfaces_of(self._files.once(str(self._proc / "net/dev")))
        is_cut = self._group_count >= GROUPS_MAX
        self._forget_others(wanted, pods)
        file_count = self._files.end_pass(closes=not is_detailed)
        return Tree(node, pods, file_count, is_cut, network)

    def _pods(self, wanted: Wanted, *, is_detailed: bool) -> Mapping[str, PodGroup]:
        pods: dict[str, PodGroup] = {}
        if not self._found.main:
            self._found = hierarchies_of(text_at(str(self._proc / "mounts")))
        for uid, ids in wanted.items():
            if self._group_count >= GROUPS_MAX or not self._found.main:
                break
            found = self._pod(uid, ids, is_detailed=is_detailed)
            if found is not None:
                pods[uid] = found
        return pods

    def _forget_others(self, wanted: Wanted, pods: Mapping[str, PodGroup]) -> None:
        for uid in self._group_of_pod.keys() - wanted.keys():
            del self._group_of_pod[uid]
        containers = {one for ids in wanted.values() for one in ids}
        for one in self._group_of_container.keys() - containers:
            del self._group_of_container[one]
        if not pods:
            self._found = Hierarchies({})  # the next pass looks up anew what is mounted where

    def _pod(self, uid: str, ids: Collection[str], *, is_detailed: bool) -> PodGroup | None:
        """Return what a pod's group says; None where it has none."""
        depth: Depth = "detailed" if is_detailed else "pod"
        group = self._group_of_pod.get(uid, "")
        usage = self._usage(group, depth) if group else Usage()
        if usage.cpu_ns is None and usage.memory_bytes is None:
            # It is new, or was made anew; or its files tell nothing.
            group = self._group_of_pod[uid] = self._looked_up(uid)
            if not group:
                return None
            usage = self._usage(group, depth)
        folders = self._containers(group, ids)
        room = max(0, GROUPS_MAX - self._group_count)
        inner_depth: Depth = "detailed" if is_detailed else "container"
        inner = {
            one: self._usage(folder, inner_depth) for one, folder in list(folders.items())[:room]
        }
        network = self._network(group) if is_detailed else ()
        return PodGroup(usage, inner, network)

    def _looked_up(self, uid: str) -> str:
        """Return the path of a pod's group below the mount points; empty where it has none."""
        main = self._found.main
        for driver in DRIVERS:
            (folder,) = group_folders([main], pod_cgroup(driver, self._root, uid))
            if os.path.isdir(folder):
                return str(folder).removeprefix(main)
        return ""

    def _containers(self, group: str, ids: Collection[str]) -> Mapping[str, str]:
        """Return the groups of containers by their ids, as far as they are there."""
        known = self._group_of_container
        if not all(one in known for one in ids):
            for name in self._names_in(group):
                known[container_id_of(name)] = f"{group}/{name}"
        return {one: known[one] for one in ids if one in known}

    def _names_in(self, group: str) -> Sequence[str]:
        try:
            with os.scandir(self._found.main + group) as found:
                return sorted(one.name for one in found if one.is_dir())
        except OSError:
            return []  # it has ended just now

    def _network(self, group: str) -> Sequence[Interface]:
        """Return the interfaces of a pod, as any process of it sees them."""
        for name in self._names_in(group):
            procs = self._files.once(f"{self._found.main}{group}/{name}/cgroup.procs")
            if (pid := first_pid(procs)) is not None:
                return interfaces_of(self._files.once(str(self._proc / f"{pid}/net/dev")))
        return ()

    def _node_details(self, node: Usage) -> Details:
        """Return what the root group says, with the pressure that only /proc knows of it."""
        folder = self._proc / "pressure"
        texts = {one: self._files.once(str(folder / one)) for one in RESOURCES}
        return replace(node.details or Details(), pressure=pressures_of(texts))

    def _usage(self, group: str, depth: Depth) -> Usage:
        self._group_count += 1
        read = self._files.once if depth == "detailed" else self._files.text
        texts = {name: read(path) for name, path in self._found.files(group, depth)}
        usage = usage_of(texts)
        return replace(usage, details=details_of(texts)) if depth == "detailed" else usage
