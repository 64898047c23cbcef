"""Which nodes a pod's node affinity matches: asked by the scheduler, and by who counts nodes."""

import re
from collections.abc import Iterator, Sequence

from cubernetes.api.core.podspec.placement.affinity import (
    Affinity,
    NodeAffinity,
    NodeSelectorRequirement,
    NodeSelectorTerm,
)
from cubernetes.api.meta import Labels

_WHOLE = re.compile(r"[-+]?[0-9]{1,40}\Z")
INT64_MAX = 2**63 - 1
VALUES_SHOWN_MAX = 3


def is_chosen(selector: Labels, affinity: Affinity | None, name: str, labels: Labels) -> bool:
    """Whether a pod's nodeSelector and its required node affinity take a node."""
    is_selected = all(labels.get(key) == value for key, value in selector.items())
    of_nodes = affinity.node_affinity if affinity is not None else None
    return is_selected and (of_nodes is None or is_required(of_nodes, name, labels))


def is_required(affinity: NodeAffinity, name: str, labels: Labels) -> bool:
    """Whether the required part takes a node; where there is none, it takes every one."""
    required = affinity.required_during_scheduling_ignored_during_execution
    return required is None or any(
        is_matched(term, name, labels) for term in required.node_selector_terms
    )


def preferred_weight(affinity: NodeAffinity, name: str, labels: Labels) -> int:
    """Return the sum of the weights of the preferred terms that match a node."""
    return sum(
        one.weight
        for one in affinity.preferred_during_scheduling_ignored_during_execution
        if is_matched(one.preference, name, labels)
    )


def is_matched(term: NodeSelectorTerm, name: str, labels: Labels) -> bool:
    """Whether every condition of a term holds. As in Kubernetes an empty term matches nothing."""
    is_empty = not term.match_expressions and not term.match_fields
    return not is_empty and first_missed(term, name, labels) is None


def first_missed(
    term: NodeSelectorTerm, name: str, labels: Labels
) -> NodeSelectorRequirement | None:
    """Return the first condition of a term that a node does not meet."""
    for one in term.match_fields:
        if not _holds(one, {"metadata.name": name}):
            return one
    for one in term.match_expressions:
        if not _holds(one, labels):
            return one
    return None


def _holds(one: NodeSelectorRequirement, labels: Labels) -> bool:
    value = labels.get(one.key)
    match one.operator:
        case "In":
            return value is not None and value in one.values
        case "NotIn":
            return value is None or value not in one.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            found, bound = _whole(value), _whole(one.values[0] if one.values else None)
            if found is None or bound is None:
                return False
            return found > bound if one.operator == "Gt" else found < bound


def _whole(text: str | None) -> int | None:
    """Read what Go's ParseInt reads: digits with a sign, within 64 bits."""
    if text is None or not _WHOLE.match(text):
        return None
    number = int(text)
    return number if -INT64_MAX - 1 <= number <= INT64_MAX else None


def named_nodes(affinity: NodeAffinity) -> frozenset[str] | None:
    """Return the only nodes that can match, where every required term names one; None: any can."""
    required = affinity.required_during_scheduling_ignored_during_execution
    if required is None:
        return None
    named: set[str] = set()
    for term in required.node_selector_terms:
        names = [set(one.values) for one in term.match_fields if one.operator == "In"]
        if not names:
            return None
        named |= set.intersection(*names)
    return frozenset(named)


def misses(affinity: NodeAffinity, name: str, labels: Labels) -> Iterator[str]:
    """Yield, of each required term, the condition that a node does not meet, for people."""
    required = affinity.required_during_scheduling_ignored_during_execution
    for term in required.node_selector_terms if required is not None else ():
        missed = first_missed(term, name, labels)
        yield _shown(missed) if missed is not None else "a term without conditions matches no node"


def _shown(one: NodeSelectorRequirement) -> str:
    values: Sequence[str] = one.values[:VALUES_SHOWN_MAX]
    if not values:
        return f"{one.key} {one.operator}"
    more = ", ..." if len(one.values) > VALUES_SHOWN_MAX else ""
    return f"{one.key} {one.operator} ({', '.join(values)}{more})"
