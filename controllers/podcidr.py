"""Pod networks: every node gets one part of the cluster's pod range, and keeps it while it exists.

All nodes are one key, so that no two plans can give the same part away at the same time.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network

from cubernetes.api.core.node import Node, is_network
from cubernetes.api.meta import Object, Ref
from cubernetes.reconcile.plan import Action, Patch, Record, View

EVERY_NODE = Ref("PodRange", "", "")


@dataclass(frozen=True, slots=True)
class PodCidrs:
    """Plans for all nodes at once; the lowest free part goes to the first node by name."""

    pod_range: IPv4Network
    prefix_length: int = 24

    name = "podcidr"
    kinds: tuple[type[Object], ...] = (Node,)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:  # noqa: ARG002
        return (EVERY_NODE,)

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:  # noqa: ARG002
        nodes = view.list(Node)
        waiting = [
            node for node in nodes if not node.spec.pod_cidr and not node.metadata.is_deleted
        ]
        if not waiting:
            return
        taken = [one.spec.pod_cidr for one in nodes if is_network(one.spec.pod_cidr)]
        free = free_parts(self.pod_range, self.prefix_length, [IPv4Network(one) for one in taken])
        for node in waiting:
            part = next(free, None)
            if part is None:
                message = f"no /{self.prefix_length} is left in the pod range {self.pod_range}"
                yield Record(node, "CIDRNotAvailable", message, "Warning")
                continue
            change = {"spec": {"podCIDR": str(part), "podCIDRs": [str(part)]}}
            yield Patch(Node, node.ref, node.metadata.uid, change)


def free_parts(
    whole: IPv4Network, prefix_length: int, taken: Sequence[IPv4Network]
) -> Iterator[IPv4Network]:
    """Yield the parts of `whole` that overlap nothing taken, the lowest first."""
    same_size = {one for one in taken if one.prefixlen == prefix_length}
    odd = [one for one in taken if one.prefixlen != prefix_length]
    for part in whole.subnets(new_prefix=prefix_length):
        if part not in same_size and not any(part.overlaps(one) for one in odd):
            yield part
