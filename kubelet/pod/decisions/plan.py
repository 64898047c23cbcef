"""What to do with one pod's containers: wanted and found in, steps out.

The order of the steps is the order in which they are carried out; a step that fails ends the
round, and the next round plans again from what is then found. Nothing is remembered here: what a
plan needs of the past (failures, and when to try again) comes in as `Memory`.

Every duration is measured by this node's own monotonic clock. What another machine wrote, such as
`deletionTimestamp`, is by another clock, and wall time may be set: neither is subtracted here. The
exceptions are when a container ended, which the runtime tells in this node's wall time, and when
this node took the pod on, from which `activeDeadlineSeconds` counts also for a later kubelet.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.podspec.container import Container as Wanted
from cubernetes.api.core.podspec.ephemeral import EphemeralContainer
from cubernetes.api.core.podspec.spec import every_program, is_sidecar, sidecars
from cubernetes.host.timing.backoff import backoff_s
from kubelet.drain import draining
from kubelet.eviction.verdict import EVICTED, grace_max_s, is_begun
from kubelet.pod.decisions import ephemeral, initialization
from kubelet.pod.decisions.memory import CrashStreak, Memory, health_of, latest
from kubelet.probes.machine import Kind, probes_of
from kubelet.runtime.driver import SANDBOX, Container, State

FORCED_GRACE_S = 2.0  # for a pod that was taken out of the API without being asked to end
RESTART_BASE_S = 1.0
RESTART_MAX_S = 60.0


class Moment(NamedTuple):
    """Now, by both clocks of this node: wall time for what is told, seconds for durations."""

    wall: datetime
    at_s: float


# Why the containers of a pod that is being deleted are stopped.
DELETED = "deleted"
# Why sidecars are stopped: what they serve has ended.
OVER = "its pod is over"
# The word and the sentence of Kubernetes for a pod that has lived too long.
DEADLINE = "DeadlineExceeded"
DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"


@dataclass(frozen=True, slots=True)
class StartSandbox:
    """Make the pod's network and pause container; attempt counts those before it."""

    attempt: int


@dataclass(frozen=True, slots=True)
class StartContainer:
    """target_id: the container whose processes it shares; empty for none."""

    name: str
    attempt: int
    target_id: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop these containers at the same time, then `later` one after another; all in this grace.

    ids may be empty. later: sidecars, which serve the others to their end.
    """

    ids: tuple[str, ...]
    grace_s: float
    why: str
    is_unhealthy: bool = False  # a probe wants it, not the pod's life
    later: tuple[str, ...] = ()
    is_anew: bool = False  # others are started in their place, however these end


@dataclass(frozen=True, slots=True)
class StopSandbox:
    """Take the pod off the network and end its pause container, where it runs."""

    id: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a container that does not run; logs go with it."""

    id: str


@dataclass(frozen=True, slots=True)
class Free:
    """Nothing of an evicted pod runs, and the API knows its end: remove what it wrote."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing of the pod runs: free its volumes and address, and report that it is gone."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do for so long, unless something changes."""

    span_s: float


type Step = StartSandbox | StartContainer | Stop | StopSandbox | Remove | Free | Finish | Wait


def steps(pod: Pod | None, found: Sequence[Container], memory: Memory, now: Moment) -> list[Step]:
    """Return the steps for a pod, and for containers whose pod nobody wants here (None)."""
    if pod is None:
        return teardown(None, found, FORCED_GRACE_S, "not wanted on this node")
    return plan(pod, found, memory, now)


def plan(pod: Pod, found: Sequence[Container], memory: Memory, now: Moment) -> list[Step]:
    """Return the steps that bring the pod's containers nearer to what is wanted."""
    if pod.metadata.is_deleted:
        return _ending(pod, found, memory, now)
    if memory.refusal is not None and not found:
        return []
    if is_begun(pod):
        return list(_evicted(pod, found, memory))
    strays = _strays(pod, found)
    if strays:
        return [Stop(strays, 0.0, "superseded"), *(Remove(one) for one in strays)]
    left_s = deadline_left_s(pod, found, memory, now.wall)
    if is_over(pod, found, memory) or (left_s is not None and left_s <= 0):
        return list(_over(pod, found, memory, now))
    steps = list(_living(pod, found, memory, now))
    return steps if left_s is None else [*steps, Wait(left_s)]


