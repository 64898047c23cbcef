"""What a Node says of its pressures, in the words of Kubernetes' kubelet. Pure."""

from typing import NamedTuple

from cubernetes.api.condition import Condition


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


def conditions(pressed: frozenset[str]) -> tuple[Condition, ...]:
    """Return what a Node says of its pressures."""
    return tuple(_condition(kind, is_pressed=kind in pressed) for kind in WORDS)


def _condition(kind: str, *, is_pressed: bool) -> Condition:
    reason, message = WORDS[kind].pressed if is_pressed else WORDS[kind].calm
    return Condition(
        type=kind, status="True" if is_pressed else "False", reason=reason, message=message
    )
