"""What an eviction is, in the words of Kubernetes' kubelet. Pure."""

import math
from dataclasses import dataclass

from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.scheduling.priorityclass import SYSTEM_VALUES

EVICTED = "Evicted"  # the reason of the pod's status, and of the event
# The grace of a pod that takes what others need now; a second, as in Kubernetes.
HARD_GRACE_S = 1.0
# The condition by which a Job's podFailurePolicy knows such an end, and its reason.
DISRUPTION, BY_KUBELET = "DisruptionTarget", "TerminationByKubelet"
SYSTEM_PRIORITY_MIN = min(SYSTEM_VALUES.values())


@dataclass(frozen=True, slots=True)
class Eviction:
    """Why one pod is to end here: it is Failed then, and what it wrote is removed.

    is_disruption: the node wants it, not what the pod did; the pod's conditions then say so.
    """

    message: str
    grace_s: float = HARD_GRACE_S
    is_disruption: bool = False


def is_begun(pod: Pod) -> bool:
    """Whether the API has it that the pod is evicted: from then on its containers are ended."""
    return pod.status.reason == EVICTED


def may_be_evicted(pod: Pod) -> bool:
    """Whether a pod lives here and is none that the system needs: those are never evicted.

    One that is deleted may be: it holds what it holds until its grace is over.
    """
    return not is_finished(pod) and not is_begun(pod) and not is_critical(pod)


def grace_max_s(pod: Pod, eviction: Eviction | None) -> float:
    """Return the most grace that an eviction leaves a pod, however it ends; endless without one."""
    if eviction is not None:
        return eviction.grace_s
    return HARD_GRACE_S if is_begun(pod) else math.inf


def is_critical(pod: Pod) -> bool:
    return (pod.spec.priority or 0) >= SYSTEM_PRIORITY_MIN
