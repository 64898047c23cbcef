"""What makes rules about other pods legal, in the words of Kubernetes' own validation."""

from collections.abc import Iterator, Sequence

from cubernetes.api import names
from cubernetes.api.core.podspec.placement.affinity import (
    PodAffinity,
    PodAffinityTerm,
    PodAntiAffinity,
)
from cubernetes.api.core.podspec.placement.noderules import PREFERRED, REQUIRED, weight_problems
from cubernetes.api.core.podspec.placement.spread import (
    PodSchedulingGate,
    TopologySpreadConstraint,
)
from cubernetes.api.errors import Problem
from cubernetes.api.selectors import LabelSelector

POSITIVE = "must be greater than zero"


def peer_problems(affinity: PodAffinity | PodAntiAffinity, field: str) -> Iterator[Problem]:
    """Yield what is wrong with the pod affinity or anti-affinity that stands at field."""
    required = affinity.required_during_scheduling_ignored_during_execution
    for index, term in enumerate(required):
        yield from _term(term, f"{field}.{REQUIRED}[{index}]")
    preferred = affinity.preferred_during_scheduling_ignored_during_execution
    for index, one in enumerate(preferred):
        where = f"{field}.{PREFERRED}[{index}]"
        yield from weight_problems(one.weight, f"{where}.weight")
        yield from _term(one.pod_affinity_term, f"{where}.podAffinityTerm")


def _term(term: PodAffinityTerm, field: str) -> Iterator[Problem]:
    yield from _selector(term.label_selector, f"{field}.labelSelector")
    yield from _selector(term.namespace_selector, f"{field}.namespaceSelector")
    for index, name in enumerate(term.namespaces):
        if not names.is_label(name):
            yield Problem(f"{field}.namespaces[{index}]", names.LABEL_RULE)
    for part, keys in (
        ("matchLabelKeys", term.match_label_keys),
        ("mismatchLabelKeys", term.mismatch_label_keys),
    ):
        yield from _keys(keys, term.label_selector, f"{field}.{part}")
    for index, key in enumerate(term.match_label_keys):
        if key in term.mismatch_label_keys:
            message = "exists in both matchLabelKeys and mismatchLabelKeys"
            yield Problem(f"{field}.matchLabelKeys[{index}]", message)
    yield from _topology_key(term.topology_key, f"{field}.topologyKey")


def _selector(selector: LabelSelector | None, field: str) -> Iterator[Problem]:
    if selector is not None:
        yield from selector.problems(field)


def _keys(keys: Sequence[str], selector: LabelSelector | None, field: str) -> Iterator[Problem]:
    if keys and selector is None:
        message = "must not be specified when labelSelector is not set"
        yield Problem(field, message, "FieldValueForbidden")
    for index, key in enumerate(keys):
        if not names.is_label_key(key):
            yield Problem(f"{field}[{index}]", names.LABEL_KEY_RULE)


def _topology_key(key: str, field: str) -> Iterator[Problem]:
    if not key:
        yield Problem(field, "can not be empty", "FieldValueRequired")
    elif not names.is_label_key(key):
        yield Problem(field, names.LABEL_KEY_RULE)


def spread_problems(
    constraints: Sequence[TopologySpreadConstraint], field: str
) -> Iterator[Problem]:
    """Yield what is wrong with the list of spread constraints that stands at field."""
    known: set[tuple[str, str]] = set()
    for index, one in enumerate(constraints):
        where = f"{field}[{index}]"
        if one.max_skew <= 0:
            yield Problem(f"{where}.maxSkew", POSITIVE)
        yield from _topology_key(one.topology_key, f"{where}.topologyKey")
        if one.min_domains is not None:
            yield from _min_domains(one, one.min_domains, f"{where}.minDomains")
        pair = (one.topology_key, one.when_unsatisfiable)
        if pair in known:
            message = f"{{{pair[0][:63]}, {pair[1]}}} is used twice"
            place = f"{where}.{{topologyKey, whenUnsatisfiable}}"
            yield Problem(place, message, "FieldValueDuplicate")
        known.add(pair)
        yield from _selector(one.label_selector, f"{where}.labelSelector")
        yield from _keys(one.match_label_keys, one.label_selector, f"{where}.matchLabelKeys")


def _min_domains(one: TopologySpreadConstraint, count: int, field: str) -> Iterator[Problem]:
    if count <= 0:
        yield Problem(field, POSITIVE)
    if one.when_unsatisfiable != "DoNotSchedule":
        message = (
            "can only use minDomains if whenUnsatisfiable=DoNotSchedule, "
            f"not {one.when_unsatisfiable}"
        )
        yield Problem(field, message)


def gate_problems(
    gates: Sequence[PodSchedulingGate], node_name: str, field: str
) -> Iterator[Problem]:
    """Yield what is wrong with the gates that stand at field: a pod with a node has none."""
    known: set[str] = set()
    for index, gate in enumerate(gates):
        where = f"{field}[{index}]"
        if not names.is_label_key(gate.name):
            yield Problem(where, names.LABEL_KEY_RULE)
        if gate.name in known:
            yield Problem(where, f"{gate.name[:63]!r} is used twice", "FieldValueDuplicate")
        known.add(gate.name)
    if gates and node_name:
        message = "cannot be set until all schedulingGates have been cleared"
        yield Problem(field.replace("schedulingGates", "nodeName"), message, "FieldValueForbidden")


def changed_gates_problems(
    old: Sequence[PodSchedulingGate], new: Sequence[PodSchedulingGate], field: str
) -> Iterator[Problem]:
    """Yield what a pod that is there may not do to its gates: they go, and none come."""
    for index, gate in enumerate(new):
        if gate not in old:
            message = "only deletion is allowed, but found new scheduling gate " + repr(gate.name)
            yield Problem(f"{field}[{index}]", message, "FieldValueForbidden")
