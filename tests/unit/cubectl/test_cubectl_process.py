"""cubectl as a process: how fast it starts, how it ends, and what it leaves on a screen."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cubernetes.client.wire import endings

ROOT = Path(__file__).resolve().parents[3]
# What a process of `get` imports beside what Python itself has at its start; two of them say how
# soon a machine that has lost its power is given up.
MODULES_MAX = 87
# What a process of `apply` or `create` imports before it has read a document.
APPLY_MODULES_MAX = 180
# What `exec` and `port-forward` import, asyncio and all that it needs among them.
REACHING_MODULES_MAX = 180
NOT_TO_REACH_IN = ("aiohttp", "email", "http.client", "msgspec", "pathlib", "urllib.parse", "yaml")
SLOW_TO_IMPORT = (
    "aiohttp", "asyncio", "click", "dataclasses", "email", "grpc", "http.client", "inspect",
    "logging", "msgspec", "pathlib", "shutil", "urllib.parse", "yaml",
)  # fmt: skip


def start(line: str, **changes: str) -> subprocess.Popen[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **changes}
    return subprocess.Popen(
        [sys.executable, "-m", "cubectl", *line.split()],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.imports
def test_nothing_slow_is_imported_to_start() -> None:
    code = (
        "import sys, cubectl.cli, cubectl.verbs.get; "
        f"print([m for m in {SLOW_TO_IMPORT!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


@pytest.mark.imports
def test_what_reaches_in_imports_no_library_of_http_and_few_modules() -> None:
    """`exec` and `port-forward` are half of their start in what they import."""
    code = (
        "import sys; old = len(sys.modules); import cubectl.cli, cubectl.verbs.execute; "
        "import cubectl.connection.remote, cubectl.connection.forwarding; "
        f"print([m for m in {NOT_TO_REACH_IN!r} if m in sys.modules], len(sys.modules) - old)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    found, count = done.stdout.rsplit(maxsplit=1)
    assert found == "[]"
    assert int(count) <= REACHING_MODULES_MAX


@pytest.mark.imports
@pytest.mark.parametrize("code", [0, 3])
def test_how_a_command_ended_is_read_without_the_models(code: int) -> None:
    """They took a third of the processor time of `exec`: 90 of 310 ms."""
    told = endings.status_message(endings.ended(code))[1:]
    line = (
        "import sys; from cubectl.connection.remote import code_in; "
        f"print(code_in({told!r}), [m for m in {NOT_TO_REACH_IN!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", line], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout == f"{code} []\n"


@pytest.mark.imports
def test_few_modules_are_imported_to_start() -> None:
    """Each costs a person time before anything happens; counted, for seconds depend on machines."""
    code = (
        "import sys; old = len(sys.modules); import cubectl.cli, cubectl.verbs.get; "
        "print(len(sys.modules) - old)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert int(done.stdout) <= MODULES_MAX


@pytest.mark.imports
def test_a_kind_is_imported_only_when_a_document_is_of_it() -> None:
    """There are over forty, and a file has a few: importing them all took as long as the rest."""
    code = (
        "import sys; old = len(sys.modules); "
        "import cubectl.cli, cubectl.verbs.apply, cubectl.verbs.create; "
        "print(len(sys.modules) - old); "
        "from cubectl.objects.judging import model_of; "
        "from cubernetes.api.resource import Resource; "
        "assert model_of(Resource('', 'v1', 'ConfigMap', 'configmaps')).__name__ == 'ConfigMap'; "
        "from cubernetes.api.meta import Object; "
        "print(*sorted(one.__name__ for one in Object.__subclasses__() if 'resource' in vars(one)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    count, known = done.stdout.splitlines()
    assert int(count) <= APPLY_MODULES_MAX
    assert known == "ConfigMap"


@pytest.mark.parametrize(
    ("where", "why"), [("> /dev/full", "No space left on device"), (">&-", "stdout is closed")]
)
def test_an_answer_that_cannot_be_written_is_told_in_one_line(where: str, why: str) -> None:
    line = f"exec {sys.executable} -m cubectl version --client {where}"
    done = subprocess.run(
        ["sh", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 1
    assert done.stderr == f"cubectl: the answer cannot be written: {why}\n"


def test_an_absent_server_is_one_line_with_a_hint() -> None:
    code, out, err = ended(start("get pods --server https://127.0.0.1:1"))

    assert (code, out) == (1, "")
    assert err == (
        "cubectl: cannot reach https://127.0.0.1:1: connection refused "
        "(does the API server run there?)\n"
    )


@pytest.mark.parametrize(
    ("server", "told"),
    [
        ("http://127.0.0.1:1", "must be https"),
        ("https://nowhere.invalid:1", "its name has no address"),
    ],
)
def test_a_wrong_server_is_explained(server: str, told: str) -> None:
    code, _, err = ended(start(f"get pods --server {server}"))

    assert code == 1
    assert told in err
    assert err.count("\n") == 1


def test_help_is_printed_and_is_no_error() -> None:
    for line in ("", "--help", "get --help"):
        code, out, err = ended(start(line))
        assert (code, err) == (0, "")
        assert out.startswith("usage: cubectl")


def test_a_reader_that_has_seen_enough_ends_it_without_a_word() -> None:
    process = start("--help")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()

    assert (process.wait(timeout=60), err) == (0, "")


def test_an_interrupt_ends_it_without_a_story(tmp_path: Path) -> None:
    fifo = tmp_path / "slow.yaml"
    os.mkfifo(fifo)
    process = start(f"apply -f {fifo} --server https://127.0.0.1:1")
    # Open for writing as soon as it reads: then it is in the midst of its work.
    handle = os.open(fifo, os.O_WRONLY)
    process.send_signal(signal.SIGINT)

    # Held open until it has ended: it waits for more, and nothing but the signal can end that.
    code, out, err = ended(process)
    os.close(handle)

    assert (code, out, err) == (130, "", "")


INTERRUPTED_WHILE_READ = """
import os, signal, sys

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "cubectl.cli":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
from cubectl.entry import main
sys.exit(main())
"""


def test_an_interrupt_before_it_has_begun_ends_it_without_a_story() -> None:
    argv = [sys.executable, "-c", INTERRUPTED_WHILE_READ, "version"]
    done = subprocess.run(argv, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


@pytest.mark.parametrize(
    "changes", [{"LANG": "C", "LC_ALL": "C"}, {"NO_COLOR": "1"}, {"TERM": "dumb"}]
)
def test_no_environment_makes_it_write_commands_to_a_terminal(changes: dict[str, str]) -> None:
    _, out, err = ended(start("get pods --server https://127.0.0.1:1 x\u202ey", **changes))

    assert (out + err).replace("\n", "").isprintable()
