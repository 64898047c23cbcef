"""Programs in containers, reached by Docker: commands that are run there, and their own program."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

from cubernetes.host.blocking import Blocking
from cubernetes.host.clock import Clock
from cubernetes.host.web.upgrade import ByteStream
from kubelet.runtime.docker_api import DockerApi, EngineError, Silent
from kubelet.runtime.docker_stream import Frames
from kubelet.runtime.docker_words import Json, attach_target, exec_body
from kubelet.runtime.driver import AttachSpec, ExecSpec, Output, RuntimeDown, RuntimeTrouble

STDERR = 2
# The engine closes the streams a moment before it knows the exit code.
EXIT_DEADLINE_S = 10.0
POLL_S = 0.02
# A command that is over sooner leaves nothing, and costs no further question.
LEARN_S = 1.0
type Signals = tuple[signal.Signals, ...]
# How a command is ended whose client has gone, and how long each way may take. A shell ends by the
# first, as with its terminal; what was started deaf to it ends by the second.
ENDINGS: tuple[tuple[Signals, float], ...] = (
    ((signal.SIGHUP, signal.SIGTERM), 5.0),
    ((signal.SIGKILL,), 5.0),
)
RESIZE_DEADLINE_S = 5.0
CANNOT_START, NOT_FOUND = 126, 127
ABSENT = (b"executable file not found", b"no such file or directory")
KILLED = 137  # the exit code of what ended with its container
REASONS = {404: "ContainerNotFound", 409: "ContainerNotRunning"}


async def executed(
    api: DockerApi, clock: Clock, blocking: Blocking, container_id: str, spec: ExecSpec
) -> "DockerExecution":
    """Begin a command; see RuntimeDriver.exec."""
    try:
        path = f"/containers/{container_id}/exec"
        made = await api.call("POST", path, body=exec_body(spec))
        one = DockerExecution(api, clock, blocking, made["Id"], container_id)
        await one.start(is_terminal=spec.tty)
    except EngineError as refused:
        reason = REASONS.get(refused.status, "ExecError")
        raise RuntimeTrouble(reason, str(refused)) from refused
    if not spec.stdin:
        await one.finish()
    return one


async def attached(
    api: DockerApi, clock: Clock, container_id: str, spec: AttachSpec
) -> "DockerAttachment":
    """Reach a container's own program; see RuntimeDriver.attach."""
    one = DockerAttachment(api, clock, container_id)
    try:
        await one.start(spec)
    except EngineError as refused:
        reason = REASONS.get(refused.status, "AttachError")
        raise RuntimeTrouble(reason, str(refused)) from refused
    return one


class _Streams:
    """A connection that has become the streams of a program."""

    def __init__(self, api: DockerApi, clock: Clock) -> None:
        self._api, self._clock = api, clock
        self._calls = AsyncExitStack()
        self._opened: ByteStream | None = None
        self._frames: Frames | None = None
        self._come: Iterator[Output] = iter(())
        self._last = b""

    async def _open(self, target: str, body: object, *, is_terminal: bool) -> None:
        """Raises: Refused, RuntimeDown."""
        self._frames = None if is_terminal else Frames()
        self._opened = await self._calls.enter_async_context(self._api.hijack(target, body))

    @property
    def _stream(self) -> ByteStream:
        assert self._opened is not None  # noqa: S101  start comes first
        return self._opened

    async def read(self) -> Output | None:
        while True:
            for output in self._come:
                self._last = output.text
                return output
            piece = await self._stream.read()
            if piece is None:
                return None
            self._come = self._outputs(piece)

    async def write(self, piece: bytes) -> None:
        await self._stream.write(piece)

    async def finish(self) -> None:
        await self._stream.finish()

    def abort(self) -> None:
        self._stream.abort()

    def _outputs(self, piece: bytes) -> Iterator[Output]:
        if self._frames is None:
            return iter((Output(is_stderr=False, text=piece),))
        numbered = self._frames.feed_numbered(piece)
        return (Output(number == STDERR, text) for number, text in numbered)


class DockerAttachment(_Streams):
    """The streams of a container's own program, from now on."""

    def __init__(self, api: DockerApi, clock: Clock, container_id: str) -> None:
        super().__init__(api, clock)
        self._id = container_id
        self._ends_input = False

    async def start(self, spec: AttachSpec) -> None:
        """Raises: Refused, RuntimeTrouble."""
        self._ends_input = spec.is_stdin_once and not spec.is_terminal
        target = attach_target(self._id, spec)
        await self._open(target, None, is_terminal=spec.is_terminal)
        if not await self._is_running():
            # The engine attaches to what has ended as well, and waits for its next life.
            await self.end()
            raise RuntimeTrouble("ContainerNotRunning", f"container {self._id} does not run")

    async def finish(self) -> None:
        """End the program's input where it is to end: else Docker would close the output."""
        if self._ends_input:
            await super().finish()

    async def resize(self, width: int, height: int) -> None:
        query = {"w": str(width), "h": str(height)}
        try:
            await self._api.call("POST", f"/containers/{self._id}/resize", query=query)
        except EngineError as refused:
            if await self._is_running():
                raise RuntimeTrouble("ResizeError", str(refused)) from refused

    async def exit_code(self) -> int:
        give_up_s = self._clock.monotonic() + EXIT_DEADLINE_S
        while await self._is_running():
            if self._clock.monotonic() > give_up_s:
                raise RuntimeTrouble("AttachError", "the container runs on, and was let go of")
            await self._clock.sleep(POLL_S)
        return 0

    async def end(self) -> None:
        await self._calls.aclose()

    async def _is_running(self) -> bool:
        try:
            found = await self._api.call("GET", f"/containers/{self._id}/json")
        except EngineError as refused:
            if refused.status == 404:
                return False
            raise RuntimeTrouble("AttachError", str(refused)) from refused
        return bool(found["State"].get("Running"))


