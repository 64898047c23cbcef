"""What the kubelet asks of a container runtime, in the kubelet's words.

Every container belongs to a pod (uid) and carries what is needed to find it again after a crash
of anything: the runtime's own labels are the record. `SANDBOX` names the pause container.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import NamedTuple, Protocol

from cubernetes.host.web.duplex import Duplex

SANDBOX = "POD"  # the container name of a sandbox; no user container can have it: upper case

SILENT_TOLD_MAX = 3

PRIVATE = "rprivate"  # a mount that sees no later ones


class RuntimeTrouble(Exception):
    """The runtime could not do it; `reason` is a CamelCase word for the status, the text says why.

    The outcome of a call that failed by its deadline or connection is unknown: list again.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RuntimeDown(RuntimeTrouble):
    """The runtime itself does not answer: nothing is known of any container, none is dead."""

    def __init__(self, message: str) -> None:
        super().__init__("RuntimeDown", message)


class PartlySilent(RuntimeDown):
    """The runtime answers, and did not tell of the containers of some pods.

    found: all others. why: what is known of the reason, by the uids of those pods.
    """

    def __init__(self, found: "Sequence[Container]", why: Mapping[str, str]) -> None:
        told = "; ".join(f"pod {uid}: {why[uid]}" for uid in sorted(why)[:SILENT_TOLD_MAX])
        super().__init__(f"nothing is known of containers of {len(why)} pods: {told}")
        self.found, self.why = found, why


@dataclass(frozen=True, slots=True)
class Login:
    """Who a registry is told that we are. Neither log nor message has the password."""

    username: str
    password: str = field(repr=False)


def unheard(_text: str) -> None:
    """Hear how far a pull is where nobody wants to know."""


class State(Enum):
    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True, slots=True)
class Mount:
    source: str  # an absolute path on the node
    target: str  # an absolute path in the container
    read_only: bool = False
    # Whether later mounts are seen: rslave by the container, rshared on both sides.
    propagation: str = PRIVATE


class DeviceFile(NamedTuple):
    """A file of a device. rights: of r, w and m, what the container may do with it."""

    source: str  # an absolute path on the node
    target: str  # an absolute path in the container
    rights: str = "rw"


@dataclass(frozen=True, slots=True)
class Allotment:
    """What a container gets with the devices of the node that were given to it.

    nodes: files of devices that it may open.
    held: what it was given, as one line; the container carries it.
    """

    nodes: Sequence[DeviceFile] = ()
    mounts: Sequence[Mount] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    held: str = ""


@dataclass(frozen=True, slots=True)
class Security:
    """As whom a container runs and what it may do; what is not said is the runtime's default.

    user: `uid` or `uid:gid`; empty is the image's. groups: those that its processes are in besides.
    may_gain: a program may have more rights than the process that starts it (set-uid).
    is_unconfined: no call of the kernel is refused; seccomp: which ones are, as JSON; empty: those
    that the runtime refuses. Capabilities stand without `CAP_`.
    """

    user: str = ""
    groups: Sequence[int] = ()
    is_privileged: bool = False
    may_gain: bool = False
    is_root_read_only: bool = False
    capabilities_added: Sequence[str] = ()
    capabilities_dropped: Sequence[str] = ()
    is_unconfined: bool = False
    seccomp: str = ""


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """The pause container of a pod: its own network namespace and IPC, where not the node's."""

    pod_uid: str
    pod_name: str
    namespace: str
    hostname: str
    image: str
    dns_servers: Sequence[str] = ()
    dns_searches: Sequence[str] = ()
    dns_options: Sequence[str] = ()
    extra_hosts: Mapping[str, str] = field(default_factory=dict)  # name -> ip
    host_aliases: Sequence[tuple[str, str]] = ()  # (name, ip), in their order after those
    attempt: int = 0
    oom_score_adj: int = 0  # as a container's
    is_host_network: bool = False  # also the node's host name; hostname is not taken then
    is_host_ipc: bool = False
    sysctls: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One container of a pod, in the sandbox's network and IPC namespaces."""

    pod_uid: str
    pod_name: str
    namespace: str
    name: str
    image: str
    attempt: int = 0  # how many of this name came before: the restart count
    command: Sequence[str] | None = None  # replaces the image's ENTRYPOINT
    args: Sequence[str] | None = None  # replaces the image's CMD
    env: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = ""
    mounts: Sequence[Mount] = ()
    cpu_request_milli: int = 0
    cpu_limit_milli: int = 0  # 0 is no limit
    memory_limit_bytes: int = 0  # 0 is no limit
    oom_score_adj: int = 0  # from -1000 to 1000: the kernel ends a higher score first
    share_pids: bool = False
    target_id: str = ""  # shares the processes of this container, where not all of its pod's
    is_host_network: bool = False  # as its sandbox's
    is_host_pid: bool = False  # sees the node's processes; not together with share_pids
    is_host_ipc: bool = False
    security: Security = Security()
    devices: Sequence[DeviceFile] = ()  # it may open no others
    held: str = ""  # as an Allotment says it
    has_stdin: bool = False  # it stays open; without it the program reads the end at once
    is_stdin_once: bool = False  # it ends with the first client that has attached with it
    has_terminal: bool = False  # stdout and stderr are one stream
    spec_hash: str = ""  # what the kubelet compares to see that the wanted container changed


