"""A pod's status as its containers tell it: found in, status out."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from cubernetes.api.condition import Condition, Truth, condition_of, is_true, with_condition
from cubernetes.api.coordination.road import ROUTES_READY
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.podspec.container import Container as Wanted
from cubernetes.api.core.podspec.qos import qos_of
from cubernetes.api.core.podspec.spec import is_sidecar, sidecars
from cubernetes.api.core.podstatus import (
    ContainerState,
    ContainerStatus,
    Phase,
    PodIP,
    PodStatus,
    StateRunning,
    StateTerminated,
    StateWaiting,
)
from cubernetes.api.meta import replaced
from kubelet.drain.draining import routes_condition
from kubelet.eviction.verdict import BY_KUBELET, DISRUPTION, EVICTED, Eviction, is_begun
from kubelet.pod.decisions import ephemeral, initialization, plan
from kubelet.pod.decisions.admission import Refusal
from kubelet.pod.decisions.initialization import Stage
from kubelet.pod.decisions.memory import BACK_OFF, RUNTIME_PREFIX, Memory, health_of, latest
from kubelet.runtime.driver import SANDBOX, Container, State

GATES_NOT_READY = "ReadinessGatesNotReady"
NOT_INITIALIZED = "ContainersNotInitialized"


def status_for(
    pod: Pod,
    found: Sequence[Container],
    memory: Memory,
    address: str,
    host_address: str,
    now: datetime,
) -> PodStatus:
    """Return the pod's status; conditions that others wrote are kept.

    address: of the pod, empty where it has none. Times are cut to the second, so that the same
    facts give the same status.
    """
    if memory.refusal is not None and not found:
        return _refused(pod, memory.refusal, host_address, now)
    if is_begun(pod) and is_finished(pod):
        return pod.status  # what it is told from goes away
    containers = tuple(
        _container_status(pod, wanted, found, memory, now) for wanted in pod.spec.containers
    )
    stage = _stage(pod, found, memory)
    inits = tuple(
        _init_status(pod, wanted, found, memory, now, stage) for wanted in pod.spec.init_containers
    )
    is_late = _is_late(pod, found, memory, now)
    phase = _phase(pod, found, memory, stage, is_late=is_late)
    over = phase in ("Succeeded", "Failed")
    lasting = (*_of_sidecars(pod, inits), *containers)
    ready = not over and bool(containers) and all(one.ready for one in lasting)
    conditions = pod.status.conditions
    reachability = _reachability(pod, memory, _readiness(lasting, ready=ready, over=over))
    for kind, status, reason, message in (
        ("PodScheduled", "True", "", ""),
        ("Initialized", *_initialized(stage, phase)),
        ("ContainersReady", *_readiness(lasting, ready=ready, over=over)),
        ("Ready", *reachability),
    ):
        one = Condition(type=kind, status=_truth(status), reason=reason, message=message)
        conditions = with_condition(conditions, one, now)
    eviction = None if over or is_begun(pod) else memory.eviction
    for more in _more_conditions(pod, memory, eviction, is_ready=reachability[0] == "True"):
        conditions = with_condition(conditions, more, now)
    reason, message = _why(pod, memory, eviction, is_late=is_late and over)
    live_address = "" if over and not address else address
    return PodStatus(
        phase=phase,
        conditions=conditions,
        reason=reason,
        message=message,
        host_ip=host_address,
        host_ips=(PodIP(ip=host_address),) if host_address else (),
        pod_ip=live_address or (pod.status.pod_ip if over else ""),
        pod_ips=(PodIP(ip=live_address),) if live_address else (),
        start_time=pod.status.start_time or now.replace(microsecond=0),
        init_container_statuses=inits,
        container_statuses=containers,
        ephemeral_container_statuses=_added_statuses(pod, found, memory, now),
        qos_class=qos_of(pod.spec),
        observed_generation=pod.metadata.generation,
    )


def _of_sidecars(pod: Pod, inits: Sequence[ContainerStatus]) -> Iterator[ContainerStatus]:
    names = {one.name for one in sidecars(pod.spec)}
    return (one for one in inits if one.name in names)


def _refused(pod: Pod, refusal: Refusal, host_address: str, now: datetime) -> PodStatus:
    return PodStatus(
        phase="Failed",
        conditions=pod.status.conditions,
        reason=refusal.reason,
        message=refusal.message,
        host_ip=host_address,
        host_ips=(PodIP(ip=host_address),) if host_address else (),
        start_time=pod.status.start_time or now.replace(microsecond=0),
        qos_class=qos_of(pod.spec),
        observed_generation=pod.metadata.generation,
    )


def _why(pod: Pod, memory: Memory, eviction: Eviction | None, *, is_late: bool) -> tuple[str, str]:
    """Return why the pod is as it is; a message without a reason was ours, and is over."""
    if is_begun(pod):
        return pod.status.reason, pod.status.message
    if eviction is not None:
        return EVICTED, eviction.message
    if is_late:
        return plan.DEADLINE, plan.DEADLINE_MESSAGE
    if SANDBOX in memory.troubles:
        return pod.status.reason, memory.troubles[SANDBOX].message
    return pod.status.reason, pod.status.message if pod.status.reason else ""


def _more_conditions(
    pod: Pod, memory: Memory, eviction: Eviction | None, *, is_ready: bool
) -> Iterator[Condition]:
    """Yield what only some pods have: whether roads lead to it, and that the node ends it."""
    routes = routes_condition(pod, is_ready=is_ready, is_served=memory.draining.is_served)
    if routes is not None:
        yield routes
    if eviction is not None and eviction.is_disruption:
        said = eviction.message.strip()
        yield Condition(type=DISRUPTION, status="True", reason=BY_KUBELET, message=said)


def _is_late(pod: Pod, found: Sequence[Container], memory: Memory, now: datetime) -> bool:
    left_s = plan.deadline_left_s(pod, found, memory, now)
    return left_s is not None and left_s <= 0


def _truth(text: str) -> Truth:
    return "True" if text == "True" else "False"


def _readiness(
    containers: Sequence[ContainerStatus], *, ready: bool, over: bool
) -> tuple[str, str, str]:
    if ready:
        return "True", "", ""
    if over:
        return "False", "PodCompleted", ""
    unready = [one.name for one in containers if not one.ready]
    return "False", "ContainersNotReady", f"containers with unready status: {unready}"


def _stage(pod: Pod, found: Sequence[Container], memory: Memory) -> Stage:
    """Return how far the pod is. Of one that is over, the sandbox is gone: all it was counts."""
    if plan.is_over(pod, found, memory):
        return initialization.stage_of(pod, found, memory)
    sandbox = plan.running_sandbox(found)
    return initialization.stage_of(pod, initialization.of_sandbox(found, sandbox), memory)


def _initialized(stage: Stage, phase: Phase) -> tuple[str, str, str]:
    if phase == "Succeeded":
        return "True", "PodCompleted", ""
    if stage.is_initialized:
        return "True", "", ""
    incomplete = " ".join(one.name for one in stage.incomplete)
    return "False", NOT_INITIALIZED, f"containers with incomplete status: [{incomplete}]"


def _reachability(
    pod: Pod, memory: Memory, readiness: tuple[str, str, str]
) -> tuple[str, str, str]:
    """A pod that nobody reaches takes no connections, whatever its containers say."""
    if readiness[0] != "True":
        return readiness
    if is_begun(pod) or memory.eviction is not None:
        return "False", EVICTED, ""
    if memory.network:
        return "False", "NetworkNotReady", memory.network
    closed = ", ".join(_closed_gates(pod))
    return ("False", GATES_NOT_READY, closed) if closed else readiness


def _closed_gates(pod: Pod) -> Iterator[str]:
    """Say of each gate of the pod's readiness why it is closed, in the words of Kubernetes."""
    for gate in pod.spec.readiness_gates:
        name = f'pod readiness gate "{gate.condition_type}"'
        found = condition_of(pod.status.conditions, gate.condition_type)
        if found is None:
            yield f"corresponding condition of {name} does not exist."
        elif found.status != "True":
            yield f'the status of {name} is not "True", but {found.status}'


