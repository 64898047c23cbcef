"""The most that a pod's group has ever held of memory, as its kernel has counted. It may block.

A container's own group is gone when it ends; that of its pod is there as long as the sandbox is.
"""

from pathlib import Path

from kubelet.runtime.cgroup import DRIVERS, group_folders, hierarchies, pod_cgroup

# Version 2 (of kernels from 5.19 on) and version 1.
FILES = ("memory.peak", "memory.max_usage_in_bytes")


def pod_peak_bytes(root: str, uid: str, proc: Path = Path("/proc")) -> int | None:
    """Return a pod's peak since its group was made; None where the kernel does not tell.

    root: the group that the groups of all pods are in.

    Raises: OSError: what is mounted where cannot be read.
    """
    mounts = hierarchies((proc / "mounts").read_text())
    for driver in DRIVERS:
        for folder in group_folders(mounts, pod_cgroup(driver, root, uid)):
            for name in FILES:
                if (peak := _number_in(Path(folder) / name)) is not None:
                    return peak
    return None


def _number_in(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None  # Another version's, or the group has just gone: an absent fact is none.
    return int(text) if text.isdigit() else None
