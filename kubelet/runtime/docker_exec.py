"""Programs in containers, reached by Docker: commands that are run there, and their own program."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from cubernetes.host.blocking import Blocking
from cubernetes.host.clock import Clock
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.web.upgrade import ByteStream
from kubelet.runtime.cgroup import has_cgroup, started_ticks
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
LEFT_AT_ONCE = 8  # commands of an earlier driver that are ended at a time
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

log = Log(__name__)


class Process(NamedTuple):
    """A process, whatever has its number later. pid 0: it is not known."""

    pid: int = 0
    ticks: int = 0


class Note(NamedTuple):
    """What the disk has of a command that was begun."""

    container_id: str
    process: Process = Process()


class Notes:
    """A file for each command from before its start to after its end, by the id of its exec.

    So a driver finds what one before it has left, which was killed. The folder is in memory: what
    cuts the power ends the commands as well, and no disk holds up a probe.
    """

    def __init__(self, blocking: Blocking, folder: Path) -> None:
        self.blocking, self._folder = blocking, folder
        self._own: set[str] = set()

    async def begin(self, exec_id: str, container_id: str) -> None:
        """Note a command that this driver is about to start; it is its own from then on."""
        self._own.add(exec_id)
        await self._do(exec_id, partial(append_line, self._folder / exec_id, container_id))

    async def learn(self, exec_id: str, process: Process) -> None:
        text = f"{process.pid} {process.ticks}"
        await self._do(exec_id, partial(append_line, self._folder / exec_id, text))

    async def end(self, exec_id: str) -> None:
        await self._do(exec_id, partial((self._folder / exec_id).unlink, missing_ok=True))

    def let_go(self, exec_id: str) -> None:
        """Count what is still noted of a command among what was left."""
        self._own.discard(exec_id)

    async def left(self) -> dict[str, Note]:
        """Return what is noted of others than this driver's own. Raises: OSError."""
        found = await self.blocking.run(("exec", ""), partial(notes_in, self._folder))
        return {key: note for key, note in found.items() if key not in self._own}

    async def _do(self, exec_id: str, work: Callable[[], None]) -> None:
        try:
            await self.blocking.run(("exec", exec_id), work)
        except OSError as error:
            log.warning("a command is not noted", exec=exec_id, why=error)


