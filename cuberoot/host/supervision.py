"""Supervision of the programs: systemd where it is PID 1, supervisord elsewhere."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from cubernetes.api.core.podspec.qos import PROGRAM_OOM_SCORE
from cubernetes.host.command import CommandFailed, Commands
from cubernetes.host.durable.files import read_or_none
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cuberoot import layout
from cuberoot.cluster import Cluster
from cuberoot.host.waiting import until

log = Log(__name__)

type Condition = Literal["running", "stopped", "failing"]

STOP_DEADLINE_S = 30.0
UP_DEADLINE_S = 15.0
WORD_LINES = 5


class Supervisor(Protocol):
    """Every method may be repeated."""

    async def prepare(self) -> None:
        """Take notice of the files that were written; what they name starts with the machine."""
        ...

    async def start(self, program: str) -> None: ...

    async def stop(self, *programs: str) -> None:
        """Stop them, in this order, until they are started, or the machine boots."""
        ...

    async def retire(self, program: str) -> None:
        """Stop it for good: its files are about to be removed, and `prepare` comes after that."""
        ...

    async def conditions(self, *programs: str) -> dict[str, Condition]: ...

    async def last_words(self, program: str) -> str:
        """Return the last lines that a program wrote, or why nobody can read them.

        Empty where there are none.
        """
        ...

    async def close(self) -> None:
        """Nothing of ours is to run any more: end what only we needed."""
        ...


def is_systemd() -> bool:
    """True where systemd is PID 1 (sd_booted(3) looks at the same folder)."""
    return Path("/run/systemd/system").is_dir()


def supervisor_for(cluster: Cluster, programs: Sequence[str], env: Env) -> Supervisor:
    if cluster.supervision == "systemd":
        return Systemd(programs, env.commands)
    return Supervisord(env)


class Systemd:
    """A unit for each program. What is not there may be asked about, but not acted on."""

    def __init__(
        self, programs: Sequence[str], commands: Commands, folder: Path = layout.UNITS
    ) -> None:
        self._programs, self._commands, self._folder = programs, commands, folder

    async def prepare(self) -> None:
        # All at once, and it reloads by itself: each reload makes systemd read every unit again.
        await self._systemctl("enable", *map(_unit, self._programs))

    async def start(self, program: str) -> None:
        await self._systemctl("start", _unit(program))

    async def stop(self, *programs: str) -> None:
        for program in programs:
            if await self._state(program) != "inactive":
                await self._systemctl("stop", _unit(program))

    async def retire(self, program: str) -> None:
        await self.stop(program)
        # A retirement that was cut may have removed it already.
        if (self._folder / _unit(program)).exists():
            await self._systemctl("disable", _unit(program))

    async def conditions(self, *programs: str) -> dict[str, Condition]:
        return {program: await self._condition(program) for program in programs}

    async def _condition(self, program: str) -> Condition:
        state = await self._state(program)
        if state == "active":
            return "running"
        return "failing" if state in ("failed", "activating") else "stopped"

    async def last_words(self, program: str) -> str:
        argv = ["journalctl", "--quiet", "--output=cat", f"--lines={WORD_LINES}"]
        try:
            done = await self._commands.run([*argv, f"--unit={_unit(program)}"])
        except CommandFailed as error:
            # The caller is about to report an error: a silent journal must not take its place.
            return str(error)
        return done.stdout.decode(errors="replace")

    async def close(self) -> None:
        # A removal that was cut may have removed some of them already.
        if units := [unit for unit in map(_unit, self._programs) if (self._folder / unit).exists()]:
            await self._systemctl("disable", *units)

    async def _state(self, program: str) -> str:
        shown = await self._systemctl("show", "--property=ActiveState", "--value", _unit(program))
        return shown.strip()

    async def _systemctl(self, *words: str) -> str:
        done = await self._commands.run(["systemctl", *words], deadline_s=STOP_DEADLINE_S)
        return done.stdout.decode(errors="replace")


def _unit(program: str) -> str:
    return layout.unit_file(program).name


class Supervisord:
    """One supervisord for all programs; it is started when the first program is.

    Each word to it begins a process of Python's: what can be asked or told at once is.
    """

    def __init__(self, env: Env, proc: Path = Path("/proc")) -> None:
        self._env, self._commands, self._proc = env, env.commands, proc

    async def prepare(self) -> None:
        if await self._is_up():
            self._protect()
            await self._control("update")
            return
        # A socket without its server is left by a power cut: supervisord would refuse it.
        layout.SUPERVISORD_SOCKET.unlink(missing_ok=True)
        layout.RUN.mkdir(mode=0o700, parents=True, exist_ok=True)
        argv = [sys.executable, "-m", "supervisor.supervisord"]
        await self._commands.run([*argv, "-c", str(layout.SUPERVISORD_CONFIG)])
        await until("supervisord", self._missing, UP_DEADLINE_S, self._env.clock)
        self._protect()

    async def start(self, program: str) -> None:
        # One that runs already is no error of supervisorctl's.
        await self._control("start", program)

    async def stop(self, *programs: str) -> None:
        conditions = await self.conditions(*programs)
        if running := [one for one in programs if conditions[one] != "stopped"]:
            await self._control("stop", *running, deadline_s=STOP_DEADLINE_S * len(running))

    async def retire(self, program: str) -> None:
        # It is forgotten once the file does not name it, and `prepare` has it read.
        await self.stop(program)

    async def conditions(self, *programs: str) -> dict[str, Condition]:
        is_told = programs and await self._is_up()
        states = await self._states(programs) if is_told else {}
        return {one: _condition_of(states.get(one, "")) for one in programs}

    async def last_words(self, program: str) -> str:
        content = read_or_none(layout.log_file(program)) or b""
        return "\n".join(content.decode(errors="replace").splitlines()[-WORD_LINES:])

    async def close(self) -> None:
        if await self._is_up():
            await self._control("shutdown")
            await until("supervisord's end", self._present, UP_DEADLINE_S, self._env.clock)

    def _protect(self) -> None:
        """Let the kernel end every pod before supervisord, and what it starts: they inherit it."""
        pid = (read_or_none(layout.SUPERVISORD_PID) or b"").decode().strip()
        protect(self._proc / pid)

    async def _missing(self) -> str:
        return "" if await self._is_up() else f"{layout.SUPERVISORD_SOCKET} does not answer"

    async def _present(self) -> str:
        return "it still answers" if await self._is_up() else ""

    async def _is_up(self) -> bool:
        if not layout.SUPERVISORD_SOCKET.exists():
            return False
        try:
            _, writer = await asyncio.open_unix_connection(str(layout.SUPERVISORD_SOCKET))
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    async def _states(self, programs: Sequence[str]) -> dict[str, str]:
        """Return the state of each program in supervisord's word."""
        try:
            said = await self._control("status", *programs)
        except CommandFailed as error:
            said = error.stdout.decode(errors="replace")
            # supervisorctl ends with 3 where a program does not run, and with 4 where it has not
            # read of one, as after a cut `enable`; it still says something of each.
            if error.code not in (3, 4) or set(programs) - _states_in(said).keys():
                raise
        return _states_in(said)

    async def _control(self, *words: str, deadline_s: float = STOP_DEADLINE_S) -> str:
        argv: Sequence[str] = [
            sys.executable, "-m", "supervisor.supervisorctl",
            "-c", str(layout.SUPERVISORD_CONFIG), *words,
        ]  # fmt: skip
        done = await self._commands.run(argv, deadline_s=deadline_s)
        return done.stdout.decode(errors="replace")


def _states_in(said: str) -> dict[str, str]:
    """Return the first word that supervisorctl's status says of each program."""
    lines = [line.split() for line in said.splitlines()]
    return {words[0].removesuffix(":"): words[1] for words in lines if len(words) > 1}


def _condition_of(state: str) -> Condition:
    if state in ("RUNNING", "STARTING"):
        return "running"
    return "failing" if state in ("BACKOFF", "FATAL", "EXITED", "UNKNOWN") else "stopped"


def protect(process: Path) -> None:
    """Make the process, a folder of /proc, one that the kernel ends last when memory is short."""
    try:
        (process / "oom_score_adj").write_text(str(PROGRAM_OOM_SCORE))
    except OSError as error:
        # A machine that is itself a container may lack the right (CAP_SYS_RESOURCE).
        log.warning("programs are not kept from the kernel's choice of victims", why=error)
