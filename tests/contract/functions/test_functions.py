"""Functions from their objects to their answers: a real API server, real runners, real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cubernetes.api.condition import condition_of
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.secret import Secret
from cubernetes.api.meta import ObjectMeta
from cubernetes.api.serverless.function import (
    LOADED,
    TRAFFIC,
    Function,
    SecretVariable,
    TrafficShare,
)
from cubernetes.api.serverless.functionrevision import FunctionRevision
from cubernetes.api.serverless.route import Route, RouteSpec
from serverless.board.key import FunctionKey
from serverless.brain.naming import INSTANCES_NAMESPACE
from serverless.brain.pods import address_of
from serverless.instances import Code
from tests.contract.functions.world import HELLO, World, functions_world, until


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with functions_world(tmp_path) as made:
        yield made


def answering(word: str) -> str:
    return f"def action(req):\n    return {word!r}\n"


async def test_the_first_call_wakes_a_function_and_silence_takes_it_to_zero(world: World) -> None:
    """W30: the first call after a cold start was lost."""
    await world.deploy("hello", HELLO, idle_seconds=1)
    await world.loaded("hello")
    await world.route("hello", "/hello", "hello")

    async def is_at_zero() -> bool:
        return not await world.pods("hello") and len(await world.pods()) == 1

    await until(is_at_zero)
    status, text, headers = await world.call("/hello?name=x")

    assert (status, text) == (200, "hello x")
    assert headers["cube-call"]
    assert "wait;dur=" in headers["server-timing"]
    await until(is_at_zero)

    async def is_told() -> bool:
        told = (await world.status("hello")).status
        return (told.instances.wanted, told.reason) == (0, "no calls in the last 1 s")

    await until(is_told)


async def test_a_new_version_serves_without_an_interrupted_call(
    world: World, tmp_path: Path
) -> None:
    """W32: hot reload interrupted calls, and repeated those that had ended."""
    gate = tmp_path / "gate"
    waits = f"""
import os, time
def action(req):
    if req.param("wait", ""):
        open({str(tmp_path / "begun")!r}, "w").close()
        while not os.path.exists({str(gate)!r}):
            time.sleep(0.01)
    return "v1"
