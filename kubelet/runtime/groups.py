"""Removes the control groups of pods that are gone: the engine makes them and forgets them."""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from kubelet.runtime.cgroup import group_folders, hierarchies


def remove_groups(proc: Path, kinds: Collection[str], parent: str) -> None:
    """Remove a pod's group, and the one of all pods, in each hierarchy where nothing is in it."""
    mounts = hierarchies((proc / "mounts").read_text(), kinds=kinds)
    for folder in group_folders(mounts, parent):
        with suppress(OSError):
            Path(folder).rmdir()
            Path(folder).parent.rmdir()
