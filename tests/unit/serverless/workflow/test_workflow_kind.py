"""Workflow: what is refused before anything runs, and where it is wrong."""

from typing import Any

import pytest

from cubernetes.api.meta import ObjectMeta
from cubernetes.api.serverless.workflow import STEPS_MAX, Step, Workflow, WorkflowSpec


def problems(steps: dict[str, Step], **fields: Any) -> list[str]:
    meta = ObjectMeta(name="w", namespace="default")
    one = Workflow(metadata=meta, spec=WorkflowSpec(steps=steps, **fields))
    return [f"{found.field}: {found.message}" for found in one.problems()]


def test_a_graph_of_steps_is_accepted() -> None:
    steps = {
        "a": Step(call="f", on_error="mend"),
        "mend": Step(call="g", input="$.error"),
        "b": Step(value="$.steps.a", after=("a", "mend")),
        "c": Step(call="f", each="$.steps.b", input="$.item", after=("b",)),
    }
    assert problems(steps, output="$.steps.c") == []


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ({}, "spec.steps: needs at least one"),
        ({"A_b": Step(call="f")}, "spec.steps[A_b]: "),
        ({"fail": Step(call="f")}, "neither fail nor ignore"),
        ({"a": Step()}, "spec.steps[a]: needs one of call, waitSeconds, signal and value"),
        ({"a": Step(call="f", value="1")}, "needs one of call, waitSeconds, signal and value"),
        ({"a": Step(value="1", each="[1]")}, "spec.steps[a].each: has an effect on call alone"),
        ({"a": Step(call="f", after=("b",))}, "spec.steps[a].after: there is no step b"),
        ({"a": Step(call="f", on_error="b")}, "spec.steps[a].onError: must be fail, ignore or"),
        (
            {"a": Step(call="f", after=("b",)), "b": Step(call="f", after=("a",))},
            "spec.steps: steps wait for each other: ",
        ),
        ({"a": Step(value="1 +")}, "spec.steps[a].value: is no expression: at its end"),
        ({"a": Step(value="$.outside")}, "spec.steps[a].value: $.outside is none of $.input"),
        (
            {"a": Step(call="f"), "b": Step(value="$.steps.a")},
            "spec.steps[b].value: $.steps.a is no step that this one is after",
        ),
        ({f"s{n}": Step(call="f") for n in range(STEPS_MAX + 1)}, "spec.steps: too many: 101"),
    ],
)
def test_what_cannot_be_run_is_refused_by_its_field(steps: dict[str, Step], told: str) -> None:
    assert any(told in one for one in problems(steps)), problems(steps)
