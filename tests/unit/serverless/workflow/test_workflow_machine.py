"""Runs of workflows: whatever is cut, and in whatever order facts are read, the end is the same."""

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.meta import replaced
from cubernetes.api.serverless.workflow import FAIL, IGNORE, Step, WorkflowSpec
from serverless.workflow.facts import AnyFact, Cancelled, Resumed, Signalled, Started, StepEnded
from serverless.workflow.machine import Look, Wanted, anew, look_at
from serverless.workflow.state import Run, run_of

UID = "0d7d3c70-2c9e-4a53-8a8c-6d0b6a0a3b24"
BEGAN_MS = 1_000_000
STEPS_MAX = 2000


class World:
    """A broker that keeps facts and results, and functions that are sure of their answers.

    failing: the steps, and items as `STEP/ITEM`, whose calls fail.
    """

    def __init__(self, spec: WorkflowSpec, value: Any, failing: frozenset[str], seed: int) -> None:
        self.chance = random.Random(seed)
        self.failing, self.now_ms = failing, BEGAN_MS
        self.facts: dict[str, tuple[AnyFact, bytes]] = {}
        self.results: dict[str, bool] = {}
        self.ran: Counter[str] = Counter()
        started = Started(
            run="r", at_ms=BEGAN_MS, namespace="default", workflow="w", uid=UID, spec=spec
        )
        self.keep(started, msgspec.json.encode(value))

    def keep(self, fact: AnyFact, body: bytes = b"") -> None:
        self.facts[fact.key] = fact, body

    def folded(self) -> Run:
        """Return the run as a process that has just begun reads it."""
        found = list(self.facts.values())
        self.chance.shuffle(found)
        ((started, body),) = [one for one in found if isinstance(one[0], Started)]
        run = run_of(started, body)  # type: ignore[arg-type]
        for fact, content in found:
            run.learn(fact, content)
        return run

    def call(self, wanted: Wanted) -> None:
        """Run a call, unless its result is there already; its end is not yet a fact."""
        if wanted.id not in self.results:
            self.ran[wanted.id] += 1
            name = wanted.step if wanted.item < 0 else f"{wanted.step}/{wanted.item}"
            self.results[wanted.id] = name not in self.failing

    def end(self, wanted: Wanted) -> tuple[StepEnded, bytes]:
        is_ok = self.results[wanted.id]
        fact = StepEnded(
            run="r",
            at_ms=self.now_ms,
            step=wanted.step,
            item=wanted.item,
            epoch=wanted.epoch,
            is_ok=is_ok,
            error="" if is_ok else "it fails",
            call=wanted.id,
        )
        return fact, msgspec.json.encode([wanted.step, msgspec.json.decode(wanted.body)])

    def play(self, *, is_cut: bool) -> Run:
        """Bring the run to its end; is_cut: a new process goes on after each thing that is done."""
        run = self.folded()
        for _ in range(STEPS_MAX):
            run = self.folded() if is_cut else run
            look = look_at(run, self.now_ms)
            if run.end is not None:
                return run
            self.now_ms += 1
            if not self._go_on(run, look, is_cut=is_cut):
                assert look.due_ms is not None, {n: f.state for n, f in look.steps.items()}
                self.now_ms = max(self.now_ms, look.due_ms)
        raise AssertionError("the run does not end")

    def _go_on(self, run: Run, look: Look, *, is_cut: bool) -> bool:
        if look.facts:
            fact, body = self.chance.choice(look.facts)
        elif look.calls:
            wanted = self.chance.choice(look.calls)
            self.call(wanted)
            if is_cut and self.chance.random() < 0.5:
                return True  # the process dies before the call's end is a fact
            fact, body = self.end(wanted)
        else:
            return False
        self.keep(fact, body)
        run.learn(fact, body)
        return True


FORMS: tuple[dict[str, Any], ...] = (
    {"call": "f", "input": '{"of": $.steps}'},
    {"call": "f"},
    {"call": "f", "each": "$.input.words", "input": "[$.item, $.index]", "parallel": 2},
    {"value": "len($.input.words)"},
    {"value": 'len($.input) + "x"'},
    {"wait_seconds": 60},
    {"signal": "go"},
)


