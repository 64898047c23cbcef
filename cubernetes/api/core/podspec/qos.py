"""Quality of service: the class of a pod, and which process the kernel ends first without memory.

Kubernetes' rules: `ComputePodQOS` of its API helpers, `GetContainerOOMScoreAdjust` of its kubelet.
"""

from typing import Literal

from cubernetes.api.core.podspec.container import Container, Resources
from cubernetes.api.core.podspec.spec import PodSpec, every_container, is_sidecar
from cubernetes.api.quantities import Quantity

type Qos = Literal["Guaranteed", "Burstable", "BestEffort"]

# Only these two decide: a pod that asks for ephemeral storage alone is BestEffort.
COUNTED = ("cpu", "memory")

# oom_score_adj, from -1000 (never ended) to 1000 (ended first). A point is a thousandth of memory.
PROGRAM_OOM_SCORE = -999
SANDBOX_OOM_SCORE = -998
GUARANTEED_OOM_SCORE = -997
BEST_EFFORT_OOM_SCORE = 1000
BURSTABLE_OOM_SCORE_MIN = 1000 + GUARANTEED_OOM_SCORE
BURSTABLE_OOM_SCORE_MAX = BEST_EFFORT_OOM_SCORE - 1


def qos_of(spec: PodSpec) -> Qos:
    """Return the class of a pod: the order of eviction when memory is short.

    A limit without a request is also the request; an amount of zero asks for nothing. A pod is
    Guaranteed where each container limits both resources, and the pod requests what it limits.
    """
    each = [container.resources for container in every_container(spec)]
    requests = {name: sum(request_of(one, name) for one in each) for name in COUNTED}
    limits = {name: sum(_milli(one.limits.get(name)) for one in each) for name in COUNTED}
    if not any(requests.values()) and not any(limits.values()):
        return "BestEffort"
    is_limited = all(_milli(one.limits.get(name)) for one in each for name in COUNTED)
    return "Guaranteed" if is_limited and requests == limits else "Burstable"


def request_of(resources: Resources, name: str) -> int:
    """Return what a container requests, in thousandths; a limit without a request counts as one."""
    asked = resources.requests.get(name)
    return _milli(asked if asked is not None else resources.limits.get(name))


def oom_score_adj(spec: PodSpec, container: Container, node_memory_bytes: int) -> int:
    """Return how soon the kernel ends a container's processes; 1000 is first.

    A burstable one that requests a half of the node's memory has 500: it is ended before its like
    only when it uses more than what it asked for. A sidecar counts as one that requests no less
    than the least of the pod's containers: it is not ended before what it serves.
    """
    match qos_of(spec):
        case "Guaranteed":
            return GUARANTEED_OOM_SCORE
        case "BestEffort":
            return BEST_EFFORT_OOM_SCORE
        case "Burstable":
            asked_bytes = -(-_memory_milli(spec, container) // 1000)
            score = 1000 - 1000 * asked_bytes // max(1, node_memory_bytes)
            return min(max(score, BURSTABLE_OOM_SCORE_MIN), BURSTABLE_OOM_SCORE_MAX)


def _memory_milli(spec: PodSpec, container: Container) -> int:
    asked = request_of(container.resources, "memory")
    if not is_sidecar(container):
        return asked
    return max(asked, min(request_of(one.resources, "memory") for one in spec.containers))


def _milli(amount: Quantity | None) -> int:
    return amount.milli if amount is not None else 0
