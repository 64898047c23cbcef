"""The same programs on a fake and on a real runtime, and the few acts that tests of both need."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from cubernetes.host.env import Env
from kubelet.runtime.docker import DockerRuntime
from kubelet.runtime.driver import (
    Container,
    ContainerSpec,
    ExecSpec,
    LogOptions,
    Output,
    RuntimeDriver,
    SandboxSpec,
    State,
)
from kubelet.runtime.fake import Behaviour, FakeMachine, FakeRuntime
from kubelet.runtime.fake_exec import Command
from tests.contract.runtime.private_docker import PrivateDocker

MEMORY_BYTES = 32 << 20
FOREVER = ("sh", "-c", "trap 'exit 143' TERM; sleep 1000 & wait")
TALK = ("sh", "-c", "echo one; echo two >&2; echo three; trap 'exit 143' TERM; sleep 1000 & wait")


@dataclass(frozen=True)
class Program:
    """The same behaviour, as a real command and as a fake's script."""

    command: Sequence[str]
    behaviour: Behaviour


CAT, EXIT_3 = ("cat",), ("sh", "-c", "exit 3")
SPEAK = ("sh", "-c", "echo out; echo err >&2")
SLEEP = ("sleep", "1000")
CLING = ("sh", "-c", "trap '' HUP TERM; echo ready; while true; do sleep 1; done")
LAST = ("sh", "-c", "echo ready; exec sleep 1000")
COMMANDS = {
    CAT: Command(echoes=True),
    EXIT_3: Command(exit_code=3),
    SPEAK: Command((Output(False, b"out\n"), Output(True, b"err\n"))),
    SLEEP: Command(runs_on=True),
    LAST: Command((Output(False, b"ready\n"),), runs_on=True),
    CLING: Command((Output(False, b"ready\n"),), runs_on=True, ignores_hangup=True),
}
PROGRAMS = {
    "forever": Program(FOREVER, Behaviour(commands=COMMANDS)),
    "succeeds": Program(("sh", "-c", "exit 0"), Behaviour(exits_after_s=0.01)),
    "fails-3": Program(("sh", "-c", "exit 3"), Behaviour(exits_after_s=0.01, exit_code=3)),
    "eats-memory": Program(("tail", "/dev/zero"), Behaviour(exits_after_s=0.01, oom_killed=True)),
    "talks": Program(TALK, Behaviour(output=(b"one\n", b"three\n"), errors=(b"two\n",))),
    "echoes": Program(CAT, Behaviour(echoes=True)),
    "is-deaf": Program(("sleep", "1000"), Behaviour(ignores_term=True)),
    "is-missing": Program(
        ("/no/such/program",), Behaviour(start_error="exec: /no/such/program: no such file")
    ),
}


class World(Protocol):
    """A runtime, seen from outside."""

    def driver(self) -> RuntimeDriver:
        """Return a new driver, as a kubelet that has just started makes it."""
        ...

    def image(self, program: str) -> str:
        """Return the image that a program is in."""
        ...

    def lose_runtime(self) -> None: ...

    def return_runtime(self) -> None: ...

    def kill(self, container: Container) -> None:
        """Kill the container's process behind the runtime's back."""
        ...

    def silent_on(self, container: Container) -> AbstractAsyncContextManager[None]:
        """Have the runtime not tell what the container does."""
        ...

    def run_command(self, container: Container, command: Sequence[str]) -> None:
        """Begin a command in the container, as an administrator does: by no driver."""
        ...

    def running_commands(self, container: Container) -> int:
        """Return how many commands run in the container beside its own."""
        ...


class FakeWorld:
    def __init__(self) -> None:
        behaviours = {name: program.behaviour for name, program in PROGRAMS.items()}
        behaviours["nowhere/missing:1"] = Behaviour(pull_error="manifest unknown")
        self.machine = FakeMachine(Env(), behaviours, [*PROGRAMS, "pause:1"])

    def driver(self) -> RuntimeDriver:
        return FakeRuntime(self.machine)

    def image(self, program: str) -> str:
        return program

    def lose_runtime(self) -> None:
        self.machine.is_down = True
        self.machine.break_streams()

    def return_runtime(self) -> None:
        self.machine.is_down = False

    def kill(self, container: Container) -> None:
        self.machine.end(container.id, 137)

    @asynccontextmanager
    async def silent_on(self, container: Container) -> AsyncIterator[None]:
        self.machine.silent_on.add(container.id)
        yield
        self.machine.silent_on.remove(container.id)

    def run_command(self, container: Container, command: Sequence[str]) -> None:
        self.machine.execute(self.machine.lives[container.id], ExecSpec(command))

    def running_commands(self, container: Container) -> int:
        return len(self.machine.lives[container.id].executions)


