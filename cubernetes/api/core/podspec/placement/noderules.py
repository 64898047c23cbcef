"""What makes a pod's node affinity legal, in the words of Kubernetes' own validation."""

from collections.abc import Iterator, Sequence

from cubernetes.api import names
from cubernetes.api.core.podspec.placement.affinity import (
    NodeAffinity,
    NodeSelectorRequirement,
    NodeSelectorTerm,
)
from cubernetes.api.errors import Problem
from cubernetes.api.selectors import VALUE_COUNT_MAX

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
NODE_NAME_FIELD = "metadata.name"


def node_problems(affinity: NodeAffinity, field: str) -> Iterator[Problem]:
    """Yield what is wrong with the node affinity that stands at field."""
    required = affinity.required_during_scheduling_ignored_during_execution
    if required is not None:
        where = f"{field}.{REQUIRED}.nodeSelectorTerms"
        if not required.node_selector_terms:
            message = "must have at least one node selector term"
            yield Problem(where, message, "FieldValueRequired")
        for index, term in enumerate(required.node_selector_terms):
            yield from _term(term, f"{where}[{index}]")
    preferred = affinity.preferred_during_scheduling_ignored_during_execution
    for index, one in enumerate(preferred):
        where = f"{field}.{PREFERRED}[{index}]"
        yield from weight_problems(one.weight, f"{where}.weight")
        yield from _term(one.preference, f"{where}.preference")


def weight_problems(weight: int, field: str) -> Iterator[Problem]:
    if not 1 <= weight <= 100:
        yield Problem(field, "must be in the range 1-100")


def _term(term: NodeSelectorTerm, field: str) -> Iterator[Problem]:
    for index, one in enumerate(term.match_expressions):
        yield from _expression(one, f"{field}.matchExpressions[{index}]")
    for index, one in enumerate(term.match_fields):
        yield from _field(one, f"{field}.matchFields[{index}]")


def _expression(one: NodeSelectorRequirement, field: str) -> Iterator[Problem]:
    values = f"{field}.values"
    if one.operator in ("In", "NotIn") and not one.values:
        message = "must be specified when `operator` is 'In' or 'NotIn'"
        yield Problem(values, message, "FieldValueRequired")
    if one.operator in ("Exists", "DoesNotExist") and one.values:
        message = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        yield Problem(values, message, "FieldValueForbidden")
    if one.operator in ("Gt", "Lt") and len(one.values) != 1:
        message = "must be specified single value when `operator` is 'Lt' or 'Gt'"
        yield Problem(values, message, "FieldValueRequired")
    if not names.is_label_key(one.key):
        yield Problem(f"{field}.key", names.LABEL_KEY_RULE)
    if len(one.values) > VALUE_COUNT_MAX:
        yield Problem(values, f"too many: {len(one.values)}, at most {VALUE_COUNT_MAX}")
    yield from _wrong(one.values, values)


def _wrong(values: Sequence[str], field: str) -> Iterator[Problem]:
    for index, value in enumerate(values):
        if not names.is_label_value(value):
            yield Problem(f"{field}[{index}]", names.LABEL_VALUE_RULE)


def _field(one: NodeSelectorRequirement, field: str) -> Iterator[Problem]:
    if one.operator not in ("In", "NotIn"):
        yield Problem(f"{field}.operator", "not a valid selector operator")
    elif len(one.values) != 1:
        message = (
            "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        )
        yield Problem(f"{field}.values", message, "FieldValueRequired")
    if one.key != NODE_NAME_FIELD:
        yield Problem(f"{field}.key", "not a valid field selector key")
        return
    for index, value in enumerate(one.values):
        if not names.is_subdomain(value):
            yield Problem(f"{field}.values[{index}]", names.SUBDOMAIN_RULE)
