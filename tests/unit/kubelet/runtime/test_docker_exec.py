"""The end of a command in a container, also where its engine knows it no more."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import pytest

from cubernetes.host.blocking import Threads
from cubernetes.host.clock import SystemClock
from kubelet.runtime.docker_api import EngineError
from kubelet.runtime.docker_exec import DockerExecution
from kubelet.runtime.driver import RuntimeDown

DEADLINE_S = 60.0


class QuickClock(SystemClock):
    """Every pause is over at once."""

    async def sleep(self, span_s: float) -> None:
        await asyncio.sleep(0)


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


async def begun(engine: Any, container_id: str = "") -> DockerExecution:
    """Begin a command, and wait until its process is known; an empty id is in every group."""
    one = DockerExecution(engine, QuickClock(), Threads(), "e1", container_id)
    async with asyncio.timeout(DEADLINE_S):
        await one.start(is_terminal=False)
        await engine.was_asked.wait()
        await asyncio.sleep(0)
    return one


async def test_what_the_engine_says_is_over_is_not_touched(
    command: subprocess.Popen[bytes],
) -> None:
    engine = Engine(command.pid)
    one = await begun(engine)
    engine.told = {"Running": False, "ExitCode": 0, "Pid": command.pid}
    await one.end()
    assert command.poll() is None


@pytest.mark.parametrize(
    "trouble", [RuntimeDown("connection refused"), EngineError(404, "no such exec")]
)
async def test_a_command_dies_whose_engine_has_died_or_forgotten_it(
    command: subprocess.Popen[bytes], trouble: Exception
) -> None:
    engine = Engine(command.pid)
    one = await begun(engine)
    engine.trouble = trouble
    expected = pytest.raises(RuntimeDown) if isinstance(trouble, RuntimeDown) else nullcontext()
    async with asyncio.timeout(DEADLINE_S):
        with expected:
            await one.end()
    assert command.wait(DEADLINE_S) == -9


async def test_a_process_of_another_container_is_left_alone(
    command: subprocess.Popen[bytes],
) -> None:
    engine = Engine(command.pid)
    one = await begun(engine, container_id="in-no-control-group")
    engine.trouble = EngineError(404, "no such exec")
    await one.end()
    assert command.poll() is None
