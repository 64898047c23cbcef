"""One node host: power on and off, freeze, and commands inside."""

import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cubernetes.host.command import CommandFailed
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from lab.archive import Archive
from lab.faults import Fault
from lab.host import engine, systemd
from lab.host.cgroup import Group, Hierarchy, kill_if_there
from lab.host.disk import make_disk
from lab.host.root import SHARED
from lab.host.spec import NodeSpec
from lab.host.syscall import fail_filesystem, sync_filesystem
from lab.net import Switch
from lab.state import (
    Files,
    Life,
    Power,
    Size,
    change_state,
    is_alive,
    life_of,
    read_state,
    turn,
    with_init,
)
from lab.topology import NodePlan, Topology
from lab.wait import NeverCame, until

log = Log(__name__)

HOUSE = Path(__file__).resolve().parents[2]
STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BOOT_DEADLINE_S = 60.0
OFF_DEADLINE_S = 45.0
DEATH_DEADLINE_S = 20.0
FREEZE_DEADLINE_S = 10.0
LOG_TAIL_BYTES = 2000
# Arguments up to `--` are files that take this process in; the rest is what it becomes. `echo 0`
# is the writer itself.
JOIN = 'while [ "$1" != -- ]; do echo 0 > "$1" || exit 1; shift; done; shift; exec "$@"'


class NodeTrouble(Exception):
    """A node did not do what it was told: the sentence says which, and shows its log."""


