"""What a pod's worker remembers between rounds, and how it changes. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.spec import every_program
from kubelet.drain.draining import Draining
from kubelet.eviction.verdict import Eviction
from kubelet.pod.decisions.admission import Refusal
from kubelet.probes.machine import HEALTHY, Health
from kubelet.runtime.driver import SANDBOX, Container, State

# A container that ran this long has been healthy: its next end begins a new streak.
HEALTHY_S = 600.0
# Why a container waits that is started again only after a while.
BACK_OFF = "CrashLoopBackOff"
RUNTIME_PREFIX = "docker://"  # of the ids of containers in a status


@dataclass(frozen=True, slots=True)
class StartFailure:
    """Why a part of the pod could not be started, and when to try again (monotonic).

    image: of the container as it was tried; empty for other parts.
    """

    reason: str
    message: str
    failure_count: int
    retry_at_s: float
    image: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """What the worker remembers between rounds; all of it may be lost without harm.

    troubles and streaks are by container name; SANDBOX stands for the sandbox.
    ending_since_s: when this node heard that the pod is to end (monotonic); None: just now. A
        kubelet that begins again gives the grace again, which is late and never too early.
    network: why nobody reaches the pod; empty where it can be reached.
    refusal: why it cannot begin here; of no account where it has begun.
    draining: what is known of the roads to the pod.
    messages: what containers that have ended left as their last words, by container id.
    pulling: how far the images are that are being pulled, as a text for people, by container.
    health: what the probes of containers that run have come to, by container id.
    eviction: why it is to be evicted; it is once the API has it.
    is_freed: what an evicted pod wrote is removed.
    owed: containers, by id, that were ended to be started anew: another follows each, whatever the
        code it ended with and the pod's policy. The pod's record tells it to a later kubelet.
    """

    troubles: Mapping[str, StartFailure] = field(default_factory=dict)
    streaks: Mapping[str, "CrashStreak"] = field(default_factory=dict)
    ending_since_s: float | None = None
    network: str = ""
    refusal: Refusal | None = None
    draining: Draining = field(default_factory=Draining)
    messages: Mapping[str, str] = field(default_factory=dict)
    pulling: Mapping[str, str] = field(default_factory=dict)
    health: Mapping[str, Health] = field(default_factory=dict)
    eviction: Eviction | None = None
    is_freed: bool = False
    owed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CrashStreak:
    """How often in a row a container ended soon after its start; attempt is the last counted."""

    attempt: int
    count: int


def with_deletion_heard(memory: Memory, now_s: float) -> Memory:
    """Note when this node first heard that the pod is to end."""
    return memory if memory.ending_since_s is not None else replace(memory, ending_since_s=now_s)


def with_trouble(memory: Memory, name: str, trouble: StartFailure) -> Memory:
    return replace(memory, troubles={**memory.troubles, name: trouble})


def without_trouble(memory: Memory, name: str) -> Memory:
    left = {key: one for key, one in memory.troubles.items() if key != name}
    return replace(memory, troubles=left)


def without_reason(memory: Memory, reason: str) -> Memory:
    """Forget the failures of a reason: what they waited for may be there now."""
    left = {key: one for key, one in memory.troubles.items() if one.reason != reason}
    return replace(memory, troubles=left)


def without_corrected(memory: Memory, pod: Pod) -> Memory:
    """Forget the failures of containers whose image is another by now: it is tried at once."""
    images = {one.name: one.image for one in every_program(pod.spec)}
    left = {
        key: one
        for key, one in memory.troubles.items()
        if not one.image or images.get(key, one.image) == one.image
    }
    return replace(memory, troubles=left)


def failures_of(memory: Memory, name: str) -> int:
    """Return how often in a row a part of the pod could not be started."""
    before = memory.troubles.get(name)
    return before.failure_count if before is not None else 0


def health_of(memory: Memory, container_id: str) -> Health:
    """Return the health of a container that runs; one without probes is healthy."""
    return memory.health.get(container_id, HEALTHY)


def latest(found: Iterable[Container], name: str) -> Container | None:
    """Return the newest container of a name."""
    of_name = [one for one in found if one.name == name]
    return max(of_name, key=lambda one: (one.attempt, one.id), default=None)


def owed_after(pod: Pod | None, found: Sequence[Container], owed: frozenset[str]) -> frozenset[str]:
    """Return those of owed that are found, and those that the pod's record says to be owed.

    It does where it tells of an end as the last one while another is waited for.
    """
    told: set[str] = set()
    if pod is not None:
        for one in (*pod.status.init_container_statuses, *pod.status.container_statuses):
            ended, waiting = one.last_state.terminated, one.state.waiting
            if ended is not None and waiting is not None and waiting.reason != BACK_OFF:
                told.add(ended.container_id.removeprefix(RUNTIME_PREFIX))
    return frozenset(one.id for one in found if one.id in owed | told)


def streaks_after(
    found: Sequence[Container], streaks: Mapping[str, CrashStreak]
) -> dict[str, CrashStreak]:
    """Return the streaks as the newest containers tell them; each end counts once.

    A container's attempt number says how many came before it, so that a kubelet which has just
    started (no streaks) still backs off from a container that has failed many times.
    """
    counted = dict(streaks)
    for name in sorted({one.name for one in found if one.name != SANDBOX}):
        newest = latest(found, name)
        if newest is None or newest.state is not State.EXITED:
            continue
        before = streaks.get(name, CrashStreak(newest.attempt - 1, newest.attempt))
        if before.attempt != newest.attempt:
            count = 1 if _was_healthy(newest) else before.count + 1
            counted[name] = CrashStreak(newest.attempt, count)
    return counted


def _was_healthy(ended: Container) -> bool:
    if ended.started_at is None or ended.finished_at is None:
        return False
    return (ended.finished_at - ended.started_at).total_seconds() >= HEALTHY_S
