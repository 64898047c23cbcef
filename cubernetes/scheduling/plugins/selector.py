"""A node must have every label that the pod's nodeSelector names."""

from cubernetes.scheduling.nodeinfo import NodeInfo, PodRequests
from cubernetes.scheduling.plugin import Filter, News


def selector(requests: PodRequests, node: NodeInfo) -> str:
    if not requests.selector:
        return ""
    missing = [pair for pair in requests.selector if pair not in node.facts.labels]
    if not missing:
        return ""
    return "lacks the label " + ", ".join(f"{key}={value}" for key, value in missing)


SELECTOR = Filter(selector, helped_by=News.LABELS)
