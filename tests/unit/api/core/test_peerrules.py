"""Rules about other pods, and gates: what is legal, in the words of Kubernetes' validation."""

from typing import Any

import pytest

from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.placement.peerrules import (
    changed_gates_problems,
    gate_problems,
)
from cubernetes.api.core.podspec.placement.spread import PodSchedulingGate
from cubernetes.api.meta import replaced
from tests.given import a_pod

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
WEB = {"matchLabels": {"app": "web"}}
EVEN = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
WHERE = f"spec.affinity.podAntiAffinity.{REQUIRED}[0]"


def problems_of(spec: dict[str, Any]) -> list[tuple[str, str, str]]:
    whole = {"containers": [{"name": "main", "image": "web:1"}], **spec}
    pod = codec.from_tree(Pod, {"metadata": {"name": "a"}, "spec": whole}).model
    return [tuple(one) for one in pod.problems()]  # type: ignore[misc]


def keeping_away(**term: object) -> dict[str, Any]:
    one = {"labelSelector": WEB, "topologyKey": "zone", **term}
    return {"affinity": {"podAntiAffinity": {REQUIRED: [one]}}}


def test_every_field_of_a_rule_about_pods_is_taken_and_comes_back() -> None:
    term = {
        "labelSelector": WEB,
        "topologyKey": "zone",
        "namespaces": ["a"],
        "namespaceSelector": {},
        "matchLabelKeys": ["app"],
        "mismatchLabelKeys": ["tier"],
    }
    both = {REQUIRED: [term], PREFERRED: [{"weight": 1, "podAffinityTerm": term}]}
    spread = {
        **EVEN,
        "labelSelector": WEB,
        "minDomains": 3,
        "nodeAffinityPolicy": "Ignore",
        "nodeTaintsPolicy": "Honor",
        "matchLabelKeys": ["app"],
    }
    spec = {
        "affinity": {"podAffinity": both, "podAntiAffinity": both},
        "topologySpreadConstraints": [spread, {**EVEN, "whenUnsatisfiable": "ScheduleAnyway"}],
        "schedulingGates": [{"name": "example.com/wait"}],
    }
    assert problems_of(spec) == []
    whole = {"containers": [{"name": "main", "image": "web:1"}], **spec}
    pod = codec.from_tree(Pod, {"metadata": {"name": "a"}, "spec": whole}).model
    answer = codec.to_tree(pod)["spec"]
    assert {key: answer[key] for key in spec} == spec


@pytest.mark.parametrize(
    ("term", "field", "message", "reason"),
    [
        ({"topologyKey": ""}, "topologyKey", "can not be empty", "Required"),
        ({"topologyKey": "a b"}, "topologyKey", "must be a name", "Invalid"),
        ({"namespaces": ["A"]}, "namespaces[0]", "must be at most 63", "Invalid"),
        ({"matchLabelKeys": ["a b"]}, "matchLabelKeys[0]", "must be a name", "Invalid"),
        ({"labelSelector": None, "matchLabelKeys": ["a"]}, "matchLabelKeys",
         "must not be specified when labelSelector is not set", "Forbidden"),
        ({"matchLabelKeys": ["a"], "mismatchLabelKeys": ["a"]}, "matchLabelKeys[0]",
         "exists in both matchLabelKeys and mismatchLabelKeys", "Invalid"),
        ({"namespaceSelector": {"matchLabels": {"a b": "c"}}}, "namespaceSelector.matchLabels",
         "key 'a b'", "Invalid"),
    ],
)  # fmt: skip
def test_a_term_about_pods_is_refused_by_its_field(
    term: dict[str, Any], field: str, message: str, reason: str
) -> None:
    ((where, told, why),) = problems_of(keeping_away(**term))
    assert (where, why) == (f"{WHERE}.{field}", f"FieldValue{reason}")
    assert told.startswith(message)


def test_a_preference_about_pods_has_a_weight_from_1_to_100() -> None:
    term = {"labelSelector": WEB, "topologyKey": "zone"}
    likes = [{"weight": weight, "podAffinityTerm": term} for weight in (0, 1, 100, 101)]
    found = problems_of({"affinity": {"podAffinity": {PREFERRED: likes}}})
    where = f"spec.affinity.podAffinity.{PREFERRED}"
    assert [one[:2] for one in found] == [
        (f"{where}[{at}].weight", "must be in the range 1-100") for at in (0, 3)
    ]


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"maxSkew": 0}, "maxSkew", "must be greater than zero"),
        ({"topologyKey": ""}, "topologyKey", "can not be empty"),
        ({"minDomains": 0}, "minDomains", "must be greater than zero"),
        ({"minDomains": 1, "whenUnsatisfiable": "ScheduleAnyway"}, "minDomains",
         "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway"),
        ({"matchLabelKeys": ["a"]}, "matchLabelKeys",
         "must not be specified when labelSelector is not set"),
    ],
)  # fmt: skip
def test_a_spread_constraint_is_refused_by_its_field(
    changes: dict[str, Any], field: str, message: str
) -> None:
    ((where, told, _),) = problems_of({"topologySpreadConstraints": [{**EVEN, **changes}]})
    assert (where, told) == (f"spec.topologySpreadConstraints[0].{field}", message)


def test_two_spread_constraints_of_one_key_and_kind_are_one_too_many() -> None:
    other = {**EVEN, "whenUnsatisfiable": "ScheduleAnyway"}
    found = problems_of({"topologySpreadConstraints": [EVEN, other, {**EVEN, "maxSkew": 2}]})
    where = "spec.topologySpreadConstraints[2].{topologyKey, whenUnsatisfiable}"
    assert found == [(where, "{zone, DoNotSchedule} is used twice", "FieldValueDuplicate")]


def gates(*names: str) -> tuple[PodSchedulingGate, ...]:
    return tuple(PodSchedulingGate(name=name) for name in names)


def test_gates_have_names_of_their_own_and_no_node_beside_them() -> None:
    found = list(gate_problems(gates("a", "a b", "a"), "n1", "spec.schedulingGates"))
    assert [(one.field, one.reason) for one in found] == [
        ("spec.schedulingGates[1]", "FieldValueInvalid"),
        ("spec.schedulingGates[2]", "FieldValueDuplicate"),
        ("spec.nodeName", "FieldValueForbidden"),
    ]
    assert list(gate_problems(gates("a"), "", "spec.schedulingGates")) == []


def test_gates_go_and_none_come() -> None:
    def found(old: tuple[str, ...], new: tuple[str, ...]) -> list[str]:
        field = "spec.schedulingGates"
        problems = changed_gates_problems(gates(*old), gates(*new), field)
        return [f"{one.field}: {one.message}" for one in problems]

    told = "only deletion is allowed, but found new scheduling gate"
    assert found(("a", "b"), ("b",)) == found(("a",), ()) == []
    assert found(("a",), ("a", "b")) == [f"spec.schedulingGates[1]: {told} 'b'"]
    assert found((), ("b",)) == [f"spec.schedulingGates[0]: {told} 'b'"]
    old = a_pod()
    gated = replaced(old, spec=replaced(old.spec, scheduling_gates=gates("a")))
    assert list(old.update_problems(gated)) == []
    assert [one.field for one in gated.update_problems(old)] == ["spec.schedulingGates[0]"]
