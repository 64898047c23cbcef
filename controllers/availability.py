"""Whether a pod counts as available: ready long enough, and led to by every road."""

from datetime import datetime, timedelta

from cubernetes.api.condition import condition_of
from cubernetes.api.coordination.road import ROUTES_READY
from cubernetes.api.core.pod import Pod, is_finished


def is_led_past(pod: Pod) -> bool:
    """Whether a road may not lead to a ready pod yet: nobody may count on it until it does."""
    routes = condition_of(pod.status.conditions, ROUTES_READY)
    return routes is not None and routes.status == "False"


def unavailable_s(pod: Pod, min_ready_s: int, now: datetime) -> float:
    """Return how long the pod must stay ready yet to count as available; 0 or less is now."""
    ready = condition_of(pod.status.conditions, "Ready")
    if min_ready_s == 0 or ready is None or ready.last_transition_time is None:
        return float(min_ready_s)
    return (ready.last_transition_time + timedelta(seconds=min_ready_s) - now).total_seconds()


def is_active(pod: Pod) -> bool:
    return not is_finished(pod) and not pod.metadata.is_deleted