@st.composite
def specs(draw: st.DrawFn) -> tuple[WorkflowSpec, frozenset[str]]:
    steps: dict[str, Step] = {}
    failing: set[str] = set()
    for index in range(draw(st.integers(1, 6))):
        name = f"s{index}"
        before = draw(st.lists(st.sampled_from(sorted(steps)), unique=True)) if steps else []
        fields: dict[str, Any] = {"after": tuple(before), **draw(st.sampled_from(FORMS))}
        fields["when"] = draw(st.sampled_from(["", "", "$.input.yes", "$.input.no"]))
        if "each" in fields:
            failing.update(draw(st.sets(st.sampled_from([f"{name}/0", f"{name}/2"]), max_size=1)))
        if draw(st.integers(0, 3)) == 0:
            failing.add(name)
        fields["on_error"] = draw(st.sampled_from([FAIL, IGNORE, IGNORE]))
        steps[name] = Step(**fields)
        if draw(st.integers(0, 4)) == 0:
            steps[name] = replaced(steps[name], on_error=f"{name}-mend")
            steps[f"{name}-mend"] = Step(call="f", input="$.error")
    return WorkflowSpec(steps=steps), frozenset(failing)


VALUE = {"yes": 1, "no": 0, "words": ["a", "b", "c", "d"]}
GO = Signalled(run="r", at_ms=BEGAN_MS, signal="go")


@given(specs(), st.integers(0, 10_000))
def test_a_run_that_is_cut_anywhere_ends_as_one_that_is_not(
    drawn: tuple[WorkflowSpec, frozenset[str]], seed: int
) -> None:
    spec, failing = drawn
    whole, cut = World(spec, VALUE, failing, 1), World(spec, VALUE, failing, seed)
    whole.keep(GO, b"7")
    cut.keep(GO, b"7")

    ended, other = whole.play(is_cut=False), cut.play(is_cut=True)

    assert ended.end is not None
    assert other.end is not None
    assert ended.end.outcome == other.end.outcome
    assert set(cut.ran.values()) <= {1}
    if ended.end.outcome == "succeeded":
        assert other.output == ended.output
        # Of items beside one that fails some are called, as it comes.
        assert cut.ran == whole.ran or any("/" in one for one in failing)


@given(specs(), st.integers(0, 10_000))
def test_a_run_that_failed_and_is_resumed_runs_again_only_what_failed(
    drawn: tuple[WorkflowSpec, frozenset[str]], seed: int
) -> None:
    spec, failing = drawn
    world = World(spec, VALUE, failing, seed)
    world.keep(GO, b"7")
    run = world.play(is_cut=True)
    assert run.end is not None
    if run.end.outcome != "failed" or "does not add" in run.end.error:
        return
    done = {call for call, is_ok in world.results.items() if is_ok}
    world.failing = frozenset()
    epochs: dict[str, int] = {}
    # What had failed beside it, and was no fact yet, is found then: it is resumed in its turn.
    for epoch in range(1, 2 * len(spec.steps) + 2):
        fresh = dict.fromkeys(anew(run, look_at(run, world.now_ms)), epoch)
        assert fresh
        epochs |= fresh
        world.keep(Resumed(run="r", at_ms=world.now_ms, epoch=epoch, anew=dict(epochs)))
        run = world.play(is_cut=True)
        assert run.end is not None
        if run.end.outcome == "succeeded" or "does not add" in run.end.error:
            break

    assert run.end is not None
    assert run.end.outcome == "succeeded" or "does not add" in run.end.error
    assert all(world.ran[call] == 1 for call in done)
    assert set(world.ran.values()) == {1}


def a_run(steps: dict[str, Step], value: Any = None, **fields: Any) -> World:
    return World(WorkflowSpec(steps=steps, **fields), value, frozenset(), 1)


def states(world: World) -> dict[str, str]:
    return {name: one.state for name, one in look_at(world.folded(), world.now_ms).steps.items()}


def calls(world: World) -> Iterator[tuple[str, int]]:
    return ((one.step, one.item) for one in look_at(world.folded(), world.now_ms).calls)


def test_no_more_items_are_called_at_a_time_than_are_allowed() -> None:
    world = a_run({"m": Step(call="f", each="$.input", input="$.item", parallel=2)}, [1, 2, 3])

    assert list(calls(world)) == [("m", 0), ("m", 1)]
    (first, _) = look_at(world.folded(), world.now_ms).calls
    world.call(first)
    world.keep(*world.end(first))
    assert list(calls(world)) == [("m", 1), ("m", 2)]


def test_a_step_waits_for_its_time_and_for_its_signal() -> None:
    world = a_run({"w": Step(wait_seconds=10), "s": Step(signal="go", after=("w",))})
    look = look_at(world.folded(), world.now_ms)
    assert (states(world), look.due_ms) == ({"w": "waiting", "s": "pending"}, BEGAN_MS + 10_000)

    world.now_ms = BEGAN_MS + 10_000
    assert states(world) == {"w": "ok", "s": "waiting"}
    world.keep(GO, b'{"by": "me"}')
    (end,) = look_at(world.folded(), world.now_ms).facts
    assert msgspec.json.decode(end[1]) == {"w": None, "s": {"by": "me"}}


