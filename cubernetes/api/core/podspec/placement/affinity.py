"""Affinity: which nodes a pod must have, and which it would rather have."""

from typing import Annotated, Literal

import msgspec

from cubernetes.api.meta import Model, shown
from cubernetes.api.selectors import TERM_MAX

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


class Affinity(Model):
    """What draws a pod to nodes.

    node_affinity: by what the nodes are.
    """

    node_affinity: NodeAffinity | None = None
