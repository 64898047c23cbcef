"""What the API server asks of a store: revisions, transactions, watches and leases.

Keys are text (`/cubernetes/pods/default/web-0`), values are bytes. Every change has a revision:
one number for the whole store that only grows. Every method that leaves the process takes its
deadline from the store's settings and has three outcomes: it worked, it failed, or the outcome is
unknown (`WriteInDoubt`): then read again before deciding anything.

Its values are many and hold nothing but text and bytes: collections need not look at them (gc).
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec


class StoreError(Exception):
    """The store could not do what was asked; nothing was changed."""


class Unavailable(StoreError):
    """The store cannot be reached or has no leader: try again later."""


class StorageFull(StoreError):
    """The store is over its quota: reads and deletes work, other writes are refused."""


class TooLarge(StoreError):
    """One request is larger than the store accepts."""


class LeaseEnded(StoreError):
    """A put names a lease that has ended or never was."""


class WriteInDoubt(StoreError):
    """The connection or the deadline ended while a write was under way: it may have happened."""


class Compacted(StoreError):
    """The history asked for is gone; revision is the oldest that can still be read."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"history before revision {revision} is compacted")
        self.revision = revision


class FutureRevision(StoreError):
    """A read asked for a revision that the store has not reached yet."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One key as it stands: its value and the revision that wrote it."""

    key: str
    value: bytes
    revision: int


class Page(msgspec.Struct, frozen=True, gc=False):
    """Entries in key order as of one revision; more says that the limit cut them."""

    entries: tuple[Entry, ...]
    revision: int
    more: bool = False


class Compare(msgspec.Struct, frozen=True, gc=False):
    """Holds when key was last written at revision; revision 0 means that it must not exist."""

    key: str
    revision: int


class Put(msgspec.Struct, frozen=True, gc=False):
    """Write value at key; with lease, the key goes when the lease ends."""

    key: str
    value: bytes
    lease: int = 0


class Delete(msgspec.Struct, frozen=True, gc=False):
    """Remove key; removing an absent key is nothing."""

    key: str


type Op = Put | Delete


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What became of a transaction.

    succeeded: every compare held and every op was applied, all at `revision`. Where it did not
    succeed nothing was written, and `found` holds, for each compare in order, the entry that
    stands there now (None for an absent key).
    """

    succeeded: bool
    revision: int
    found: tuple[Entry | None, ...] = ()


class Change(msgspec.Struct, frozen=True, gc=False):
    """One event of a watch: the key was written (value) or deleted (value None).

    previous is the entry before the change, where there was one: a delete carries the last value.
    """

    key: str
    revision: int
    value: bytes | None
    previous: Entry | None


class Changes(msgspec.Struct, frozen=True, gc=False):
    """All changes up to and including revision, in order; empty when only time has passed.

    The changes of one revision are never split over two of these.
    """

    changes: tuple[Change, ...]
    revision: int


class Usage(msgspec.Struct, frozen=True, gc=False):
    """What the store takes of its quota, in bytes.

    size_bytes: of its file; the quota is of this. Beyond it a store refuses what is put.
    used_bytes: the part of the file that holds something; the rest is taken again before the file
        grows, and given back by `defragment`. It is measured at a write or a defragmentation:
        after a compaction it is too high until the next of these.
    quota_bytes: 0 where there is none.
    is_full: it has gone over the quota, and refuses what is put until `disarm`.
    """

    size_bytes: int
    used_bytes: int
    quota_bytes: int
    is_full: bool = False


class Store(Protocol):
    """A revisioned key-value store. Both answers pass tests/contract/store/test_store.py."""

    async def get(self, key: str) -> tuple[Entry | None, int]:
        """Return the entry (or None) and the store's revision, linearizable.

        Raises: Unavailable.
        """
        ...

    async def list(
        self, prefix: str, *, revision: int = 0, limit: int = 0, after: str = ""
    ) -> Page:
        """Return the entries whose keys begin with prefix, in key order.

        revision 0 is the newest (linearizable), otherwise that exact snapshot. limit 0 is no
        limit. after: begin behind this key, to go on from a page that was cut.

        Raises: Unavailable, Compacted, FutureRevision.
        """
        ...

    async def commit(self, compares: Sequence[Compare], ops: Sequence[Op]) -> Outcome:
        """Apply every op at one new revision if every compare holds, else nothing.

        A key may occur in at most one op. A commit without ops only evaluates the compares.

        Raises: Unavailable, StorageFull, TooLarge, LeaseEnded, Unknown.
        """
        ...

    def watch(self, prefix: str, *, after: int) -> AsyncIterator[Changes]:
        """Yield every change under prefix with a revision above `after`, in order, none twice.

        Goes on by itself over a lost connection, without a gap. Idle watches yield an empty
        Changes with the store's revision now and then (progress), at least every 10 s and soon
        after `progress` was called. Close the iterator to end the watch.

        Raises: Compacted, where `after` + 1 is no longer kept (also in the middle of a watch).
        """
        ...

    async def progress(self) -> None:
        """Ask that every open watch soon yields a Changes with at least the present revision."""
        ...

    async def grant(self, ttl_s: int) -> int:
        """Return the id of a new lease that ends ttl_s seconds after its last renewal."""
        ...

    async def renew(self, lease: int) -> bool:
        """Renew a lease; False if it has ended already."""
        ...

    async def revoke(self, lease: int) -> None:
        """End a lease and delete its keys; ending an ended lease is nothing."""
        ...

    async def compact(self, revision: int) -> None:
        """Forget the history before revision; compacting what is compacted is nothing.

        Returns once what it took is free to be used again.
        """
        ...

    async def usage(self) -> Usage:
        """Return how full it is; of several members that answer, the fullest.

        Raises: Unavailable.
        """
        ...

    async def defragment(self) -> None:
        """Give back what is free in the file. The store answers nobody meanwhile.

        Raises: Unavailable, Unknown.
        """
        ...

    async def disarm(self) -> None:
        """Take what is put again, after it was full.

        Raises: Unavailable, Unknown.
        """
        ...

    async def close(self) -> None:
        """End every watch and let go of the connection."""
        ...
