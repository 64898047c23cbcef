"""Chains: a function returns which other one is to answer, and the call is still one call."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from cubernetes.api.meta import ObjectMeta
from cubernetes.api.serverless.function import RetrySpec
from cubernetes.api.serverless.trigger import KafkaSource, Trigger, TriggerSpec
from cubernetes.host.clock import SystemClock
from serverless.bus.bus import Topic
from serverless.bus.memory import MemoryBus
from serverless.chain import FUNCTIONS_MAX
from serverless.durable.records import DEAD, RESULTS, DeadLetter, read
from tests.contract.functions.runners import ROOT
from tests.contract.functions.world import World, functions_world, until

NOTED = """
import json
from serverless import Invoke
def note(req):
    with open({path!r}, "a") as file:
        told = [req.call, req.source, req.origin, req.attempt, req.params, req.body()]
        file.write(json.dumps(told) + "\\n")
"""


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus(SystemClock())


@pytest.fixture
async def world(tmp_path: Path, bus: MemoryBus) -> AsyncIterator[World]:
    async with functions_world(tmp_path / "root", bus) as made:
        yield made


@pytest.fixture
def noting(tmp_path: Path) -> Callable[[str], str]:
    """Return a function that makes code: it notes its call, then does the rest."""
    return lambda rest: NOTED.format(path=str(tmp_path / "noted")) + f"def action(req):\n{rest}"


def noted(folder: Path) -> list[list[Any]]:
    path = folder / "noted"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def example(world: World) -> None:
    """Deploy examples/function-chain.yaml."""
    trees = list(yaml.safe_load_all((ROOT / "examples/function-chain.yaml").read_text()))
    for tree in trees[:3]:
        spec, name = tree["spec"], tree["metadata"]["name"]
        await world.deploy(name, spec["files"]["action.py"], calls=tuple(spec.get("calls", ())))
        await world.loaded(name)
    await world.route("calculate", trees[3]["spec"]["path"], trees[3]["spec"]["function"])


async def chain(world: World, first: str, second: str, delivery: str, **fields: object) -> None:
    """Deploy `first`, which may invoke `second`, at /first."""
    await world.deploy("second", second)
    await world.loaded("second")
    await world.deploy("first", first, calls=("second",), **fields)
    await world.loaded("first")
    await world.route("first", "/first", "first", methods=("POST",), delivery=delivery)
    await world.accepted("first")


async def test_the_example_calculates(world: World) -> None:
    await example(world)
    asked = [("6", "7", "*"), ("6", "7", "+"), ("6", "7", ">"), ("6", "7", "<"), ("7", "7", "==")]
    queries = [urlencode({"a": a, "b": b, "sign": sign}) for a, b, sign in asked]

    found = [await world.call(f"/calculate?{query}") for query in queries]
    bad = await world.call("/calculate?a=1&b=2&sign=%25")

    results = [json.loads(text)["result"] for _, text, _ in found]
    assert results == [42, 13, False, True, True]
    assert bad[:2] == (400, "sign must be one of + * > < ==\n")


async def test_a_function_that_is_not_named_in_calls_is_not_invoked(
    world: World, noting: Callable[[str], str], tmp_path: Path
) -> None:
    await world.deploy("other", noting("    note(req)\n    return 'other'\n"))
    await world.loaded("other")
    hands = noting("    return Invoke(req.body())\n")
    await chain(world, hands, noting("    return 'second'\n"), "direct")

    allowed = await world.call("/first", b"second")
    refused = await world.call("/first", b"other")
    no_name = await world.call("/first", b"../second")

    assert allowed[:2] == (200, "second")
    assert refused[0] == no_name[0] == 500
    assert "Invoke of 'other': spec.calls of function first does not allow it" in refused[1]
    assert "needs the name of a function of the namespace" in no_name[1]
    assert noted(tmp_path) == []


async def test_a_chain_that_leads_to_itself_ends_at_its_limit(
    world: World, noting: Callable[[str], str], tmp_path: Path
) -> None:
    await world.deploy("turns", noting("    note(req)\n    return Invoke('turns')\n"), calls=("*",))
    await world.loaded("turns")
    await world.route("turns", "/turns", "turns")

    status, text, headers = await world.call("/turns")

    assert status == 500
    assert f"a chain may have {FUNCTIONS_MAX} functions: turns > turns" in text
    call = headers["cube-call"]
    ids = [call, *(f"{call}.{number}" for number in range(1, FUNCTIONS_MAX))]
    assert [one[0] for one in noted(tmp_path)] == ids


async def test_what_is_handed_on_is_what_the_next_function_is_given(
    world: World, noting: Callable[[str], str], tmp_path: Path
) -> None:
    hands = noting("    return Invoke('second', {'n': 1, 'deep': [None]}, '/p', 'text')\n")
    gives = noting(
        "    note(req)\n    return [req.param('n'), req.path, req.header('content-type')]"
    )
    await chain(world, hands, gives, "direct")

    status, text, headers = await world.call("/first", b"not handed on")

    call = headers["cube-call"]
    assert (status, json.loads(text)) == (200, [1, "/p", "text/plain; charset=utf-8"])
    origin = {"function": "first", "call": call}
    params = {"n": 1, "deep": [None]}
    assert noted(tmp_path) == [[f"{call}.1", "invoke", origin, 1, params, "text"]]


async def test_a_durable_chain_ends_as_the_one_call_that_it_is(
    world: World, bus: MemoryBus, noting: Callable[[str], str], tmp_path: Path
) -> None:
    hands = noting("    note(req)\n    return Invoke('second', body=req.body() + ' and on')\n")
    await chain(world, hands, noting("    note(req)\n    return 'got ' + req.body()\n"), "durable")

    status, text, headers = await world.call("/first", b"x")

    call = headers["cube-call"]
    assert (status, text) == (200, "got x and on")
    assert [(one[0], one[1], one[3]) for one in noted(tmp_path)] == [
        (call, "http", 1),
        (f"{call}.1", "invoke", 1),
    ]
    results = [one for place in bus.places(RESULTS.name) for one in bus.logs[place].records]
    assert [one.key for one in results] == [call.encode()]
    assert (await world.call(f"/calls/{call}"))[:2] == (200, text)


async def test_only_the_function_that_failed_is_tried_again_and_has_the_dead_letter(
    world: World, bus: MemoryBus, noting: Callable[[str], str], tmp_path: Path
) -> None:
    hands = noting("    note(req)\n    return Invoke('second', body=req.body())\n")
    fails = noting("    note(req)\n    raise ValueError('never')\n")
    await world.deploy("second", fails, retry=RetrySpec(attempts=2))
    await world.loaded("second")
    await world.deploy("first", hands, calls=("second",))
    await world.loaded("first")
    await world.route("first", "/first", "first", methods=("POST",), delivery="durable")
    await world.accepted("first")

    status, text, headers = await world.call("/first", b"x")

    call = headers["cube-call"]
    assert status == 500
    assert "function default/second: ValueError: never" in text
    assert [(one[0], one[3]) for one in noted(tmp_path)] == [
        (call, 1),
        (f"{call}.1", 1),
        (f"{call}.1", 2),
    ]
    (record,) = (one for place in bus.places(DEAD.name) for one in bus.logs[place].records)
    letter, body = read(record, DeadLetter)
    assert (letter.call.name, letter.call.chain, body) == ("second", ("first",), b"x")


async def test_a_chain_that_is_cut_between_two_functions_goes_on_with_the_second(
    world: World, noting: Callable[[str], str], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    waits = f"""
    note(req)
    import os, time
    while not os.path.exists({str(gate)!r}):
        time.sleep(0.01)
    return 'through'
