"""What is to be seen of a pod's interface while it is whole, without asking any plugin. Pure.

Marks are taken when a plugin has answered and compared at every look: a plugin is a process, and a
node with a hundred pods cannot start a hundred every few seconds.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address

from kubelet.network.dump import Space

DEVICE = "eth0"


def marks_of(
    node: Space,
    pod: Space,
    address: IPv4Address,
    hosts: tuple[str, ...],
    devices: tuple[str, ...] = (DEVICE,),
) -> set[str]:
    """Return the marks of a pod's interfaces as they are now.

    hosts: devices of the node that the plugins told of. devices: the interfaces.
    """
    return set(_in_pod(pod, devices)) | set(_on_node(node, pod, address, hosts))


def _in_pod(pod: Space, devices: tuple[str, ...]) -> Iterator[str]:
    for name in devices:
        inner = pod.links.get(name)
        if inner is None:
            continue
        yield f"{name} of the pod"
        if inner.is_up:
            yield f"{name} of the pod being up"
        for one in pod.addresses_of.get(inner.index, ()):
            yield f"address {one} of the pod"
    if DEVICE not in pod.links:
        return
    for way in pod.routes:
        by = f" by {way.gateway}" if way.gateway else ""
        yield f"route {way.to}{by} of the pod"


def _on_node(
    node: Space, pod: Space, address: IPv4Address, hosts: tuple[str, ...]
) -> Iterator[str]:
    outer = node.links.get(host_end(node, pod))
    for name in sorted({*hosts, outer.name if outer else ""}):
        link = node.links.get(name)
        if link is not None:
            yield f"device {name}"
            if link.is_up:
                yield f"device {name} being up"
    way = node.ways_to.get(f"{address}/32")
    if way is not None:
        yield f"route {way.to} by {node.names.get(way.device, 'nothing')}"


def host_end(node: Space, pod: Space) -> str:
    """Return the node's end of a pod's pair; empty where there is none to be seen."""
    inner = pod.links.get(DEVICE)
    outer = node.links.get(node.names.get(inner.peer, "")) if inner and inner.peer else None
    is_its = outer is not None and inner is not None and outer.peer == inner.index
    return outer.name if outer is not None and is_its else ""


def host_ends(node: Space, pod: Space) -> set[str]:
    """Return the node's ends of all of a pod's pairs."""
    peers = {node.links.get(node.names.get(one.peer, "")) for one in pod.links.values() if one.peer}
    inner = {one.index for one in pod.links.values()}
    return {one.name for one in peers if one is not None and one.peer in inner}
