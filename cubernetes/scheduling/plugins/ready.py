"""A node must be Ready, and nobody may have cordoned it."""

from cubernetes.scheduling.nodeinfo import NodeInfo, PodRequests
from cubernetes.scheduling.plugin import Filter, News


def ready(requests: PodRequests, node: NodeInfo) -> str:  # noqa: ARG001  every filter is called alike
    if not node.facts.is_ready:
        return "is not ready"
    return "" if node.facts.is_schedulable else "is cordoned"


READY = Filter(ready, helped_by=News.READINESS)