@dataclass(frozen=True, slots=True)
class Container:
    """A container as found, running or not. state is checked against /proc, not only the list."""

    id: str
    pod_uid: str
    pod_name: str
    namespace: str
    name: str  # SANDBOX for the pause container
    attempt: int
    state: State
    image: str
    image_id: str
    spec_hash: str = ""
    pid: int = 0  # 0 unless running
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int = 0
    signal: int = 0  # the signal that ended it, where one did (exit code 128 + n), else 0
    oom_killed: bool = False
    error: str = ""  # why it could not start
    sandbox_id: str = ""  # of which sandbox it was made; empty for a sandbox
    held: str = ""  # the devices that it was made with, as its spec said it

    @property
    def netns(self) -> str:
        """The path of the network namespace it runs in; only while it runs."""
        return f"/proc/{self.pid}/ns/net"


@dataclass(frozen=True, slots=True)
class RuntimeVersion:
    name: str  # "docker"
    version: str
    api_version: str


@dataclass(frozen=True, slots=True)
class ExecSpec:
    """A command to run in a container. With tty, stdout and stderr are one stream, told as stdout.

    Streams that are not asked for are not connected: what is written there is dropped.
    """

    command: Sequence[str]
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False


@dataclass(frozen=True, slots=True)
class AttachSpec:
    """Which streams of a container's own program are wanted.

    is_terminal and is_stdin_once: as it was made. Only where its input is for one client does the
    end of that client's input end it.
    """

    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    is_terminal: bool = False
    is_stdin_once: bool = False


class Output(NamedTuple):
    """What a command has written."""

    is_stderr: bool
    text: bytes


class Execution(Duplex[Output, bytes], Protocol):
    """A command that runs in a container: read is its output, write its stdin, finish its end.

    Its opener calls `end` in every case.
    """

    async def resize(self, width: int, height: int) -> None:
        """Give the terminal another size, in characters; without a terminal it is nothing.

        Raises: RuntimeTrouble.
        """
        ...

    async def exit_code(self) -> int:
        """Return the command's exit code, once all of its output was read.

        127 or 126: it could not be started, and the output says why.

        Raises: RuntimeTrouble.
        """
        ...

    async def end(self) -> None:
        """End what still runs: SIGHUP and SIGTERM to its process group, in a while SIGKILL.

        Repeatable; nothing where the command has ended.

        Raises: RuntimeTrouble.
        """
        ...


@dataclass(frozen=True, slots=True)
class LocalImage:
    """An image of this node. names: with its tags and digests, as pods may name it."""

    names: tuple[str, ...]
    size_bytes: int
    id: str = ""


type Made = Callable[[str], Awaitable[None]]  # with the id of what is made


async def unheeded(_container_id: str) -> None:
    """Do nothing between making a sandbox and starting it."""