def test_what_was_skipped_is_followed_by_what_another_step_leads_to_too() -> None:
    world = a_run(
        {
            "no": Step(value="1", when="false"),
            "yes": Step(value="2"),
            "only": Step(value="3", after=("no",)),
            "join": Step(value="$.steps.no == null", after=("no", "yes")),
        }
    )

    run = world.play(is_cut=True)

    assert states(world) == {"no": "skipped", "yes": "ok", "only": "skipped", "join": "ok"}
    assert run.output == {"yes": 2, "join": True}


def test_a_step_that_mends_is_told_the_error_and_runs_only_then() -> None:
    steps = {"try": Step(call="f", on_error="mend"), "mend": Step(call="f", input="$.error")}
    fine = a_run(steps)
    bad = World(WorkflowSpec(steps=steps), None, frozenset({"try"}), 1)

    assert fine.play(is_cut=True).output == {"try": ["try", None]}
    assert bad.play(is_cut=True).output == {
        "mend": ["mend", {"step": "try", "message": "it fails"}]
    }


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (Step(call="f", each="$.input"), "step x: each: is no list"),
        (Step(call="f", each="$.input", when="$.input + 1"), "step x: when: + does not add"),
        (Step(signal="go", timeout_seconds=5), "step x: it took more than 5 s"),
        (Step(wait_seconds=10_000), "it took more than 3600 s"),
    ],
)
def test_a_run_that_cannot_go_on_fails_with_the_reason(step: Step, told: str) -> None:
    run = a_run({"x": step}, "text").play(is_cut=True)

    assert run.end is not None
    assert run.end.outcome == "failed"
    assert told in run.end.error


def test_a_run_that_is_cancelled_ends_and_can_be_resumed() -> None:
    world = a_run({"x": Step(call="f"), "y": Step(call="f", after=("x",))})
    world.keep(Cancelled(run="r", at_ms=BEGAN_MS))
    run = world.play(is_cut=True)
    assert run.end is not None
    assert (run.end.outcome, dict(world.ran)) == ("cancelled", {})

    fresh = dict.fromkeys(anew(run, look_at(run, world.now_ms)), 1)
    world.keep(Resumed(run="r", at_ms=world.now_ms, epoch=1, anew=fresh))
    again = world.play(is_cut=True)

    assert fresh == {"x/-1": 1}
    assert again.end is not None
    assert again.end.outcome == "succeeded"


def test_a_step_that_is_begun_again_takes_those_after_it_along() -> None:
    after = {"a": Step(call="f"), "b": Step(call="f", after=("a",)), "c": Step(call="f")}
    world = a_run(after)
    run = world.play(is_cut=True)

    assert sorted(anew(run, look_at(run, world.now_ms), "a")) == ["a", "b"]


def test_an_item_that_fails_later_changes_nothing_of_what_follows_from_the_first() -> None:
    steps = {
        "m": Step(call="f", each="$.input", input="$.item", on_error="mend"),
        "mend": Step(call="f", input="$.error.message"),
    }
    world = World(WorkflowSpec(steps=steps), [1, 2], frozenset({"m/0", "m/1"}), 1)
    first, second = look_at(world.folded(), world.now_ms).calls
    for wanted in (first, second):
        world.call(wanted)
    world.keep(*world.end(second))
    ((fact, body),) = look_at(world.folded(), world.now_ms).facts
    world.keep(fact, body)
    before = look_at(world.folded(), world.now_ms).calls
    world.keep(*world.end(first))

    assert [one.body for one in before] == [b'"item 1: it fails"']
    assert look_at(world.folded(), world.now_ms).calls == before


def test_of_two_facts_under_one_key_the_newer_epoch_counts_in_either_order() -> None:
    world = a_run({"x": Step(call="f")})
    (wanted,) = look_at(world.folded(), world.now_ms).calls
    old = StepEnded(run="r", at_ms=1, step="x", is_ok=False, error="old", call=wanted.id)
    new = StepEnded(run="r", at_ms=2, step="x", is_ok=True, epoch=1, call=wanted.id)
    world.keep(Resumed(run="r", at_ms=2, epoch=1, anew={"x/-1": 1}))

    for facts in ((old, new), (new, old)):
        run = world.folded()
        for one in facts:
            run.learn(one, b"7")
        assert look_at(run, world.now_ms).steps["x"].state == "ok"
