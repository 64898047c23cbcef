"""Taints: NoSchedule and NoExecute keep pods away, PreferNoSchedule sends them elsewhere."""

from cubernetes.api.core.node import PRESSURE_TAINTS
from cubernetes.api.core.podspec.qos import COUNTED
from cubernetes.api.core.podspec.toleration import Toleration, unborne
from cubernetes.scheduling.nodeinfo import NodeInfo, PodRequests
from cubernetes.scheduling.plugin import SCORE_MAX, Filter, News, Score

# As Kubernetes': all but pods that request nothing bear a node that is short of memory.
BEARS_MEMORY = Toleration(
    key=PRESSURE_TAINTS["MemoryPressure"].key, operator="Exists", effect="NoSchedule"
)
HARD, SOFT = ("NoSchedule", "NoExecute"), ("PreferNoSchedule",)


def taints(requests: PodRequests, node: NodeInfo) -> str:
    if not node.facts.taints:
        return ""
    asks = any(name in COUNTED for name, _ in requests.amounts)
    tolerations = (*requests.tolerations, BEARS_MEMORY) if asks else requests.tolerations
    found = unborne(tolerations, node.facts.taints, HARD)
    if not found:
        return ""
    named = (f"{one.key}={one.value}" if one.value else one.key for one in found)
    told = ", ".join(f"{name}:{one.effect}" for name, one in zip(named, found, strict=True))
    return f"has the taint {told}"


def soft_taints(requests: PodRequests, node: NodeInfo) -> int:
    """Return less the more PreferNoSchedule taints of the node the pod does not tolerate."""
    if not node.facts.taints:
        return SCORE_MAX
    return SCORE_MAX // (1 + len(unborne(requests.tolerations, node.facts.taints, SOFT)))


TAINTS = Filter(taints, helped_by=News.TAINTS)
# The weights of scores are kube-scheduler's.
SOFT_TAINTS = Score(soft_taints, weight=3)