class RuntimeDriver(Protocol):
    """Every method is idempotent in effect: the kubelet repeats it after a crash.

    All raise RuntimeDown where the runtime does not answer within its deadline.
    """

    async def version(self) -> RuntimeVersion: ...

    async def containers(self) -> Sequence[Container]:
        """Return every container that the kubelet made, stopped ones and sandboxes included.

        Raises:
            PartlySilent: it did not tell of some in time; the error has the others.
            RuntimeDown: it is away.
        """
        ...

    async def suspects(self) -> set[str]:
        """Return the uids of pods with a container whose process is not where it was last seen.

        A hint only, and cheap: it asks the machine, never the runtime.
        """
        ...

    async def disk_bytes(self, container_id: str) -> int:
        """Return what a container's writable layer and its logs hold of the disk.

        Raises: RuntimeTrouble with reason ContainerNotFound.
        """
        ...

    async def image_id(self, image: str) -> str | None:
        """Return the id of a local image, or None where it is not on this node."""
        ...

    async def images(self) -> Sequence[LocalImage]:
        """Return every image of this node that has a name."""
        ...

    async def remove_image(self, image: LocalImage) -> None:
        """Remove an image with its name, wholly or not at all; one that is not here is removed.

        Raises: RuntimeTrouble with reason ImageRemoveError: a container has it, or several names.
        """
        ...

    async def image_user(self, image: str) -> str:
        """Return as whom a local image's program would run: a name or number, empty for root.

        Raises: RuntimeTrouble with reason ImageInspectError: it is not on this node.
        """
        ...

    async def pull(
        self, image: str, login: Login | None = None, tell: Callable[[str], None] = unheard
    ) -> str:
        """Fetch image from its registry and return its id; tell how far it is, as text.

        Raises: RuntimeTrouble with reason ErrImagePull (or InvalidImageName).
        """
        ...

    async def load(self, archive: AsyncIterable[bytes]) -> None:
        """Take the images of an archive, as `docker save` writes it.

        Raises: RuntimeTrouble with reason ErrImagePull: it is none.
        """
        ...

    async def start_sandbox(self, spec: SandboxSpec, made: Made = unheeded) -> Container:
        """Return the running sandbox of the pod with that attempt, making it if need be.

        made: awaited with its id before it is started; where it raises, the sandbox stays unstarted
        and is made again, with the names that it is to know then, by the next call.

        Raises: RuntimeTrouble with reason CreatePodSandboxError.
        """
        ...

    async def make_container(self, spec: ContainerSpec, sandbox_id: str) -> str:
        """Return the id of the container with that name and attempt, made and not started.

        Its sandbox need not run yet. Raises: RuntimeTrouble with reason CreateContainerError.
        """
        ...

    async def start_container(
        self, spec: ContainerSpec, sandbox_id: str, made_id: str = ""
    ) -> Container:
        """Return the container with that name and attempt, made and started if need be.

        made_id: what make_container has returned for this very spec, if it was asked.

        Raises: RuntimeTrouble with reason CreateContainerError or RunContainerError.
        """
        ...

    async def stop(self, container_id: str, grace_s: float) -> None:
        """TERM, then KILL after grace_s; returns when it does not run. Stopping twice is nothing.

        Sandboxes are killed at once: nothing in them needs grace.
        """
        ...

    async def remove(self, container_id: str) -> None:
        """Remove a container, killing it if it runs; removing an absent one is nothing."""
        ...

    def logs(self, container_id: str, options: "LogOptions") -> AsyncGenerator[bytes, None]:
        """Yield stdout and stderr as they were written; with follow, until the container ends.

        Lines stay whole, whatever their length, and each of them counts and is stamped once.

        Close the iterator (`contextlib.aclosing`) to let go early; nothing is read ahead of it.

        Raises: RuntimeTrouble with reason ContainerNotFound.
        """
        ...

    async def keep_log(self, container_id: str, folder: Path) -> None:
        """Put a container's log into a folder as well, where it outlives the container.

        Repeatable; the log of an absent one is nothing, and leaves no folder.

        Raises: RuntimeTrouble with reason ContainerLogUnavailable.
        """
        ...

    def kept_log(self, folder: Path, options: "LogOptions") -> AsyncGenerator[bytes, None]:
        """Yield a log that was kept in a folder, as `logs` does; it never grows.

        Raises: RuntimeTrouble with reason ContainerLogUnavailable.
        """
        ...

    async def exec(self, container_id: str, spec: ExecSpec) -> Execution:
        """Run a command in a running container, beside what runs there.

        Raises: RuntimeTrouble with reason ContainerNotFound or ContainerNotRunning.
        """
        ...

    async def end_left_commands(self) -> None:
        """End the commands that drivers before this one began and did not end: they were killed.

        What this driver runs goes on, and what was begun by anybody but a driver. Repeatable.

        Raises: RuntimeTrouble: some may run on.
        """
        ...

    async def attach(self, container_id: str, spec: AttachSpec) -> Execution:
        """Reach the program that runs in a container: its input, and its output from now on.

        Its output ends with the container, and its exit code is 0: how the program has ended the
        container tells. `end` lets go of the streams, and the program goes on.

        Raises: RuntimeTrouble with reason ContainerNotFound or ContainerNotRunning.
        """
        ...

    def events(self) -> AsyncGenerator[str, None]:
        """Yield the pod uid of each container that started, died or was removed, as it happens.

        A hint only: a listener lists again. Ends when the connection does. The first value
        is "" and says that the stream stands: what is listed after it misses nothing.
        """
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class LogOptions:
    follow: bool = False
    tail_count: int | None = None  # None is everything
    timestamps: bool = False
    since_ns: int = 0  # only lines from this time on, in nanoseconds since 1970
    stream: str = ""  # stdout or stderr; empty is both

    def wants(self, source: str) -> bool:
        return self.stream in ("", source)
