"""How much a store in memory holds, as etcd counts it: a file that grows, and room within it. Pure.

What is overwritten or deleted stays in the file until its revision is compacted; what is free is
used again before the file grows; only a defragmentation makes the file smaller. A file at its quota
takes nothing that is put, until somebody has disarmed it. What is used is measured at a write and
at a defragmentation, as in etcd (mvcc/backend: at a commit that has something to write).
"""

from collections.abc import Iterable, Sequence

from apiserver.storage.store import Change, Entry, Op, Put, StorageFull, Usage

# What etcd keeps beside a key and its value, roughly.
ENTRY_BYTES = 256
EMPTY_BYTES = 20 * 1024


class Space:
    """The file of a store."""

    def __init__(self, quota_bytes: int) -> None:
        self._quota_bytes = quota_bytes
        self._size_bytes = self._used_bytes = self._measured_bytes = EMPTY_BYTES
        self._is_full = False

    @property
    def usage(self) -> Usage:
        return Usage(self._size_bytes, self._measured_bytes, self._quota_bytes, self._is_full)

    def check(self, ops: Sequence[Op]) -> None:
        """Refuse what is put beyond the quota; what deletes alone is always taken.

        Raises: StorageFull.
        """
        put_bytes = sum(len(op.value) + ENTRY_BYTES for op in ops if isinstance(op, Put))
        if not self._quota_bytes or not put_bytes:
            return
        if self._size_bytes + put_bytes > self._quota_bytes:
            self._is_full = True
        if self._is_full:
            raise StorageFull("database space exceeded")

    def grow(self, changes: Iterable[Change]) -> None:
        self._used_bytes += sum(len(one.value or b"") + ENTRY_BYTES for one in changes)
        self._size_bytes = max(self._size_bytes, self._used_bytes)
        self._measured_bytes = self._used_bytes

    def free(self, forgotten: Iterable[Sequence[Change]]) -> None:
        """Free what the changes of forgotten revisions have put in the place of."""
        for changes in forgotten:
            for one in changes:
                if one.previous is not None:
                    self._used_bytes -= _bytes_of(one.previous)
                if one.value is None:
                    self._used_bytes -= ENTRY_BYTES

    def defragment(self) -> None:
        self._size_bytes = self._measured_bytes = self._used_bytes

    def disarm(self) -> None:
        self._is_full = False


def _bytes_of(entry: Entry) -> int:
    return len(entry.value) + ENTRY_BYTES