@dataclass(frozen=True)
class Ended:
    """How a command in a node ended."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Site:
    """What all nodes of a lab have in common."""

    topology: Topology
    files: Files
    switch: Switch
    trees: Sequence[Hierarchy]
    env: Env


class Node:
    """A node host by name. What it is now is read from the lab's file, never remembered here."""

    def __init__(self, site: Site, plan: NodePlan) -> None:
        self.site, self.plan = site, plan
        self.name = plan.name
        self.address = str(plan.address)
        self.group = Group(site.trees, site.topology.cgroup, plan.name)

    @property
    def pid(self) -> int:
        """The node's init, as this machine counts.

        Raises:
            NodeTrouble: the node is off.
        """
        life = self._life()
        if life is None:
            raise NodeTrouble(f"{self.name} is off: `lab power {self.name} on` starts it")
        return life.pid

    @property
    def root(self) -> Path:
        """The node's file tree, as this machine reaches it while the node runs."""
        return Path(f"/proc/{self.pid}/root")

    @property
    def docker_socket(self) -> Path:
        """The node's Docker, as this machine reaches it while the node runs."""
        return self.root / "run/docker.sock"

    def power(self) -> Power:
        """Tell what the node looks like from outside."""
        if self._life() is None:
            return Power.OFF
        return Power.FROZEN if self.group.is_frozen() else Power.ON

    async def start(self, size: Size, faults: Sequence[Fault]) -> None:
        """Power on, and wait until Docker answers. A node that runs or is frozen is left alone.

        Raises:
            NodeTrouble: it did not boot; the error shows the end of its log.
        """
        async with self._turn():
            if self.power() is Power.FROZEN:
                return
            try:
                is_off = self.power() is Power.OFF
                pid = await self._launch(size) if is_off else self.pid
                await self.site.switch.plug(self.name, pid, faults)
                await self._wait_for_docker()
            except (CommandFailed, NeverCame) as error:
                said = f"{self.name} did not boot: {error}\n{self._log_tail()}"
                raise NodeTrouble(said) from error

    async def _launch(self, size: Size) -> int:
        """Make the node's first process, and return its pid, dead or alive."""
        await self._clear()
        commands = self.site.env.commands
        await make_disk(self.site.files.disk(self.name), size.disk_bytes, commands)
        self.group.create(size)
        spec = self.site.files.spec(self.name)
        spec.write_bytes(msgspec.json.encode(self._spec()))
        launch = [
            "env",
            f"PYTHONPATH={HOUSE}",
            sys.executable,
            "-m",
            "lab.host.launch",
            str(spec),
        ]
        told = await commands.run(launch)
        pid = int(told.stdout)
        self._remember(life_of(pid))
        return pid

    async def _wait_for_docker(self) -> None:
        async def is_up_or_dead() -> bool:
            if self.power() is Power.OFF:
                raise NodeTrouble(f"{self.name} died while booting:\n{self._log_tail()}")
            return await engine.is_ready(self.docker_socket)

        await until(is_up_or_dead, self.site.env.clock, BOOT_DEADLINE_S, lambda: "docker is silent")

    async def load(self, archives: Sequence[Archive]) -> None:
        """Give images to the node's Docker, to stay.

        Docker syncs no layer: without the last step, a power cut soon after leaves images that
        have a name and no files.
        """
        wanted = [each for each in archives if not await engine.has(self.docker_socket, each)]
        for archive in wanted:
            await engine.load(self.docker_socket, archive)
        if wanted:
            sync_filesystem(self.root)

    async def off(self) -> None:
        """Press the power button: services end in order, the disk is left clean."""
        async with self._turn():
            if self.power() is Power.FROZEN:
                await self.thaw()
            if self.power() is Power.ON:
                await self._ask_to_end()
            await self._clear()

    async def _ask_to_end(self) -> None:
        is_systemd = read_state(self.site.files).init == "systemd"
        kill_if_there(self.pid, systemd.POWER_OFF if is_systemd else signal.SIGTERM)
        try:
            await self._wait(lambda: self.power() is Power.OFF, OFF_DEADLINE_S, "still running")
        except NeverCame:
            log.warning("node did not power off in time", node=self.name)

    async def cut(self) -> None:
        """Cut the power: no goodbye on the network, nothing unsynced on the disk.

        The order is the point. With the cable still in, a dying process's kernel would send FIN
        and RST; with the file system still up, its cache would be written after all.
        """
        async with self._turn():
            if self.power() is not Power.OFF:
                await self.site.switch.set_port(self.name, is_up=False)
                fail_filesystem(self.root)
                kill_if_there(self.pid, signal.SIGKILL)
            await self._clear()

    async def freeze(self) -> None:
        """Stop everything in the node at one stroke, as a hypervisor pauses a machine."""
        self._must_run()
        self.group.set_frozen(frozen=True)
        await self._wait(self.group.is_frozen, FREEZE_DEADLINE_S, "not frozen")

    async def thaw(self) -> None:
        """Let a frozen node go on as if no time had passed."""
        self._must_run()
        self.group.set_frozen(frozen=False)
        await self._wait(lambda: not self.group.is_frozen(), FREEZE_DEADLINE_S, "still frozen")

    async def clear(self) -> None:
        """Leave nothing of a life in the kernel: no process, no cable, no group."""
        async with self._turn():
            await self._clear()

    async def _clear(self) -> None:
        def is_dead() -> bool:
            self.group.kill()
            return not self.group.members()

        await self._wait(is_dead, DEATH_DEADLINE_S, "processes that do not die")
        self._remember(None)
        await self.site.switch.unplug(self.name)
        await self._wait(self.group.remove, DEATH_DEADLINE_S, "a control group is busy")

    async def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        stdin: str = "",
        deadline_s: float = 60.0,
    ) -> Ended:
        """Run a command in the node, as root, and wait for its end.

        Raises:
            CommandFailed: it did not end in time, or, with check, ended with a code other than 0.
            NodeTrouble: the node is off.
        """
        whole, fed = self.command(argv), stdin.encode()
        try:
            done = await self.site.env.commands.run(whole, stdin=fed, deadline_s=deadline_s)
        except CommandFailed as error:
            if error.code is None:
                raise
            if check:
                raise CommandFailed(argv, error.code, error.said, error.stdout) from error
            return Ended(error.code, error.stdout.decode(errors="replace"), error.said)
        return Ended(0, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def command(self, argv: Sequence[str], *, terminal: str = "dumb") -> list[str]:
        """Return the command of this machine that runs argv in the node."""
        enter = ["nsenter", "-t", str(self.pid), "--all", "--root", "--wd"]
        words = {"PATH": self._path, "HOME": "/root", "LANG": "C.UTF-8", "TERM": terminal}
        environment = ["env", "-i", *(f"{key}={value}" for key, value in words.items())]
        doors = self.group.doors()
        return ["sh", "-c", JOIN, "lab-join", *doors, "--", *enter, *environment, *argv]

    @property
    def _path(self) -> str:
        # Ours last: `python3` in a node is the machine's, `cuberoot` is this house's.
        return f"{STANDARD_PATH}:{sys.prefix}/bin"

    def _spec(self) -> NodeSpec:
        topology, files = self.site.topology, self.site.files
        files.scratch.mkdir(exist_ok=True)
        hosts = {node.name: str(node.address) for node in topology.nodes}
        return NodeSpec(
            name=self.name,
            address=self.address,
            gateway=str(topology.gateway),
            hosts={"labhost": str(topology.gateway), **hosts},
            disk=str(files.disk(self.name)),
            scratch=str(files.scratch),
            log=str(files.log(self.name)),
            trees=tuple(self.site.trees),
            gates=tuple(self.group.gates()),
            visible=visible_folders([HOUSE, Path(sys.prefix), Path(sys.base_prefix)]),
            python=sys.executable,
            python_path=str(HOUSE),
            path=self._path,
            init=read_state(files).init,
        )

    def _turn(self) -> AbstractAsyncContextManager[None]:
        """Two commands at once on one node take turns; each then sees what the other did."""
        return turn(self.site.files, self.name, self.site.env.clock)

    def _life(self) -> Life | None:
        """Return the node's init where it runs."""
        life = read_state(self.site.files).inits.get(self.name)
        return life if life is not None and is_alive(life) else None

    def _remember(self, life: Life | None) -> None:
        change_state(self.site.files, lambda state: with_init(state, self.name, life))

    def _must_run(self) -> None:
        """Raise NodeTrouble where the node is off."""
        _ = self.pid

    def _log_tail(self) -> str:
        path = self.site.files.log(self.name)
        text = path.read_bytes()[-LOG_TAIL_BYTES:] if path.exists() else b"(no log)"
        return text.decode(errors="replace")

    async def _wait(self, condition: Callable[[], bool], deadline_s: float, what: str) -> None:
        clock = self.site.env.clock
        await until(condition, clock, deadline_s, lambda: f"{self.name}: {what}")


def visible_folders(wanted: Sequence[Path]) -> tuple[str, ...]:
    """Return what a node must be shown: not what its root shows anyway, nor twice the same."""
    shown = [Path("/", name) for name in SHARED]
    for folder in sorted(set(wanted)):
        if not any(folder.is_relative_to(other) for other in shown):
            shown.append(folder)
    return tuple(str(folder) for folder in shown[len(SHARED) :])
