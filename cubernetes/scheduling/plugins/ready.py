"""A node must be Ready, and not cordoned unless the pod bears it, as a DaemonSet's does."""

from cubernetes.api.core.node import UNSCHEDULABLE
from cubernetes.api.core.podspec.toleration import unborne
from cubernetes.scheduling.nodeinfo import NodeInfo, PodRequests
from cubernetes.scheduling.plugin import Filter, News


def ready(requests: PodRequests, node: NodeInfo) -> str:
    if not node.facts.is_ready:
        return "is not ready"
    if node.facts.is_schedulable or not unborne(
        requests.tolerations, (UNSCHEDULABLE,), (UNSCHEDULABLE.effect,)
    ):
        return ""
    return "is cordoned"


READY = Filter(ready, helped_by=News.READINESS)