def _phase(
    pod: Pod, found: Sequence[Container], memory: Memory, stage: Stage, *, is_late: bool
) -> Phase:
    """Succeeded and Failed are final; Running once all have been started; else Pending.

    A pod that is over, or has outlived its deadline, is so once its sidecars have ended, too; how
    they end is of no account.
    """
    runs = any(one.state is State.RUNNING for one in ephemeral.own(pod, found))
    if (is_late or is_begun(pod)) and not runs:
        return "Failed"
    is_over = plan.is_over(pod, found, memory)
    if pod.status.phase in ("Succeeded", "Failed") and is_over:
        return pod.status.phase
    newest = [latest(found, wanted.name) for wanted in pod.spec.containers]
    if is_over and not runs:
        has_failed = initialization.has_failed(pod, found, memory)
        ends = [one for one in newest if one is not None]
        is_well = not has_failed and all(one.exit_code == 0 for one in ends)
        return "Succeeded" if is_well else "Failed"
    started = [one is not None and one.state is not State.CREATED for one in newest]
    is_started = bool(started) and all(started)
    return "Running" if is_started and stage.is_initialized else "Pending"


def _container_status(
    pod: Pod, wanted: Wanted, found: Sequence[Container], memory: Memory, now: datetime
) -> ContainerStatus:
    newest = latest(found, wanted.name)
    if newest is None:
        return ContainerStatus(
            name=wanted.name, image=wanted.image, state=_waiting(pod, wanted.name, memory)
        )
    older = [one for one in found if one.name == wanted.name and one.attempt < newest.attempt]
    last = latest(older, wanted.name)
    is_running, health = newest.state is State.RUNNING, health_of(memory, newest.id)
    state = _state(pod, newest, memory, now)
    # While it waits to be started again, how it ended is what came last.
    ended = newest if newest.state is State.EXITED and state.waiting is not None else last
    return ContainerStatus(
        name=wanted.name,
        state=state,
        last_state=ContainerState(terminated=_terminated(ended, memory))
        if ended
        else ContainerState(),
        ready=is_running and health.is_ready,
        started=is_running and health.is_started,
        restart_count=newest.attempt,
        image=wanted.image,
        image_id=newest.image_id,
        container_id=f"{RUNTIME_PREFIX}{newest.id}",
    )


