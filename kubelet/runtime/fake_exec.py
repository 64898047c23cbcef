"""Containers that do not exist: what they and commands in them write, how those end."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from cubernetes.host.web.duplex import Broken
from kubelet.runtime.docker_words import NotAReference, image_reference
from kubelet.runtime.driver import AttachSpec, ExecSpec, LogOptions, Output, RuntimeTrouble

STDIN_PIECES_MAX = 4
EVENTS_HELD_MAX = 1024
LOG_FILE = "lines"
NOT_FOUND_CODE, HANGUP_CODE, KILL_CODE = 127, 129, 137


@dataclass(frozen=True, slots=True)
class Command:
    """What a command does, in this order: writes, gives back its stdin, and ends, or never does."""

    output: Sequence[Output] = ()
    echoes: bool = False  # until the end of its stdin
    exit_code: int = 0
    runs_on: bool = False
    ignores_hangup: bool = False


class FakeExecution:
    """A command that runs, as a task. `forget` is called once, when it has ended."""

    def __init__(
        self,
        spec: ExecSpec,
        command: Command | None,
        forget: Callable[[], None],
        owner: object = None,
    ) -> None:
        self._spec, self._command, self._forget = spec, command, forget
        self.owner = owner  # the driver that has begun it; None: it was somebody else
        self.sizes: list[tuple[int, int]] = []
        self.is_over = asyncio.Event()
        self._code = 0
        self._is_aborted = False
        self._stdin: asyncio.Queue[bytes | None] = asyncio.Queue(STDIN_PIECES_MAX)
        self._output: asyncio.Queue[Output | None] = asyncio.Queue(1)
        self._life = asyncio.create_task(self._live())

    async def read(self) -> Output | None:
        if self._is_aborted:
            raise Broken("aborted")
        if self.is_over.is_set() and self._output.empty():
            return None
        return await self._output.get()

    async def write(self, piece: bytes) -> None:
        if self._is_aborted:
            raise Broken("aborted")
        if not self._spec.stdin or self.is_over.is_set():
            return
        await self._until_over(self._stdin.put(piece))

    async def finish(self) -> None:
        if not self.is_over.is_set():
            await self._until_over(self._stdin.put(None))

    def abort(self) -> None:
        self._is_aborted = True

    async def resize(self, width: int, height: int) -> None:
        self.sizes.append((width, height))

    async def exit_code(self) -> int:
        await self.is_over.wait()
        return self._code

    async def end(self) -> None:
        self.abort()
        ignores = self._command is not None and self._command.ignores_hangup
        self.kill(KILL_CODE if ignores else HANGUP_CODE)

    def kill(self, code: int) -> None:
        """End it from outside, as with its container; twice is nothing."""
        if not self.is_over.is_set():
            self._life.cancel()
            self._over(code)

    async def _live(self) -> None:
        command = self._command
        if command is None:
            text = f"exec: {self._spec.command[0]!r}: not found\r\n"
            await self._say(Output(is_stderr=False, text=text.encode()))
            self._over(NOT_FOUND_CODE)
            return
        for output in command.output:
            await self._say(output)
        while command.echoes and self._spec.stdin and (piece := await self._stdin.get()):
            await self._say(Output(is_stderr=False, text=piece))
        if command.runs_on:
            await asyncio.get_running_loop().create_future()
        self._over(command.exit_code)

    async def _say(self, output: Output) -> None:
        is_stderr = output.is_stderr and not self._spec.tty
        if self._spec.stderr if is_stderr else self._spec.stdout:
            await self._output.put(Output(is_stderr, output.text))

    def _over(self, code: int) -> None:
        self._code = code
        self.is_over.set()
        self._forget()
        if self._output.empty():
            self._output.put_nowait(None)

    async def _until_over(self, giving: Coroutine[None, None, None]) -> None:
        """Give a piece, unless the command ends before it takes it."""
        tasks = [asyncio.ensure_future(giving), asyncio.ensure_future(self.is_over.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()


def end_left(executions: Iterable[FakeExecution], owner: object) -> None:
    """End what other drivers than the owner have begun."""
    for one in list(executions):
        if one.owner is not None and one.owner is not owner:
            one.kill(KILL_CODE)


class Program(Protocol):
    """A container's own program, as far as who attaches to it sees it.

    changed: set, and another one, with each change. sizes: those that its terminal was given.
    """

    changed: asyncio.Event
    sizes: list[tuple[int, int]]

    @property
    def is_running(self) -> bool: ...

    def lines_from(self, at: int) -> list[bytes]: ...


class FakeAttachment:
    """The streams of a container's own program; `give` lets it read, and read its end."""

    def __init__(self, spec: AttachSpec, program: Program, give: Callable[[bytes], None]) -> None:
        self._spec, self._program, self._give = spec, program, give
        self._at = len(program.lines_from(0))
        self._is_aborted = False

    async def read(self) -> Output | None:
        while True:
            if self._is_aborted:
                raise Broken("aborted")
            if self._spec.stdout and (lines := self._program.lines_from(self._at)):
                self._at += 1
                return Output(is_stderr=False, text=lines[0])
            if not self._program.is_running:
                return None
            await self._program.changed.wait()

    async def write(self, piece: bytes) -> None:
        if self._is_aborted:
            raise Broken("aborted")
        if self._spec.stdin and piece:
            self._give(piece)

    async def finish(self) -> None:
        if self._spec.stdin and self._spec.is_stdin_once:
            self._give(b"")

    def abort(self) -> None:
        self._is_aborted = True

    async def resize(self, width: int, height: int) -> None:
        if self._spec.is_terminal:
            self._program.sizes.append((width, height))

    async def exit_code(self) -> int:
        while self._program.is_running:
            await self._program.changed.wait()
        return 0

    async def end(self) -> None:
        if not self._is_aborted:
            await self.finish()
        self.abort()


