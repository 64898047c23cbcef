"""What a machine has left of what pods share: the signals by which the kubelet evicts. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """How much of something is free; total 0: it is not counted here, and never short."""

    free: int
    total: int


NOT_COUNTED = Share(0, 0)


@dataclass(frozen=True, slots=True)
class MachineRoom:
    """What this machine has left: bytes of memory and disk, counts of the others."""

    memory: Share = NOT_COUNTED
    disk: Share = NOT_COUNTED
    inodes: Share = NOT_COUNTED
    pids: Share = NOT_COUNTED


@dataclass(frozen=True, slots=True)
class Signal:
    """resource: what pods hold of it, in Kubernetes' words. condition: what a node is said to have.

    is_bytes: told with a binary unit.
    """

    resource: str
    condition: str
    is_bytes: bool = False


# By Kubernetes' names, in the order in which they are acted on: memory runs out first.
SIGNALS: Mapping[str, Signal] = {
    "memory.available": Signal("memory", "MemoryPressure", is_bytes=True),
    "nodefs.available": Signal("ephemeral-storage", "DiskPressure", is_bytes=True),
    "nodefs.inodesFree": Signal("inodes", "DiskPressure"),
    "pid.available": Signal("pids", "PIDPressure"),
}
ORDER = tuple(SIGNALS)


def shares_of(room: MachineRoom) -> Mapping[str, Share]:
    """Return what is left by each signal; what is not counted here is left out."""
    found = dict(zip(ORDER, (room.memory, room.disk, room.inodes, room.pids), strict=True))
    return {name: share for name, share in found.items() if share.total > 0}
