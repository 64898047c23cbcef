"""The runner of functions, a real process, as the gateway speaks with it."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from serverless.envelope import CallHead, RawAnswer, ResultHead, packed
from serverless.instances import (
    Code,
    HttpInstances,
    LoadFailed,
    Lost,
    NotTaken,
    Outdated,
    Spoiled,
)
from serverless.lines import Lines, NoLines
from serverless.runtime import wire
from tests.contract.functions.runners import HELLO, Runner
from tests.contract.functions.world import functions_world, until

KEY = "key"
PLACES = 4


class Instance:
    """One runner, spoken with as its gateway does."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.speaking = HttpInstances()

    async def load(
        self,
        revision: str,
        text: str,
        *,
        key: str = KEY,
        function: str = "f",
        env: dict[str, str] | None = None,
        entry: str = "action.action",
        keep: tuple[str, ...] = (),
        **files: str,
    ) -> float:
        named = {name.replace("__", "/") + ".py": content for name, content in files.items()}
        code = Code(
            function=function,
            revision=revision,
            entry=entry,
            files={"action.py": text, **named},
            env=env or {},
            keep=keep,
        )
        return await self.speaking.load(self.runner.address, key, code)

    async def call(
        self,
        revision: str,
        body: bytes = b"",
        *,
        key: str = KEY,
        timeout_s: float = 60.0,
        places: int = PLACES,
        **params: str,
    ) -> tuple[ResultHead, bytes]:
        head = CallHead(
            call="c-1",
            method="POST",
            path="/a/7",
            params=tuple(params.items()),
            variables={"id": "7"},
            headers={"x-told": "yes"},
            timeout_s=timeout_s,
            places=places,
        )
        return await self.speaking.call(self.runner.address, key, revision, head, body)


@pytest.fixture
async def instance() -> AsyncIterator[Instance]:
    runner = await asyncio.to_thread(Runner)
    made = Instance(runner)
    yield made
    await made.speaking.close()
    await asyncio.to_thread(runner.end)


async def test_a_function_is_given_its_request_and_answers(instance: Instance) -> None:
    told = """
import os
def action(req):
    return {
        "param": req.param("name"), "variable": req.param("id"), "missing": req.param("no", "-"),
        "header": req.header("X-Told"), "json": req.json(), "method": req.method,
        "path": req.path, "call": req.call, "env": os.environ["GREETING"],
    }
"""
    await instance.load("r1", told, env={"GREETING": "hi"})

    result, body = await instance.call("r1", b"[1, 2]", name="x")

    assert (result.outcome, result.status) == ("ok", 200)
    assert result.content_type == "application/json"
    assert body == (
        b'{"param": "x", "variable": "7", "missing": "-", "header": "yes", "json": [1, 2], '
        b'"method": "POST", "path": "/a/7", "call": "c-1", "env": "hi"}\n'
    )


@pytest.mark.parametrize(
    ("returned", "media", "body"),
    [
        ("'text'", "text/plain; charset=utf-8", b"text"),
        ("b'bytes'", "application/octet-stream", b"bytes"),
        ("[1]", "application/json", b"[1]\n"),
        ("None", "text/plain; charset=utf-8", b""),
        ("serverless.Response('<p>', content_type=serverless.ContentType.HTML)",
         "text/html; charset=utf-8", b"<p>"),
    ],
)  # fmt: skip
async def test_what_a_function_returns_is_its_answer(
    instance: Instance, returned: str, media: str, body: bytes
) -> None:
    await instance.load("r1", f"import serverless\ndef action(req):\n    return {returned}\n")

    result, found = await instance.call("r1")

    assert (result.outcome, result.content_type, found) == ("ok", media, body)


async def test_files_import_each_other_and_an_entry_may_be_anywhere(instance: Instance) -> None:
    await instance.load(
        "r1",
        "",
        entry="shop.main.serve",
        shop____init__="",
        shop__main="from shop.words import WORD\nasync def serve(req):\n    return WORD\n",
        shop__words="WORD = 'async'\n",
    )

    _, body = await instance.call("r1")

    assert body == b"async"


async def test_what_is_printed_belongs_to_its_call_and_is_bounded(instance: Instance) -> None:
    told = """
import os, subprocess
def action(req):
    print("printed", req.param("which"))
    subprocess.run(["echo", "by a child"])
    if req.param("which") == "much":
        print("x" * 10_000_000)
    return "ok"
"""
    await instance.load("r1", told)

    first, _ = await instance.call("r1", which="first")
    much, _ = await instance.call("r1", which="much")

    assert sorted(first.log.splitlines()) == ["by a child", "printed first"]
    assert "printed much" in much.log
    assert len(much.log) < 70_000
    assert much.log.endswith(" bytes more]\n")


