"""Ephemeral containers of a pod: which are to start, and what they hold. Pure.

Each is started once and never again, as soon as the pod has a sandbox; it ends with the pod, after
its other containers. It counts for nothing that the pod is. While one runs, or is yet to run, the
sandbox stays also after the pod's own containers have ended for good: what has failed can be looked
into, with its network, its volumes and its names.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.podspec.ephemeral import EphemeralContainer
from kubelet.pod.decisions.memory import Memory, failures_of, latest
from kubelet.runtime.driver import SANDBOX, Container, State

FAILURES_MAX = 5  # to start one, after which it holds no pod that is over


class Start(NamedTuple):
    """One that is to start. target_id: the container whose processes it shares; empty for none."""

    name: str
    target_id: str


def is_ephemeral(pod: Pod, name: str) -> bool:
    return any(one.name == name for one in pod.spec.ephemeral_containers)


def own(pod: Pod, found: Iterable[Container]) -> list[Container]:
    """Return what is found of the pod's own: without its sandboxes and ephemeral containers."""
    added = {one.name for one in pod.spec.ephemeral_containers}
    return [one for one in found if one.name != SANDBOX and one.name not in added]


def added(pod: Pod, found: Iterable[Container]) -> list[Container]:
    """Return what is found of its ephemeral containers."""
    return [one for one in found if is_ephemeral(pod, one.name)]


def is_held(pod: Pod, found: Sequence[Container], memory: Memory) -> bool:
    """Whether an ephemeral container runs, or is yet to run: its sandbox stays.

    For one that cannot be started, again and again, it does not.
    """
    runs = any(one.state is State.RUNNING for one in added(pod, found))
    return runs or any(
        _is_due(one, found) and failures_of(memory, one.name) < FAILURES_MAX
        for one in pod.spec.ephemeral_containers
    )


def starts(pod: Pod, found: Sequence[Container]) -> Iterator[Start]:
    """Yield those that are to start now.

    One whose target is yet to start waits for it. Where the target has ended, nobody knows when it
    runs again, and what it left is to be looked at: the container starts with processes of its own.
    """
    for one in pod.spec.ephemeral_containers:
        if not _is_due(one, found):
            continue
        target = latest(found, one.target_container_name) if one.target_container_name else None
        if target is not None and target.state is State.RUNNING:
            yield Start(one.name, target.id)
        elif target is not None or not one.target_container_name or is_finished(pod):
            yield Start(one.name, "")


def _is_due(wanted: EphemeralContainer, found: Sequence[Container]) -> bool:
    """Whether one has not been started yet."""
    newest = latest(found, wanted.name)
    return newest is None or newest.state is State.CREATED
