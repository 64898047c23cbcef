"""What is requested must fit into what the node can give, beside what is promised already."""

from scheduler.nodeinfo import NodeInfo, PodRequests

MEBI = 1 << 20


def resources(requests: PodRequests, node: NodeInfo) -> str:
    facts, usage = node.facts, node.usage
    if usage.pod_count >= facts.pod_count:
        return f"has room for {facts.pod_count} pods and runs {usage.pod_count}"
    lacks = []
    # A pod that asks for nothing fits a node that has promised everything.
    if requests.cpu_milli and requests.cpu_milli > facts.cpu_milli - usage.cpu_milli:
        left = max(0, facts.cpu_milli - usage.cpu_milli)
        lacks.append(f"needs {requests.cpu_milli}m cpu, has {left}m free")
    if requests.memory_bytes and requests.memory_bytes > facts.memory_bytes - usage.memory_bytes:
        left = max(0, facts.memory_bytes - usage.memory_bytes)
        lacks.append(f"needs {_mebi(requests.memory_bytes)} memory, has {_mebi(left)} free")
    return " and ".join(lacks)


def _mebi(count: int) -> str:
    return f"{count / MEBI:.0f}Mi" if count >= MEBI else f"{count} bytes"
