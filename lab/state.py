"""What a lab remembers between two commands: one JSON file, and where everything of it lies."""

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from enum import StrEnum
from fcntl import LOCK_EX, LOCK_NB, flock
from ipaddress import IPv4Network
from pathlib import Path
from typing import Literal

import msgspec

from cubernetes.host.clock import Clock
from cubernetes.host.durable.files import read_or_none, write_atomic
from lab.faults import Fault
from lab.topology import Topology, topology_for
from lab.wait import until

HOME = Path("/var/lib/cuberoot-lab")
# What Docker and PID 1 take to boot at all, with room.
NODE_MEMORY_BYTES_MIN = 256 << 20
NODE_DISK_BYTES_MIN = 128 << 20
NODE_CPUS_MIN = 0.1
# The longest single piece of work on a node, an orderly power off and a boot, with room.
TURN_DEADLINE_S = 150.0


# PID 1 of the nodes: lab/host/init.py, or systemd.
type InitKind = Literal["own", "systemd"]


class NoSuchLab(Exception):
    """No lab of this name is up."""

    def __init__(self, name: str) -> None:
        super().__init__(f"lab {name} is not up: `lab up` starts it")
        self.name = name


class Power(StrEnum):
    """What a node looks like from outside."""

    ON = "on"
    OFF = "off"
    FROZEN = "frozen"


class Life(msgspec.Struct, frozen=True):
    """One process, for ever: its pid, and the start time that tells it from a later owner."""

    pid: int
    started_ticks: int


class Size(msgspec.Struct, frozen=True):
    """What a node is given. cpus is a quota over all cores of this machine; 0 is no limit."""

    memory_bytes: int = 3 << 30
    disk_bytes: int = 8 << 30
    cpus: float = 0.0

    def problem(self) -> str:
        """Return why no node of this size could live, or nothing."""
        if self.memory_bytes < NODE_MEMORY_BYTES_MIN:
            return f"a node needs {NODE_MEMORY_BYTES_MIN >> 20} MiB of memory at least"
        if self.disk_bytes < NODE_DISK_BYTES_MIN:
            return f"a node needs {NODE_DISK_BYTES_MIN >> 20} MiB of disk at least"
        if self.cpus and self.cpus < NODE_CPUS_MIN:
            return f"a node needs a quota of {NODE_CPUS_MIN} cores at least, or 0 for no quota"
        return ""


class LabState(msgspec.Struct, frozen=True):
    """The lab as it was built, who runs in it, and what is broken in it."""

    name: str
    subnet: str
    node_count: int
    size: Size
    images: str
    init: InitKind = "own"
    # Beside `subnet`, behind the lab's router.
    more_subnets: tuple[str, ...] = ()
    inits: dict[str, Life] = {}
    faults: tuple[Fault, ...] = ()

    @property
    def topology(self) -> Topology:
        return topology_for(self.name, self.node_count, *map(IPv4Network, self.subnets))

    @property
    def subnets(self) -> tuple[str, ...]:
        return (self.subnet, *self.more_subnets)


class Files:
    """Where a lab keeps its things. Nothing of it lies anywhere else on disk."""

    def __init__(self, name: str, home: Path = HOME) -> None:
        self.home = home
        self.folder = home / name

    @property
    def state(self) -> Path:
        return self.folder / "lab.json"

    def disk(self, node: str) -> Path:
        return self.folder / f"{node}.img"

    @property
    def scratch(self) -> Path:
        """An empty folder; every node mounts on it, in its own mount namespace."""
        return self.folder / "mnt"

    def spec(self, node: str) -> Path:
        return self.folder / f"{node}.json"

    def log(self, node: str) -> Path:
        return self.folder / f"{node}.log"

    def remove(self, *, keep_disks: bool) -> None:
        """Remove the lab's files, the state first: without it the lab is not up.

        With keep_disks the images stay, and the next lab of this name boots from them.
        """
        self.state.unlink(missing_ok=True)
        if keep_disks:
            for found in sorted(self.folder.iterdir()):
                if found.suffix != ".img":
                    found.rmdir() if found.is_dir() else found.unlink()
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.home.is_dir() and not any(self.home.iterdir()):
            self.home.rmdir()


def read_state(files: Files) -> LabState:
    """Return the lab's state.

    Raises:
        NoSuchLab: there is no file; the lab is not up.
    """
    content = read_or_none(files.state)
    if content is None:
        raise NoSuchLab(files.folder.name)
    return msgspec.json.decode(content, type=LabState)


def write_state(files: Files, state: LabState) -> None:
    files.folder.mkdir(parents=True, exist_ok=True)
    write_atomic(files.state, msgspec.json.format(msgspec.json.encode(state)) + b"\n")


def change_state(files: Files, change: Callable[[LabState], LabState]) -> LabState:
    """Replace the lab's state by change(state) and return it; no other change comes between.

    Raises:
        NoSuchLab: the lab is not up.
    """
    with only_one(files.home):
        state = change(read_state(files))
        write_state(files, state)
    return state


def with_init(state: LabState, node: str, life: Life | None) -> LabState:
    """Return state with the node's init, or without one where it is off."""
    others = {name: known for name, known in state.inits.items() if name != node}
    inits = others if life is None else {**others, node: life}
    return msgspec.structs.replace(state, inits=inits)


def lab_names(home: Path = HOME) -> list[str]:
    """Return the labs of this machine, by name."""
    return sorted(found.parent.name for found in home.glob("*/lab.json"))


@contextmanager
def only_one(home: Path = HOME) -> Iterator[None]:
    """Hold the machine's lab lock, for as long as a file is read and written, never longer.

    Without it, two labs that start at once could choose one subnet, and two commands at once
    could forget each other's change.
    """
    home.mkdir(parents=True, exist_ok=True)
    handle = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        flock(handle, LOCK_EX)
        yield
    finally:
        os.close(handle)


@asynccontextmanager
async def turn(files: Files, subject: str, clock: Clock) -> AsyncIterator[None]:
    """Be the only command that works on subject (a node, the switch) of this lab.

    Raises:
        NeverCame: another command did not finish with it within TURN_DEADLINE_S.
    """
    handle = os.open(files.folder / f"{subject}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def is_ours() -> bool:
        try:
            flock(handle, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            return False
        return True

    try:
        await until(is_ours, clock, TURN_DEADLINE_S, lambda: f"somebody else works on {subject}")
        yield
    finally:
        os.close(handle)


def life_of(pid: int) -> Life | None:
    """Return the process that has this pid now; None where there is none, or only its corpse."""
    stat = read_or_none_gone(Path(f"/proc/{pid}/stat"))
    if stat is None:
        return None
    # The command's name, in parentheses, may hold spaces: count from the last parenthesis.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in {b"Z", b"X"} else Life(pid, int(fields[19]))


def read_or_none_gone(path: Path) -> bytes | None:
    """Return the content of a /proc file, or None where its process ended, even while reading."""
    try:
        return read_or_none(path)
    except ProcessLookupError:
        return None


def is_alive(life: Life) -> bool:
    """Tell whether this very process still runs."""
    return life_of(life.pid) == life
