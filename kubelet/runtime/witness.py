"""A second opinion on what the engine calls running: the process itself, in /proc.

The engine can be wrong for as long as it lives: where a container's shim dies while containerd is
down, `docker ps` goes on to say "Up". The kubelet shares the engine's PID namespace, so a pid means
the same process to both.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cubernetes.host.clock import Clock
from kubelet.runtime.cgroup import has_cgroup, is_dead, started_ticks
from kubelet.runtime.driver import Container, State

# A process ends a moment before the engine records how: so long it may tell the exit code itself.
CONFIRM_S = 2.0
KILLED_CODE, KILLED_SIGNAL = 137, 9


@dataclass(frozen=True, slots=True)
class _Missing:
    since_s: float  # monotonic
    at: datetime


class Witness:
    """Remembers which process each running container is, and since when one is missed."""

    def __init__(self, clock: Clock, proc: Path = Path("/proc")) -> None:
        self._clock, self._proc = clock, proc
        self._seen: dict[str, tuple[int, int]] = {}  # container id -> pid, started ticks
        self._missing: dict[str, _Missing] = {}

    def misses(self, container: Container) -> bool:
        """True where the container is called running and its process is not there."""
        if container.state is not State.RUNNING or self._is_alive(container):
            self._missing.pop(container.id, None)
            return False
        now = _Missing(self._clock.monotonic(), self._clock.now())
        self._missing.setdefault(container.id, now)
        return True

    def verdict(self, container: Container) -> Container:
        """Return the container as it is: killed, where its process has been missed for long."""
        if not self.misses(container):
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

    def _is_alive(self, container: Container) -> bool:
        process = self._proc / str(container.pid)
        try:
            stat = (process / "stat").read_text(errors="replace")
            groups = (process / "cgroup").read_text(errors="replace")
        except OSError:  # gone: also in the middle of the read (ESRCH)
            return False
        if is_dead(stat) or not has_cgroup(groups, container.id):
            return False
        pid, ticks = self._seen.setdefault(container.id, (container.pid, started_ticks(stat)))
        if pid != container.pid:  # started again by somebody's hand: another process, another life
            self._seen[container.id] = (container.pid, started_ticks(stat))
            return True
        return ticks == started_ticks(stat)