class DockerExecution(_Streams):
    """An exec of Docker. Its start is a connection that becomes the command's streams."""

    def __init__(
        self, api: DockerApi, clock: Clock, blocking: Blocking, exec_id: str, container_id: str
    ) -> None:
        super().__init__(api, clock)
        self._blocking, self._id, self._container_id = blocking, exec_id, container_id
        self._pid = 0  # as the engine told it; 0 where it has not
        self._learning: asyncio.Task[None] | None = None

    async def start(self, *, is_terminal: bool) -> None:
        """Start it. Raises: Refused, RuntimeDown."""
        body = {"Detach": False, "Tty": is_terminal}
        try:
            await self._open(f"/exec/{self._id}/start", body, is_terminal=is_terminal)
        except (RuntimeDown, asyncio.CancelledError):
            # Whether it has begun is not known.
            with suppress(RuntimeTrouble):
                await self.end()
            raise
        self._learning = asyncio.create_task(self._learn())

    async def _learn(self) -> None:
        """Remember the process of a command that lasts: an engine that dies forgets it."""
        await self._clock.sleep(LEARN_S)
        with suppress(RuntimeTrouble):
            self._pid = int((await self._found()).get("Pid") or 0)

    async def resize(self, width: int, height: int) -> None:
        query = {"w": str(width), "h": str(height)}
        give_up_s = self._clock.monotonic() + RESIZE_DEADLINE_S
        while True:
            try:
                await self._api.call("POST", f"/exec/{self._id}/resize", query=query)
            except EngineError as refused:
                if is_over(await self._found()):
                    return
                if self._clock.monotonic() > give_up_s:
                    raise RuntimeTrouble("ResizeError", str(refused)) from refused
                # Its command has not quite begun.
                await self._clock.sleep(POLL_S)
            else:
                return

    async def exit_code(self) -> int:
        found = await self._until_over(EXIT_DEADLINE_S)
        if found is None:
            raise Silent(f"the exit code of exec {self._id} is not told")
        return code_of(found, self._last)

    async def end(self) -> None:
        if self._learning is not None:
            self._learning.cancel()
        await self._calls.aclose()
        try:
            found = await self._ended()
        except RuntimeTrouble:
            await self._kill_unknown()
            raise
        if not found:  # with its container, or with what an engine that died had known
            await self._kill_unknown()

    async def _ended(self) -> Json:
        """End it, and return what the engine says of it then. Raises: RuntimeTrouble."""
        for signals, wait_s in ENDINGS:
            found = await self._until_over(wait_s, signals)
            if found is not None:
                return found
        raise Silent(f"exec {self._id} cannot be killed")

    async def _kill_unknown(self) -> None:
        """Kill the command where the engine does not, or no more, answer for it."""
        if self._pid:
            await self._signal(self._pid, (signal.SIGKILL,))

    async def _found(self) -> Json:
        """Return what the engine says of the exec; nothing where it knows it no more."""
        try:
            found: Json = await self._api.call("GET", f"/exec/{self._id}/json")
        except EngineError as refused:
            if refused.status == 404:  # it went with its container
                return {}
            raise RuntimeTrouble("ExecError", str(refused)) from refused
        return found

    async def _until_over(self, limit_s: float, signals: Signals = ()) -> Json | None:
        """Wait for the end, or for limit_s; send signals once, as soon as there is a process."""
        give_up_s = self._clock.monotonic() + limit_s
        while not is_over(found := await self._found()):
            if signals and found.get("Pid"):
                await self._signal(int(found["Pid"]), signals)
                signals = ()
            if self._clock.monotonic() > give_up_s:
                return None
            await self._clock.sleep(POLL_S)
        return found

    async def _signal(self, pid: int, signals: Signals) -> None:
        send = partial(signal_group, pid, self._container_id, signals)
        await self._blocking.run(("exec", self._id), send)


def is_over(found: Json) -> bool:
    """Whether an exec has ended, or went with its container; one without a code has yet to begin.

    found: what the engine says of it; nothing where it knows it no more.
    """
    return not found or (not found.get("Running") and found.get("ExitCode") is not None)


def code_of(found: Json, last_output: bytes) -> int:
    """Return the exit code of an exec that is over, as a shell tells it.

    The engine calls everything that could not be started 126, and writes why to its output.
    """
    code = int(found.get("ExitCode", KILLED))
    was_started = bool(found.get("Pid"))
    if code == CANNOT_START and not was_started and any(one in last_output for one in ABSENT):
        return NOT_FOUND
    return code


def signal_group(pid: int, container_id: str, signals: Signals) -> None:
    """Send signals to the process group that a process leads, if it is the container's.

    The engine gives each exec a session of its own. A number that has gone to another process
    meanwhile is in no control group of the container.
    """
    with suppress(ProcessLookupError, FileNotFoundError):
        if pid <= 1 or container_id not in Path(f"/proc/{pid}/cgroup").read_text():
            return
        for one in signals:
            if os.getpgid(pid) == pid:
                os.killpg(pid, one)
            else:
                os.kill(pid, one)
