"""A port of the node can be taken by one pod only, and not where a program of its own has it."""

from cubernetes.scheduling.nodeinfo import NodeInfo, PodRequests
from cubernetes.scheduling.plugin import Filter, News


def ports(requests: PodRequests, node: NodeInfo) -> str:
    if not requests.ports:
        return ""
    present = (*node.facts.ports, *node.usage.ports)
    taken = [wanted for wanted in requests.ports if any(wanted.collides(one) for one in present)]
    if not taken:
        return ""
    return "has host port " + ", ".join(map(str, taken)) + " taken"


PORTS = Filter(ports, helped_by=News.PORTS | News.PODS)
