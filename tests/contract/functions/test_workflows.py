"""Runs of workflows: begun once, cut anywhere, ended exactly. On Kafka: see test_bus.py."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cubernetes.api.meta import Object, ObjectMeta, replaced
from cubernetes.api.notation.yaml import documents
from cubernetes.api.serverless.function import Function, RetrySpec
from cubernetes.api.serverless.workflow import Step, Workflow, WorkflowSpec
from cubernetes.host.clock import SystemClock
from serverless.bus.bus import Bus
from serverless.bus.memory import MemoryBus
from serverless.durable.records import DEAD, RUNS
from tests.contract.functions.runners import ROOT
from tests.contract.functions.test_admin import Certificates, cubectl, kubeconfig_of
from tests.contract.functions.world import World, functions_world, until

# Notes each run in a file; does as its input says: fails while a file is missing, or waits for one.
WORK = """
import json, os, time
def action(req):
    told = req.json()
    name = f"{{req.origin['step']}}-{{req.origin.get('item', '')}}-{{os.urandom(4).hex()}}"
    with open({folder!r} + "/ran-" + name, "w") as file:
        file.write(req.call)
    if isinstance(told, dict) and "await" in told:
        while not os.path.exists({folder!r} + "/" + told["await"]):
            time.sleep(0.01)
    if isinstance(told, dict) and "needs" in told:
        if not os.path.exists({folder!r} + "/" + told["needs"]):
            raise ValueError("needs " + told["needs"])
    return {{"did": told}}
"""


@pytest.fixture
def admin(tmp_path: Path) -> Path:
    """Return an administrator's kubeconfig."""
    certificates = Certificates(tmp_path)
    return kubeconfig_of(tmp_path, certificates.ca, certificates.admin)


async def a_world(stack: AsyncExitStack, folder: Path, bus: Bus) -> World:
    told = {
        "cert": str(folder / "server.crt"),
        "key": str(folder / "server.key"),
        "client_ca": str(folder / "ca.crt"),
        "admin_port": 0,
    }
    world = await stack.enter_async_context(functions_world(folder / "root", bus, None, **told))
    code = WORK.format(folder=str(folder))
    await world.deploy(
        "work", code, retry=RetrySpec(attempts=1), concurrency=16, timeout_seconds=300
    )
    await world.loaded("work")
    return world


@pytest.fixture
async def world(tmp_path: Path, admin: Path) -> AsyncIterator[World]:
    assert admin.exists()
    async with AsyncExitStack() as stack:
        yield await a_world(stack, tmp_path, MemoryBus(SystemClock()))


def ran(folder: Path) -> Counter[str]:
    """Return how often each step, or item of one, was run."""
    return Counter("/".join(one.name.split("-")[1:3]).rstrip("/") for one in folder.glob("ran-*"))


async def workflow(world: World, steps: dict[str, Step], **fields: Any) -> None:
    spec = WorkflowSpec(steps=steps, **fields)
    meta = ObjectMeta(name="w", namespace="default")
    await world.admin.create(Workflow(metadata=meta, spec=spec))
    await accepted(world)


async def accepted(world: World, status: str = "True") -> str:
    told = ""

    async def is_told() -> bool:
        nonlocal told
        found = await world.admin.get(Workflow, "w", "default")
        told = "".join(one.message for one in found.status.conditions)
        return any(one.status == status for one in found.status.conditions)

    await until(is_told)
    return told


async def asked(world: World, admin: Path, *words: str) -> str:
    """Run `cubectl workflow`; it must succeed."""
    code, out, err = await cubectl(world, admin, *words, verb="workflow")
    assert code == 0, err
    return out


async def shown(world: World, admin: Path, run: str) -> str:
    """Return how a run has ended, with its steps."""
    _, out, err = await cubectl(world, admin, "show", run, "--wait", "60", verb="workflow")
    return out + err


async def until_ran(folder: Path, *names: str) -> None:
    async def are_there() -> bool:
        return set(names) <= (await asyncio.to_thread(ran, folder)).keys()

    await until(are_there)


async def test_a_run_fails_at_a_step_whose_call_is_cancelled(
    world: World, admin: Path, tmp_path: Path
) -> None:
    await workflow(world, {"first": Step(call="work", input='{"await": "never"}')})
    run = (await asked(world, admin, "start", "w")).strip()
    calls: list[str] = []

    async def has_begun() -> bool:
        calls[:] = [one.read_text() for one in tmp_path.glob("ran-first-*")]
        return calls not in ([], [""])

    await until(has_begun)
    code, out, err = await cubectl(world, admin, "cancel", calls[0])
    told = await shown(world, admin, run)

    assert (code, out) == (0, f"call {calls[0]} cancelled\n"), err
    assert "failed" in told
    assert "it was cancelled" in told


