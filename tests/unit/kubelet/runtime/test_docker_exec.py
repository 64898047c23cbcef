"""The end of a command in a container, also where its engine knows it no more."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from cubernetes.host.blocking import Threads
from cubernetes.host.clock import SystemClock
from kubelet.runtime.docker_api import EngineError
from kubelet.runtime.docker_exec import DockerExecution, Note, Notes, Process, note_of, notes_in
from kubelet.runtime.driver import RuntimeDown

DEADLINE_S = 60.0


class QuickClock(SystemClock):
    """Every pause is over at once."""

    async def sleep(self, span_s: float) -> None:
        await asyncio.sleep(0)


class HastyClock(QuickClock):
    """Every look at it is a second after the one before."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def monotonic(self) -> float:
        self._now_s += 1.0
        return self._now_s


class Engine:
    """Tells of one exec, whose process is pid, until it has died or forgotten."""

    def __init__(self, pid: int) -> None:
        self.told: dict[str, Any] = {"Running": True, "ExitCode": None, "Pid": pid}
        self.trouble: Exception | None = None
        self.was_asked = asyncio.Event()

    async def call(self, method: str, path: str, **_: object) -> dict[str, Any]:
        assert (method, path) == ("GET", "/exec/e1/json")
        self.was_asked.set()
        if self.trouble is not None:
            raise self.trouble
        return self.told

    @asynccontextmanager
    async def hijack(self, target: str, body: object) -> AsyncIterator[None]:
        assert target == "/exec/e1/start"
        yield


@pytest.fixture
def command() -> Iterator[subprocess.Popen[bytes]]:
    """A process of a session of its own, as the engine begins commands."""
    made = subprocess.Popen(["sleep", "600"], start_new_session=True)
    yield made
    made.kill()
    made.wait()


async def begun(engine: Any, folder: Path, container_id: str = "") -> DockerExecution:
    """Begin a command, and wait until its process is known; an empty id is in every group."""
    notes = Notes(Threads(), folder)
    await notes.begin("e1", container_id)
    one = DockerExecution(engine, QuickClock(), notes, "e1", Note(container_id))
    async with asyncio.timeout(DEADLINE_S):
        await one.start(is_terminal=False)
        await until(lambda: note_of((folder / "e1").read_text()).process.pid)
    return one


async def until(holds: Callable[[], object]) -> None:
    while True:
        if holds():
            return
        await asyncio.sleep(0)


def left_by_another(engine: Any, folder: Path) -> DockerExecution:
    """Return the command as a driver finds it that has begun none."""
    note = note_of((folder / "e1").read_text())
    return DockerExecution(engine, QuickClock(), Notes(Threads(), folder), "e1", note)


async def test_what_the_engine_says_is_over_is_not_touched(
    command: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    engine = Engine(command.pid)
    one = await begun(engine, tmp_path)
    engine.told = {"Running": False, "ExitCode": 0, "Pid": command.pid}
    await one.end()
    assert command.poll() is None


@pytest.mark.parametrize(
    "trouble", [RuntimeDown("connection refused"), EngineError(404, "no such exec")]
)
async def test_a_command_dies_whose_engine_has_died_or_forgotten_it(
    command: subprocess.Popen[bytes], trouble: Exception, tmp_path: Path
) -> None:
    engine = Engine(command.pid)
    one = await begun(engine, tmp_path)
    engine.trouble = trouble
    expected = pytest.raises(RuntimeDown) if isinstance(trouble, RuntimeDown) else nullcontext()
    async with asyncio.timeout(DEADLINE_S):
        with expected:
            await one.end()
    assert command.wait(DEADLINE_S) == -9


async def test_a_process_of_another_container_is_left_alone(
    command: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    engine = Engine(command.pid)
    one = await begun(engine, tmp_path, container_id="in-no-control-group")
    engine.trouble = EngineError(404, "no such exec")
    await one.end()
    assert command.poll() is None


@pytest.mark.parametrize("is_same", [True, False])
async def test_what_was_left_dies_though_its_engine_has_forgotten_it(
    command: subprocess.Popen[bytes], tmp_path: Path, is_same: bool
) -> None:
    """The number of a process is not enough: another may have it by now."""
    engine = Engine(command.pid)
    await begun(engine, tmp_path)
    engine.trouble = EngineError(404, "no such exec")
    if not is_same:
        (tmp_path / "e1").write_text(f"\n{command.pid} 1\n")
    await left_by_another(engine, tmp_path).end()
    assert (command.wait(DEADLINE_S) == -9) if is_same else (command.poll() is None)
    assert list(tmp_path.iterdir()) == []


async def test_what_was_noted_and_never_started_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "e1").write_text("c1\n")
    engine: Any = Engine(0)
    engine.told["Running"] = False
    one = DockerExecution(engine, HastyClock(), Notes(Threads(), tmp_path), "e1", Note("c1"))
    await one.end()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["c1", "c1\n", "c1\n12", "c1\n12 3", "c1\n12 345"])
def test_a_note_that_was_cut_off_names_no_process(text: str) -> None:
    assert note_of(text) == Note("c1")
    assert note_of("c1\n12 345\n") == Note("c1", Process(12, 345))


class Speaking(Engine):
    """Says these pieces on the command's connection."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__(0)
        self._pieces: list[bytes | None] = [*pieces, None]

    @asynccontextmanager
    async def hijack(self, target: str, body: object) -> AsyncIterator[Any]:
        yield self

    async def read(self) -> bytes | None:
        return self._pieces.pop(0)


def framed(number: int, text: bytes) -> bytes:
    return bytes((number, 0, 0, 0)) + len(text).to_bytes(4) + text


async def test_what_comes_at_once_of_one_stream_is_one_piece_and_the_order_stays(
    tmp_path: Path,
) -> None:
    said = framed(1, b"one ") + framed(1, b"two ") + framed(2, b"oh") + framed(1, b"three")
    engine: Any = Speaking(said[:-2], said[-2:])
    one = DockerExecution(engine, QuickClock(), Notes(Threads(), tmp_path), "e1", Note("c1"))
    await one.start(is_terminal=False)
    told = []
    while (output := await one.read()) is not None:
        told.append((output.is_stderr, output.text))
    assert told == [(False, b"one two "), (True, b"oh"), (False, b"thr"), (False, b"ee")]
    engine.told = {"Running": False, "ExitCode": 0}
    await one.end()


def test_a_note_that_goes_while_notes_are_read_keeps_back_no_other(tmp_path: Path) -> None:
    (tmp_path / "e1").symlink_to(tmp_path / "gone")
    (tmp_path / "e2").write_text("c2\n")
    assert notes_in(tmp_path) == {"e2": Note("c2")}
