"""How full a node is with the pod: emptier ones first, fuller ones first, or cpu like memory.

What pods request counts, and not what they use; a pod that requests nothing weighs nothing.
"""

from cubernetes.scheduling.nodeinfo import NodeInfo, PodRequests
from cubernetes.scheduling.plugin import SCORE_MAX, Score

WEIGHED = ("cpu", "memory")


def least_allocated(requests: PodRequests, node: NodeInfo) -> int:
    """Return the part that stays free, on average of what is weighed."""
    return round(SCORE_MAX * (1 - sum(_shares(requests, node)) / len(WEIGHED)))


def most_allocated(requests: PodRequests, node: NodeInfo) -> int:
    """Return the part that is then given away, on average of what is weighed."""
    return round(SCORE_MAX * sum(_shares(requests, node)) / len(WEIGHED))


def balanced(requests: PodRequests, node: NodeInfo) -> int:
    """Return more, the nearer the part of cpu that is then given away is to that of memory."""
    cpu, memory = _shares(requests, node)
    # The standard deviation of two numbers is half of what is between them.
    return round(SCORE_MAX * (1 - abs(cpu - memory) / 2))


def _shares(requests: PodRequests, node: NodeInfo) -> list[float]:
    """Return the parts of what is weighed that are given away with the pod, from 0 to 1."""
    asked, amounts, used = dict(requests.amounts), node.facts.amounts, node.usage.amounts
    return [
        min(1.0, (used.get(name, 0) + asked.get(name, 0)) / amounts[name])
        if amounts.get(name)
        else 1.0
        for name in WEIGHED
    ]


# The weights of scores are kube-scheduler's.
LEAST_ALLOCATED = Score(least_allocated)
MOST_ALLOCATED = Score(most_allocated)
BALANCED = Score(balanced)
