"""Workflow: steps that call functions, in the order of a graph, and survive every crash."""

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Annotated

import msgspec

from cubernetes.api import names
from cubernetes.api.condition import Condition, condition_of
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Count, Model, Object, age_of, shown
from cubernetes.api.resource import Resource
from cubernetes.api.serverless.expression import NotAnExpression, parsed
from cubernetes.api.serverless.function import RetrySpec

STEPS_MAX = 100
AFTER_MAX = 100
WAIT_S_MAX = 365 * 24 * 3600
ACCEPTED = "Accepted"
FAIL, IGNORE = "fail", "ignore"
# What expressions may begin with.
ROOTS = ("input", "steps", "item", "index", "error", "run")

type Text = Annotated[str, msgspec.Meta(max_length=4000)]
type Wait = Annotated[int, msgspec.Meta(ge=0, le=WAIT_S_MAX)]


class Step(Model):
    """One of `call`, `waitSeconds`, `signal` and `value`, and when and how it is done.

    call: the function that is called, in the same namespace; its answer is the step's output.
    input: an expression, whose value is the body of the call.
    wait_seconds: how long to wait.
    signal: the name of a signal to wait for; what was sent with it is the step's output.
    value: an expression, whose value is the step's output.
    after: the steps that this one waits for; it is skipped where all of these were.
    when: an expression; where it is false the step is skipped.
    each: an expression of a list: the function is called with each, which is `$.item`, its place
        `$.index`; the outputs are a list in the same order.
    parallel: how many of `each` are called at a time.
    retry: how the call is tried again, instead of as the function says.
    timeout_seconds: how long the step may take in all; 0 is as long as the run may.
    on_error: what becomes of the run when the step fails: it fails (`fail`), goes on with null for
        an output (`ignore`), or goes on with a step of this name, which runs only then.
    """

    call: str = ""
    input: Text = shown("$.input")
    wait_seconds: Wait = 0
    signal: str = ""
    value: Text = ""
    after: Annotated[tuple[str, ...], msgspec.Meta(max_length=AFTER_MAX)] = ()
    when: Text = ""
    each: Text = ""
    parallel: Annotated[int, msgspec.Meta(ge=1, le=100)] = shown(20)
    retry: RetrySpec | None = None
    timeout_seconds: Wait = 0
    on_error: str = shown(FAIL)


class WorkflowSpec(Model):
    """Steps, and what becomes of them.

    steps: the steps by their names.
    output: an expression, whose value is the run's output; left out, the outputs of all steps.
    timeout_seconds: how long a run may take.
    keep_seconds: how long a run is kept when it has ended.
    """

    steps: Mapping[str, Step]
    output: Text = ""
    timeout_seconds: Annotated[int, msgspec.Meta(ge=1, le=WAIT_S_MAX)] = shown(3600)
    keep_seconds: Annotated[int, msgspec.Meta(ge=60, le=WAIT_S_MAX)] = shown(7 * 24 * 3600)


class WorkflowStatus(Model):
    """What has been found.

    running: how many runs have not ended.
    conditions: `Accepted` is False where runs cannot begin, or a function is not there.
    """

    running: Count = 0
    conditions: tuple[Condition, ...] = ()


def _accepted(one: "Workflow", _: object) -> str:
    accepted = condition_of(one.status.conditions, ACCEPTED)
    return accepted.status if accepted is not None else "Unknown"


