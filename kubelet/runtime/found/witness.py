"""A second opinion on what the engine calls running: the process itself, in /proc.

The engine can be wrong for as long as it lives: where a container's shim dies while containerd is
down, `docker ps` goes on to say "Up". The kubelet shares the engine's PID namespace, so a pid means
the same process to both.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from cubernetes.host.blocking import Blocking, StillHanging
from cubernetes.host.clock import Clock
from kubelet.runtime.cgroup import has_cgroup, is_dead, started_ticks
from kubelet.runtime.driver import Container, State

# A process ends a moment before the engine records how: so long it may tell the exit code itself.
CONFIRM_S = 2.0
LOOK_DEADLINE_S = 1.0
KILLED_CODE, KILLED_SIGNAL = 137, 9


@dataclass(frozen=True, slots=True)
class _Missing:
    since_s: float  # monotonic
    at: datetime


@dataclass(frozen=True, slots=True)
class Process:
    """What /proc says of one: its `stat` and its `cgroup`."""

    stat: str
    groups: str


type Processes = Mapping[int, Process | None]
"""By pid; None where there is no such process. Of a pid that is not in it nothing is known."""


class Witness:
    """Remembers which process each running container is, and since when one is missed."""

    def __init__(self, clock: Clock, blocking: Blocking, proc: Path = Path("/proc")) -> None:
        self._clock, self._blocking, self._proc = clock, blocking, proc
        self._seen: dict[str, tuple[int, int]] = {}  # container id -> pid, started ticks
        self._missing: dict[str, _Missing] = {}

    async def look(self, containers: Iterable[Container]) -> Processes:
        """Return the processes of the containers that are called running, as they are now.

        Where the kernel does not tell in time, nothing is known of any: the engine is believed.
        """
        pids = {one.pid for one in containers if one.state is State.RUNNING}
        if not pids:
            return {}
        read = partial(processes_in, self._proc, sorted(pids))
        try:
            key = ("proc", "witness")
            return await self._blocking.run(key, read, deadline_s=LOOK_DEADLINE_S)
        except StillHanging:
            return {}

    def misses(self, container: Container, seen: Processes) -> bool:
        """True where the container is called running and its process is not there."""
        if container.state is not State.RUNNING or self._is_alive(container, seen):
            self._missing.pop(container.id, None)
            return False
        now = _Missing(self._clock.monotonic(), self._clock.now())
        self._missing.setdefault(container.id, now)
        return True

    def verdict(self, container: Container, seen: Processes) -> Container:
        """Return the container as it is: killed, where its process has been missed for long."""
        if not self.misses(container, seen):
            return container
        missing = self._missing[container.id]
        if self._clock.monotonic() - missing.since_s < CONFIRM_S:
            return container
        return replace(
            container,
            state=State.EXITED,
            pid=0,
            exit_code=KILLED_CODE,
            signal=KILLED_SIGNAL,
            finished_at=missing.at,
            error="its process is gone, though the runtime calls it running",
        )

    def forget_all_but(self, ids: set[str]) -> None:
        """Keep only what is remembered of these containers."""
        self._seen = {key: value for key, value in self._seen.items() if key in ids}
        self._missing = {key: value for key, value in self._missing.items() if key in ids}

    def _is_alive(self, container: Container, seen: Processes) -> bool:
        if container.pid not in seen:
            return True
        process = seen[container.pid]
        if process is None or is_dead(process.stat):
            return False
        if not has_cgroup(process.groups, container.id):
            return False
        ticks_now = started_ticks(process.stat)
        pid, ticks = self._seen.setdefault(container.id, (container.pid, ticks_now))
        if pid != container.pid:  # started again by somebody's hand: another process, another life
            self._seen[container.id] = (container.pid, ticks_now)
            return True
        return ticks == ticks_now


def processes_in(proc: Path, pids: Iterable[int]) -> Processes:
    return {pid: _process(proc / str(pid)) for pid in pids}


def _process(folder: Path) -> Process | None:
    try:
        stat = (folder / "stat").read_text(errors="replace")
        return Process(stat, (folder / "cgroup").read_text(errors="replace"))
    except OSError:  # gone: also in the middle of the read (ESRCH)
        return None