async def test_a_call_that_fails_hurts_itself_alone_and_says_why(instance: Instance) -> None:
    """W36: user code shared one process with the runner, without limits of time."""
    told = """
import os, sys, time
def action(req):
    print("began")
    what = req.param("what")
    if what == "raise":
        return {}["missing"]
    if what == "exit":
        sys.exit(3)
    if what == "os-exit":
        os._exit(3)
    if what == "close":
        os.closerange(0, 1000)
    if what == "hang":
        while True:
            time.sleep(1)
    if what == "stream":
        return (one for one in "ab")
    return what
"""
    await instance.load("r1", told)

    ended = {
        what: (await instance.call("r1", what=what, timeout_s=5.0 if what == "hang" else 60.0))[0]
        for what in ("raise", "exit", "os-exit", "close", "hang", "stream")
    }
    fine, body = await instance.call("r1", what="fine")

    outcomes = {what: result.outcome for what, result in ended.items()}
    assert outcomes == {
        "raise": "error",
        "exit": "error",
        "os-exit": "lost",
        "close": "lost",
        "hang": "timeout",
        "stream": "error",
    }
    assert ended["raise"].error == "KeyError: 'missing'"
    assert 'return {}["missing"]' in ended["raise"].log
    assert "runtime" not in ended["raise"].log  # the runner's own lines help nobody
    assert "streams are not built yet" in ended["stream"].error
    assert all(result.log.startswith("began\n") for result in ended.values())
    assert (fine.outcome, body) == ("ok", b"fine")


async def test_calls_run_side_by_side_up_to_their_places(
    instance: Instance, tmp_path: Path
) -> None:
    told = """
import os, time
def action(req):
    open(os.path.join(req.param("folder"), req.param("mine")), "w").close()
    while not os.path.exists(os.path.join(req.param("folder"), req.param("other"))):
        time.sleep(0.01)
    return str(os.getpid())
"""
    folder = str(tmp_path)
    await instance.load("r1", told)
    a = asyncio.create_task(instance.call("r1", folder=folder, mine="a", other="b", places=2))
    b = asyncio.create_task(instance.call("r1", folder=folder, mine="b", other="a", places=2))

    (_, first), (_, second) = await asyncio.gather(a, b)

    assert first != second
    with pytest.raises(NotTaken, match="every place"):
        await instance.call("r1", folder=folder, mine="a", other="b", places=0)


async def test_a_revision_is_loaded_beside_the_one_before_whose_calls_go_on(
    instance: Instance, tmp_path: Path
) -> None:
    """W32: hot reload interrupted what ran, wherever it was."""
    waits = """
import os, time
def action(req):
    open(req.param("begun"), "w").close()
    while not os.path.exists(req.param("gate")):
        time.sleep(0.01)
    return "v1 ended"
"""
    folder = str(tmp_path)
    await instance.load("v1", waits)
    running = asyncio.create_task(
        instance.call("v1", begun=f"{folder}/begun", gate=f"{folder}/gate")
    )
    await asyncio.to_thread(_await_file, f"{folder}/begun")
    for number in (2, 3, 4):
        await instance.load(f"v{number}", f"def action(req):\n    return 'v{number}'\n")

    _, newest = await instance.call("v4")
    _, before = await instance.call("v3")
    with pytest.raises(NotTaken, match="has not loaded"):
        await instance.call("v2")
    await asyncio.to_thread(_touch, f"{folder}/gate")
    _, first = await running

    assert (newest, before, first) == (b"v4", b"v3", b"v1 ended")


async def test_a_revision_that_calls_go_to_is_kept_beside_the_two_newest(
    instance: Instance,
) -> None:
    for number in (1, 2, 3, 4):
        text = f"def action(req):\n    return 'v{number}'\n"
        await instance.load(f"v{number}", text, keep=("v1",))

    answers = [(await instance.call(name))[1] for name in ("v1", "v3", "v4")]
    with pytest.raises(NotTaken, match="has not loaded"):
        await instance.call("v2")
    await instance.load("v5", "def action(req):\n    return 'v5'\n")
    with pytest.raises(NotTaken, match="has not loaded"):
        await instance.call("v1")

    assert answers == [b"v1", b"v3", b"v4"]


async def test_a_call_that_nobody_waits_for_is_ended_and_its_place_is_free(
    instance: Instance, tmp_path: Path
) -> None:
    waits = """
import time
def action(req):
    if req.params:
        open(req.param("begun"), "w").close()
        time.sleep(600)
    return "free"
"""
    await instance.load("v1", waits)
    running = asyncio.create_task(
        instance.call("v1", places=1, timeout_s=300, begun=str(tmp_path / "begun"))
    )
    await asyncio.to_thread(_await_file, str(tmp_path / "begun"))
    with pytest.raises(NotTaken, match="every place"):
        await instance.call("v1", places=1)

    running.cancel()

    async def is_free() -> bool:
        try:
            return (await instance.call("v1", places=1))[1] == b"free"
        except NotTaken:
            return False

    await until(is_free)


def _await_file(path: str) -> None:
    for _ in range(6000):
        if Path(path).exists():
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} did not come")


