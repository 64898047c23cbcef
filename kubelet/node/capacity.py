"""What this machine has: cgroup limits and /proc, read here; the sums are pure."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cubernetes.api.core.node import NodeSystemInfo
from cubernetes.api.quantities import Quantity

# cgroup v1 says «no limit» with a number near 2^63; anything above this is no limit.
UNLIMITED_BYTES = 1 << 60
# By how many percent a disk may differ from what the Node states of it, and be called the same.
STORAGE_DRIFT_MAX = 10


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """cpu_milli and memory_bytes: what processes here may use in all.

    storage_bytes: the size of the disk that the kubelet's folder is on.
    """

    cpu_milli: int
    memory_bytes: int
    info: NodeSystemInfo
    storage_bytes: int = 0


def machine_facts(root: Path, version: str, runtime_version: str) -> MachineFacts:
    """Read the facts of this machine; limits of its own cgroup count before the hardware's.

    root: the kubelet's folder.
    """
    total_bytes = memory_total_bytes(Path("/proc/meminfo").read_text())
    limit_bytes = memory_limit_bytes(_first_of(MEMORY_FILES))
    quota_milli = cpu_quota_milli(*_cpu_quota())
    release = os_name(text_of(Path("/etc/os-release")))
    info = NodeSystemInfo(
        machine_id=text_of(Path("/etc/machine-id")).strip(),
        boot_id=text_of(Path("/proc/sys/kernel/random/boot_id")).strip(),
        kernel_version=platform.release(),
        os_image=release,
        operating_system="linux",
        architecture={"x86_64": "amd64", "aarch64": "arm64"}.get(
            platform.machine(), platform.machine()
        ),
        container_runtime_version=runtime_version,
        kubelet_version=version,
        kube_proxy_version=version,
    )
    hardware_milli = 1000 * (os.cpu_count() or 1)
    return MachineFacts(
        cpu_milli=min(hardware_milli, quota_milli or hardware_milli),
        memory_bytes=min(total_bytes, limit_bytes or total_bytes),
        info=info,
        storage_bytes=_disk_bytes(root),
    )


def with_steady_storage(facts: MachineFacts, stated: Mapping[str, Quantity]) -> MachineFacts:
    """Return facts whose disk is as large as the Node states it, while it is about that large.

    Where file systems share one pool (ZFS, btrfs), the size of each is what it holds and what is
    free, and changes with every write of the others: a Node would be written anew each time.
    """
    before = stated.get("ephemeral-storage")
    if before is None or not before.whole:
        return facts
    is_about_so = abs(facts.storage_bytes - before.whole) * 100 <= before.whole * STORAGE_DRIFT_MAX
    return replace(facts, storage_bytes=before.whole) if is_about_so else facts


def _disk_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_frsize * found.f_blocks


def amounts(
    facts: MachineFacts, pod_limit: int, devices: Mapping[str, Quantity]
) -> Mapping[str, Quantity]:
    """Return the capacity as a Node states it; memory in Ki, as Kubernetes writes it.

    devices: the extended resources that were written into the Node; they stay.
    """
    cores, milli = divmod(facts.cpu_milli, 1000)
    cpu = str(cores) if not milli else f"{facts.cpu_milli}m"
    memory = f"{facts.memory_bytes // 1024}Ki"
    found = {"cpu": Quantity(cpu), "memory": Quantity(memory), "pods": Quantity(str(pod_limit))}
    if facts.storage_bytes:
        found["ephemeral-storage"] = Quantity(f"{facts.storage_bytes // 1024}Ki")
    return {**devices, **found}


def memory_total_bytes(meminfo: str) -> int:
    """Read MemTotal of /proc/meminfo (kB there)."""
    line = next(one for one in meminfo.splitlines() if one.startswith("MemTotal:"))
    return int(line.split()[1]) * 1024


def memory_limit_bytes(text: str) -> int | None:
    """Read memory.max (v2) or memory.limit_in_bytes (v1); None where there is no limit."""
    word = text.strip()
    if not word.isdigit() or int(word) > UNLIMITED_BYTES:
        return None
    return int(word)


def cpu_quota_milli(quota: str, period: str) -> int | None:
    """Return the share of cores that a quota gives, in thousandths; None for no quota."""
    if not quota.lstrip("-").isdigit() or int(quota) <= 0 or not period.isdigit():
        return None
    return int(quota) * 1000 // int(period)


def os_name(release: str) -> str:
    """Read PRETTY_NAME of /etc/os-release."""
    for line in release.splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip('"')
    return "Linux"


MEMORY_FILES = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def _cpu_quota() -> tuple[str, str]:
    v2 = text_of(Path("/sys/fs/cgroup/cpu.max")).split()
    if len(v2) == 2:
        return v2[0], v2[1]
    v1 = Path("/sys/fs/cgroup/cpu")
    return (
        text_of(v1 / "cpu.cfs_quota_us").strip(),
        text_of(v1 / "cpu.cfs_period_us").strip(),
    )


def _first_of(paths: tuple[Path, ...]) -> str:
    return next((text_of(path) for path in paths if path.exists()), "")


def text_of(path: Path) -> str:
    """Return what a file of the machine says; empty where it cannot be read."""
    try:
        return path.read_text()
    except OSError:
        # Not every kernel and container shows every file: an absent fact is an empty one.
        return ""
