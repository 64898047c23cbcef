"""What pods use at one moment, with their names; and how fast, between two moments. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podstatus import ContainerStatus
from kubelet.measure.details import Interface
from kubelet.measure.usage import Tree, Usage

# Two looks nearer to each other than this say little of speed.
SPAN_S_MIN = 1.0


@dataclass(frozen=True, slots=True)
class ContainerUse:
    """A running container: id is the runtime's."""

    name: str
    id: str
    started_at: datetime | None
    usage: Usage
    image: str = ""


@dataclass(frozen=True, slots=True)
class PodUse:
    """A pod and its containers, in the order of their names."""

    namespace: str
    name: str
    uid: str
    started_at: datetime | None
    usage: Usage
    containers: Sequence[ContainerUse]
    network: Sequence[Interface] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What everything here used at a moment; pods in the order of their namespaces and names."""

    at: datetime
    node: Usage
    pods: Sequence[PodUse] = ()
    network: Sequence[Interface] = ()
    is_detailed: bool = False


@dataclass(frozen=True, slots=True)
class Rates:
    """Processor time spent a second, in nanoseconds, by what it is of; None names the node.

    window_s: over how long at most; what is younger, since it is known.
    """

    window_s: float
    cpu_ns: Mapping[str | None, int]


def snapshot_of(
    tree: Tree, pods: Iterable[Pod], at: datetime, *, is_detailed: bool = False
) -> Snapshot:
    """Name what a pass has found: groups that are no container of a pod's status have no name."""
    found = []
    for pod in sorted(pods, key=lambda one: one.ref):
        group = tree.pods.get(pod.metadata.uid)
        if group is None:
            continue
        containers = [
            ContainerUse(
                one.name, key, one.state.running.started_at, group.containers[key], one.image
            )
            for key, one in _running(pod)
            if key in group.containers and one.state.running is not None
        ]
        containers.sort(key=lambda one: one.name)
        meta = pod.metadata
        found.append(
            PodUse(
                meta.namespace,
                meta.name,
                meta.uid,
                pod.status.start_time,
                _whole(group.usage, containers),
                containers,
                group.network,
            )
        )
    return Snapshot(at, tree.node, found, tree.network, is_detailed)


def running_ids(pod: Pod) -> Sequence[str]:
    """Return the runtime's ids of a pod's running containers."""
    return [key for key, _ in _running(pod)]


def _running(pod: Pod) -> Iterable[tuple[str, ContainerStatus]]:
    for one in (*pod.status.init_container_statuses, *pod.status.container_statuses):
        if one.state.running is not None:
            yield one.container_id.rpartition("/")[2], one


def rates_of(moments: Sequence[Snapshot]) -> Rates:
    """Return the speed of all that the newest moment knows, each since the oldest that knows it."""
    if not moments:
        return Rates(0.0, {})
    *earlier, newest = moments
    now = dict(_counters(newest))
    speeds: dict[str | None, int] = {}
    spans_s = [0.0]
    for moment in earlier:
        span_s = (newest.at - moment.at).total_seconds()
        if span_s < SPAN_S_MIN:
            break
        for key, before in _counters(moment):
            # A counter that went back is of another group by the same name.
            if key in now and key not in speeds and now[key] >= before:
                speeds[key] = int((now[key] - before) / span_s)
                spans_s.append(span_s)
    return Rates(max(spans_s), speeds)


def _counters(moment: Snapshot) -> Iterable[tuple[str | None, int]]:
    if moment.node.cpu_ns is not None:
        yield None, moment.node.cpu_ns
    for pod in moment.pods:
        if pod.usage.cpu_ns is not None:
            yield pod.uid, pod.usage.cpu_ns
        for one in pod.containers:
            if one.usage.cpu_ns is not None:
                yield one.id, one.usage.cpu_ns


def _whole(own: Usage, containers: Sequence[ContainerUse]) -> Usage:
    """Return what a pod uses: its group may not count what is in the groups below (version 1)."""
    return Usage(
        cpu_ns=_most(own.cpu_ns, [one.usage.cpu_ns for one in containers]),
        memory_bytes=_most(own.memory_bytes, [one.usage.memory_bytes for one in containers]),
        working_set_bytes=_most(
            own.working_set_bytes, [one.usage.working_set_bytes for one in containers]
        ),
        pid_count=_most(own.pid_count, [one.usage.pid_count for one in containers]),
        details=own.details,
    )


def _most(own: int | None, parts: Sequence[int | None]) -> int | None:
    told = [part for part in parts if part is not None]
    return max(own or 0, sum(told)) if told else own