def _added_statuses(
    pod: Pod, found: Sequence[Container], memory: Memory, now: datetime
) -> tuple[ContainerStatus, ...]:
    """Return the statuses of ephemeral containers: they are ready for nothing."""
    wanted = pod.spec.ephemeral_containers
    each = (_container_status(pod, one, found, memory, now) for one in wanted)
    return tuple(replaced(one, ready=False) for one in each)


def _init_status(
    pod: Pod,
    wanted: Wanted,
    found: Sequence[Container],
    memory: Memory,
    now: datetime,
    stage: Stage,
) -> ContainerStatus:
    """Return the status of an init container; one that has ended well is ready."""
    one = _container_status(pod, wanted, found, memory, now)
    newest = latest(found, wanted.name)
    if newest is None or is_sidecar(wanted):
        return one
    has_ended = initialization.has_ended_well(newest)
    if has_ended and wanted in stage.incomplete:
        # It did so in a sandbox that is gone, and is to run again.
        last = ContainerState(terminated=_terminated(newest, memory))
        state = _waiting(pod, wanted.name, memory)
        return replaced(one, ready=False, state=state, last_state=last)
    return replaced(one, ready=has_ended)


def _waiting(pod: Pod, name: str, memory: Memory) -> ContainerState:
    trouble = memory.troubles.get(name) or memory.troubles.get(SANDBOX)
    progress = memory.pulling.get(name, "")
    if trouble is None:
        reason = "PodInitializing" if pod.spec.init_containers else "ContainerCreating"
        return ContainerState(waiting=StateWaiting(reason=reason, message=progress))
    if progress:
        # It failed before, and is being tried again.
        return ContainerState(waiting=StateWaiting(reason=trouble.reason, message=progress))
    return ContainerState(waiting=StateWaiting(reason=trouble.reason, message=trouble.message))