async def test_a_pipeline_with_a_map_is_cut_in_its_middle_and_ends_as_if_it_was_not(
    world: World, admin: Path, tmp_path: Path
) -> None:
    await must_end_a_pipeline_that_is_cut(world, admin, tmp_path)


async def must_end_a_pipeline_that_is_cut(world: World, admin: Path, tmp_path: Path) -> None:
    """On any bus: the program ends while items of a map are called, and begins anew."""
    await workflow(
        world,
        {
            "split": Step(value="$.input.words"),
            "each": Step(
                call="work",
                each="$.steps.split",
                input='{"word": $.item, "place": $.index, "await": $.item}',
                parallel=2,
                after=("split",),
            ),
            "count": Step(call="work", input="len($.steps.each)", after=("each",)),
        },
        output="[$.steps.each[2].did.word, $.steps.count.did]",
    )
    data = json.dumps({"words": ["a", "b", "c"]})
    run = (await asked(world, admin, "start", "w", "-d", data)).strip()
    await asyncio.to_thread((tmp_path / "a").touch)
    await until_ran(tmp_path, "each/0", "each/1", "each/2")
    await world.end()
    await asyncio.to_thread((tmp_path / "b").touch)
    await asyncio.to_thread((tmp_path / "c").touch)
    await world.begin()

    told = await shown(world, admin, run)
    counted = await asyncio.to_thread(ran, tmp_path)
    await world.end()
    await world.begin()

    assert f"run {run} of w: succeeded" in told
    assert told.rstrip().endswith('["c", 3]')
    assert "each (each work 3/3): ok" in told
    # Two were under way when it was cut: each runs once more, as its instance was left alone.
    assert counted["each/0"] == counted["count"] == 1
    assert counted["each/1"] <= 2
    assert counted["each/2"] <= 2
    assert await shown(world, admin, run) == told
    assert await asyncio.to_thread(ran, tmp_path) == counted


async def test_a_run_that_failed_is_resumed_and_what_is_done_stays_done(
    world: World, admin: Path, tmp_path: Path
) -> None:
    steps = {
        "one": Step(call="work"),
        "two": Step(call="work", input='{"needs": "gate"}', after=("one",)),
        "three": Step(call="work", after=("two",)),
    }
    await workflow(world, steps)
    run = (await asked(world, admin, "start", "w")).strip()

    failed = await shown(world, admin, run)
    early = await cubectl(world, admin, "resume", "none", verb="workflow")
    await asyncio.to_thread((tmp_path / "gate").touch)
    again = await asked(world, admin, "resume", run, "--wait", "60")

    assert f"run {run} failed: step two: ValueError: needs gate" in failed
    assert early[0] == 1
    assert f"run {run} of w: succeeded" in again
    assert await asyncio.to_thread(ran, tmp_path) == {"one": 1, "two": 2, "three": 1}
    # What failed in a run is resumed there: it leaves no dead letter.
    bus = world.bus
    assert isinstance(bus, MemoryBus)
    assert not any(bus.logs[place].records for place in bus.places(DEAD.name))


async def test_a_step_is_tried_again_as_it_says_and_an_error_leads_another_way(
    world: World, admin: Path, tmp_path: Path
) -> None:
    steps = {
        "try": Step(
            call="work",
            input='{"needs": "gate"}',
            retry=RetrySpec(attempts=2, most_seconds=1),
            on_error="mend",
        ),
        "mend": Step(call="work", input="$.error.message"),
        "after": Step(call="work", after=("try",)),
        "last": Step(call="work", input="[$.steps.mend]", after=("after", "mend")),
    }
    await workflow(world, steps)

    told = await asked(world, admin, "start", "w", "--wait", "60")

    assert "try (call work): mended, " in told
    assert "ValueError: needs gate" in told
    assert "failed, 2 attempts" in told
    assert "after (call work): skipped" in told
    assert await asyncio.to_thread(ran, tmp_path) == {"try": 2, "mend": 1, "last": 1}


