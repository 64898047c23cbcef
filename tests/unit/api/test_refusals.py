"""Refusals in Kubernetes' words: `spec.replicas: Invalid value: -1: must be ...`."""

import pytest

from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.bodies.envelopes import error_of, status_of
from cubernetes.api.coding.refusals import PROBLEMS_MAX, VALUE_CHARS_MAX, invalid
from cubernetes.api.errors import Problem
from cubernetes.api.meta import replaced
from tests.given import a_replicaset

TREE = {
    "metadata": {"name": "web", "labels": {"app": "web", "a.b/c": "x"}},
    "spec": {"replicas": -1, "ports": [{"name": "a"}, {"name": "B_"}], "no": None},
}


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (Problem("spec.replicas", "must be 0 or more"), "Invalid value: -1: must be 0 or more"),
        (Problem("spec.ports[1].name", "is bad"), 'Invalid value: "B_": is bad'),
        (Problem("spec.ports", "is bad"), 'Invalid value: [{"name":"a"},{"name":"B_"}]: is bad'),
        (Problem("spec.no", "is bad"), "Invalid value: null: is bad"),
        (Problem("metadata.labels.app", "x", "FieldValueNotSupported"),
         'Unsupported value: "web": x'),
        (Problem("spec.ports[0].name", "is used twice", "FieldValueDuplicate"),
         'Duplicate value: "a": is used twice'),
        (Problem("spec.image", "", "FieldValueRequired"), "Required value"),
        (Problem("spec.image", "with a port", "FieldValueRequired"), "Required value: with a port"),
        (Problem("spec.replicas", "is immutable", "FieldValueForbidden"),
         "Forbidden: is immutable"),
        (Problem("spec.ports[2].name", "is bad"), "Invalid value: is bad"),
        (Problem("spec.replicas.x[0]", "is bad"), "Invalid value: is bad"),
        (Problem("", "must be an object"), None),
    ],
)  # fmt: skip
def test_a_problem_is_told_with_the_value_at_its_field(problem: Problem, told: str | None) -> None:
    error = invalid("Pod", "web", [problem], TREE)
    if told is not None:
        assert error.message == f'Pod "web" is invalid: {problem.field}: {told}'
        assert error.problems == (problem._replace(message=told),)
    assert "Invalid value" in invalid("Pod", "web", [Problem("spec", "is bad")]).message


def test_several_problems_stand_in_brackets_and_kind_and_group_in_the_details() -> None:
    problems = [Problem("spec.a", "is bad"), Problem("spec.b", "", "FieldValueRequired")]
    status = status_of(invalid("ReplicaSet.apps", "web", problems, TREE))

    assert status.message == (
        'ReplicaSet.apps "web" is invalid: [spec.a: Invalid value: is bad, spec.b: Required value]'
    )
    assert status.details is not None
    assert (status.details.kind, status.details.group) == ("ReplicaSet", "apps")
    assert [one.message for one in status.details.causes] == [
        "Invalid value: is bad", "Required value"
    ]  # fmt: skip
    assert status_of(error_of(status)) == status


def test_values_are_quoted_from_a_model_as_the_wire_spells_them() -> None:
    one = a_replicaset("web")
    low = replaced(one, spec=replaced(one.spec, replicas=7))
    error = invalid(ReplicaSet.resource.qualified_kind, "web", [Problem("spec.replicas", "x")], low)

    assert error.message.endswith("spec.replicas: Invalid value: 7: x")


def test_what_is_told_has_its_bounds() -> None:
    tree = {"spec": "x" * 10_000}
    error = invalid("Pod", "n" * 10_000, [Problem("spec", "is bad")] * 1000, tree)

    assert len(error.problems) == PROBLEMS_MAX
    assert len(error.problems[0].message) < VALUE_CHARS_MAX + 50