def _touch(path: str) -> None:
    Path(path).touch()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def action(req) return", "SyntaxError: expected ':'"),
        ("import nothing_of_this_name\n", "No module named 'nothing_of_this_name'"),
        ("def other(req): ...\n", "action has no function 'action'"),
        ("raise SystemExit(1)\n", "SystemExit: 1"),
        ("from serverless import Stream\n", "cannot import name 'Stream'"),
        ("import os\nos._exit(1)\n", "the process ended while it loaded the code"),
        (
            "import threading, time\n"
            "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
            "def action(req): ...\n",
            "starts threads while it is loaded",
        ),
    ],
)
async def test_code_that_cannot_be_loaded_says_why_and_what_serves_goes_on(
    instance: Instance, text: str, told: str
) -> None:
    """W32: a broken new script killed the runner, again and again."""
    await instance.load("good", HELLO)

    with pytest.raises(LoadFailed) as failed:
        await instance.load("bad", text)
    _, body = await instance.call("good", name="you")

    assert told in str(failed.value)
    assert body == b"hello you"


async def test_only_the_key_that_loaded_first_may_load_and_call(instance: Instance) -> None:
    with pytest.raises(NotTaken, match="403"):
        await instance.call("r1")
    await instance.load("r1", HELLO)

    with pytest.raises(Spoiled, match="another key"):
        await instance.load("r2", HELLO, key="other")
    with pytest.raises(NotTaken, match="403"):
        await instance.call("r1", key="other")
    with pytest.raises(Spoiled, match="loaded for f"):
        await instance.load("r2", HELLO, function="g")


async def test_what_follows_a_line_that_was_refused_is_no_request(instance: Instance) -> None:
    """A caller's body goes there: it must not be read as a request to the door."""
    host, _, port = instance.runner.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    code = packed(Code(function="g", revision="r9", entry="action.action", files={}, env={}))
    load = f"POST /load HTTP/1.1\r\nCube-Key: theirs\r\nContent-Length: {len(code)}\r\n\r\n"

    writer.write(b"POST /line HTTP/1.1\r\nCube-Key: key\r\nContent-Length: 0\r\n\r\n")
    writer.write(load.encode() + code)
    async with asyncio.timeout(60):
        answered = await reader.read()
    writer.close()

    assert answered.startswith(b"HTTP/1.1 403 ")
    assert answered.count(b"HTTP/1.1") == 1
    # Nobody has taken the instance.
    await instance.load("r1", HELLO)
    assert (await instance.call("r1"))[1] == b"hello world"


async def test_an_instance_without_lines_is_outdated() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(wire.answer_bytes(404, b"nothing is here", "text/plain"))
        await reader.read()
        writer.close()

    speaking = HttpInstances()
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as old:
        address = f"127.0.0.1:{old.sockets[0].getsockname()[1]}"
        head = CallHead(call="c-1", method="GET", path="/", timeout_s=60.0, places=1)
        with pytest.raises(Outdated, match="older than the gateway"):
            await speaking.call(address, KEY, "r1", head, b"")


async def test_an_instance_of_an_older_image_is_taken_away_and_another_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with functions_world(tmp_path) as world:
        await world.deploy("hello", HELLO)
        await world.loaded("hello")
        await world.route("hello", "/hello", "hello")
        assert (await world.call("/hello?name=x"))[:2] == (200, "hello x")
        (old,) = await world.pods("hello")
        older = world.node.runners[old].address
        ask = Lines.ask

        async def asked(
            self: Lines, address: str, key: str, frame: bytes, deadline_s: float
        ) -> RawAnswer:
            if address == older:
                raise NoLines("HTTP/1.1 404 Error")
            return await ask(self, address, key, frame, deadline_s)

        monkeypatch.setattr(Lines, "ask", asked)
        status, text, _ = await world.call("/hello?name=x")

        assert (status, text) == (200, "hello x")

        async def is_gone() -> bool:
            return old not in await world.pods("hello")

        await until(is_gone)


async def test_loading_what_is_loaded_takes_no_time(instance: Instance) -> None:
    assert await instance.load("r1", HELLO) > 0
    assert await instance.load("r1", HELLO) == 0


async def test_an_instance_that_dies_loses_its_call_and_takes_no_other(instance: Instance) -> None:
    await instance.load("r1", "import time\ndef action(req):\n    time.sleep(600)\n")
    running = asyncio.create_task(instance.call("r1", timeout_s=600.0))
    await asyncio.to_thread(_await_worker, instance.runner.process.pid)

    await asyncio.to_thread(instance.runner.end)

    with pytest.raises(Lost):
        await running
    with pytest.raises((NotTaken, Lost)):
        await instance.call("r1")


def _await_worker(nursery: int) -> None:
    """Return when a zygote of the runner has forked."""
    for _ in range(6000):
        children = _children(nursery)
        if any(_children(one) for one in children):
            return
        time.sleep(0.01)
    raise AssertionError("no worker was forked")


def _children(process: int) -> list[int]:
    text = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(one) for one in text.split()]
