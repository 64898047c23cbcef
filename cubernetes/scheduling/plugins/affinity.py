"""Node affinity: which nodes a pod must have, and which it would rather have."""

from cubernetes.api.core.podspec.placement.nodes import is_required, misses, preferred_weight
from cubernetes.scheduling.nodeinfo import NodeInfo, PodRequests
from cubernetes.scheduling.plugin import SCORE_MAX, Filter, News, Score


def node_affinity(requests: PodRequests, node: NodeInfo) -> str:
    affinity = requests.node_affinity
    if affinity is None:
        return ""
    name, labels = node.facts.name, dict(node.facts.labels)
    if is_required(affinity, name, labels):
        return ""
    return "does not match the node affinity: " + " or ".join(misses(affinity, name, labels))


def node_preference(requests: PodRequests, node: NodeInfo) -> int:
    """Return the part of all the weights that the preferred terms which match the node have."""
    affinity = requests.node_affinity
    if affinity is None or not affinity.preferred_during_scheduling_ignored_during_execution:
        return SCORE_MAX
    preferred = affinity.preferred_during_scheduling_ignored_during_execution
    matched = preferred_weight(affinity, node.facts.name, dict(node.facts.labels))
    return SCORE_MAX * matched // sum(one.weight for one in preferred)


NODE_AFFINITY = Filter(node_affinity, helped_by=News.LABELS)
NODE_PREFERENCE = Score(node_preference, weight=2)