class Workflow(Object):
    resource = Resource(
        "serverless.cubernetes.io", "v1", "Workflow", "workflows", ("wf",), subresources=("status",)
    )
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Steps", lambda one, _: len(one.spec.steps)),
        Column("Running", lambda one, _: one.status.running),
        Column("Accepted", _accepted),
        Column("Age", age_of),
    )

    api_version: str = shown("serverless.cubernetes.io/v1")
    kind: str = shown("Workflow")
    spec: WorkflowSpec
    status: WorkflowStatus = msgspec.field(default_factory=WorkflowStatus)

    def problems(self) -> Iterator[Problem]:
        yield from self.metadata.problems(names.is_label, names.LABEL_RULE)
        steps = self.spec.steps
        if not steps:
            yield Problem("spec.steps", "needs at least one", "FieldValueRequired")
        if len(steps) > STEPS_MAX:
            yield Problem("spec.steps", f"too many: {len(steps)}, at most {STEPS_MAX}")
            return
        for name, step in steps.items():
            at = f"spec.steps[{name[:80]}]"
            if not names.is_label(name) or name in (FAIL, IGNORE):
                yield Problem(at, f"{names.LABEL_RULE}, neither {FAIL} nor {IGNORE}")
            yield from _step_problems(at, step)
        graph = list(_graph_problems(steps))
        yield from graph
        if not graph:
            yield from _path_problems(self.spec)


def waits_for(name: str, steps: Mapping[str, Step]) -> tuple[str, ...]:
    """Return the steps that must be settled before this one: `after`, and those that it mends."""
    mended = [one for one, step in steps.items() if step.on_error == name]
    return tuple(dict.fromkeys((*steps[name].after, *mended)))


def steps_before(steps: Mapping[str, Step]) -> dict[str, frozenset[str]]:
    """Return for each step all that are settled before it; each comes after all of these.

    Raises: CycleError.
    """
    graph = {name: waits_for(name, steps) for name in sorted(steps)}
    before: dict[str, frozenset[str]] = {}
    for name in TopologicalSorter(graph).static_order():
        direct = graph[name]
        before[name] = frozenset(direct).union(*(before[one] for one in direct))
    return before


def _step_problems(at: str, step: Step) -> Iterator[Problem]:
    if sum((bool(step.call), step.wait_seconds > 0, bool(step.signal), bool(step.value))) != 1:
        told = "needs one of call, waitSeconds, signal and value"
        yield Problem(at, told, "FieldValueRequired")
    for field, name in (("call", step.call), ("signal", step.signal)):
        if name and not names.is_label(name):
            yield Problem(f"{at}.{field}", names.LABEL_RULE)
    if not step.call:
        for field, is_there in (("each", step.each), ("retry", step.retry)):
            if is_there:
                told = "has an effect on call alone"
                yield Problem(f"{at}.{field}", told, "FieldValueForbidden")


def _graph_problems(steps: Mapping[str, Step]) -> Iterator[Problem]:
    for name, step in steps.items():
        at = f"spec.steps[{name[:80]}]"
        for one in step.after:
            if one not in steps:
                yield Problem(f"{at}.after", f"there is no step {one[:80]}")
        if step.on_error not in (FAIL, IGNORE) and step.on_error not in steps:
            told = f"must be {FAIL}, {IGNORE} or the name of a step"
            yield Problem(f"{at}.onError", told)
    if all(one in steps for step in steps.values() for one in step.after):
        try:
            steps_before(steps)
        except CycleError as error:
            told = " -> ".join(str(one) for one in error.args[1])
            yield Problem("spec.steps", f"steps wait for each other: {told}")


def _path_problems(spec: WorkflowSpec) -> Iterator[Problem]:
    """Yield what is wrong with expressions: each asks only for what is there before it."""
    steps = spec.steps
    for name, before in steps_before(steps).items():
        step, at = steps[name], f"spec.steps[{name}]"
        for field in ("when", "each", "input", "value"):
            text = getattr(step, field)
            if text:
                yield from _text_problems(f"{at}.{field}", text, before)
    if spec.output:
        yield from _text_problems("spec.output", spec.output, frozenset(steps))


def _text_problems(at: str, text: str, before: frozenset[str]) -> Iterator[Problem]:
    try:
        found = parsed(text)
    except NotAnExpression as error:
        yield Problem(at, f"is no expression: {error}")
        return
    for path in found.paths:
        if path[0] not in ROOTS:
            told = ", ".join(f"$.{one}" for one in ROOTS)
            yield Problem(at, f"$.{path[0][:80]} is none of {told}")
        elif path[0] == "steps" and len(path) > 1 and path[1] not in before:
            yield Problem(at, f"$.steps.{path[1][:80]} is no step that this one is after")
