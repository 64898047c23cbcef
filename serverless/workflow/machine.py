"""What is to be done for a run: a function of what its facts say, and of the time. Pure.

A process that looks at the same facts finds the same calls, under the same ids, and the same end:
so a crash anywhere costs a second look and nothing else. Steps are looked at in the order of the
graph:

    pending   what it waits for is not settled
    running   its calls are under way; waiting: for a time, or a signal
    ok        it has an output; ignored: it failed, and its output is null
    skipped   `when` is false, or all that it waits for was skipped, or there was nothing to mend
    mended    it failed, and another step goes on with that
    failed    it failed, and so does the run
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from cubernetes.api.serverless.expression import Expression, Unfit, parsed
from cubernetes.api.serverless.function import RetrySpec
from cubernetes.api.serverless.workflow import FAIL, IGNORE, Step, waits_for
from serverless.durable.records import id_for
from serverless.workflow.facts import AnyFact, Ended, StepEnded
from serverless.workflow.state import NO_ITEM, Run

ITEMS_MAX = 1000
INPUT_BYTES_MAX = 256 * 1024
RUN_BYTES_MAX = 8 * 1024 * 1024
ERROR_CHARS_MAX = 2000
SETTLED = frozenset({"ok", "ignored", "skipped", "mended"})
# Settled so that what comes after has something to go on with.
LIVE = frozenset({"ok", "ignored"})

type Names = dict[str, Any]


class Wanted(NamedTuple):
    """A call that is to be under way, or to have ended. body: its input, in JSON."""

    id: str
    step: str
    item: int
    epoch: int
    function: str
    body: bytes
    retry: RetrySpec | None


@dataclass(slots=True)
class Found:
    """One step. items: how many there are of `each`; done: how many of them have ended."""

    state: str = "pending"
    began_ms: int = 0
    ended_ms: int = 0
    error: str = ""
    output: Any = None
    items: int = 0
    done: int = 0
    calls: list[Wanted] = field(default_factory=list)
    facts: list[tuple[AnyFact, bytes]] = field(default_factory=list)
    due_ms: int | None = None


@dataclass(slots=True)
class Look:
    """What there is of a run, and what is to be done.

    facts: what has come to pass, each with its body. due_ms: when to look again.
    """

    steps: dict[str, Found] = field(default_factory=dict)
    calls: list[Wanted] = field(default_factory=list)
    facts: list[tuple[AnyFact, bytes]] = field(default_factory=list)
    due_ms: int | None = None


class Wrong(Exception):
    """A step cannot go on; the text is its error."""


@lru_cache(maxsize=2000)
def _parsed(text: str) -> Expression:
    return parsed(text)


def look_at(run: Run, now_ms: int) -> Look:
    """Return what there is, and what is to be done now."""
    look = Look()
    for name in run.before:
        found = look.steps[name] = _look_at_step(run, look, name, now_ms)
        _keep_due(look, found.due_ms)
    if run.end is not None:
        return Look(steps=look.steps)
    if (end := _end_of(run, look, now_ms)) is not None:
        return Look(steps=look.steps, facts=[end])
    for found in look.steps.values():
        look.calls += found.calls
        look.facts += found.facts
    _keep_due(look, run.began_ms + run.spec.timeout_seconds * 1000)
    return look


def _keep_due(look: Look, due_ms: int | None) -> None:
    if due_ms is not None:
        look.due_ms = due_ms if look.due_ms is None else min(look.due_ms, due_ms)


def _end_of(run: Run, look: Look, now_ms: int) -> tuple[Ended, bytes] | None:
    """Return how the run ends now; None: it goes on."""
    failed = [(name, one) for name, one in look.steps.items() if one.state == "failed"]
    if run.is_cancelled:
        return _ended(run, now_ms, "cancelled", "it was cancelled")
    if failed:
        name, one = min(failed, key=lambda pair: (pair[1].ended_ms, pair[0]))
        return _ended(run, now_ms, "failed", f"step {name}: {one.error}")
    if run.size_bytes > RUN_BYTES_MAX:
        told = (
            f"RunTooLarge: its steps' outputs have {run.size_bytes} bytes, at most {RUN_BYTES_MAX}"
        )
        return _ended(run, now_ms, "failed", told)
    if all(one.state in SETTLED for one in look.steps.values()):
        return _succeeded(run, look, now_ms)
    if now_ms >= run.began_ms + run.spec.timeout_seconds * 1000:
        return _ended(run, now_ms, "failed", f"it took more than {run.spec.timeout_seconds} s")
    return None


def _succeeded(run: Run, look: Look, now_ms: int) -> tuple[Ended, bytes]:
    outputs = {name: one.output for name, one in look.steps.items() if one.state in LIVE}
    names = _names(run, outputs)
    try:
        output = _valued(run.spec.output, names, "output") if run.spec.output else outputs
        return _ended(run, now_ms, "succeeded", "", _encoded(output, "output"))
    except Wrong as error:
        return _ended(run, now_ms, "failed", str(error))


def _ended(
    run: Run, now_ms: int, outcome: str, error: str, body: bytes = b""
) -> tuple[Ended, bytes]:
    told = error[:ERROR_CHARS_MAX]
    return Ended(run=run.id, at_ms=now_ms, outcome=outcome, error=told, epoch=run.epoch), body


def _names(run: Run, outputs: Mapping[str, Any]) -> Names:
    return {"run": run.id, "input": run.input, "steps": outputs}


def _valued(text: str, names: Names, field_name: str) -> Any:
    """Raises: Wrong."""
    try:
        return _parsed(text).evaluate(names)
    except Unfit as error:
        raise Wrong(f"{field_name}: {error}") from error


def _encoded(value: Any, field_name: str) -> bytes:
    """Raises: Wrong: it is too large."""
    body = msgspec.json.encode(value)
    if len(body) > INPUT_BYTES_MAX:
        raise Wrong(f"{field_name}: has {len(body)} bytes, at most {INPUT_BYTES_MAX}")
    return body


def _look_at_step(run: Run, look: Look, name: str, now_ms: int) -> Found:
    step = run.spec.steps[name]
    before = {one: look.steps[one] for one in waits_for(name, run.spec.steps)}
    state = _readiness(step, before, run, name)
    if state != "ready":
        return Found(state)
    ended = [one.ended_ms for one in before.values()]
    found = Found(began_ms=max([run.started.at_ms, *ended]))
    # Those that come before it and no others: these have settled, whenever somebody looks.
    outputs = {
        one: look.steps[one].output
        for one in sorted(run.before[name])
        if look.steps[one].state in LIVE
    }
    names = _names(run, outputs)
    mended = [(one, told) for one, told in before.items() if told.state == "mended"]
    if mended:
        names["error"] = {"step": mended[0][0], "message": mended[0][1].error}
    known = run.ended_of(name)
    try:
        if known is not None:
            _settle(found, step, known[0], known[1])
        elif step.when and not _valued(step.when, names, "when"):
            found.state, found.ended_ms = "skipped", found.began_ms
        else:
            _go_on(run, found, step, name, names, now_ms)
    except Wrong as error:
        _fail(run, found, name, str(error), now_ms)
    if found.state in ("running", "waiting") and step.timeout_seconds:
        _time_out(run, found, step, name, now_ms)
    return found


def _readiness(step: Step, before: Mapping[str, Found], run: Run, name: str) -> str:
    """Return pending, skipped or ready."""
    mends = [one for one in before if run.spec.steps[one].on_error == name]
    if any(before[one].state not in SETTLED for one in before):
        return "pending"
    if mends and not any(before[one].state == "mended" for one in mends):
        return "skipped"
    after = [before[one] for one in step.after if one not in mends]
    if after and not any(one.state in LIVE for one in after):
        return "skipped"
    return "ready"


def _settle(found: Found, step: Step, fact: StepEnded, output: Any) -> None:
    """A step has ended by a fact."""
    found.ended_ms, found.error, found.calls = max(fact.at_ms, found.began_ms), fact.error, []
    found.due_ms = None
    if fact.is_ok:
        found.state, found.output = "ok", output
    elif step.on_error == FAIL:
        found.state = "failed"
    else:
        found.state = "ignored" if step.on_error == IGNORE else "mended"


def _fail(run: Run, found: Found, name: str, error: str, now_ms: int) -> None:
    """A step fails now, which is to be a fact before anything follows from it."""
    fact = StepEnded(
        run=run.id,
        at_ms=now_ms,
        step=name,
        epoch=run.epoch_of(name),
        is_ok=False,
        error=error[:ERROR_CHARS_MAX],
    )
    found.state, found.calls, found.due_ms = "running", [], None
    found.facts = [(fact, b"")]


def _time_out(run: Run, found: Found, step: Step, name: str, now_ms: int) -> None:
    due_ms = max(found.began_ms, run.began_ms) + step.timeout_seconds * 1000
    if now_ms >= due_ms and not found.facts:
        _fail(run, found, name, f"it took more than {step.timeout_seconds} s", now_ms)
    elif not found.facts:
        found.due_ms = min(due_ms, found.due_ms) if found.due_ms is not None else due_ms


def _go_on(run: Run, found: Found, step: Step, name: str, names: Names, now_ms: int) -> None:
    """A step has not ended: say what it waits for. Raises: Wrong."""
    if step.signal:
        found.state = "waiting"
        known = run.signals.get(step.signal)
        if known is not None:
            found.state, found.output = "ok", known[1]
            found.ended_ms = max(found.began_ms, known[0].at_ms)
    elif step.wait_seconds:
        found.state = "waiting"
        found.due_ms = found.began_ms + step.wait_seconds * 1000
        if now_ms >= found.due_ms:
            found.state, found.ended_ms, found.due_ms = "ok", found.due_ms, None
    elif step.value:
        found.state, found.ended_ms = "ok", found.began_ms
        found.output = _valued(step.value, names, "value")
    elif step.each:
        _go_on_with_each(run, found, step, name, names)
    else:
        found.state = "running"
        body = _encoded(_valued(step.input, names, "input"), "input")
        found.calls = [_wanted(run, step, name, NO_ITEM, body)]


def _go_on_with_each(run: Run, found: Found, step: Step, name: str, names: Names) -> None:
    """Raises: Wrong."""
    items = _valued(step.each, names, "each")
    if not isinstance(items, list | tuple):
        raise Wrong("each: is no list")
    if len(items) > ITEMS_MAX:
        raise Wrong(f"each: has {len(items)} items, at most {ITEMS_MAX}")
    found.state, found.items, ends_ms = "running", len(items), [found.began_ms]
    outputs: list[Any] = []
    for index, item in enumerate(items):
        known = run.ended_of(name, index)
        if known is None:
            if len(found.calls) < step.parallel:
                own = {**names, "item": item, "index": index}
                body = _encoded(_valued(step.input, own, "input"), "input")
                found.calls.append(_wanted(run, step, name, index, body))
            continue
        fact, output = known
        found.done += 1
        ends_ms.append(fact.at_ms)
        outputs.append(output)
        if not fact.is_ok and step.on_error != IGNORE:
            # A fact of the step: others may fail later, and what follows must not change.
            raise Wrong(f"item {index}: {fact.error}")
    if found.done == len(items):
        found.state, found.output, found.ended_ms = "ok", outputs, max(ends_ms)


def _wanted(run: Run, step: Step, name: str, item: int, body: bytes) -> Wanted:
    epoch = run.epoch_of(name, item)
    made = id_for(run.started.uid, "step", run.id, name, str(item), str(epoch))
    return Wanted(made, name, item, epoch, step.call, body, step.retry)


def anew(run: Run, look: Look, from_step: str = "") -> Iterator[str]:
    """Yield what begins anew where a run is resumed, in the words of `Resumed`.

    What failed; of a run that was cancelled what was under way too; or a step that is named, and
    all after it. What is done stays done.
    """
    if from_step:
        again = {from_step}
        for name in run.before:
            if again.intersection(waits_for(name, run.spec.steps)):
                again.add(name)
        yield from sorted(again)
        return
    for step, item in sorted(run.ended):
        known = run.ended_of(step, item)
        is_open = look.steps[step].state in ("failed", "running", "waiting")
        if known is not None and not known[0].is_ok and is_open:
            yield f"{step}/{item}"
    if run.is_cancelled:
        for found in look.steps.values():
            yield from (f"{one.step}/{one.item}" for one in found.calls)