def _ending(pod: Pod, found: Sequence[Container], memory: Memory, now: Moment) -> list[Step]:
    """Let what serves serve on while it is led to; then take the pod down."""
    serves = any(one.state is State.RUNNING for one in ephemeral.own(pod, found))
    since_s, grace_s = memory.ending_since_s, grace_max_s(pod, memory.eviction)
    hold_s = draining.hold_s(pod, memory.draining, since_s, now.at_s) if serves else 0.0
    if 0 < hold_s < grace_s:
        return [Wait(hold_s)]
    return teardown(pod, found, min(grace_left_s(pod, since_s, now.at_s), grace_s), DELETED)


def teardown(pod: Pod | None, found: Sequence[Container], grace_s: float, why: str) -> list[Step]:
    """Return the steps that leave nothing of a pod that nobody wants here.

    pod: None where nobody knows its spec any more.
    """
    users = [one for one in found if one.name != SANDBOX]
    steps: list[Step] = list(_stop_all(pod, found, grace_s, why))
    steps += [StopSandbox(one.id) for one in _sandboxes(found) if one.state is State.RUNNING]
    steps += [Remove(one.id) for one in (*users, *_sandboxes(found))]
    return [*steps, Finish()]


def _stop_all(
    pod: Pod | None, found: Sequence[Container], grace_s: float, why: str
) -> Iterator[Stop]:
    """Stop all that runs of a pod. What looks into it sees its end, and has no grace of its own."""
    if pod is None:
        yield from _stop([one for one in found if one.name != SANDBOX], grace_s, why)
        return
    yield from _stop(ephemeral.own(pod, found), grace_s, why, sidecars(pod.spec))
    yield from _stop(ephemeral.added(pod, found), 0.0, why)


def _stop(
    found: Sequence[Container], grace_s: float, why: str, lasting: Sequence[Wanted] = ()
) -> Iterator[Stop]:
    """Stop all of these that run: sidecars last, in the reverse of their order."""
    running = [one for one in found if one.state is State.RUNNING]
    order = {wanted.name: index for index, wanted in enumerate(lasting)}
    later = sorted((one for one in running if one.name in order), key=lambda one: -order[one.name])
    first = tuple(one.id for one in running if one.name not in order)
    if running:
        yield Stop(first, grace_s, why, later=tuple(one.id for one in later))


def grace_left_s(pod: Pod, since_s: float | None, now_s: float) -> float:
    """Return what a deleted pod has left of its grace, which runs from when this node heard.

    Asked again with less, the grace is that much from the same beginning.
    """
    grace_s = pod.metadata.deletion_grace_period_seconds
    if grace_s is None:
        grace_s = pod.spec.termination_grace_period_seconds
    return max(0.0, grace_s - (now_s - since_s if since_s is not None else 0.0))


def grace_by_newest_s(pod: Pod | None, planned_s: float, memory: Memory, now_s: float) -> float:
    """Return the grace that the newest wish leaves containers that were to end in planned_s."""
    if pod is None:
        return min(planned_s, FORCED_GRACE_S)
    if pod.metadata.is_deleted:
        planned_s = grace_left_s(pod, memory.ending_since_s, now_s)
    return min(planned_s, grace_max_s(pod, memory.eviction))


def spec_hash(wanted: Wanted) -> str:
    """Return the mark by which a running container is seen to be the one that is wanted.

    Only the image may change in a pod that lives (Pod.update_problems), so only it counts; but an
    ephemeral container may be removed, and another added in its name.
    """
    if isinstance(wanted, EphemeralContainer):
        told = (wanted.image, wanted.target_container_name, *wanted.command, "", *wanted.args)
        return hashlib.sha256("\0".join(told).encode()).hexdigest()[:16]
    return hashlib.sha256(wanted.image.encode()).hexdigest()[:16]