def append_line(file: Path, text: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file.open("a") as notes:
        notes.write(f"{text}\n")


def notes_in(folder: Path) -> dict[str, Note]:
    """Return the note of each file; the last line may have been cut off."""
    found: dict[str, Note] = {}
    for one in sorted(folder.iterdir()) if folder.exists() else []:
        with suppress(FileNotFoundError):  # its command has ended meanwhile
            found[one.name] = note_of(one.read_text())
    return found


def note_of(text: str) -> Note:
    container_id, _, rest = text.partition("\n")
    words = rest.split() if rest.endswith("\n") else []
    process = Process(int(words[0]), int(words[1])) if len(words) == 2 else Process()
    return Note(container_id, process)


class Commands:
    """The commands that a driver runs; folder: where it notes them."""

    def __init__(self, env: Env, api: DockerApi, folder: Path) -> None:
        self._api, self._clock = api, env.clock
        self._notes = Notes(env.blocking, folder)

    async def exec(self, container_id: str, spec: ExecSpec) -> "DockerExecution":
        """Begin a command; see RuntimeDriver.exec."""
        path = f"/containers/{container_id}/exec"
        try:
            made = await self._api.call("POST", path, body=exec_body(spec))
            one = self._execution(made["Id"], Note(container_id))
            try:
                await self._notes.begin(made["Id"], container_id)
            except asyncio.CancelledError:
                await one.forget()  # nobody has started it, and nobody will
                raise
            await one.start(is_terminal=spec.tty)
        except EngineError as refused:
            reason = REASONS.get(refused.status, "ExecError")
            raise RuntimeTrouble(reason, str(refused)) from refused
        if not spec.stdin:
            await one.finish()
        return one

    async def attach(self, container_id: str, spec: AttachSpec) -> "DockerAttachment":
        """Reach a container's own program; see RuntimeDriver.attach."""
        one = DockerAttachment(self._api, self._clock, container_id)
        try:
            await one.start(spec)
        except EngineError as refused:
            reason = REASONS.get(refused.status, "AttachError")
            raise RuntimeTrouble(reason, str(refused)) from refused
        return one

    async def end_left(self) -> None:
        """See RuntimeDriver.end_left_commands."""
        turns = asyncio.Semaphore(LEFT_AT_ONCE)

        async def end(exec_id: str, note: Note) -> None:
            async with turns:
                await self._execution(exec_id, note).end()
            log.info("a command that was left is over", container=note.container_id, exec=exec_id)

        try:
            left = await self._notes.left()
            ends = (end(key, note) for key, note in left.items())
            outcomes = await asyncio.gather(*ends, return_exceptions=True)
        except OSError as error:
            raise RuntimeTrouble("ExecError", f"notes of commands: {error}") from error
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    def _execution(self, exec_id: str, note: Note) -> "DockerExecution":
        return DockerExecution(self._api, self._clock, self._notes, exec_id, note)


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
        # The engine frames each write of the command; who reads has no use for so many.
        numbered = self._frames.feed_numbered(piece)
        streams = groupby(numbered, key=itemgetter(0))
        return (
            Output(number == STDERR, b"".join(map(itemgetter(1), of))) for number, of in streams
        )


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
        self, api: DockerApi, clock: Clock, notes: Notes, exec_id: str, note: Note
    ) -> None:
        super().__init__(api, clock)
        self._notes, self._id, self._container_id = notes, exec_id, note.container_id
        self._process = note.process  # as the engine told it; none where it has not
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
        except EngineError:
            await self.forget()
            raise
        self._learning = asyncio.create_task(self._learn())

    async def _learn(self) -> None:
        """Remember the process of a command that lasts: an engine that dies forgets it."""
        await self._clock.sleep(LEARN_S)
        with suppress(RuntimeTrouble):
            pid = int((await self._found()).get("Pid") or 0)
            read = partial(process_now, pid)
            self._process = await self._notes.blocking.run(("exec", self._id), read)
            if self._process.pid:
                await self._notes.learn(self._id, self._process)

    async def forget(self) -> None:
        """Take its note away: it is over, or was never started."""
        await self._notes.end(self._id)
        self._notes.let_go(self._id)

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
            self._notes.let_go(self._id)
            await self._kill_unknown()
            raise
        if not found:  # with its container, or with what an engine that died had known
            await self._kill_unknown()
        await self.forget()

    async def _ended(self) -> Json:
        """End it, and return what the engine says of it then. Raises: RuntimeTrouble."""
        for signals, wait_s in ENDINGS:
            found = await self._until_over(wait_s, signals)
            if found is not None:
                return found
        if self._opened is None and not (await self._found()).get("Pid"):
            return {}  # nobody has started it, and nobody will
        raise Silent(f"exec {self._id} cannot be killed")

    async def _kill_unknown(self) -> None:
        """Kill the command where the engine does not, or no more, answer for it."""
        if self._process.pid:
            await self._signal(self._process, (signal.SIGKILL,))

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
                await self._signal(Process(int(found["Pid"])), signals)
                signals = ()
            if self._clock.monotonic() > give_up_s:
                return None
            await self._clock.sleep(POLL_S)
        return found

    async def _signal(self, process: Process, signals: Signals) -> None:
        send = partial(signal_group, process, self._container_id, signals)
        await self._notes.blocking.run(("exec", self._id), send)


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


def signal_group(process: Process, container_id: str, signals: Signals) -> None:
    """Send signals to the process group that a process leads, if it is the container's.

    The engine gives each exec a session of its own. A number that has gone to another process
    meanwhile is in no control group of the container, or has started at another time.
    """
    pid, ticks = process
    folder = Path(f"/proc/{pid}")
    with suppress(ProcessLookupError, FileNotFoundError):
        if pid <= 1 or not has_cgroup((folder / "cgroup").read_text(), container_id):
            return
        if ticks and started_ticks((folder / "stat").read_text()) != ticks:
            return
        for one in signals:
            if os.getpgid(pid) == pid:
                os.killpg(pid, one)
            else:
                os.kill(pid, one)


def process_now(pid: int) -> Process:
    """Return the process that has a number now; none where there is none."""
    try:
        return Process(pid, started_ticks(Path(f"/proc/{pid}/stat").read_text()))
    except (ProcessLookupError, FileNotFoundError):
        return Process()
