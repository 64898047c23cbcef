"""Keeps what an administrator reserves of this node: reads the file, and limits the pods' group."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from cubernetes.host.env import Env
from cubernetes.host.log import Log
from kubelet.eviction.reserved import Reserves, ReservesInvalid, reserves_of
from kubelet.node.capacity import memory_limit_bytes, text_of
from kubelet.runtime.cgroup import group_folders, hierarchies, pods_group

log = Log(__name__)

FILE, GROUP = ("machine", "reserves"), ("machine", "pods' group")
MEMORY = (("memory.max", "max"), ("memory.limit_in_bytes", "-1"))
DRIVERS = ("cgroupfs", "systemd")
SHARES_MIN, SHARES_MAX = 2, 262_144

type Limits = Mapping[str, int] | None


class Reserving:
    """reserves: what holds now; of a file that is wrong, what held before it.

    file: what the administrator says; None: nothing. limit: limits the pods' group by what is
    reserved. Both may block.
    """

    def __init__(
        self,
        env: Env,
        file: Callable[[], bytes | None],
        limit: Callable[[Reserves], None],
        tell: Callable[[str, str], None],
        on_change: Callable[[], None],
        look_s: float,
    ) -> None:
        self._env, self._file, self._limit, self._tell = env, file, limit, tell
        self._on_change, self._look_s = on_change, look_s
        self._refused = self._not_limited = ""
        self.reserves = Reserves()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await self._env.clock.sleep(self._look_s)

    async def look(self) -> None:
        """Take what the file says now, and see to the limits of the pods' group."""
        before = self.reserves
        try:
            text = await self._env.blocking.run(FILE, self._file)
            self.reserves, self._refused = reserves_of(text), ""
        except (OSError, ReservesInvalid) as error:
            if str(error) != self._refused:
                self._refused = str(error)
                log.warning("reserves of this node not taken", why=error)
                self._tell("InvalidNodeReserves", str(error))
        if self.reserves != before:
            log.info("reserves of this node", is_enforced=self.reserves.is_enforced)
            self._on_change()
        await self._limit_group()

    async def _limit_group(self) -> None:
        try:
            await self._env.blocking.run(GROUP, partial(self._limit, self.reserves))
            self._not_limited = ""
        except OSError as error:
            # More is in use than the limit would be, or the group is not ours to change.
            if str(error) != self._not_limited:
                self._not_limited = str(error)
                log.warning("the group of all pods is not limited", why=error)
                self._tell("FailedNodeAllocatableEnforcement", str(error))


def limit_pods(root: str, limits: Limits, proc: Path = Path("/proc")) -> None:
    """Let the group of all pods use so much memory, and processor by its share; None: no limit.

    A file is written where it says something else. Where no pod has run yet, there is no group.

    Raises: OSError: the kernel refuses it.
    """
    mounts = hierarchies((proc / "mounts").read_text())
    for driver in DRIVERS:
        for folder in group_folders(mounts, pods_group(driver, root)):
            _limit_memory(Path(folder), limits)
            if limits is not None:
                _share(Path(folder), limits["cpu"])


def _limit_memory(folder: Path, limits: Limits) -> None:
    for name, none in MEMORY:
        file = folder / name
        if not file.exists():
            continue
        wanted = None if limits is None else limits["memory"]
        page = 4096
        wanted = None if wanted is None else wanted // page * page
        if memory_limit_bytes(text_of(file)) != wanted:
            file.write_text(none if wanted is None else str(wanted))


def _share(folder: Path, cpu_milli: int) -> None:
    """Weigh the pods against everything else: as many shares as the cores that they may request."""
    shares = min(max(cpu_milli * 1024 // 1000, SHARES_MIN), SHARES_MAX)
    weight = 1 + (shares - SHARES_MIN) * 9999 // (SHARES_MAX - SHARES_MIN)
    for name, wanted in (("cpu.shares", shares), ("cpu.weight", weight)):
        file = folder / name
        if file.exists() and text_of(file).strip() != str(wanted):
            file.write_text(str(wanted))