def running_sandbox(found: Iterable[Container]) -> Container | None:
    running = [one for one in _sandboxes(found) if one.state is State.RUNNING]
    return max(running, key=lambda one: (one.attempt, one.id), default=None)


def is_over(pod: Pod, found: Sequence[Container], memory: Memory) -> bool:
    """True where every container has ended and the restart policy wants none of them again.

    Sidecars do not count: they are to end as well, then; nor do ephemeral containers.
    """
    if is_finished(pod) and not ephemeral.own(pod, found):
        return True  # a phase that is final is never left
    if pod.spec.restart_policy == "Always":
        return False
    if initialization.has_failed(pod, found, memory):
        return True
    ends = [latest(found, wanted.name) for wanted in pod.spec.containers]
    if any(one is None for one in ends):
        # Not started yet, unless the record says that the pod's life is over.
        return pod.status.phase in ("Succeeded", "Failed")
    return all(one is not None and not _restarts(pod, one, memory) for one in ends)


def deadline_left_s(
    pod: Pod, found: Sequence[Container], memory: Memory, now: datetime
) -> float | None:
    """Return how long a pod may still live, 0 or less: it is to end; None: for ever.

    One whose containers all ended in time has kept its deadline.
    """
    if is_finished(pod):
        return 0.0 if pod.status.reason == DEADLINE else None
    limit_s, since = pod.spec.active_deadline_seconds, pod.status.start_time
    if limit_s is None or since is None:
        return None
    until = since + timedelta(seconds=limit_s)
    if is_over(pod, found, memory):
        ends = (one.finished_at for one in ephemeral.own(pod, found))
        if all(end is not None and end < until for end in ends):
            return None
    return (until - now).total_seconds()


def restart_at(pod: Pod, ended: Container, memory: Memory, now: datetime) -> datetime | None:
    """Return when an ended container is started again; None for never.

    The first restart of a streak is immediate, the next after 1 s, doubling up to a minute.
    """
    if not _restarts(pod, ended, memory):
        return None
    if ended.id in memory.owed or ended.finished_at is None or ended.finished_at > now:
        # An end in the future: the clock was set back. Its pause is over, whatever it was.
        return now
    count = memory.streaks.get(ended.name, CrashStreak(0, 0)).count
    pause_s = 0.0
    if count > 1:
        pause_s = backoff_s(count - 1, base_s=RESTART_BASE_S, limit_s=RESTART_MAX_S)
    return ended.finished_at + timedelta(seconds=pause_s)


def _restarts(pod: Pod, ended: Container, memory: Memory) -> bool:
    """Whether this container is to run again, were it to have ended."""
    if ended.state is not State.EXITED or ended.id in memory.owed:
        return True
    policy = initialization.policy_of(pod, ended.name)
    return policy == "Always" or (policy == "OnFailure" and ended.exit_code != 0)


def _strays(pod: Pod, found: Sequence[Container]) -> tuple[str, ...]:
    """Return what should not be: unknown names, and older twins that still run.

    An ephemeral container that was removed is one, also where another has its name now. Else
    neither comes from our own plans; a checkpoint that was put back could bring them.
    """
    names = {wanted.name for wanted in every_program(pod.spec)}
    newest = {name: latest(found, name) for name in names}
    marks = {wanted.name: spec_hash(wanted) for wanted in pod.spec.ephemeral_containers}
    return tuple(
        one.id
        for one in found
        if one.name != SANDBOX
        and (
            one.name not in names
            or (one.state is State.RUNNING and one != newest[one.name])
            or marks.get(one.name, one.spec_hash) != one.spec_hash
        )
    )


def _sandboxes(found: Iterable[Container]) -> list[Container]:
    return [one for one in found if one.name == SANDBOX]


def _over(pod: Pod, found: Sequence[Container], memory: Memory, now: Moment) -> Iterator[Step]:
    """Leave the ended containers for their logs; sidecars and the network are of no more use.

    The network is, while somebody looks into the pod.
    """
    grace_s = float(pod.spec.termination_grace_period_seconds)
    yield from _stop(ephemeral.own(pod, found), grace_s, OVER, sidecars(pod.spec))
    if ephemeral.is_held(pod, found, memory):
        yield from _looked_into(pod, found, memory, now)
        return
    yield from _without_sandboxes(found)


