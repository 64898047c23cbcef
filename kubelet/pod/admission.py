"""Whether a pod may begin on this node: room and ports are looked at here as well. Pure.

The scheduler looks before it binds; a pod that was bound by hand, or by an older view, is refused
here as Kubernetes' kubelet does: it has failed, with the reason, and is not tried again.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cubernetes.api.core.hostport import HostPort, host_ports
from cubernetes.api.core.pod import Pod, is_finished, requested


class Refusal(NamedTuple):
    """The words of the pod's status: OutOfcpu, and a sentence."""

    reason: str
    message: str


UNKNOWN = Refusal("", "")  # of a pod that was not judged yet


class Room(NamedTuple):
    """What this node can give. ports are those of its own programs."""

    cpu_milli: int
    memory_bytes: int
    pod_count: int
    ports: tuple[HostPort, ...] = ()


def refusal_of(pod: Pod, others: Sequence[Pod], room: Room) -> Refusal | None:
    """Return why a pod cannot begin beside others, or None. Who asks for nothing lacks nothing."""
    if len(others) >= room.pod_count:
        return _out_of("pods", 1, len(others), room.pod_count)
    for resource, capacity in (("cpu", room.cpu_milli), ("memory", room.memory_bytes)):
        asked = requested(pod.spec, resource)
        used = sum(requested(other.spec, resource) for other in others)
        if asked and asked > capacity - used:
            return _out_of(resource, asked, used, capacity)
    return _ports_refused(pod, others, room)


def _out_of(resource: str, asked: int, used: int, capacity: int) -> Refusal:
    amounts = f"{resource}, requested: {asked}, used: {used}, capacity: {capacity}"
    message = f"Pod was rejected: Node didn't have enough resource: {amounts}"
    return Refusal(f"OutOf{resource}", message)


def _ports_refused(pod: Pod, others: Iterable[Pod], room: Room) -> Refusal | None:
    wanted = host_ports(pod.spec)
    if not wanted:
        return None
    theirs = [port for other in others for port in host_ports(other.spec)]
    own = [port for port in wanted if any(port.collides(one) for one in room.ports)]
    taken = [port for port in wanted if any(port.collides(one) for one in theirs)]
    why = [f"{port} is the node's own" for port in own]
    why += [f"{port} has another pod" for port in taken]
    if not why:
        return None
    said = "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the "
    return Refusal("NodePorts", f"{said}requested pod ports: {', '.join(why)}")


class Gate:
    """Judges each pod once, the oldest first; who was let in stays in."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._verdicts: dict[str, Refusal | None] = {}

    def judge(self, pods: Iterable[Pod]) -> dict[str, Refusal]:
        """Take every pod that is bound to this node; return who is refused, by uid, and why."""
        ordered = sorted(pods, key=lambda pod: (_is_new(pod), _age(pod)))
        known = {
            uid: self._verdicts[uid]
            for pod in ordered
            if (uid := pod.metadata.uid) in self._verdicts
        }
        inside = [
            pod
            for pod in ordered
            if not is_finished(pod) and known.get(pod.metadata.uid, UNKNOWN) is None
        ]
        for pod in ordered:
            uid = pod.metadata.uid
            if uid in known:
                continue
            known[uid] = refusal_of(pod, inside, self._room) if _is_new(pod) else None
            if known[uid] is None and not is_finished(pod):
                inside.append(pod)
        self._verdicts = known
        return {uid: one for uid, one in known.items() if one is not None}


def _is_new(pod: Pod) -> bool:
    """No kubelet has taken it on yet, and nobody wants it to go."""
    return pod.status.start_time is None and not is_finished(pod) and not pod.metadata.is_deleted


def _age(pod: Pod) -> tuple[float, str]:
    created = pod.metadata.creation_timestamp
    return (created.timestamp() if created is not None else 0.0, pod.metadata.uid)
