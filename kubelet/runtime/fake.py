"""A runtime without containers: what Docker does, as a story told on a clock. For simulations.

`FakeMachine` is the node: its containers live on while drivers (`FakeRuntime`) come and go, as
Docker's do while kubelets crash. What an image does is a `Behaviour`; trouble is a switch.
"""

import asyncio
import hashlib
import io
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from cubernetes.host.env import Env
from kubelet.runtime.docker_words import names_in_archive, signal_of
from kubelet.runtime.driver import (
    SANDBOX,
    AttachSpec,
    Container,
    ContainerSpec,
    ExecSpec,
    Execution,
    LocalImage,
    Login,
    LogOptions,
    Made,
    Mount,
    PartlySilent,
    RuntimeDown,
    RuntimeTrouble,
    RuntimeVersion,
    SandboxSpec,
    State,
    unheard,
    unheeded,
)
from kubelet.runtime.fake_exec import (
    Command,
    FakeAttachment,
    FakeExecution,
    KeptLife,
    Line,
    Listeners,
    check_name,
    end_left,
    read_log,
    write_lines,
)

CALL_S = 0.002
DEADLINE_S = 10.0
TERM_CODE, KILL_CODE, REBOOT_CODE = 143, 137, 255


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the containers of an image do, and what fetching it is like."""

    exits_after_s: float | None = None  # None: runs until it is told to end
    exit_code: int = 0
    oom_killed: bool = False  # ends by the kernel's hand, with 137
    ignores_term: bool = False
    term_code: int = TERM_CODE  # with which it ends when it is told to
    output: Sequence[bytes] = ()  # written as it starts
    errors: Sequence[bytes] = ()  # written to stderr as it starts, behind the output
    echoes: bool = False  # what comes on its input, until that ends; then it ends itself
    start_s: float = 0.08
    start_error: str = ""  # where given, it never starts
    pull_s: float = 0.3
    pull_error: str = ""  # where given, the pull fails with it
    login: Login | None = None  # where given, its registry lets in nobody else
    commands: Mapping[tuple[str, ...], Command] = field(default_factory=dict)  # to be executed


@dataclass(slots=True)
class _Life:
    """A container and what it has written."""

    container: Container
    behaviour: Behaviour
    spec: SandboxSpec | ContainerSpec
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[Mount] = ()
    written: list[Line] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ending: asyncio.Task[None] | None = None
    executions: set[FakeExecution] = field(default_factory=set)
    has_stdin: bool = False
    is_stdin_once: bool = False
    target_id: str = ""  # whose processes it shares
    sizes: list[tuple[int, int]] = field(default_factory=list)

    @property
    def is_running(self) -> bool:
        return self.container.state is State.RUNNING

    def lines_from(self, at: int) -> list[bytes]:
        """Return what it has written, without so many lines."""
        return [line.text for line in self.written[at:]]

    def notify(self) -> None:
        """Wake who waits for a change; the next wait is for the next change."""
        self.changed.set()
        self.changed = asyncio.Event()


class FakeMachine:
    """The node under the runtime. `behaviours` by image; others run for ever, quietly."""

    def __init__(
        self,
        env: Env,
        behaviours: Mapping[str, Behaviour] | None = None,
        images: Sequence[str] = (),
    ) -> None:
        self.clock, self.blocking = env.clock, env.blocking
        self.behaviours = dict(behaviours or {})
        self.images = set(images)  # what is on the node; anything else is pulled
        self.image_users: dict[str, str] = {}  # as whom their programs run; else as root
        self.is_down = False  # calls fail at once; containers live on
        self.is_hung = False  # calls take until their deadline, then fail
        self.silent_on: set[str] = set()  # ids of containers that no list can tell of
        self.exec_error = ""  # why no command can be started in a container
        self.lost_reply_count = 0  # so many of the next calls take effect and still fail
        self.layer_bytes: dict[str, int] = {}  # what containers of a name have written to disk
        self.lives: dict[str, _Life] = {}
        self.listeners = Listeners()
        self._made_count = 0

    def behaviour(self, image: str) -> Behaviour:
        """Return what image does."""
        return self.behaviours.get(image, Behaviour())

    def found(self, pod_uid: str, name: str, attempt: int) -> _Life | None:
        """Return the container of that name and attempt."""
        wanted = (pod_uid, name, attempt)
        for life in self.lives.values():
            it = life.container
            if (it.pod_uid, it.name, it.attempt) == wanted:
                return life
        return None

    def is_running(self, container_id: str) -> bool:
        life = self.lives.get(container_id)
        return life is not None and life.container.state is State.RUNNING

    def create(self, spec: SandboxSpec | ContainerSpec, name: str, sandbox_id: str) -> _Life:
        """Make a container that does not run yet, in a sandbox."""
        self._made_count += 1
        container = Container(
            id=f"{self._made_count:064x}",
            pod_uid=spec.pod_uid,
            pod_name=spec.pod_name,
            namespace=spec.namespace,
            name=name,
            attempt=spec.attempt,
            state=State.CREATED,
            image=spec.image,
            image_id=image_id_of(spec.image),
            spec_hash=spec.spec_hash if isinstance(spec, ContainerSpec) else "",
            created_at=self.clock.now(),
            sandbox_id=sandbox_id,
            held=spec.held if isinstance(spec, ContainerSpec) else "",
        )
        life = self.lives[container.id] = _Life(container, self.behaviour(spec.image), spec)
        if isinstance(spec, ContainerSpec):
            life.env, life.mounts = dict(spec.env), spec.mounts
            life.has_stdin, life.is_stdin_once = spec.has_stdin, spec.is_stdin_once
            life.target_id = spec.target_id
        return life

    def start(self, life: _Life) -> None:
        """Begin a container's life; its end, where one is scripted, comes by itself."""
        it, behaviour = life.container, life.behaviour
        pid = 1000 + int(it.id, 16)
        life.container = replace(
            it, state=State.RUNNING, pid=pid, started_at=self.clock.now(), error=""
        )
        life.written += [self._line(text) for text in behaviour.output]
        life.written += [self._line(text, "stderr") for text in behaviour.errors]
        if behaviour.exits_after_s is not None:
            life.ending = asyncio.create_task(self._end_later(life, behaviour.exits_after_s))
        self._tell(life)

    def write(self, container_id: str, line: bytes) -> None:
        """Let a container write to its stdout."""
        life = self.lives[container_id]
        life.written.append(self._line(line))
        life.notify()

    def read_by(self, container_id: str, piece: bytes) -> None:
        """Let a container read from its stdin; without a piece it reads its end."""
        life = self.lives[container_id]
        if not life.has_stdin or not life.behaviour.echoes:
            return
        if piece:
            self.write(container_id, piece)
        elif life.is_stdin_once:
            self.end(container_id, life.behaviour.exit_code)

    def end(self, container_id: str, exit_code: int, *, oom_killed: bool = False) -> None:
        """End a container; ending what does not run is nothing."""
        life = self.lives.get(container_id)
        if life is None or life.container.state is not State.RUNNING:
            return
        life.container = replace(
            life.container,
            state=State.EXITED,
            pid=0,
            finished_at=self.clock.now(),
            exit_code=exit_code,
            signal=signal_of(exit_code),
            oom_killed=oom_killed,
        )
        for execution in list(life.executions):
            execution.kill(KILL_CODE)
        self._tell(life)
        for one in list(self.lives.values()):
            if one.target_id == container_id:
                # The kernel ends what shares the processes of a program that has ended.
                self.end(one.container.id, KILL_CODE)

    def execute(self, life: _Life, spec: ExecSpec, owner: object = None) -> FakeExecution:
        """Begin a command in a container; owner: the driver that does, where it is one."""
        command = life.behaviour.commands.get(tuple(spec.command))
        made = FakeExecution(spec, command, lambda: life.executions.discard(made), owner)
        life.executions.add(made)
        return made

    def remove(self, container_id: str) -> None:
        """Take a container away, running or not."""
        self.end(container_id, KILL_CODE)
        life = self.lives.pop(container_id, None)
        if life is not None:
            if life.ending is not None:
                life.ending.cancel()
            self._tell(life)

    def reboot(self) -> None:
        """Cut the power and bring the machine back: all containers have ended, with 255."""
        for container_id in sorted(self.lives):
            self.end(container_id, REBOOT_CODE)
        self.break_streams()

    def break_streams(self) -> None:
        """End every stream of events, as a restart of the engine does."""
        self.listeners.end()

    def close(self) -> None:
        """End every story that is still to come."""
        for container_id in sorted(self.lives):
            self.remove(container_id)
        self.break_streams()

    async def _end_later(self, life: _Life, span_s: float) -> None:
        await self.clock.sleep(span_s)
        oom_killed = life.behaviour.oom_killed
        code = KILL_CODE if oom_killed else life.behaviour.exit_code
        self.end(life.container.id, code, oom_killed=oom_killed)

    def _line(self, text: bytes, source: str = "stdout") -> Line:
        return Line(self.clock.now(), text, source)

    def _tell(self, life: _Life) -> None:
        life.notify()
        self.listeners.tell(life.container.pod_uid)


