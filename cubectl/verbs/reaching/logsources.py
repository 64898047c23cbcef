"""Which containers' logs are meant: of one pod, or of those that a selector finds. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from cubernetes.api.notation.jsontext import Tree

DEFAULT = "kubectl.kubernetes.io/default-container"
PARTS = ("initContainers", "containers", "ephemeralContainers")
STATUSES = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
OVER = ("Succeeded", "Failed")


class Source(NamedTuple):
    """One life of a container. life: how often it was started again before."""

    uid: str
    pod: str
    container: str
    life: int = 0

    @property
    def place(self) -> tuple[str, str, str]:
        """What its lives share."""
        return self[:3]

    @property
    def prefix(self) -> str:
        return f"[pod/{self.pod}/{self.container}] "


class Which(NamedTuple):
    """Which containers of a pod: one by its name, all of them, or (both empty) its default one."""

    container: str = ""
    is_all: bool = False


def sources_of(pod: Tree, which: Which) -> list[Source]:
    """Return the containers of a pod that are meant, in the order of its spec."""
    metadata, lives = pod["metadata"], _lives(pod)
    return [
        Source(str(metadata.get("uid", "")), metadata["name"], name, lives.get(name, 0))
        for name in _names(pod, which)
    ]


def readable(pod: Tree, which: Which) -> list[Source]:
    """Return those of a pod that have said something, or may: they have started."""
    started = _lives(pod)
    return [source for source in sources_of(pod, which) if source.container in started]


def are_over(pods: Sequence[Tree], *, is_one: bool = False) -> bool:
    """Return whether there are pods, and none of them will say any more.

    is_one: one is meant that was there; it is over when it is not there any more.
    """
    return (bool(pods) or is_one) and all(
        (pod.get("status") or {}).get("phase") in OVER for pod in pods
    )


def _names(pod: Tree, which: Which) -> list[str]:
    spec = pod["spec"]
    every = [str(one["name"]) for part in PARTS for one in spec.get(part) or ()]
    if which.is_all:
        return every
    if which.container:
        return [name for name in every if name == which.container]
    wanted = (pod["metadata"].get("annotations") or {}).get(DEFAULT)
    return [wanted] if wanted in every else [str(spec["containers"][0]["name"])]


def _lives(pod: Tree) -> dict[str, int]:
    """Return the containers that have started, and how often again."""
    status = pod.get("status") or {}
    return {
        str(one["name"]): int(one.get("restartCount", 0))
        for part in STATUSES
        for one in status.get(part) or ()
        if {"running", "terminated"} & set(one.get("state") or ())
    }