def _state(pod: Pod, newest: Container, memory: Memory, now: datetime) -> ContainerState:
    if newest.state is State.RUNNING:
        at = _to_second(newest.started_at)
        return ContainerState(running=StateRunning(started_at=at))
    if newest.state is State.CREATED or newest.name in memory.troubles:
        return _waiting(pod, newest.name, memory)
    due = plan.restart_at(pod, newest, memory, now)
    is_wanted = not pod.metadata.is_deleted and not is_finished(pod)
    if newest.id in memory.owed and is_wanted:
        return _waiting(pod, newest.name, memory)
    if due is not None and due > now and is_wanted:
        pause_s = round((due - (newest.finished_at or now)).total_seconds())
        message = f"back-off {pause_s}s before restarting failed container {newest.name}"
        return ContainerState(waiting=StateWaiting(reason=BACK_OFF, message=message))
    return ContainerState(terminated=_terminated(newest, memory))


def _terminated(one: Container, memory: Memory) -> StateTerminated:
    reason = "Completed" if one.exit_code == 0 else "Error"
    if one.oom_killed:
        reason = "OOMKilled"
    elif one.error:
        reason = "ContainerCannotRun"
    return StateTerminated(
        exit_code=one.exit_code,
        signal=one.signal,
        reason=reason,
        message=": ".join(text for text in (one.error, memory.messages.get(one.id, "")) if text),
        started_at=_to_second(one.started_at),
        finished_at=_to_second(one.finished_at),
        container_id=f"{RUNTIME_PREFIX}{one.id}",
    )


def _to_second(at: datetime | None) -> datetime | None:
    return at.replace(microsecond=0) if at is not None else None


def backing_off(told: PodStatus | None) -> frozenset[str]:
    """Return the containers that wait to be started again."""
    statuses = (*told.init_container_statuses, *told.container_statuses) if told is not None else ()
    waits = ((one.name, one.state.waiting) for one in statuses)
    return frozenset(name for name, wait in waits if wait and wait.reason == BACK_OFF)


def has_begun(pod: Pod, before: PodStatus | None, wanted: PodStatus) -> bool:
    """Return whether the pod runs now and was still waiting when this kubelet looked last."""
    was_waiting = pod.status.phase == "Pending" and (before is None or before.phase == "Pending")
    return was_waiting and wanted.phase == "Running"


def has_outlived(pod: Pod, before: PodStatus | None, wanted: PodStatus) -> bool:
    """Return whether the pod is found now to have outlived its deadline."""
    known = {pod.status.reason, before.reason if before is not None else ""}
    return wanted.reason == plan.DEADLINE and plan.DEADLINE not in known


def status_written(pod: Pod, status: PodStatus) -> PodStatus:
    """Return status over the newest pod: others' conditions as they stand there now.

    Whether roads lead to it is ours to say where its readiness changes with this status.
    """
    ours = {"PodScheduled", "Initialized", "ContainersReady", "Ready"}
    if status.reason == EVICTED:
        ours.add(DISRUPTION)
    if is_true(pod.status.conditions, "Ready") != is_true(status.conditions, "Ready"):
        ours.add(ROUTES_READY)
    others = tuple(one for one in pod.status.conditions if one.type not in ours)
    mine = tuple(one for one in status.conditions if one.type in ours)
    return replaced(status, conditions=(*others, *mine))
