"""Who keeps the programs alive: systemd where it is PID 1, supervisord elsewhere."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from cubernetes.host.command import CommandFailed, Commands
from cubernetes.host.env import Env
from cuberoot import layout
from cuberoot.cluster import Cluster
from cuberoot.waiting import until

type Condition = Literal["running", "stopped", "failing"]

STOP_DEADLINE_S = 30.0
UP_DEADLINE_S = 15.0


class Supervisor(Protocol):
    """Every method may be repeated."""

    async def prepare(self) -> None:
        """Take notice of the files that were written."""
        ...

    async def start(self, program: str) -> None: ...

    async def stop(self, program: str) -> None: ...

    async def condition(self, program: str) -> Condition: ...

    async def close(self) -> None:
        """Nothing of ours is to run any more: end what only we needed."""
        ...


def is_systemd() -> bool:
    """True where systemd is PID 1 (sd_booted(3) looks at the same folder)."""
    return Path("/run/systemd/system").is_dir()


def supervisor_for(cluster: Cluster, env: Env) -> Supervisor:
    return Systemd(env.commands) if cluster.supervision == "systemd" else Supervisord(env)


class Systemd:
    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def prepare(self) -> None:
        await self._commands.run(["systemctl", "daemon-reload"])

    async def start(self, program: str) -> None:
        await self._commands.run(["systemctl", "enable", "--now", f"cube-{program}.service"])

    async def stop(self, program: str) -> None:
        argv = ["systemctl", "disable", "--now", f"cube-{program}.service"]
        await self._commands.run(argv, deadline_s=STOP_DEADLINE_S)

    async def condition(self, program: str) -> Condition:
        argv = ["systemctl", "show", "--property=ActiveState", "--value", f"cube-{program}.service"]
        state = (await self._commands.run(argv)).stdout.decode().strip()
        if state == "active":
            return "running"
        return "failing" if state in ("failed", "activating") else "stopped"

    async def close(self) -> None:
        await self._commands.run(["systemctl", "daemon-reload"])


class Supervisord:
    """One supervisord for all programs; it is started when the first program is."""

    def __init__(self, env: Env) -> None:
        self._env, self._commands = env, env.commands

    async def prepare(self) -> None:
        if await self._is_up():
            await self._control("update")
            return
        # A socket without its server is left by a power cut: supervisord would refuse it.
        layout.SUPERVISORD_SOCKET.unlink(missing_ok=True)
        layout.RUN.mkdir(mode=0o700, parents=True, exist_ok=True)
        argv = [sys.executable, "-m", "supervisor.supervisord"]
        await self._commands.run([*argv, "-c", str(layout.SUPERVISORD_CONFIG)])
        await until("supervisord", self._missing, UP_DEADLINE_S, self._env.clock)

    async def start(self, program: str) -> None:
        if await self.condition(program) != "running":
            await self._control("start", program)

    async def stop(self, program: str) -> None:
        if await self._is_up() and await self.condition(program) != "stopped":
            await self._control("stop", program)

    async def condition(self, program: str) -> Condition:
        if not await self._is_up():
            return "stopped"
        words = (await self._status(program)).split()
        state = words[1] if len(words) > 1 else ""
        if state in ("RUNNING", "STARTING"):
            return "running"
        return "failing" if state in ("BACKOFF", "FATAL", "EXITED", "UNKNOWN") else "stopped"

    async def close(self) -> None:
        if await self._is_up():
            await self._control("shutdown")
            await until("supervisord's end", self._present, UP_DEADLINE_S, self._env.clock)

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

    async def _status(self, program: str) -> str:
        try:
            return await self._control("status", program)
        except CommandFailed as error:
            # supervisorctl ends with 3 where a program does not run, and still says its state.
            if error.code == 3:
                return error.stdout.decode(errors="replace")
            raise

    async def _control(self, *words: str) -> str:
        argv: Sequence[str] = [
            sys.executable, "-m", "supervisor.supervisorctl",
            "-c", str(layout.SUPERVISORD_CONFIG), *words,
        ]  # fmt: skip
        done = await self._commands.run(argv, deadline_s=STOP_DEADLINE_S)
        return done.stdout.decode(errors="replace")