"""
    await world.deploy("greeting", waits)
    await world.loaded("greeting")
    await world.route("greeting", "/greeting", "greeting")
    running = asyncio.create_task(world.call("/greeting?wait=1"))

    async def is_begun() -> bool:
        return await asyncio.to_thread((tmp_path / "begun").exists)

    await until(is_begun)
    await world.deploy("greeting", answering("v2"))
    answers: list[tuple[int, str]] = []

    async def is_new() -> bool:
        status, text, _ = await world.call("/greeting")
        answers.append((status, text))
        return text == "v2"

    await until(is_new)
    await asyncio.to_thread(gate.touch)
    status, text, _ = await running

    assert (status, text) == (200, "v1")
    assert {status for status, _ in answers} == {200}

    async def is_told() -> bool:
        told = (await world.status("greeting")).status
        return told.serving_revision == told.latest_revision != ""

    await until(is_told)


async def test_calls_are_split_between_revisions_and_go_back_without_one_that_is_lost(
    world: World,
) -> None:
    await world.deploy("split", answering("v1"))
    await world.loaded("split")
    await world.route("split", "/split", "split")
    first = (await world.status("split")).status.latest_revision

    async def asked(*parts: tuple[str, int]) -> list[tuple[int, str]]:
        """Split calls; return what was answered until they are split so."""
        traffic = tuple(TrafficShare(revision=name, percent=part) for name, part in parts)
        await world.deploy("split", answering("v2"), traffic=traffic)
        found: list[tuple[int, str]] = []

        async def is_split() -> bool:
            status, text, _ = await world.call("/split")
            found.append((status, text))
            one = await world.status("split")
            condition = condition_of(one.status.conditions, TRAFFIC)
            is_new = one.status.observed_generation == one.metadata.generation
            is_loaded = condition_of(one.status.conditions, LOADED)
            known = is_loaded is not None and is_loaded.status == "True"
            return is_new and known and condition is not None and condition.status == "True"

        await until(is_split)
        return found

    before = await asked((first, 100))
    pinned = await world.status("split")
    after = await asked((first, 80), ("latest", 20))
    second = pinned.status.latest_revision

    async def has_both() -> bool:
        return (await world.call("/split"))[1] == "v2"

    await until(has_both)
    went = [await world.call("/split") for _ in range(50)]
    back = await asked((first, 100))
    last = [await world.call("/split") for _ in range(10)]

    assert {status for status, _ in before + after + back} == {200}
    assert {text for _, text in before} == {"v1"}
    assert pinned.status.serving_revision == first != second
    assert [text for _, text, _ in went].count("v2") == 10
    assert {(text, told["cube-revision"]) for _, text, told in went} == {
        ("v1", first),
        ("v2", second),
    }
    assert {text for _, text, _ in last} == {"v1"}
    told = (await world.status("split")).status
    assert [(one.revision, one.percent) for one in told.traffic] == [(first, 100)]


async def test_a_revision_that_loads_no_more_keeps_back_neither_the_others_nor_newer_code(
    world: World, tmp_path: Path
) -> None:
    """W32: one that could not be loaded was loaded again without end, and nothing else was."""
    gate = tmp_path / "gate"
    await asyncio.to_thread(gate.touch)
    needs = f"open({str(gate)!r}).close()\n{answering('v1')}"
    await world.deploy("pinned", needs, min_instances=1, max_wait_seconds=20)
    await world.loaded("pinned")
    await world.route("pinned", "/pinned", "pinned")
    first = (await world.status("pinned")).status.latest_revision
    traffic = (
        TrafficShare(revision=first, percent=50),
        TrafficShare(revision="latest", percent=50),
    )
    spec = {"min_instances": 1, "max_wait_seconds": 20, "traffic": traffic}
    await world.deploy("pinned", answering("v2"), **spec)
    await world.loaded("pinned")
    await asyncio.to_thread(gate.unlink)
    (before,) = await world.pods("pinned")
    await world.node.end(before)

    async def is_another() -> bool:
        now = await world.pods("pinned")
        return len(now) == 1 and now != [before]

    await until(is_another)
    assert (await world.call("/pinned"))[:2] == (200, "v2")
    await world.deploy("pinned", answering("v3"), **spec)

    async def answers(word: str) -> None:
        async def is_answered() -> bool:
            return (await world.call("/pinned"))[:2] == (200, word)

        await until(is_answered)

    await answers("v3")
    await asyncio.to_thread(gate.touch)
    await answers("v1")


async def test_what_an_instance_has_lost_is_loaded_again(world: World) -> None:
    """A call of a revision that was not there was refused until its patience ended."""
    made = await world.deploy("hello", HELLO, min_instances=1, max_wait_seconds=20)
    await world.loaded("hello")
    await world.route("hello", "/hello", "hello")
    assert (await world.call("/hello"))[0] == 200
    (pod,) = await world.pods("hello")
    found = await world.admin.get(Pod, pod, INSTANCES_NAMESPACE)
    owner = f"default/hello/{made.metadata.uid}"
    for revision in ("other-1", "other-2"):
        code = Code(
            function=owner, revision=revision, entry="a.action", files={"a.py": HELLO}, env={}
        )
        await world.instances.load(address_of(found), world.platform.instance_key(pod), code)

    assert (await world.call("/hello"))[:2] == (200, "hello world")


async def test_a_version_that_cannot_be_loaded_takes_nothing_away_and_says_why(
    world: World,
) -> None:
    """W32: a broken script killed the runner, which was made again with the same script."""
    await world.deploy("hello", HELLO)
    await world.loaded("hello")
    await world.route("hello", "/hello", "hello")
    await world.deploy("hello", "def action(req) return")

    told = await world.loaded("hello", "False")
    status, text, _ = await world.call("/hello?name=y")

    assert "SyntaxError" in told
    assert (status, text) == (200, "hello y")
    await world.deploy("hello", answering("mended"))
    await world.loaded("hello")

    async def is_mended() -> bool:
        return (await world.call("/hello"))[:2] == (200, "mended")

    await until(is_mended)


async def test_a_function_that_never_could_be_loaded_answers_with_its_traceback(
    world: World,
) -> None:
    await world.deploy("bad", "import nothing_of_this_name\n")
    await world.loaded("bad", "False")
    await world.route("bad", "/bad", "bad")

    status, text, _ = await world.call("/bad")

    assert status == 502
    assert "No module named 'nothing_of_this_name'" in text


async def test_load_has_as_many_instances_as_it_needs_and_no_call_is_refused(
    world: World, tmp_path: Path
) -> None:
    """W34: load of any size had one more instance in a minute, and five at most."""
    gate = tmp_path / "gate"
    waits = f"""