class DockerWorld:
    def __init__(self, engine: PrivateDocker) -> None:
        self.engine = engine

    def driver(self) -> DockerRuntime:
        engine = self.engine
        folder, run = engine.folder / "kubelet", engine.folder / "run"
        return DockerRuntime(Env(), engine.socket, folder, run, cgroup_root=engine.cgroup_root)

    def image(self, program: str) -> str:
        return "busybox:1"

    def lose_runtime(self) -> None:
        self.engine.kill()

    def return_runtime(self) -> None:
        self.engine.start()

    def kill(self, container: Container) -> None:
        os.kill(container.pid, signal.SIGKILL)

    @asynccontextmanager
    async def silent_on(self, container: Container) -> AsyncIterator[None]:
        """Stop its shim while the engine wants something of it: it holds the container's lock."""
        stat = Path(f"/proc/{container.pid}/stat").read_text()
        shim = int(stat.rpartition(")")[2].split()[1])
        os.kill(shim, signal.SIGSTOP)
        path = f"/containers/{container.id}"
        pausing = asyncio.create_task(
            asyncio.to_thread(self.engine.request, "POST", f"{path}/pause")
        )
        try:
            await until(lambda: self._holds_back(path))
            yield
        finally:
            os.kill(shim, signal.SIGCONT)
            await pausing
            self.engine.request("POST", f"{path}/unpause")

    async def _holds_back(self, path: str) -> bool | None:
        asked = asyncio.to_thread(self.engine.request, "GET", f"{path}/json")
        done, _ = await asyncio.wait([asyncio.ensure_future(asked)], timeout=0.5)
        return None if done else True

    def run_command(self, container: Container, command: Sequence[str]) -> None:
        path, body = f"/containers/{container.id}/exec", json.dumps({"Cmd": list(command)})
        made = json.loads(self.engine.request("POST", path, body.encode()))
        self.engine.request("POST", f"/exec/{made['Id']}/start", b'{"Detach": true}')

    def running_commands(self, container: Container) -> int:
        found = json.loads(self.engine.request("GET", f"/containers/{container.id}/json"))
        states = (
            json.loads(self.engine.request("GET", f"/exec/{one}/json"))
            for one in found["ExecIDs"] or ()
        )
        return sum(bool(state["Running"]) for state in states)


async def remove_all(world: World) -> None:
    driver = world.driver()
    for container in await driver.containers():
        await driver.remove(container.id)
    await driver.close()


def a_sandbox(uid: str = "0a-1b") -> SandboxSpec:
    return SandboxSpec(uid, "web-0", "default", "web-0", "pause:1")


def a_container(world: World, program: str, uid: str = "0a-1b") -> ContainerSpec:
    command = PROGRAMS[program].command
    image = world.image(program)
    return ContainerSpec(uid, "web-0", "default", "main", image, command=command, spec_hash="h1")


async def a_running(
    world: World, driver: RuntimeDriver, program: str = "forever", **fields: Any
) -> Container:
    sandbox = await driver.start_sandbox(a_sandbox())
    spec = replace(a_container(world, program), **fields)
    return await driver.start_container(spec, sandbox.id)


async def the(driver: RuntimeDriver, container_id: str) -> Container | None:
    found = {container.id: container for container in await driver.containers()}
    return found.get(container_id)


async def ended(driver: RuntimeDriver, container_id: str, limit_s: float = 60.0) -> Container:
    async def holds() -> Container | None:
        found = await the(driver, container_id)
        return found if found is not None and found.state is State.EXITED else None

    return await until(holds, limit_s)


@asynccontextmanager
async def followed(driver: RuntimeDriver) -> AsyncIterator[None]:
    """Follow the driver's events meanwhile, as a kubelet does."""
    async with aclosing(driver.events()) as events:
        assert await anext(events) == ""

        async def follow() -> None:
            async for _ in events:
                pass

        following = asyncio.create_task(follow())
        try:
            yield
        finally:
            following.cancel()
            await asyncio.wait([following])


async def until[T](holds: Callable[[], Awaitable[T | None]], limit_s: float = 60.0) -> T:
    """Ask again until there is an answer, and return it."""
    async with asyncio.timeout(limit_s):
        while True:
            if (found := await holds()) is not None:
                return found
            await asyncio.sleep(0.05)


async def all_logs(driver: RuntimeDriver, container_id: str, options: LogOptions) -> bytes:
    async with aclosing(driver.logs(container_id, options)) as pieces:
        return b"".join([piece async for piece in pieces])
