"""Keeps what an administrator reserves of this node: reads the file, and limits the pods' group."""

import asyncio
import errno
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cubernetes.api.core.node import Node
from cubernetes.api.quantities import Quantity
from cubernetes.host.durable.checkedfile import CheckedFile
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.reconcile.plan import Record
from kubelet.eviction.reserved import Reserves, ReservesInvalid, pods_limits, reserves_of
from kubelet.node.capacity import memory_limit_bytes, text_of
from kubelet.node.weights import FoundWeights
from kubelet.runtime.cgroup import (
    CPU_SHARES_MAX,
    CPU_SHARES_MIN,
    DRIVERS,
    cpu_shares_of,
    group_folders,
    hierarchies,
    pods_group,
)

log = Log(__name__)

FILE, GROUP = ("machine", "reserves"), ("machine", "pods' group")
MEMORY = (("memory.max", "max"), ("memory.limit_in_bytes", "-1"))
# A group's own, where nobody has said anything.
WEIGHTS = {"cpu.shares": "1024", "cpu.weight": "100"}
INVALID, NOT_LIMITED = "InvalidNodeReserves", "FailedNodeAllocatableEnforcement"

type Limits = Mapping[str, int] | None


class Ground(NamedTuple):
    """A machine. file: what its administrator says; None: nothing. limit: limits the pods' group.

    Both may block.
    """

    file: Callable[[], bytes | None]
    capacity: Mapping[str, Quantity]
    limit: Callable[[Limits], None]


class Reserving:
    """reserves: what holds now; of a file that is wrong, what held before it.

    looked: the file was taken, or was wrong in two looks: one may be amid its writing.
    """

    def __init__(
        self,
        env: Env,
        ground: Ground,
        own: Callable[[], Node | None],
        record: Callable[[Record], None],
        on_change: Callable[[], None],
        look_s: float,
    ) -> None:
        self._env, self._ground = env, ground
        self._own, self._record = own, record
        self._on_change, self._look_s = on_change, look_s
        self._logged: dict[str, str] = {}
        self._told: dict[str, str] = {}
        self._is_taken = False
        self.reserves = Reserves()
        self.looked = asyncio.Event()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await self._env.clock.sleep(self._look_s)

    async def look(self) -> None:
        """Take what the file says now, and see to the limits of the pods' group."""
        before = self.reserves
        try:
            text = await self._env.blocking.run(FILE, self._ground.file)
            self.reserves, self._is_taken = reserves_of(text, self._ground.capacity), True
            self._forget(INVALID)
            self.looked.set()
        except (OSError, ReservesInvalid) as error:
            if INVALID in self._logged:
                self.looked.set()
            self._tell(INVALID, "reserves of this node not taken", str(error))
        if self.reserves != before:
            log.info("reserves of this node", is_enforced=self.reserves.is_enforced)
            self._on_change()
        if self._is_taken:
            await self._limit_group()

    async def _limit_group(self) -> None:
        try:
            limits = pods_limits(self._ground.capacity, self.reserves)
            await self._env.blocking.run(GROUP, partial(self._ground.limit, limits))
            self._forget(NOT_LIMITED)
        except OSError as error:
            # More is in use than the limit would be, or the group is not ours to change.
            self._tell(NOT_LIMITED, "the group of all pods is not limited", str(error))

    def _tell(self, reason: str, what: str, why: str) -> None:
        """Log it once, and tell it once of the Node: as soon as that is known."""
        if self._logged.get(reason) != why:
            self._logged[reason] = why
            log.warning(what, why=why)
        node = self._own()
        if node is not None and self._told.get(reason) != why:
            self._told[reason] = why
            self._record(Record(node, reason, why, "Warning"))

    def _forget(self, reason: str) -> None:
        for said in (self._logged, self._told):
            said.pop(reason, None)


class PodsGroup:
    """The group of all pods. Without a reserve its weight is as found: another may set it.

    found: what files of weights said before they were written.
    """

    def __init__(self, root: str, found: FoundWeights, proc: Path = Path("/proc")) -> None:
        self._root, self._found, self._proc = root, found, proc

    def limit(self, limits: Limits) -> None:
        """Let it use so much memory, and processor by its share; None: no limit.

        A file is written where it says something else. Where no pod has run yet, there is none.

        Raises: OSError: the kernel refuses it, or would end pods for it.
        """
        mounts = hierarchies((self._proc / "mounts").read_text())
        for driver in DRIVERS:
            for folder in group_folders(mounts, pods_group(driver, self._root)):
                self._share(Path(folder), limits)
                _limit_memory(Path(folder), limits)

    def _share(self, folder: Path, limits: Limits) -> None:
        """Weigh it against everything else by the cores that pods may request."""
        for name, usual in WEIGHTS.items():
            file = folder / name
            if not file.exists():
                continue
            text = text_of(file).strip()
            before = self._found.before(file, text)
            if limits is None:
                wanted = text if before is None else before
            else:
                wanted = weights_of(limits["cpu"])[name]
                # What says so already was written by a kubelet of which no record is left.
                found = (usual if text == wanted else text) if before is None else before
                self._found.writes(file, found, text, wanted)
            if text != wanted:
                file.write_text(wanted)
            if limits is None:
                self._found.gave_back(file)


def limiter_of(root: str, kept: Path) -> Callable[[Limits], None]:
    """Return what limits this machine's group of all pods; kept: the file of what was found."""
    return PodsGroup(root, FoundWeights(CheckedFile(kept))).limit


def weights_of(cpu_milli: int) -> Mapping[str, str]:
    """Return the weight of so many thousandths of a core, by the names of its files."""
    shares = cpu_shares_of(cpu_milli)
    weight = 1 + (shares - CPU_SHARES_MIN) * 9999 // (CPU_SHARES_MAX - CPU_SHARES_MIN)
    if str(shares) == WEIGHTS["cpu.shares"]:
        return WEIGHTS
    return {"cpu.shares": str(shares), "cpu.weight": str(weight)}


def _limit_memory(folder: Path, limits: Limits) -> None:
    for name, none in MEMORY:
        file = folder / name
        if not file.exists():
            continue
        wanted = None if limits is None else limits["memory"]
        page = 4096
        wanted = None if wanted is None else wanted // page * page
        if memory_limit_bytes(text_of(file)) != wanted:
            # Version 1 refuses a limit below what is in use; version 2 kills until it is kept.
            if wanted is not None and wanted < _unreclaimable_bytes(folder):
                raise OSError(errno.EBUSY, "more is in use than pods are to have", str(file))
            file.write_text(none if wanted is None else str(wanted))


def _unreclaimable_bytes(folder: Path) -> int:
    """Return what a group of version 2 uses beyond pages of files; 0 for one of version 1."""
    used = text_of(folder / "memory.current").strip()
    words = (line.split() for line in text_of(folder / "memory.stat").splitlines())
    counts = {word[0]: int(word[1]) for word in words if len(word) == 2}
    return int(used or 0) - sum(counts.get(name, 0) for name in ("active_file", "inactive_file"))
