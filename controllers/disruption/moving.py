"""A pod that is to move to another node: its mark, and the pod that comes in its place. Pure.

A ReplicaSet keeps a pod more for each of its pods that carries the mark: so the new one is there
before the old one goes. The controller that marked a pod evicts it then, or takes the mark away.
"""

from collections.abc import Iterable

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.placement.affinity import (
    Affinity,
    NodeAffinity,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    PreferredSchedulingTerm,
)
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.meta import replaced
from cubernetes.reconcile.plan import Patch

MOVING_TO = "cubernetes.io/moving-to"
WEIGHT = 100


def destination(pod: Pod) -> str:
    """Return the node to which a pod is to move; empty where it is to stay."""
    return pod.metadata.annotations.get(MOVING_TO, "")


def moving(pods: Iterable[Pod]) -> list[Pod]:
    return [pod for pod in pods if destination(pod)]


def marked(pod: Pod, node: str | None) -> Patch:
    """Return the change that asks a pod to move to a node; None lets it stay."""
    change = {"metadata": {"annotations": {MOVING_TO: node}}}
    return Patch(Pod, pod.ref, pod.metadata.uid, change)


def drawn_to(spec: PodSpec, node: str) -> PodSpec:
    """Return the spec of a pod that would rather be on a node, and may be on any that fits."""
    name = NodeSelectorRequirement(key="metadata.name", operator="In", values=(node,))
    wish = PreferredSchedulingTerm(weight=WEIGHT, preference=NodeSelectorTerm(match_fields=(name,)))
    affinity = spec.affinity or Affinity()
    of_nodes = affinity.node_affinity or NodeAffinity()
    wishes = (*of_nodes.preferred_during_scheduling_ignored_during_execution, wish)
    of_nodes = replaced(of_nodes, preferred_during_scheduling_ignored_during_execution=wishes)
    return replaced(spec, affinity=replaced(affinity, node_affinity=of_nodes))
