"""Whether this machine is short of memory, disk or process ids. Pure.

The thresholds are those that Kubernetes' kubelet evicts at by default (memory.available < 100Mi,
nodefs.available < 10%, nodefs.inodesFree < 5%), and a pressure is told for five minutes after it
was seen last. Kubernetes has no default for process ids: here a tenth must be free. Nothing is
evicted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from cubernetes.api.condition import Condition

MEMORY_FREE_MIN_BYTES = 100 << 20
DISK_FREE_MIN_PERCENT = 10
INODES_FREE_MIN_PERCENT = 5
PIDS_FREE_MIN_PERCENT = 10
TRANSITION_S = 300.0


class Words(NamedTuple):
    """What a condition says: its reason and message where all is well, and where it is not."""

    calm: tuple[str, str]
    pressed: tuple[str, str]


WORDS: dict[str, Words] = {
    "MemoryPressure": Words(
        ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
    ),
    "DiskPressure": Words(
        ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("KubeletHasDiskPressure", "kubelet has disk pressure"),
    ),
    "PIDPressure": Words(
        ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
    ),
}


@dataclass(frozen=True, slots=True)
class Share:
    """How much of something is free; total 0: it is not counted here, and never short."""

    free: int
    total: int

    def is_below(self, percent: int) -> bool:
        return self.total > 0 and self.free * 100 < self.total * percent


@dataclass(frozen=True, slots=True)
class MachineRoom:
    """What this machine has left; memory_free_bytes None: it cannot be told."""

    memory_free_bytes: int | None = None
    disk: Share = Share(0, 0)
    inodes: Share = Share(0, 0)
    pids: Share = Share(0, 0)


def pressures(room: MachineRoom) -> frozenset[str]:
    """Return the types of the conditions that are true of a machine with so much left."""
    free = room.memory_free_bytes
    is_disk_short = room.disk.is_below(DISK_FREE_MIN_PERCENT)
    found = {
        "MemoryPressure": free is not None and free < MEMORY_FREE_MIN_BYTES,
        "DiskPressure": is_disk_short or room.inodes.is_below(INODES_FREE_MIN_PERCENT),
        "PIDPressure": room.pids.is_below(PIDS_FREE_MIN_PERCENT),
    }
    return frozenset(kind for kind, is_so in found.items() if is_so)


def seen_after(
    seen_at_s: Mapping[str, float], now_pressed: frozenset[str], now_s: float
) -> Mapping[str, float]:
    """Return when each pressure was seen last, without those that are over."""
    kept = {kind: at_s for kind, at_s in seen_at_s.items() if now_s - at_s < TRANSITION_S}
    return kept | dict.fromkeys(sorted(now_pressed), now_s)


def conditions(pressed: frozenset[str]) -> tuple[Condition, ...]:
    """Return what a Node says of its pressures."""
    return tuple(_condition(kind, is_pressed=kind in pressed) for kind in WORDS)


def _condition(kind: str, *, is_pressed: bool) -> Condition:
    reason, message = WORDS[kind].pressed if is_pressed else WORDS[kind].calm
    return Condition(
        type=kind, status="True" if is_pressed else "False", reason=reason, message=message
    )
