"""How long others may keep what they read of ConfigMaps and Secrets: an annotation on each node.

Nothing of ours needs it, since our kubelets watch what their pods read. Kubelets and agents of
others that ask now and then read it, so that many nodes do not ask too often. The bounds are
Kubernetes', and overlap, so that one node that comes and goes changes nothing.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from cubernetes.api.core.node import Node
from cubernetes.api.meta import Object, Ref
from cubernetes.reconcile.plan import Action, Patch, RequeueAfter, View

TTL = "node.alpha.kubernetes.io/ttl"
EVERY_NODE = Ref("NodeTTL", "", "")
BURST = 500  # nodes that are written in one plan; the next plan goes on
NEXT_S = 1.0


class Bound(NamedTuple):
    """For so many nodes, so many seconds."""

    nodes_min: int
    nodes_max: int
    ttl_s: int


BOUNDS = (
    Bound(0, 100, 0),
    Bound(90, 500, 15),
    Bound(450, 1000, 30),
    Bound(900, 2000, 60),
    Bound(1800, 2**31, 300),
)


class NodeTtls:
    """Plans for all nodes at once, and remembers nothing: what holds stands on the nodes."""

    name = "ttl"
    kinds: tuple[type[Object], ...] = (Node,)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:  # noqa: ARG002
        return (EVERY_NODE,)

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:  # noqa: ARG002
        nodes = [one for one in view.list(Node) if not one.metadata.is_deleted]
        wrong = [(one, text) for one in nodes if told(one) != (text := wanted(one, len(nodes)))]
        for node, text in wrong[:BURST]:
            change = {"metadata": {"annotations": {TTL: text}}}
            yield Patch(Node, node.ref, node.metadata.uid, change)
        if len(wrong) > BURST:
            yield RequeueAfter(NEXT_S)


def told(node: Node) -> str:
    return node.metadata.annotations.get(TTL, "")


def wanted(node: Node, node_count: int) -> str:
    """Return what a node should say: what it says, as long as its bound holds."""
    held = [one for one in BOUNDS if one.nodes_min <= node_count <= one.nodes_max]
    kept = next((one for one in held if str(one.ttl_s) == told(node)), held[0])
    return str(kept.ttl_s)
