"""The proxy's table in the kernel: read, changed in one transaction, removed."""

from collections.abc import Callable, Sequence
from functools import partial

from cubernetes.host.blocking import Blocking
from cubernetes.host.command import CommandFailed
from cubernetes.host.packetfilter.nfnetlink import Message
from cubernetes.host.packetfilter.nftables import TableState, new_table, no_table
from cubernetes.host.packetfilter.nftsocket import NftSocket
from proxy.services.nftables.skeleton import TABLE
from proxy.services.nftables.wanted import READ

KEY = ("nftables", TABLE)
DEADLINE_S = 30.0


class Table:
    """Every call raises CommandFailed where the kernel refuses, or gives no answer in time."""

    def __init__(self, kernel: NftSocket, blocking: Blocking) -> None:
        self._kernel, self._blocking = kernel, blocking

    async def read(self, sets: Sequence[str] = READ) -> TableState | None:
        """Return what the kernel holds, with the elements of these sets; None: no table."""
        return await self._asked(partial(self._kernel.read, TABLE, sets))

    async def transact(self, messages: Sequence[Message]) -> None:
        """Have all messages done, or none."""
        await self._asked(partial(self._kernel.transact, messages))

    async def worked_out[T](self, work: Callable[[], T]) -> T:
        """Return what a long reckoning returns: it changes nothing, and is not on the loop."""
        return await self._asked(work)

    async def remove(self) -> None:
        """Take the table away, where there is one."""
        await self._asked(partial(remove_table, self._kernel))

    async def generation(self) -> int:
        """Return a number that moves with every change of the rules but ours."""
        return await self._asked(self._kernel.others_generation)

    def generation_now(self) -> int | None:
        """Return the same at once: one small question; None where the kernel does not tell."""
        try:
            return self._kernel.others_generation()
        except OSError:
            return None

    async def _asked[T](self, work: Callable[[], T]) -> T:
        try:
            return await self._blocking.run(KEY, work, deadline_s=DEADLINE_S)
        except OSError as error:
            said = error.strerror or str(error)
            raise CommandFailed(["nf_tables"], error.errno, said) from error


def remove_table(kernel: NftSocket) -> None:
    """Take the table away, where there is one. Raises: OSError."""
    if kernel.has(TABLE):
        # A table that somebody else removes meanwhile is made first, so that it can be removed.
        kernel.transact([new_table(TABLE), no_table(TABLE)])
