"""Control groups of nodes, version 1 and 2: where a node's limits, freezer and headcount live."""

import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lab.state import Size

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
# Version 2 forbids processes beside child groups: a node's own processes live in this leaf.
# It has the name that systemd gives its own, which a node may have as its PID 1.
LEAF = "init.scope"
V2_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")


class Hierarchy(msgspec.Struct, frozen=True):
    """One mounted tree of groups. words are its controllers, or its `name=`."""

    version: int
    at: str
    words: tuple[str, ...] = ()

    @property
    def options(self) -> str:
        """What mounts this tree a second time."""
        if any(word.startswith("name=") for word in self.words):
            return ",".join(("none", *self.words))
        return ",".join(self.words)


def hierarchies_in(mountinfo: str) -> tuple[Hierarchy, ...]:
    """Return the trees that nodes use, from the text of /proc/self/mountinfo.

    A unified tree at the usual place is alone; otherwise the version 1 trees below it count, and
    a hybrid machine's empty version 2 tree does not.
    """
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        at = before.split()[4]
        kind, _, superblock = after.split()[:3]
        if kind == "cgroup2" and at == str(ROOT):
            return (Hierarchy(2, at),)
        if kind == "cgroup" and Path(at).parent == ROOT:
            found.append(Hierarchy(1, at, _words_of(superblock)))
    return tuple(found)


def _words_of(superblock: str) -> tuple[str, ...]:
    neither = {"rw", "ro", "xattr", "clone_children", "noprefix"}
    words = superblock.split(",")
    return tuple(word for word in words if word not in neither and not word.startswith("release"))


def hierarchies() -> tuple[Hierarchy, ...]:
    """Return the trees of this machine."""
    return hierarchies_in(Path("/proc/self/mountinfo").read_text())


def limits_for(hierarchy: Hierarchy, size: Size) -> Iterator[tuple[str, str]]:
    """Return file and value of each limit that this tree is the one to keep."""
    quota_us = round(size.cpus * PERIOD_US)
    if hierarchy.version == 2:
        yield "memory.max", str(size.memory_bytes)
        if quota_us:
            yield "cpu.max", f"{quota_us} {PERIOD_US}"
    if "memory" in hierarchy.words:
        yield "memory.limit_in_bytes", str(size.memory_bytes)
    if "cpu" in hierarchy.words and quota_us:
        yield "cpu.cfs_period_us", str(PERIOD_US)
        yield "cpu.cfs_quota_us", str(quota_us)


@dataclass(frozen=True)
class Group:
    """One node's group in every tree: `<tree>/<lab>/<node>`."""

    trees: Sequence[Hierarchy]
    lab: str
    node: str

    def folders(self) -> list[Path]:
        return [Path(tree.at, self.lab, self.node) for tree in self.trees]

    def doors(self) -> list[str]:
        """Return the files that take a process of the host into the running node."""
        leaf = LEAF if self.trees[0].version == 2 else "."
        return [str(folder / leaf / "cgroup.procs") for folder in self.folders()]

    def gates(self) -> list[str]:
        """Return the files that take a node's first process in: its namespace begins there."""
        return [str(folder / "cgroup.procs") for folder in self.folders()]

    def create(self, size: Size) -> None:
        """Make the group with its limits. A group left by an earlier life must be gone."""
        for tree, folder in zip(self.trees, self.folders(), strict=True):
            for made in (folder.parent, folder):
                if tree.version == 2:
                    _offer_controllers(made.parent)
                made.mkdir(exist_ok=True)
                if "cpuset" in tree.words:
                    _copy_cpuset(made)
            for name, value in limits_for(tree, size):
                (folder / name).write_text(value)

    def members(self) -> set[int]:
        """Return the pids of the node, in whatever group below, in any tree."""
        return {pid for folder in self.folders() for pid in _pids_below(folder)}

    def kill(self) -> None:
        """Kill every process of the node, once, frozen ones too; the caller waits for the end."""
        for pid in sorted(self.members()):
            kill_if_there(pid, signal.SIGKILL)
        self.set_frozen(frozen=False)

    def set_frozen(self, *, frozen: bool) -> None:
        """Stop, or let go, everything in the node at one stroke."""
        freezer = self._freezer()
        if freezer is None or not freezer.exists():
            return
        if freezer.name == "cgroup.freeze":
            freezer.write_text("1" if frozen else "0")
        else:
            freezer.write_text("FROZEN" if frozen else "THAWED")

    def is_frozen(self) -> bool:
        """Tell whether the last process has stopped: freezing takes a moment."""
        freezer = self._freezer()
        if freezer is None or not freezer.exists():
            return False
        if freezer.name == "cgroup.freeze":
            return "frozen 1" in (freezer.parent / "cgroup.events").read_text()
        return freezer.read_text().strip() == "FROZEN"

    def _freezer(self) -> Path | None:
        for tree, folder in zip(self.trees, self.folders(), strict=True):
            if tree.version == 2:
                return folder / "cgroup.freeze"
            if "freezer" in tree.words:
                return folder / "freezer.state"
        return None

    def remove(self) -> bool:
        """Remove the group and all below; tell whether it is gone from every tree."""
        gone = [remove_tree(folder) for folder in self.folders()]
        return all(gone)


def remove_lab(trees: Sequence[Hierarchy], lab: str) -> bool:
    """Remove the lab's own folder from every tree; tell whether it is gone."""
    gone = [remove_tree(Path(tree.at, lab)) for tree in trees]
    return all(gone)


def remove_tree(folder: Path) -> bool:
    """Remove a group and its children, leaves first; tell whether it is gone.

    A group stays busy for a moment after its last process died: the caller asks again.
    """
    if not folder.is_dir():
        return True
    for below, _, _ in os.walk(folder, topdown=False):
        try:
            Path(below).rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True


def kill_if_there(pid: int, number: int) -> None:
    """Send a signal to a process that may be gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _pids_below(folder: Path) -> Iterator[int]:
    for below, _, _ in os.walk(folder):
        try:
            listing = Path(below, "cgroup.procs").read_text()
        except OSError:
            # The group went away between the walk and the read, and its processes with it.
            continue
        yield from (int(word) for word in listing.split())


def _copy_cpuset(folder: Path) -> None:
    for name in ("cpuset.cpus", "cpuset.mems"):
        (folder / name).write_text((folder.parent / name).read_text())


def _offer_controllers(folder: Path) -> None:
    """Let the children of a version 2 group have the controllers that the machine has."""
    there = (folder / "cgroup.controllers").read_text().split()
    wanted = " ".join(f"+{name}" for name in V2_CONTROLLERS if name in there)
    (folder / "cgroup.subtree_control").write_text(wanted)
