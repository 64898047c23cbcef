"""Pod networks: every node gets one part of the cluster's pod range, and keeps it while it exists.

All nodes are one key, so that no two plans can give the same part away at the same time. A part is
not given away while a pod has an address in it: the pods of a node that was removed outlive it for
a while, and callers of their services would reach another node's pods. A node that comes back while
its pods are there is given the part in which they have their addresses.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network

from cubernetes.api.core.node import Node, is_address, is_network
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.meta import Object, Ref
from cubernetes.reconcile.plan import Action, Patch, Record, RequeueAfter, View

EVERY_NODE = Ref("PodRange", "", "")
LOOK_AGAIN_S = 10.0  # at a range of which every part is taken


@dataclass(frozen=True, slots=True)
class PodCidrs:
    """Plans for all nodes at once; the lowest free part goes to the first node by name."""

    pod_range: IPv4Network
    prefix_length: int = 24

    name = "podcidr"
    kinds: tuple[type[Object], ...] = (Node, Pod)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:  # noqa: ARG002
        return (EVERY_NODE,) if isinstance(changed, Node) else ()

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:  # noqa: ARG002
        nodes = view.list(Node)
        waiting = [
            node for node in nodes if not node.spec.pod_cidr and not node.metadata.is_deleted
        ]
        if not waiting:
            return
        given = {IPv4Network(one.spec.pod_cidr) for one in nodes if is_network(one.spec.pod_cidr)}
        used = given | parts_of(view.list(Pod), self.prefix_length)
        free = free_parts(self.pod_range, self.prefix_length, used)
        for node in waiting:
            own = parts_of(view.on_node(Pod, node.metadata.name), self.prefix_length)
            back = sorted(one for one in own - given if one.subnet_of(self.pod_range))
            part = back[0] if back else next(free, None)
            if part is None:
                message = f"no /{self.prefix_length} is left in the pod range {self.pod_range}"
                yield Record(node, "CIDRNotAvailable", message, "Warning")
                yield RequeueAfter(LOOK_AGAIN_S)
                continue
            given.add(part)
            change = {"spec": {"podCIDR": str(part), "podCIDRs": [str(part)]}}
            yield Patch(Node, node.ref, node.metadata.uid, change)


def parts_of(pods: Iterable[Pod], prefix_length: int) -> set[IPv4Network]:
    """Return the parts in which pods have addresses; those on their node's own count as well."""
    addresses = {pod.status.pod_ip for pod in pods if not is_finished(pod)}
    bits = 32 - prefix_length
    starts = {int(IPv4Address(one)) >> bits for one in addresses if is_address(one)}
    return {IPv4Network((start << bits, prefix_length)) for start in starts}


def free_parts(
    whole: IPv4Network, prefix_length: int, taken: Collection[IPv4Network]
) -> Iterator[IPv4Network]:
    """Yield the parts of `whole` that overlap nothing taken, the lowest first."""
    same_size = {one for one in taken if one.prefixlen == prefix_length}
    odd = [one for one in taken if one.prefixlen != prefix_length]
    for part in whole.subnets(new_prefix=prefix_length):
        if part not in same_size and not any(part.overlaps(one) for one in odd):
            yield part