IMAGE_BYTES = 64 << 20  # of each of its images


def image_id_of(image: str) -> str:
    """Return the id that a fake image has."""
    return f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"


class FakeRuntime:
    """A driver's handle on a FakeMachine: let it go and make another, and nothing is lost."""

    def __init__(self, machine: FakeMachine) -> None:
        self._machine, self._clock = machine, machine.clock

    async def version(self) -> RuntimeVersion:
        await self._asked()
        return RuntimeVersion("fake", "1.0", "1.0")

    async def containers(self) -> Sequence[Container]:
        await self._asked()
        found = [life.container for _, life in sorted(self._machine.lives.items())]
        lost = self._machine.silent_on
        if why := {one.pod_uid: "the fake does not tell" for one in found if one.id in lost}:
            raise PartlySilent([one for one in found if one.id not in lost], why)
        return found

    async def suspects(self) -> set[str]:
        return set()

    async def disk_bytes(self, container_id: str) -> int:
        await self._asked()
        life = self._machine.lives.get(container_id)
        if life is None:
            raise RuntimeTrouble("ContainerNotFound", f"no container {container_id}")
        written = sum(len(line.text) for line in life.written)
        return written + self._machine.layer_bytes.get(life.container.name, 0)

    async def image_id(self, image: str) -> str | None:
        check_name(image)
        await self._asked()
        return image_id_of(image) if image in self._machine.images else None

    async def images(self) -> Sequence[LocalImage]:
        await self._asked()
        names = sorted(self._machine.images)
        return [LocalImage((name,), IMAGE_BYTES, image_id_of(name)) for name in names]

    async def remove_image(self, image: LocalImage) -> None:
        await self._asked()
        lives = self._machine.lives.values()
        if any(one.container.image_id == image.id for one in lives):
            raise RuntimeTrouble("ImageRemoveError", f"{image.names}: a container has it")
        self._machine.images -= set(image.names)
        self._answered()

    async def image_user(self, image: str) -> str:
        check_name(image)
        await self._asked()
        if image not in self._machine.images:
            raise RuntimeTrouble("ImageInspectError", f"{image} is not on this node")
        return self._machine.image_users.get(image, "")

    async def pull(
        self, image: str, login: Login | None = None, tell: Callable[[str], None] = unheard
    ) -> str:
        check_name(image)
        await self._asked()
        behaviour = self._machine.behaviour(image)
        if behaviour.login is not None and login != behaviour.login:
            raise RuntimeTrouble("ErrImagePull", f"{image}: unauthorized: authentication required")
        for percent in (0, 50):
            tell(f"{percent}%")
            await self._clock.sleep(behaviour.pull_s / 2)
        if behaviour.pull_error:
            raise RuntimeTrouble("ErrImagePull", f"{image}: {behaviour.pull_error}")
        self._machine.images.add(image)
        self._answered()
        return image_id_of(image)

    async def load(self, archive: AsyncIterable[bytes]) -> None:
        await self._asked()
        try:
            read = partial(names_in_archive, io.BytesIO(b"".join([one async for one in archive])))
            self._machine.images |= set(await self._machine.blocking.run(("archive", ""), read))
        except ValueError as error:
            raise RuntimeTrouble("ErrImagePull", f"an archive: {error}") from error
        self._answered()

    async def start_sandbox(self, spec: SandboxSpec, made: Made = unheeded) -> Container:
        await self._asked()
        found = self._machine.found(spec.pod_uid, SANDBOX, spec.attempt)
        if found is not None and found.container.state is State.EXITED:
            self._machine.remove(found.container.id)
        life = self._made(spec, "CreatePodSandboxError")
        await made(life.container.id)
        return await self._started(life)

    async def make_container(self, spec: ContainerSpec, sandbox_id: str) -> str:
        await self._asked()
        life = self._made(spec, "CreateContainerError", sandbox_id)
        self._answered()
        return life.container.id

    async def start_container(
        self, spec: ContainerSpec, sandbox_id: str, made_id: str = ""
    ) -> Container:
        await self._asked()
        if made_id and made_id not in self._machine.lives:
            raise RuntimeTrouble("RunContainerError", f"No such container: {made_id}")
        if not self._machine.is_running(sandbox_id):
            raise RuntimeTrouble("CreateContainerError", "the sandbox does not run")
        if spec.target_id and not self._machine.is_running(spec.target_id):
            told = f"cannot join the processes of {spec.target_id}: it does not run"
            raise RuntimeTrouble("RunContainerError", told)
        made = self._machine.lives.get(made_id)
        return await self._started(made or self._made(spec, "CreateContainerError", sandbox_id))

    async def stop(self, container_id: str, grace_s: float) -> None:
        await self._asked()
        life = self._machine.lives.get(container_id)
        if life is None or life.container.state is not State.RUNNING:
            return
        if life.container.name == SANDBOX:
            self._machine.end(container_id, KILL_CODE)
        elif life.behaviour.ignores_term:
            await self._clock.sleep(grace_s)
            self._machine.end(container_id, KILL_CODE)
        else:
            self._machine.end(container_id, life.behaviour.term_code)
        self._answered()

    async def remove(self, container_id: str) -> None:
        await self._asked()
        self._machine.remove(container_id)
        self._answered()

    async def logs(self, container_id: str, options: LogOptions) -> AsyncGenerator[bytes, None]:
        await self._asked()
        life = self._machine.lives.get(container_id)
        if life is None:
            raise RuntimeTrouble("ContainerNotFound", f"no container {container_id}")
        async for piece in read_log(life, options):
            yield piece

    async def keep_log(self, container_id: str, folder: Path) -> None:
        await self._asked()
        life = self._machine.lives.get(container_id)
        if life is not None:
            work = partial(write_lines, folder, life.written)
            await self._machine.blocking.run(("kept log", container_id), work)

    async def kept_log(self, folder: Path, options: LogOptions) -> AsyncGenerator[bytes, None]:
        work = partial(KeptLife, folder)
        life = await self._machine.blocking.run(("kept log", str(folder)), work)
        async for piece in read_log(life, options):
            yield piece

    async def attach(self, container_id: str, spec: AttachSpec) -> Execution:
        life = await self._running(container_id)
        return FakeAttachment(spec, life, partial(self._machine.read_by, container_id))

    async def _running(self, container_id: str) -> _Life:
        """Raises: RuntimeTrouble."""
        await self._asked()
        life = self._machine.lives.get(container_id)
        if life is None:
            raise RuntimeTrouble("ContainerNotFound", f"no container {container_id}")
        if not life.is_running:
            raise RuntimeTrouble("ContainerNotRunning", f"container {container_id} does not run")
        return life

    async def exec(self, container_id: str, spec: ExecSpec) -> Execution:
        life = await self._running(container_id)
        if self._machine.exec_error:
            raise RuntimeTrouble("ExecError", self._machine.exec_error)
        return self._machine.execute(life, spec, self)

    async def end_left_commands(self) -> None:
        await self._asked()
        for life in self._machine.lives.values():
            end_left(life.executions, self)

    async def events(self) -> AsyncGenerator[str, None]:
        await self._asked()
        listener = self._machine.listeners.listen()
        try:
            yield ""
            while (pod_uid := await listener.get()) is not None:
                yield pod_uid
        finally:
            self._machine.listeners.leave(listener)

    async def close(self) -> None:
        """Let go: nothing of the machine changes."""

    def _made(self, spec: SandboxSpec | ContainerSpec, reason: str, sandbox_id: str = "") -> _Life:
        """Return the container of that name and attempt; one that serves no more is made anew."""
        name = SANDBOX if isinstance(spec, SandboxSpec) else spec.name
        life = self._machine.found(spec.pod_uid, name, spec.attempt)
        if life is not None and life.container.state is State.CREATED:
            it = life.container
            if (it.sandbox_id, life.spec) != (sandbox_id, spec):
                self._machine.remove(it.id)
                life = None
        if life is None and spec.image not in self._machine.images:
            raise RuntimeTrouble(reason, f"No such image: {spec.image}")
        return life or self._machine.create(spec, name, sandbox_id)

    async def _started(self, life: _Life) -> Container:
        if life.container.state is State.CREATED:
            await self._clock.sleep(life.behaviour.start_s)
            if life.behaviour.start_error:
                life.container = replace(life.container, error=life.behaviour.start_error)
                raise RuntimeTrouble("RunContainerError", life.behaviour.start_error)
            # While this call slept, a twin of it may have started or removed the container.
            if life.container.state is State.CREATED and life.container.id in self._machine.lives:
                self._machine.start(life)
        self._answered()
        return life.container

    async def _asked(self) -> None:
        """Reach the machine, or not."""
        await self._clock.sleep(DEADLINE_S if self._machine.is_hung else CALL_S)
        if self._machine.is_down or self._machine.is_hung:
            raise RuntimeDown("the fake runtime is down")

    def _answered(self) -> None:
        """Bring the answer back, or lose it after the deed."""
        if self._machine.lost_reply_count:
            self._machine.lost_reply_count -= 1
            raise RuntimeDown("the reply was lost")