async def test_a_run_waits_for_a_signal_through_a_restart_and_takes_what_it_brings(
    world: World, admin: Path
) -> None:
    steps = {
        "ask": Step(signal="approved"),
        "do": Step(call="work", input="$.steps.ask", after=("ask",)),
        "rest": Step(wait_seconds=1, after=("do",)),
    }
    await workflow(world, steps, output="$.steps.do.did")
    run = (await asked(world, admin, "start", "w", "--key", "k")).strip()
    await world.end()
    await world.begin()

    same = (await asked(world, admin, "start", "w", "--key", "k")).strip()
    waiting = await asked(world, admin, "show", run)
    wrong = await cubectl(world, admin, "signal", run, "other", verb="workflow")
    await asked(world, admin, "signal", run, "approved", "-d", '{"by": "me"}')
    told = await shown(world, admin, run)
    late = await cubectl(world, admin, "signal", run, "approved", verb="workflow")
    listed = await asked(world, admin, "list", "w")

    assert same == run
    assert "ask (signal): waiting" in waiting
    assert "no step of run" in wrong[2]
    assert told.rstrip().endswith('{"by": "me"}')
    assert "has ended" in late[2]
    assert [line.split()[1:4] for line in listed.splitlines()] == [[run, "w", "succeeded,"]]


async def test_a_run_that_is_cancelled_begins_nothing_more(
    world: World, admin: Path, tmp_path: Path
) -> None:
    steps = {
        "slow": Step(call="work", input='{"await": "gate"}'),
        "next": Step(call="work", after=("slow",)),
    }
    await workflow(world, steps)
    run = (await asked(world, admin, "start", "w")).strip()
    await until_ran(tmp_path, "slow")

    await asked(world, admin, "cancel", run)
    told = await shown(world, admin, run)
    await asyncio.to_thread((tmp_path / "gate").touch)
    resumed = await asked(world, admin, "resume", run, "--wait", "60")

    assert f"run {run} cancelled: it was cancelled" in told
    assert f"run {run} of w: succeeded" in resumed
    assert (await asyncio.to_thread(ran, tmp_path))["next"] == 1


async def test_runs_are_forgotten_when_they_were_kept_for_long_enough(
    world: World, admin: Path
) -> None:
    await workflow(world, {"v": Step(value="1")}, keep_seconds=60)
    run = (await asked(world, admin, "start", "w", "--wait", "60")).split()[1]
    engine = world.platform.engine
    assert engine is not None
    kept = engine.runs[run]
    assert kept.finished is not None
    kept.finished = replaced_end(kept.finished)

    async def is_gone() -> bool:
        code, _, told = await cubectl(world, admin, "show", run, verb="workflow")
        return code == 1 and "there is no run" in told

    await until(is_gone)
    await world.end()
    await world.begin()
    assert await is_gone()
    bus = world.bus
    assert isinstance(bus, MemoryBus)
    last = {
        one.key: one.value for place in bus.places(RUNS.name) for one in bus.logs[place].records
    }
    assert set(last.values()) == {b""}


def replaced_end(end: Any) -> Any:
    return msgspec.structs.replace(end, at_ms=end.at_ms - 61_000)


async def test_a_workflow_says_which_function_it_lacks_and_how_many_runs_it_has(
    world: World, admin: Path
) -> None:
    steps = {"ask": Step(signal="go"), "do": Step(call="absent", after=("ask",))}
    meta = ObjectMeta(name="w", namespace="default")
    await world.admin.create(Workflow(metadata=meta, spec=WorkflowSpec(steps=steps)))
    run = (await asked(world, admin, "start", "w")).strip()

    async def runs() -> bool:
        return (await world.admin.get(Workflow, "w", "default")).status.running == 1

    await until(runs)
    assert "no Function absent" in await accepted(world, "False")
    await asked(world, admin, "signal", run, "go")
    assert "there is no function default/absent" in await shown(world, admin, run)
    wrong = await cubectl(world, admin, "start", "absent", verb="workflow")
    assert "there is no workflow default/absent" in wrong[2]


async def test_the_example_counts_words_over_many_texts(world: World, admin: Path) -> None:
    text = await asyncio.to_thread((ROOT / "examples" / "workflow.yaml").read_text)
    kinds: dict[str, type[Object]] = {"Function": Function, "Workflow": Workflow}
    for document in documents(text):
        made = msgspec.convert(document.tree, kinds[document.tree["kind"]])
        meta = ObjectMeta(name=made.metadata.name, namespace="default")
        await world.admin.create(replaced(made, metadata=meta))
    await world.loaded("count-words")
    await world.loaded("add-counts")
    data = json.dumps({"texts": ["a rose is a rose", "is it", "a"]})

    told = await asked(world, admin, "start", "texts", "-d", data, "--wait", "60")

    assert "count (each count-words 3/3): ok" in told
    assert "approval (signal): skipped" in told
    assert told.rstrip().endswith('{"words": 8, "most": "a"}')