class Line(NamedTuple):
    at: datetime
    text: bytes
    source: str = "stdout"


class Writing(Protocol):
    """What writes, or has written; `changed` is another event after each change."""

    written: list[Line]
    changed: asyncio.Event

    @property
    def is_running(self) -> bool: ...


async def read_log(life: Writing, options: LogOptions) -> AsyncGenerator[bytes, None]:
    """Yield what is asked for of what it has written."""
    oldest = datetime.fromtimestamp(options.since_ns / 1e9, UTC)
    index = sum(1 for line in life.written if line.at < oldest)
    if options.tail_count is not None:
        wanted = [at for at, line in enumerate(life.written) if options.wants(line.source)]
        kept = wanted[max(0, len(wanted) - options.tail_count) :]
        index = max(index, kept[0] if kept else len(life.written))
    while True:
        for line in life.written[index:]:
            index += 1
            if options.wants(line.source):
                stamp = line.at.isoformat().replace("+00:00", "Z").encode() + b" "
                yield stamp + line.text if options.timestamps else line.text
        if not options.follow or (not life.is_running and index == len(life.written)):
            return
        if index == len(life.written):
            await life.changed.wait()


def write_lines(folder: Path, written: Sequence[Line]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LOG_FILE).write_bytes(msgspec.json.encode(written))


class KeptLife:
    """One whose log was kept in a folder. Raises: RuntimeTrouble: none was."""

    is_running = False

    def __init__(self, folder: Path) -> None:
        self.changed = asyncio.Event()
        try:
            text = (folder / LOG_FILE).read_bytes()
        except OSError as error:
            raise RuntimeTrouble("ContainerLogUnavailable", str(error)) from error
        self.written = msgspec.json.decode(text, type=list[Line])


def check_name(image: str) -> None:
    """Raises: RuntimeTrouble: it names no image."""
    try:
        image_reference(image)
    except NotAReference as error:
        raise RuntimeTrouble("InvalidImageName", str(error)) from error


class Listeners:
    """Who hears of news of pods, by their uids."""

    def __init__(self) -> None:
        self._queues: list[asyncio.Queue[str | None]] = []

    def listen(self) -> asyncio.Queue[str | None]:
        """Return a queue of the uids of pods with news; None ends it."""
        queue: asyncio.Queue[str | None] = asyncio.Queue(EVENTS_HELD_MAX)
        self._queues.append(queue)
        return queue

    def leave(self, queue: asyncio.Queue[str | None]) -> None:
        """Hear no more."""
        if queue in self._queues:
            self._queues.remove(queue)

    def tell(self, pod_uid: str) -> None:
        for queue in list(self._queues):
            if queue.full():  # too slow: its stream ends, and it lists again
                self._queues.remove(queue)
                queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(pod_uid)

    def end(self) -> None:
        """End every queue."""
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)
        self._queues.clear()