def _without_sandboxes(found: Sequence[Container]) -> Iterator[Step]:
    for one in _sandboxes(found):
        # Also where it ended by itself: the address and the ports of the node are still the pod's.
        yield StopSandbox(one.id)
        yield Remove(one.id)


def _evicted(pod: Pod, found: Sequence[Container], memory: Memory) -> Iterator[Step]:
    """End an evicted pod; once the API knows how its containers ended, give back the disk."""
    grace_s = float(pod.spec.termination_grace_period_seconds)
    grace_s = min(grace_s, grace_max_s(pod, memory.eviction))
    yield from _stop_all(pod, found, grace_s, EVICTED.lower())
    yield from _without_sandboxes(found)
    if is_finished(pod):
        yield from (Remove(one.id) for one in found if one.name != SANDBOX)
        if not memory.is_freed:
            yield Free()


def _looked_into(
    pod: Pod, found: Sequence[Container], memory: Memory, now: Moment
) -> Iterator[Step]:
    """Have the ephemeral containers of a pod that is over run in its sandbox, made anew if gone."""
    sandbox = running_sandbox(found)
    if sandbox is None:
        lost: list[Step] = list(_stop(ephemeral.added(pod, found), 0.0, "sandbox is gone"))
        begun = lost or [_sandbox(found, memory, now)]
        yield from begun
        if not isinstance(begun[0], StartSandbox):
            return
    steps = list(_added(pod, found, memory, now))
    yield from (step for step in steps if isinstance(step, StartContainer))
    yield from _stale_sandboxes(found, sandbox)
    yield from (step for step in steps if isinstance(step, Wait))


def _added(
    pod: Pod, found: Sequence[Container], memory: Memory, now: Moment
) -> Iterator[StartContainer | Wait]:
    """Start the ephemeral containers whose time it is."""
    for one in ephemeral.starts(pod, found):
        if one.name in memory.pulling:
            continue  # its image wakes the worker
        pause_s = _pause_s(memory, one.name, now)
        yield Wait(pause_s) if pause_s > 0 else StartContainer(one.name, 0, one.target_id)


def _sandbox(found: Sequence[Container], memory: Memory, now: Moment) -> StartSandbox | Wait:
    """Make the pod's next sandbox, or wait for when it is tried again."""
    pause_s = _pause_s(memory, SANDBOX, now)
    attempt = 1 + max((one.attempt for one in _sandboxes(found)), default=-1)
    return Wait(pause_s) if pause_s > 0 else StartSandbox(attempt)


def _living(pod: Pod, found: Sequence[Container], memory: Memory, now: Moment) -> Iterator[Step]:
    sandbox = running_sandbox(found)
    if sandbox is None:
        # Containers of a dead sandbox have lost their network: the pod is remade as a whole.
        grace_s = float(pod.spec.termination_grace_period_seconds)
        lost: list[Step] = list(_stop_all(pod, found, grace_s, "sandbox is gone"))
        begun = lost or [_sandbox(found, memory, now)]
        yield from begun
        if not isinstance(begun[0], StartSandbox):
            return
    current = initialization.of_sandbox(found, sandbox)
    stage = initialization.stage_of(pod, current, memory)
    steps = [
        step for wanted in stage.inits for step in _init(pod, wanted, found, current, memory, now)
    ]
    steps += _added(pod, found, memory, now)
    if stage.is_initialized:
        for wanted in pod.spec.containers:
            steps += _container(pod, wanted, found, memory, now)
    # What waits for its image is left alone until the pull has ended.
    steps = [
        one for one in steps if not (isinstance(one, StartContainer) and one.name in memory.pulling)
    ]
    # What is to run is started first: taking an old container away may take the runtime long.
    yield from (step for step in steps if isinstance(step, Stop | StartContainer))
    yield from _stale_sandboxes(found, sandbox)
    yield from (step for step in steps if isinstance(step, Remove))
    waits_s = [step.span_s for step in steps if isinstance(step, Wait)]
    if waits_s:
        yield Wait(min(waits_s))


