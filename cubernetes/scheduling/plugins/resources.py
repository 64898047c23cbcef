"""What is requested must fit into what the node can give, beside what is promised already."""

from cubernetes.scheduling.nodeinfo import NodeInfo, PodRequests
from cubernetes.scheduling.plugin import Filter, News

MEBI = 1 << 20
IN_BYTES = ("memory", "ephemeral-storage")


def resources(requests: PodRequests, node: NodeInfo) -> str:
    facts, usage = node.facts, node.usage
    if usage.pod_count >= facts.pod_count:
        return f"has room for {facts.pod_count} pods and runs {usage.pod_count}"
    # A pod that requests nothing fits a node that has promised everything. The first two words
    # are Kubernetes': other programs look for them.
    lacks = [
        f"Insufficient {name}: needs {amount_text(name, count)}, "
        f"has {amount_text(name, max(0, node.free(name)))} free"
        for name, count in requests.amounts
        if count > node.free(name)
    ]
    return " and ".join(lacks)


def amount_text(name: str, count: int) -> str:
    """Return an amount of a resource for people."""
    if name == "cpu":
        return f"{count}m"
    if name in IN_BYTES:
        return f"{count / MEBI:.0f}Mi" if count >= MEBI else f"{count} bytes"
    return str(count)


RESOURCES = Filter(resources, helped_by=News.AMOUNTS | News.PODS)
