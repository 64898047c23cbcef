"""Looks at what is in flight to a pod of this machine."""

from functools import partial
from pathlib import Path
from typing import Protocol

from cubernetes.host.blocking import Blocking
from kubelet.drain.connections import in_flight

TABLES = ("tcp", "tcp6")
LOOK_DEADLINE_S = 2.0


class Connections(Protocol):
    """What is in flight to a pod."""

    async def count(self, pid: int, declared: frozenset[int], *, is_shared: bool) -> int:
        """Return the connections that are open to the pod of a sandbox. Raises: OSError."""
        ...


class KernelConnections:
    """Told by the tables of the sandbox's network namespace."""

    def __init__(self, blocking: Blocking, proc: Path = Path("/proc")) -> None:
        self._blocking, self._proc = blocking, proc

    async def count(self, pid: int, declared: frozenset[int], *, is_shared: bool) -> int:
        key = ("connections", str(pid))
        work = partial(self._count, pid, declared, is_shared)
        return await self._blocking.run(key, work, deadline_s=LOOK_DEADLINE_S)

    def _count(self, pid: int, declared: frozenset[int], is_shared: bool) -> int:
        # A kernel without IPv6 has no second table.
        found = [self._proc / str(pid) / "net" / name for name in TABLES]
        texts = [one.read_text(encoding="ascii") for one in found if one.exists()]
        return in_flight(texts, declared, is_shared=is_shared)