import os, time
def action(req):
    while not os.path.exists({str(gate)!r}):
        time.sleep(0.01)
    return str(os.getppid())
"""
    await world.deploy("busy", waits, concurrency=2, max_instances=3)
    await world.loaded("busy")
    await world.route("busy", "/busy", "busy")
    calls = [asyncio.create_task(world.call("/busy")) for _ in range(9)]

    async def is_wide() -> bool:
        board, key = world.platform.brain.calls.board, FunctionKey("default", "busy")
        return board.in_hand_count(key) == 9 and board.waiting_count(key) == 3

    async def is_told() -> bool:
        return (await world.status("busy")).status.reason == "spec.maxInstances"

    await until(is_wide)
    await until(is_told)
    await asyncio.to_thread(gate.touch)
    answers = await asyncio.gather(*calls)

    assert {status for status, _, _ in answers} == {200}
    assert len({text for _, text, _ in answers}) == 3


async def test_more_calls_than_may_wait_are_told_to_come_again(
    world: World, tmp_path: Path
) -> None:
    """W36: calls were taken without end."""
    gate = tmp_path / "gate"
    waits = f"""
import os, time
def action(req):
    while not os.path.exists({str(gate)!r}):
        time.sleep(0.01)
    return "ended"
"""
    await world.deploy("full", waits, concurrency=1, min_instances=1, max_instances=1, queue=1)
    await world.loaded("full")
    await world.route("full", "/full", "full")
    calls = [asyncio.create_task(world.call("/full")) for _ in range(4)]

    async def are_refused() -> bool:
        return sum(one.done() for one in calls) == 2

    await until(are_refused)
    refused = next(one for one in calls if one.done())
    status, _, headers = refused.result()

    await asyncio.to_thread(gate.touch)
    ended = sorted([answer[0] for answer in await asyncio.gather(*calls)])

    assert (status, headers["retry-after"]) == (429, "1")
    assert ended.count(429) == 2
    assert ended.count(200) == 2


async def test_a_call_without_an_instance_in_time_is_told_why(tmp_path: Path) -> None:
    async with functions_world(tmp_path, pool_size=0) as world:
        await world.deploy("late", HELLO, max_wait_seconds=1)
        await world.loaded("late")
        await world.route("late", "/late", "late")
        await world.deploy("late", HELLO, max_wait_seconds=1, idle_seconds=1)

        async def is_at_zero() -> bool:
            return not await world.pods("late")

        await until(is_at_zero)
        world.node.is_stalled = True
        status, text, headers = await world.call("/late")

        assert status == 504
        assert "no instance of function default/late within 1 s" in text
        assert headers["retry-after"] == "1"


async def test_an_instance_that_dies_is_another_one_for_the_next_call(world: World) -> None:
    await world.deploy("hello", HELLO, min_instances=1)
    await world.loaded("hello")
    await world.route("hello", "/hello", "hello")
    await world.call("/hello")
    (first,) = await world.pods("hello")

    await world.node.end(first)

    async def is_another() -> bool:
        now = await world.pods("hello")
        return len(now) == 1 and now != [first]

    await until(is_another)
    assert (await world.call("/hello"))[:2] == (200, "hello world")


async def test_a_program_that_begins_again_goes_on_with_the_instances_that_are_there(
    world: World,
) -> None:
    await world.deploy("hello", HELLO, min_instances=1)
    await world.loaded("hello")
    await world.route("hello", "/hello", "hello")
    assert (await world.call("/hello"))[0] == 200
    before = await world.pods("hello")

    await world.end()
    await world.begin()

    assert (await world.call("/hello"))[:2] == (200, "hello world")
    assert await world.pods("hello") == before


async def test_a_function_that_is_deleted_leaves_nothing_and_its_name_begins_anew(
    world: World,
) -> None:
    """W35: what an action left behind stayed for ever."""
    await world.deploy("hello", HELLO, min_instances=1)
    await world.loaded("hello")
    await world.route("hello", "/hello", "hello")
    await world.admin.delete(Function, "hello", "default")

    async def is_gone() -> bool:
        return not await world.pods("hello") and (await world.call("/hello"))[0] == 404

    await until(is_gone)
    await world.accepted("hello", "False")
    await world.deploy("hello", answering("again"))
    await world.accepted("hello")

    async def is_again() -> bool:
        return (await world.call("/hello"))[:2] == (200, "again")

    await until(is_again)


async def test_routes_lead_by_host_path_and_method_and_the_older_has_its_place(
    world: World,
) -> None:
    """W33: a path had one method, no variables, and kept its first target for ever."""
    tells = "def action(req):\n    return [req.path, req.variables, req.method, req.body()]\n"
    await world.deploy("told", tells)
    await world.deploy("other", answering("other"))
    await world.loaded("told")
    await world.route("told", "/a/{id}", "told", methods=("GET", "POST"))
    await world.route("host", "/a/{id}", "other", host="other.example")

    assert (await world.call("/a/7"))[1] == '["/a/7", {"id": "7"}, "GET", ""]\n'
    assert (await world.call("/a/x%20y", b"body"))[1] == (
        '["/a/x y", {"id": "x y"}, "POST", "body"]\n'
    )
    assert (await world.call("/a/7", host="other.example"))[1] == "other"
    assert (await world.call("/b"))[0] == 404
    status, _, headers = await world.call("/a/7", method="DELETE")
    assert (status, headers["allow"]) == (405, "GET, POST")
    await world.admin.create(
        Route(
            metadata=ObjectMeta(name="younger", namespace="default"),
            spec=RouteSpec(path="/a/{name}", function="other"),
        )
    )
    assert await world.accepted("younger", "False") == "GET /a/{name} is Route default/told's"
    assert (await world.call("/a/7"))[0] == 200


async def test_a_body_over_the_routes_limit_is_refused(world: World) -> None:
    await world.deploy("sized", "def action(req):\n    return str(len(req.bytes()))\n")
    await world.loaded("sized")
    await world.route("sized", "/sized", "sized", methods=("POST",), body_bytes=10)

    assert (await world.call("/sized", b"0123456789"))[:2] == (200, "10")
    assert (await world.call("/sized", b"0123456789a"))[0] == 413


async def test_a_call_is_ended_at_its_deadline_and_its_instance_serves_on(world: World) -> None:
    told = """
