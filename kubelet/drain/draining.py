"""What holds the end of a pod up: roads that lead to it, and connections in flight. Pure.

A terminating pod serves on until no road leads a new connection to it (the condition RoutesRemoved,
which the controllers set) and what came before is answered; or until its drain deadline, whichever
comes first. Only then are its containers asked to end. The wait is part of the pod's grace.
"""

from dataclasses import dataclass

from cubernetes.api.condition import Condition, condition_of, is_true
from cubernetes.api.coordination.road import ROUTES_READY, ROUTES_REMOVED
from cubernetes.api.core.pod import Pod

# Between two looks at the connections; as many looks in a row must find none, since a connection
# that was on its way when the last road was closed comes late.
LOOK_S = 0.1
CALM_LOOKS = 2


@dataclass(frozen=True, slots=True)
class Draining:
    """What is known of the roads to a pod. limit_s: how long it drains at most, as it is set.

    is_served: a service selects it, so that roads may lead to it.
    calm_count: how many looks in a row, since the roads are closed, found nothing in flight.
    """

    limit_s: float = 0.0
    is_served: bool = False
    calm_count: int = 0


def are_roads_closed(pod: Pod) -> bool:
    return is_true(pod.status.conditions, ROUTES_REMOVED)


def limit_s(pod: Pod, draining: Draining) -> float:
    """Return how long a deleted pod drains at most: half of its grace is left to its containers."""
    grace_s = pod.metadata.deletion_grace_period_seconds
    if grace_s is None:
        grace_s = pod.spec.termination_grace_period_seconds
    return min(draining.limit_s, grace_s / 2) if draining.is_served else 0.0


def hold_s(pod: Pod, draining: Draining, since_s: float | None, now_s: float) -> float:
    """Return for how long a deleted pod's containers are not to be stopped yet; 0: stop them.

    since_s: when this node heard of the deletion, by the clock of now_s; None: just now. Where
    only connections are waited for, it is until the next look at them.
    """
    spent_s = now_s - since_s if since_s is not None else 0.0
    left_s = max(0.0, limit_s(pod, draining) - spent_s)
    if not are_roads_closed(pod):
        return left_s
    return 0.0 if draining.calm_count >= CALM_LOOKS else min(left_s, LOOK_S)


def routes_condition(pod: Pod, *, is_ready: bool, is_served: bool) -> Condition | None:
    """Return what changes of RoutesReady with the pod's readiness; None where nothing does.

    It becomes False in the very write that says that the pod is ready, so that nobody counts the
    pod as led to before the roads have acknowledged it; and in the one that says that it is not.
    """
    before = condition_of(pod.status.conditions, ROUTES_READY)
    was_ready = is_true(pod.status.conditions, "Ready")
    if is_ready and is_served and not was_ready:
        return Condition(type=ROUTES_READY, status="False", reason="NotAcknowledged")
    if not is_ready and before is not None and before.status == "True":
        return Condition(type=ROUTES_READY, status="False", reason="NotReady")
    return None
