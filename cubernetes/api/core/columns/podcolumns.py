"""The columns of pods, as Kubernetes' server prints them: other people's scripts read them."""

from datetime import datetime
from typing import Protocol

from cubernetes.api.condition import is_true
from cubernetes.api.core.podspec.spec import PodSpec, lasting_containers, sidecars
from cubernetes.api.core.podstatus import ContainerState, PodStatus, lasting_statuses
from cubernetes.api.meta import Column, ObjectMeta, age_of, short_span


class Listed(Protocol):
    """What of a pod is listed."""

    @property
    def metadata(self) -> ObjectMeta: ...
    @property
    def spec(self) -> PodSpec: ...
    @property
    def status(self) -> PodStatus: ...


def _ready_count(pod: Listed, _: object) -> str:
    ready = sum(one.ready for one in lasting_statuses(pod.spec, pod.status))
    return f"{ready}/{len(lasting_containers(pod.spec))}"


def _status(pod: Listed, _: object) -> str:
    """Say what a person wants to know first: the first container that does not run says it."""
    if pod.metadata.is_deleted:
        return "Terminating"
    if initializing := _initializing(pod):
        return initializing
    states = [one.state for one in pod.status.container_statuses]
    reasons = (reason for state in states if (reason := _stopped(state)))
    gated = "SchedulingGated" if pod.spec.scheduling_gates else ""
    reason = next(reasons, "") or pod.status.reason or gated or pod.status.phase
    if reason == "Completed" and any(
        one.ready and one.state.running for one in pod.status.container_statuses
    ):
        return "Running" if is_true(pod.status.conditions, "Ready") else "NotReady"
    return reason


def _initializing(pod: Listed) -> str:
    """Say how far the init containers are, as `Init:1/2`; empty where all have done their part."""
    if is_true(pod.status.conditions, "Initialized"):
        return ""
    lasting = {one.name for one in sidecars(pod.spec)}
    for index, one in enumerate(pod.status.init_container_statuses):
        ended = one.state.terminated
        if ended is not None and ended.exit_code == 0:
            continue
        if one.name in lasting and one.started:
            continue
        reason = _stopped(one.state)
        if reason in ("", "PodInitializing"):
            reason = f"{index}/{len(pod.spec.init_containers)}"
        return f"Init:{reason}"
    return ""


def _stopped(state: ContainerState) -> str:
    """Return why a container does not run; empty where it does, or nothing is known."""
    if state.waiting:
        return state.waiting.reason
    if ended := state.terminated:
        code = f"Signal:{ended.signal}" if ended.signal else f"ExitCode:{ended.exit_code}"
        return ended.reason or code
    return ""


def _restarts(pod: Listed, now: datetime) -> int | str:
    """Return how often its containers were started again, and how long ago that was last."""
    statuses = pod.status.init_container_statuses
    if not _initializing(pod):
        statuses = lasting_statuses(pod.spec, pod.status)
    count = sum(one.restart_count for one in statuses)
    ends = [one.last_state.terminated for one in statuses]
    last = max((end.finished_at for end in ends if end and end.finished_at), default=None)
    if not count or last is None:
        return count
    return f"{count} ({short_span((now - last).total_seconds())} ago)"


def _gates(pod: Listed, _: object) -> str:
    gates, conditions = pod.spec.readiness_gates, pod.status.conditions
    met = sum(is_true(conditions, one.condition_type) for one in gates)
    return f"{met}/{len(gates)}" if gates else "<none>"


COLUMNS = (
    Column("Name", lambda one, _: one.metadata.name),
    Column("Ready", _ready_count),
    Column("Status", _status),
    Column("Restarts", _restarts),
    Column("Age", age_of),
    Column("IP", lambda one, _: one.status.pod_ip or "<none>", wide=True),
    Column("Node", lambda one, _: one.spec.node_name or "<none>", wide=True),
    Column("Nominated Node", lambda one, _: one.status.nominated_node_name or "<none>", wide=True),
    Column("Readiness Gates", _gates, wide=True),
)
