"""Affinity: which nodes, and which pods beside it, a pod must have or would rather have."""

from typing import Annotated, Literal

import msgspec

from cubernetes.api.meta import Model, shown
from cubernetes.api.selectors import TERM_MAX, LabelSelector

_LENGTH = msgspec.Meta(max_length=TERM_MAX)
Weight = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class NodeSelectorRequirement(Model):
    """One condition on a label of a node, or on its name.

    key: the label's key; in `matchFields` only metadata.name.
    operator: In, NotIn: the value is, or is not, one of `values`; Exists, DoesNotExist: the key is,
        or is not, there; Gt, Lt: the value, read as a whole number, is greater or less than the one
        of `values`. A node without the key passes NotIn and DoesNotExist.
    values: for In and NotIn at least one, for Gt and Lt exactly one, for the others none.
    """

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: tuple[str, ...] = ()


class NodeSelectorTerm(Model):
    """Conditions that must hold together; a term without any matches no node.

    match_expressions: conditions on the node's labels.
    match_fields: conditions on the node's fields: metadata.name, In or NotIn one name.
    """

    match_expressions: Annotated[tuple[NodeSelectorRequirement, ...], _LENGTH] = ()
    match_fields: Annotated[tuple[NodeSelectorRequirement, ...], _LENGTH] = ()


class NodeSelector(Model):
    """Terms of which one must hold.

    node_selector_terms: at least one; a node that matches any of them is taken.
    """

    node_selector_terms: Annotated[tuple[NodeSelectorTerm, ...], _LENGTH] = shown(())


class PreferredSchedulingTerm(Model):
    """A term that makes a node better.

    weight: how much, from 1 to 100.
    preference: which nodes; a term without conditions prefers none.
    """

    weight: Weight
    preference: NodeSelectorTerm


class NodeAffinity(Model):
    """Which nodes a pod must have, and which it would rather have; read when it is placed only.

    required_during_scheduling_ignored_during_execution: the nodes that may take it.
    preferred_during_scheduling_ignored_during_execution: the node with the greatest sum of weights
        of the terms that match it is best.
    """

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[PreferredSchedulingTerm, ...], _LENGTH
    ] = ()


class PodAffinityTerm(Model):
    """Pods, and what counts as the same place as theirs.

    label_selector: which pods; without it none are meant, and an empty one means all.
    namespaces: where they are; with neither this nor `namespaceSelector`, in the pod's own.
    namespace_selector: where they are, too: an empty one means every namespace.
    topology_key: the label of nodes whose equal values are one place.
    match_label_keys: labels whose value must be the pod's own, where it has them.
    mismatch_label_keys: labels whose value must not be the pod's own, where it has them.
    """

    label_selector: LabelSelector | None = None
    namespaces: Annotated[tuple[str, ...], _LENGTH] = ()
    namespace_selector: LabelSelector | None = None
    topology_key: str = shown("")
    match_label_keys: Annotated[tuple[str, ...], _LENGTH] = ()
    mismatch_label_keys: Annotated[tuple[str, ...], _LENGTH] = ()


class WeightedPodAffinityTerm(Model):
    """A term that makes a node better, or worse.

    weight: how much, from 1 to 100, for each pod that is there.
    pod_affinity_term: which pods, and what counts as their place.
    """

    weight: Weight
    pod_affinity_term: PodAffinityTerm


class PodAffinity(Model):
    """Pods in whose place a pod must run, or would rather run; read when it is placed only.

    required_during_scheduling_ignored_during_execution: each term must find a pod in the node's
        place. The first pod of a group, which none fits, may go anywhere if it fits its own terms.
    preferred_during_scheduling_ignored_during_execution: each pod found adds its term's weight.
    """

    required_during_scheduling_ignored_during_execution: Annotated[
        tuple[PodAffinityTerm, ...], _LENGTH
    ] = ()
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[WeightedPodAffinityTerm, ...], _LENGTH
    ] = ()


class PodAntiAffinity(Model):
    """Pods in whose place a pod must not run, or would rather not; read when one is placed only.

    required_during_scheduling_ignored_during_execution: no term may find a pod in the node's place;
        and a pod that a term of one there finds does not come.
    preferred_during_scheduling_ignored_during_execution: each pod found takes the weight away.
    """

    required_during_scheduling_ignored_during_execution: Annotated[
        tuple[PodAffinityTerm, ...], _LENGTH
    ] = ()
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[WeightedPodAffinityTerm, ...], _LENGTH
    ] = ()


class Affinity(Model):
    """What draws a pod to nodes, and what keeps it away.

    node_affinity: by what the nodes are.
    pod_affinity: by the pods that are there.
    pod_anti_affinity: away from the pods that are there.
    """

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAntiAffinity | None = None