def _pause_s(memory: Memory, name: str, now: Moment) -> float:
    """Return for how long a part that could not be started is left alone yet."""
    trouble = memory.troubles.get(name)
    return trouble.retry_at_s - now.at_s if trouble is not None else 0.0


def _stale_sandboxes(found: Sequence[Container], current: Container | None) -> Iterator[Step]:
    """Take away sandboxes of before. They have lost the pod's address to the current one."""
    for one in _sandboxes(found):
        if current is None or one.id != current.id:
            if one.state is State.RUNNING:
                yield Stop((one.id,), 0.0, "superseded")
            yield Remove(one.id)


def _container(
    pod: Pod, wanted: Wanted, found: Sequence[Container], memory: Memory, now: Moment
) -> Iterator[Step]:
    newest = latest(found, wanted.name)
    yield from _older(found, wanted.name)
    pause_s = _pause_s(memory, wanted.name, now)
    if newest is not None and newest.state is State.RUNNING:
        yield from _running(pod, wanted, newest, memory)
    elif pause_s > 0:
        yield Wait(pause_s)
    elif newest is None:
        yield StartContainer(wanted.name, 0)
    elif newest.state is State.CREATED:
        yield StartContainer(wanted.name, newest.attempt)
    elif _restarts(pod, newest, memory):
        due = restart_at(pod, newest, memory, now.wall)
        if due is not None and due > now.wall:
            yield Wait((due - now.wall).total_seconds())
        else:
            yield StartContainer(wanted.name, newest.attempt + 1)


def _init(
    pod: Pod,
    wanted: Wanted,
    found: Sequence[Container],
    current: Sequence[Container],
    memory: Memory,
    now: Moment,
) -> Iterator[Step]:
    """Run an init container whose turn it is; one of an earlier sandbox runs again in this one."""
    newest = latest(found, wanted.name)
    if newest is None or newest.state is State.CREATED or _pause_s(memory, wanted.name, now) > 0:
        yield from _container(pod, wanted, found, memory, now)
    elif newest.state is State.EXITED and newest not in current:
        yield from _older(found, wanted.name)
        yield StartContainer(wanted.name, newest.attempt + 1)
    elif newest.state is State.RUNNING and newest not in current:
        yield Stop((newest.id,), 0.0, "superseded")
    elif newest.state is State.EXITED or is_sidecar(wanted):
        yield from _container(pod, wanted, found, memory, now)


def _running(pod: Pod, wanted: Wanted, found: Container, memory: Memory) -> Iterator[Step]:
    if found.spec_hash != spec_hash(wanted):
        grace_s = float(pod.spec.termination_grace_period_seconds)
        yield Stop((found.id,), grace_s, "its image changed", is_anew=True)
        yield StartContainer(wanted.name, found.attempt + 1)
    elif failed := health_of(memory, found.id).failed:
        yield from _unhealthy(pod, wanted, found, failed)


def _unhealthy(pod: Pod, wanted: Wanted, found: Container, failed: Kind) -> Iterator[Step]:
    """End a container whose probe has failed; whether and when it runs again, the policy says."""
    grace_s = probes_of(wanted)[failed].termination_grace_period_seconds
    if grace_s is None:
        grace_s = pod.spec.termination_grace_period_seconds
    policy = initialization.policy_of(pod, wanted.name)
    restarts = "" if policy == "Never" else ", will be restarted"
    why = f"failed {failed.value.lower()} probe{restarts}"
    # Whatever code it ends with: it has failed.
    is_anew = policy == "OnFailure"
    yield Stop((found.id,), float(grace_s), why, is_unhealthy=True, is_anew=is_anew)
    if is_anew:
        yield StartContainer(wanted.name, found.attempt + 1)


def _older(found: Sequence[Container], name: str) -> Iterator[Step]:
    """Keep the newest two of a name: the last one that ended still tells why."""
    of_name = sorted((one for one in found if one.name == name), key=lambda one: one.attempt)
    for one in of_name[:-2]:
        yield Remove(one.id)
