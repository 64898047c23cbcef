"""Which nodes a DaemonSet's pods are meant for, and the pod that is meant for one node."""

from typing import Literal

from cubernetes.api.apps.daemonset import DaemonSet
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.placement.affinity import (
    Affinity,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
)
from cubernetes.api.core.podspec.placement.nodes import is_chosen, named_nodes
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.core.podspec.toleration import Toleration, unborne
from cubernetes.api.meta import replaced

PREFIX = "node.kubernetes.io/"
# A daemon belongs to its node: it stays on one that is in trouble, and comes to one that is full.
STAYS = ("not-ready", "unreachable")
COMES = ("disk-pressure", "memory-pressure", "pid-pressure", "unschedulable")
OF_THE_HOST = ("network-unavailable",)

# Whether a node should have a pod, may keep one that it has, or should have none; or is not there.
type Verdict = Literal["runs", "stays", "goes", "gone"]


def verdict_of(wanted: DaemonSet, node: Node) -> Verdict:
    """Say whether a node should have a pod, may keep one that it has, or should have none."""
    spec = wanted.spec.template.spec
    meta = node.metadata
    if meta.is_deleted or not is_chosen(spec.node_selector, spec.affinity, meta.name, meta.labels):
        return "goes"
    if not (taints := node.spec.taints):
        return "runs"
    tolerations = tolerations_of(spec)
    if unborne(tolerations, taints, ("NoExecute",)):
        return "goes"
    return "stays" if unborne(tolerations, taints, ("NoSchedule",)) else "runs"


def tolerations_of(spec: PodSpec) -> tuple[Toleration, ...]:
    """Return what a pod bears: what its template says, and what every daemon bears."""
    comes = (*COMES, *OF_THE_HOST) if spec.host_network else COMES
    added = [
        *(Toleration(key=PREFIX + word, operator="Exists", effect="NoExecute") for word in STAYS),
        *(Toleration(key=PREFIX + word, operator="Exists", effect="NoSchedule") for word in comes),
    ]
    return (*spec.tolerations, *(one for one in added if one not in spec.tolerations))


def spec_for(spec: PodSpec, node: str) -> PodSpec:
    """Return the spec of a pod that only one node can take: the scheduler binds it there."""
    name = NodeSelectorRequirement(key="metadata.name", operator="In", values=(node,))
    terms = NodeSelector(node_selector_terms=(NodeSelectorTerm(match_fields=(name,)),))
    affinity = spec.affinity or Affinity()
    of_nodes = replaced(
        affinity.node_affinity or NodeAffinity(),
        required_during_scheduling_ignored_during_execution=terms,
    )
    return replaced(
        spec,
        affinity=replaced(affinity, node_affinity=of_nodes),
        tolerations=tolerations_of(spec),
    )


def node_of(pod: Pod) -> str:
    """Return the node that a pod is on, or meant for; empty where it is meant for none alone."""
    if pod.spec.node_name:
        return pod.spec.node_name
    affinity = pod.spec.affinity
    of_nodes = affinity.node_affinity if affinity is not None else None
    named = named_nodes(of_nodes) if of_nodes is not None else None
    return next(iter(named)) if named is not None and len(named) == 1 else ""