"""
    hands = noting("    note(req)\n    return Invoke('second')\n")
    await chain(world, hands, noting(waits), "async")
    _, _, headers = await world.call("/first", b"x")
    call = headers["cube-call"]

    async def is_at_the_second() -> bool:
        return any(one[0] == f"{call}.1" for one in noted(tmp_path))

    await until(is_at_the_second)
    await world.end()
    gate.touch()
    await world.begin()

    async def is_ended() -> bool:
        return (await world.call(f"/calls/{call}?wait=5"))[:2] == (200, "through")

    await until(is_ended)
    assert {one[0] for one in noted(tmp_path)} == {call, f"{call}.1"}


async def test_records_of_a_key_keep_their_order_through_the_whole_chain(
    world: World, bus: MemoryBus, noting: Callable[[str], str], tmp_path: Path
) -> None:
    await bus.make(Topic("orders", 1))
    await world.deploy("second", noting("    note(req)\n"))
    await world.loaded("second")
    hands = noting("    note(req)\n    return Invoke('second', body=req.body())\n")
    await world.deploy("first", hands, calls=("second",))
    await world.loaded("first")
    source = KafkaSource(topic="orders", start="earliest")
    spec = TriggerSpec(function="first", kafka=source, order="key")
    await world.admin.create(
        Trigger(metadata=ObjectMeta(name="orders", namespace="default"), spec=spec)
    )
    for value in (b"1", b"2"):
        await bus.write("orders", b"k", value)

    async def are_through() -> bool:
        return len(noted(tmp_path)) == 4

    await until(are_through)
    assert [(one[1], one[5]) for one in noted(tmp_path)] == [
        ("kafka", "1"),
        ("invoke", "1"),
        ("kafka", "2"),
        ("invoke", "2"),
    ]
