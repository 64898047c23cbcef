"""What a look at a machine means: its pressures, and which pod is to end. Pure.

After Kubernetes' node-pressure eviction: a threshold is met below its amount, acted on after its
grace, and over once its minimum reclaim came back as well; a pressure is told for the transition
period after it was seen last. One pod ends at a time: of those that may, first who holds more than
it requests, then who has the lower priority, then who holds most beyond its request.

Unlike there, nobody is ended who holds next to nothing of what is short, and a pod of which nothing
is known counts as one that holds nothing: its end would help nobody.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.requests import requested
from cubernetes.api.core.podspec.spec import every_container
from cubernetes.api.quantities import Quantity
from kubelet.eviction.room import ORDER, SIGNALS, MachineRoom, Share, shares_of
from kubelet.eviction.storage import quantity_text
from kubelet.eviction.thresholds import Threshold, Thresholds
from kubelet.eviction.verdict import HARD_GRACE_S, Eviction, may_be_evicted

# Who holds less of a resource is not ended for it.
HELD_MIN: Mapping[str, int] = {"memory": 1 << 20, "ephemeral-storage": 1 << 20, "inodes": 100}


@dataclass(frozen=True, slots=True)
class PodUse:
    """What a pod holds, by resource; and what each of its containers does, by name."""

    held: Mapping[str, int] = field(default_factory=dict)
    containers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered between looks: which thresholds are met since when, and each pressure.

    pressed_at_s: when each condition was seen last.
    """

    met_since_s: Mapping[Threshold, float] = field(default_factory=dict)
    pressed_at_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def pressed(self) -> frozenset[str]:
        """Return the conditions that the node has."""
        return frozenset(self.pressed_at_s)


def after_look(known: Known, thresholds: Thresholds, room: MachineRoom, now_s: float) -> Known:
    """Return what is known after a look at what is left."""
    shares, before = shares_of(room), known.met_since_s
    met = [
        one
        for one in thresholds.each
        if one.signal in shares and one.is_met(shares[one.signal], is_lasting=one in before)
    ]
    seen = dict.fromkeys((SIGNALS[one.signal].condition for one in met), now_s)
    kept = {
        kind: at_s
        for kind, at_s in known.pressed_at_s.items()
        if now_s - at_s < thresholds.transition_s
    }
    return replace(
        known,
        met_since_s={one: before.get(one, now_s) for one in met},
        pressed_at_s=kept | seen,
    )


def due(known: Known, now_s: float, busy: Container[str] = ()) -> Threshold | None:
    """Return the threshold that is to be acted on now: memory first, of one signal a hard one.

    busy: resources that are being acted on already.
    """
    ready = [
        one
        for one, since_s in known.met_since_s.items()
        if now_s - since_s >= one.grace_s and SIGNALS[one.signal].resource not in busy
    ]
    return min(ready, key=lambda one: (ORDER.index(one.signal), not one.is_hard), default=None)


def ranked(resource: str, pods: Iterable[Pod], uses: Mapping[str, PodUse]) -> Sequence[Pod]:
    """Return the pods that may end for a resource, the first to go first; uses are by uid."""

    def place(pod: Pod) -> tuple[bool, int, int, str]:
        held = uses.get(pod.metadata.uid, PodUse()).held.get(resource, 0)
        # As in Kubernetes, process ids are never requested, and priority alone comes before them.
        asked = requested(pod.spec).get(resource, 0)
        is_within = resource != "pids" and held <= asked
        return is_within, pod.spec.priority or 0, asked - held, pod.metadata.uid

    able = [pod for pod in pods if may_be_evicted(pod) and _holds(resource, pod, uses)]
    return sorted(able, key=place)


def _holds(resource: str, pod: Pod, uses: Mapping[str, PodUse]) -> bool:
    held = uses.get(pod.metadata.uid, PodUse()).held.get(resource, 0)
    return held >= HELD_MIN.get(resource, 1)


def eviction_of(
    pod: Pod, threshold: Threshold, share: Share, use: PodUse, grace_max_s: float
) -> Eviction:
    """Return the eviction of one pod, with the numbers in its message."""
    signal = SIGNALS[threshold.signal]
    said = quantity_text if signal.is_bytes else str
    wanted, resource = said(threshold.amount.of(share.total)), signal.resource
    parts = [
        f"The node was low on resource: {resource}. ",
        f"Threshold quantity: {wanted}, available: {said(share.free)}. ",
    ]
    for one in every_container(pod.spec):
        held = use.containers.get(one.name, {}).get(resource, 0)
        asked = one.resources.requests.get(resource, one.resources.limits.get(resource))
        request = asked if asked is not None else Quantity("0")
        if held > request.whole:
            parts.append(
                f"Container {one.name} was using {said(held)}, request is {request}, "
                f"has larger consumption of {resource}. "
            )
    grace_s = HARD_GRACE_S if threshold.is_hard else grace_max_s
    return Eviction("".join(parts), grace_s, is_disruption=True)