import time
def action(req):
    if req.param("hang", ""):
        time.sleep(600)
    return "fine"
"""
    await world.deploy("hangs", told, timeout_seconds=1)
    await world.loaded("hangs")
    await world.route("hangs", "/hangs", "hangs")

    status, text, _ = await world.call("/hangs?hang=1")

    assert status == 504
    assert "took longer than 1 s" in text
    assert (await world.call("/hangs"))[:2] == (200, "fine")


async def test_a_secret_is_a_variable_of_its_function_once_it_is_there(world: World) -> None:
    """A Secret that is missing is waited for, and told; no value is kept in an object."""
    tells = "import os\ndef action(req):\n    return os.environ.get('PASSWORD', 'none')\n"
    await world.deploy("mails", tells)
    await world.loaded("mails")
    await world.route("mails", "/mails", "mails")
    wanted = SecretVariable(name="mail", key="password", env="PASSWORD")
    await world.deploy("mails", tells, secrets=(wanted,))

    async def is_told() -> bool:
        found = condition_of((await world.status("mails")).status.conditions, LOADED)
        return found is not None and found.reason == "SecretMissing"

    await until(is_told)
    told = condition_of((await world.status("mails")).status.conditions, LOADED)
    assert told is not None
    assert told.message == "there is no Secret mail in the namespace"
    assert (await world.call("/mails"))[:2] == (200, "none")
    key = FunctionKey("default", "mails")
    assert world.platform.why_waiting(key) == told.message

    meta = ObjectMeta(name="mail", namespace="default")
    await world.admin.create(Secret(metadata=meta, string_data={"password": "open sesame"}))

    async def is_given() -> bool:
        return (await world.call("/mails"))[:2] == (200, "open sesame")

    await until(is_given)
    revisions = await world.admin.list(FunctionRevision, "default")
    shown = [*revisions.items, await world.status("mails")]
    assert all("sesame" not in repr(one) for one in shown)
