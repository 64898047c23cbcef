"""`cubectl function run`: files are called on this machine, and no cluster is asked."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from cubectl.functions.local import stamps_of
from tests.unit.cubectl.tinyserver import TinyServer, run

PATIENCE_S = 60.0


def written(folder: Path, text: str, name: str = "hello.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_is_called_as_an_instance_calls_it_and_no_server_is_asked(tmp_path: Path) -> None:
    server = TinyServer()
    code = written(
        tmp_path,
        "import os\n"
        "from serverless import Response\n"
        "def action(req):\n"
        "    print('called')\n"
        "    told = [req.param('name'), req.body(), os.environ['GREETING'], req.method]\n"
        "    return Response(' '.join(told), http_status=201)\n",
    )

    said = run(server, f"function run {code} -p name=x -d body --env GREETING=hi")

    assert (said.code, said.out, said.err) == (0, "x body hi POST\n", "called\n")
    assert server.asked == []


def test_files_of_a_folder_find_each_other_and_an_entry_may_be_anywhere(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    written(tmp_path / "shop", "WORD = 'hello'\n", "words.py")
    written(
        tmp_path, "from shop.words import WORD\nasync def serve(req):\n    return WORD\n", "a.py"
    )

    said = run(TinyServer(), f"function run {tmp_path} --entry a.serve")

    assert (said.code, said.out) == (0, "hello\n"), said.err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def action(req):\n    return {}['missing']\n", "KeyError: 'missing'"),
        ("import nothing_of_this_name\n", "the function cannot be loaded"),
        ("import os\ndef action(req):\n    os._exit(3)\n", "ended before it answered"),
        ("import time\ndef action(req):\n    time.sleep(600)\n", "took longer than 1 s"),
        (
            "from serverless import Response\ndef action(req):\n    return Response('no', 404)\n",
            "the call ended with 404",
        ),
    ],
)
def test_a_function_that_fails_says_how(tmp_path: Path, text: str, told: str) -> None:
    timeout = "--timeout 1" if "sleep" in text else ""

    said = run(TinyServer(), f"function run {written(tmp_path, text)} {timeout}")

    assert said.code == 1
    assert told in said.err


@pytest.mark.parametrize("end", ["return 'fine'", "os._exit(0)", "time.sleep(600)"])
def test_what_a_function_started_ends_with_it_and_its_answer_waits_for_none_of_it(
    tmp_path: Path, end: str
) -> None:
    """What is started holds the write end of a pipe: that pipe ends when all of them have."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    text = (
        "import os, subprocess, time\n"
        "def action(req):\n"
        f"    with open({str(pipe)!r}, 'wb') as held:\n"
        "        held.write(b'x')\n"
        "        held.flush()\n"
        "        subprocess.Popen(['sleep', '600'], pass_fds=[held.fileno()])\n"
        f"        {end}\n"
    )
    # So long it would wait at least, if it waited for what was started.
    timeout = "--timeout 1" if "600" in end else "--timeout 300"

    said = run(TinyServer(), f"function run {written(tmp_path, text)} {timeout}")

    assert (said.code, said.out) == ((0, "fine\n") if "fine" in end else (1, ""))
    os.set_blocking(reader, True)
    assert (os.read(reader, 1), os.read(reader, 1)) == (b"x", b"")
    os.close(reader)


def test_a_function_that_invokes_another_says_which(tmp_path: Path) -> None:
    text = "from serverless import Invoke\ndef action(req):\n    return Invoke('add', {'a': 1})\n"

    said = run(TinyServer(), f"function run {written(tmp_path, text)}")

    assert (said.code, said.out) == (0, 'invokes add with {"a": 1}\n')


def test_a_folder_that_is_named_as_a_module_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "raise ValueError('not this one')\n", "json.py")
    code = written(tmp_path, "def action(req):\n    return 'fine'\n")
    monkeypatch.chdir(tmp_path)

    assert run(TinyServer(), f"function run {code}").out == "fine\n"


def test_secrets_are_not_read_here(tmp_path: Path) -> None:
    code = written(tmp_path, "def action(req): ...\n")

    said = run(TinyServer(), f"function run {code} --secret A=b/c")

    assert said.code == 2
    assert "give their variables by --env" in said.err


def test_a_change_of_a_file_is_seen_and_what_python_leaves_is_not(tmp_path: Path) -> None:
    code = written(tmp_path, "1")
    before = stamps_of([tmp_path])
    (tmp_path / "__pycache__").mkdir()
    written(tmp_path / "__pycache__", "x", "hello.pyc")
    same = stamps_of([tmp_path])
    written(tmp_path, "2", "other.py")

    assert before == same == stamps_of([code])
    assert stamps_of([tmp_path]) != before
    assert stamps_of([tmp_path / "absent"]) == {}


async def test_a_file_that_is_watched_is_called_again_when_it_changes(tmp_path: Path) -> None:
    code = written(tmp_path, "def action(req):\n    return 'first'\n")
    argv = [sys.executable, "-m", "cubectl", "function", "run", str(code), "--watch"]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None

    async def until_said(word: bytes) -> None:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while word not in await process.stdout.readline():
                assert process.returncode is None

    try:
        await until_said(b"first")
        written(tmp_path, "def action(req):\n    return 'the second'\n")
        await until_said(b"the second")
    finally:
        process.kill()
        await process.wait()
