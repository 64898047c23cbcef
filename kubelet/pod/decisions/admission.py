"""Whether a pod may begin on this node: room and ports are looked at here as well. Pure.

The scheduler looks before it binds; a pod that was bound by hand, or by an older view, is refused
here as Kubernetes' kubelet does: it has failed, with the reason, and is not tried again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from cubernetes.api.core.node import PRESSURE_TAINTS
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.podspec.hostport import HostPort, host_ports
from cubernetes.api.core.podspec.qos import qos_of
from cubernetes.api.core.podspec.requests import requested
from cubernetes.api.core.podspec.security.rules import SAFE_SYSCTLS
from cubernetes.api.core.podspec.toleration import unborne
from kubelet.devices import book
from kubelet.devices.book import NotEnough, Shelf
from kubelet.eviction.reserved import is_allowed
from kubelet.eviction.verdict import EVICTED, is_critical
from kubelet.files.places import age_of
from kubelet.pod.decisions.security import sysctls_of


class Refusal(NamedTuple):
    """The words of the pod's status: OutOfcpu, and a sentence."""

    reason: str
    message: str


UNKNOWN = Refusal("", "")  # of a pod that was not judged yet


class Room(NamedTuple):
    """What this node can give, by name; pod_count pods. ports are those of its own programs.

    devices: what of it are devices that the kubelet itself gives; they are not among amounts.
    pressed: the pressures that the node is under, by their conditions.
    sysctls: which unsafe ones pods may set here.
    """

    amounts: Mapping[str, int]
    pod_count: int
    ports: tuple[HostPort, ...] = ()
    devices: Shelf = book.NOTHING
    pressed: frozenset[str] = frozenset()
    sysctls: tuple[str, ...] = ()


def refusal_of(pod: Pod, others: Sequence[Pod], room: Room) -> Refusal | None:
    """Return why a pod cannot begin beside others, or None.

    Only what this node names is judged here: a resource that it does not have may be one that the
    cluster counts elsewhere. A pod that requests nothing lacks nothing.
    """
    if refusal := _pressure_refused(pod, room.pressed) or _sysctls_refused(pod, room.sysctls):
        return refusal
    if len(others) >= room.pod_count:
        return _out_of("pods", 1, len(others), room.pod_count)
    wanted = requested(pod.spec)
    theirs = {other.metadata.uid: requested(other.spec) for other in others}
    if refusal := _devices_refused(wanted, theirs, room.devices):
        return refusal
    for name, asked in sorted(wanted.items()):
        capacity = room.amounts.get(name)
        used = sum(one.get(name, 0) for one in theirs.values())
        if capacity is not None and asked > capacity - used:
            return _out_of(name, asked, used, capacity)
    return _ports_refused(pod, others, room)


def _pressure_refused(pod: Pod, pressed: frozenset[str]) -> Refusal | None:
    """Refuse what a node that is short of something takes only where it bears that.

    Pods that the system needs are taken, and with memory short all but BestEffort.
    """
    if not pressed or is_critical(pod):
        return None
    if qos_of(pod.spec) != "BestEffort":
        pressed -= {"MemoryPressure"}
    taints = [taint for kind, taint in PRESSURE_TAINTS.items() if kind in pressed]
    if not unborne(pod.spec.tolerations, taints, ("NoSchedule",)):
        return None
    told = f"Pod was rejected: The node had condition: [{' '.join(sorted(pressed))}]. "
    return Refusal(EVICTED, told)


def _sysctls_refused(pod: Pod, allowed: tuple[str, ...]) -> Refusal | None:
    """Refuse settings of the kernel that are not safe, and that this node does not allow."""
    bad = [
        name
        for name in sysctls_of(pod)
        if name not in SAFE_SYSCTLS and not is_allowed(name, allowed)
    ]
    if not bad:
        return None
    return Refusal("SysctlForbidden", f'forbidden sysctl: "{bad[0]}" not allowlisted')


def _devices_refused(
    wanted: Mapping[str, int], theirs: Mapping[str, Mapping[str, int]], shelf: Shelf
) -> Refusal | None:
    """theirs: what each other pod requests, by uid."""
    for name in sorted(wanted.keys() & book.managed(shelf)):
        asked = {uid: one.get(name, 0) for uid, one in theirs.items()}
        available = shelf.available(name, asked)
        if wanted[name] > available:
            why = NotEnough(name, wanted[name], available)
            return Refusal("UnexpectedAdmissionError", f"Pod was rejected: {why}")
    return None


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
    """Judges each pod once, the oldest first; an admitted pod stays admitted."""

    def __init__(self) -> None:
        self._verdicts: dict[str, Refusal | None] = {}

    def judge(self, pods: Iterable[Pod], room: Room) -> dict[str, Refusal]:
        """Take every pod that is bound to this node; return who is refused, by uid, and why."""
        ordered = sorted(pods, key=lambda pod: (_is_new(pod), age_of(pod)))
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
            known[uid] = refusal_of(pod, inside, room) if _is_new(pod) else None
            if known[uid] is None and not is_finished(pod):
                inside.append(pod)
        self._verdicts = known
        return {uid: one for uid, one in known.items() if one is not None}


def _is_new(pod: Pod) -> bool:
    """No kubelet has taken it on yet, and nobody wants it to go."""
    return pod.status.start_time is None and not is_finished(pod) and not pod.metadata.is_deleted
