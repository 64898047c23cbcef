"""Init containers of a pod: which run now, and whether the pod is initialized. Pure.

They begin one after another: the next once the one before has ended with code 0 or, if it is a
sidecar, has started (its startup probe has passed). Sidecars run on, and are started again
whenever they end, whatever the pod's policy. Kubernetes' rules: `computeInitContainerActions` of
its kubelet. Only what was started in the pod's present sandbox counts: without it, the pod is made
anew as a whole. An init container whose record is gone has done its part where a later one began.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container as Wanted
from cubernetes.api.core.podspec.spec import is_sidecar, sidecars
from kubelet.pod.decisions.memory import Memory, health_of, latest
from kubelet.runtime.driver import Container, State


class Stage(NamedTuple):
    """How far a pod is. inits: its init containers that are to run now, in their order.

    incomplete: those that have not done their part yet.
    """

    is_initialized: bool
    inits: tuple[Wanted, ...]
    incomplete: tuple[Wanted, ...] = ()


def stage_of(pod: Pod, current: Sequence[Container], memory: Memory) -> Stage:
    """Return how far a pod is, by the containers of its present sandbox."""
    inits, lasting = pod.spec.init_containers, sidecars(pod.spec)
    mains = {one.name for one in pod.spec.containers}
    if not inits or any(one.name in mains for one in current):
        return Stage(True, lasting)
    begun = [index for index, one in enumerate(inits) if latest(current, one.name) is not None]
    last = begun[-1] if begun else 0
    if not is_done(inits[last], latest(current, inits[last].name), memory):
        due = (*(one for one in inits[:last] if is_sidecar(one)), inits[last])
        return Stage(False, due, _incomplete(inits, last, current, memory))
    if last + 1 == len(inits):
        return Stage(True, lasting)
    due = (*(one for one in inits[: last + 1] if is_sidecar(one)), inits[last + 1])
    return Stage(False, due, _incomplete(inits, last, current, memory))


def is_done(wanted: Wanted, found: Container | None, memory: Memory) -> bool:
    """Whether an init container has done its part: the next one may begin."""
    if found is None:
        return False
    if is_sidecar(wanted):
        return found.state is State.RUNNING and health_of(memory, found.id).is_started
    return has_ended_well(found) and found.id not in memory.owed


def has_ended_well(one: Container) -> bool:
    return one.state is State.EXITED and one.exit_code == 0


def of_sandbox(found: Sequence[Container], sandbox: Container | None) -> list[Container]:
    """Return the containers that were made in a sandbox; none where there is none."""
    return [one for one in found if sandbox is not None and one.sandbox_id == sandbox.id]


def has_failed(pod: Pod, found: Sequence[Container], memory: Memory) -> bool:
    """Whether an init container has failed for good: the pod will never run."""
    ends = (latest(found, one.name) for one in pod.spec.init_containers if not is_sidecar(one))
    return pod.spec.restart_policy == "Never" and any(
        one.state is State.EXITED and one.exit_code and one.id not in memory.owed
        for one in ends
        if one is not None
    )


def policy_of(pod: Pod, name: str) -> Literal["Always", "OnFailure", "Never"]:
    """Return when a container of a pod is started again; once it has done its part, an init
    container is not, and an ephemeral one never is."""
    policy = pod.spec.restart_policy
    if any(one.name == name for one in pod.spec.ephemeral_containers):
        return "Never"
    for one in pod.spec.init_containers:
        if one.name == name:
            if is_sidecar(one):
                return "Always"
            return "Never" if policy == "Never" else "OnFailure"
    return policy


def _incomplete(
    inits: Sequence[Wanted], last: int, current: Sequence[Container], memory: Memory
) -> tuple[Wanted, ...]:
    return tuple(
        one
        for index, one in enumerate(inits)
        if (index >= last or is_sidecar(one))
        and not is_done(one, latest(current, one.name), memory)
    )
