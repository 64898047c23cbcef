"""The store in memory: etcd's semantics without etcd, for simulations and tests.

Every promise of `store.py` holds, in one process and without durability. No method but `watch`
ever suspends, so a run depends on nothing but the order of calls and the clock; a test that wants
delays, lost answers or an outage wraps the store.

How it works: `_entries` is the present, `_keys` its keys in order, and `_history` the changes of
the last revisions, one tuple for each revision, without holes. A read at an older revision takes
the present and undoes the changes behind it. A watch is a place in the history; only a watch that
waits at its end is woken, and only by a change under its prefix or by progress.
"""

import asyncio
from bisect import bisect_left, insort
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, field

from apiserver.storage.limits import check_transaction
from apiserver.storage.space import Space
from apiserver.storage.store import (
    Change,
    Changes,
    Compacted,
    Compare,
    Delete,
    Entry,
    FutureRevision,
    LeaseEnded,
    Op,
    Outcome,
    Page,
    Put,
    Unavailable,
    Usage,
)
from cubernetes.host.env import Env

HISTORY_REVISIONS_MAX = 20_000
PROGRESS_INTERVAL_S = 5.0
CHANGES_PER_YIELD_MAX = 1_000


@dataclass(slots=True)
class _Lease:
    ttl_s: int
    ends_at: float
    # A dict keeps the order of its keys, a set would not.
    keys: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Watch:
    prefix: str
    # The first revision that this watch has not yet delivered.
    next: int
    # Where the watch waits for a revision from which to read on; None while its consumer works.
    waiter: asyncio.Future[int] | None = None
    # Progress was asked for while its consumer worked.
    is_asked: bool = False


class MemoryStore:
    """A Store in memory.

    history_revisions_max: the oldest revisions beyond it are compacted by themselves.
    progress_interval_s: how often an idle watch is told the revision.
    quota_bytes: how much it may hold, history included, as etcd's quota; 0 is no limit.
    """

    def __init__(
        self,
        env: Env,
        *,
        history_revisions_max: int = HISTORY_REVISIONS_MAX,
        progress_interval_s: float = PROGRESS_INTERVAL_S,
        quota_bytes: int = 0,
    ) -> None:
        self._clock = env.clock
        self._progress_interval_s = progress_interval_s
        self._history_max = history_revisions_max
        self._space = Space(quota_bytes)
        # Like etcd's, the revision of an empty store is 1, and nothing is compacted.
        self._revision = 1
        self._compacted = 0
        self._entries: dict[str, Entry] = {}
        self._keys: list[str] = []
        self._history: list[tuple[Change, ...]] = []
        self._leases: dict[int, _Lease] = {}
        self._lease_of: dict[str, int] = {}
        self._last_lease = 0
        self._timers: dict[int, asyncio.Task[None]] = {}
        self._watches: dict[_Watch, None] = {}
        self._ticker: asyncio.Task[None] | None = None
        self._closed = False

    async def get(self, key: str) -> tuple[Entry | None, int]:
        self._check_open()
        return self._entries.get(key), self._revision

    async def list(
        self, prefix: str, *, revision: int = 0, limit: int = 0, after: str = ""
    ) -> Page:
        self._check_open()
        if revision > self._revision:
            raise FutureRevision(f"revision {revision} is ahead of {self._revision}")
        if revision and revision < self._compacted:
            raise Compacted(self._compacted)
        at = revision or self._revision
        begin = max(prefix, f"{after}\0") if after else prefix
        keys = self._keys_under(prefix, begin)
        undone = self._undone(at, prefix, begin)
        if undone:
            keys = sorted({*keys, *undone})
        elif limit:
            keys = keys[: limit + 1]
        found = (undone[key] if key in undone else self._entries[key] for key in keys)
        entries = tuple(entry for entry in found if entry is not None)
        if limit and len(entries) > limit:
            return Page(entries[:limit], at, more=True)
        return Page(entries, at)

    async def commit(self, compares: Sequence[Compare], ops: Sequence[Op]) -> Outcome:
        check_transaction(compares, ops)
        self._check_open()
        entries = self._entries
        for compare in compares:
            entry = entries.get(compare.key)
            if (entry.revision if entry else 0) != compare.revision:
                found = tuple(entries.get(each.key) for each in compares)
                return Outcome(False, self._revision, found)
        for op in ops:
            if isinstance(op, Put) and op.lease and op.lease not in self._leases:
                raise LeaseEnded(f"lease {op.lease} has ended")
        self._space.check(ops)
        self._apply(ops)
        return Outcome(True, self._revision)

    async def watch(self, prefix: str, *, after: int) -> AsyncGenerator[Changes]:
        # Nothing was ever written at revision 1 or before it.
        watch = _Watch(prefix, max(after, 1) + 1)
        self._open(watch)
        try:
            while not self._closed:
                changes = self._changes_for(watch)
                if not changes.changes and not watch.is_asked:
                    watch.waiter = asyncio.get_running_loop().create_future()
                    watch.next = max(after + 1, await watch.waiter)
                    watch.waiter = None
                    changes = self._changes_for(watch)
                if self._closed:
                    return
                watch.next, watch.is_asked = changes.revision + 1, False
                yield changes
        finally:
            self._forget(watch)

    async def progress(self) -> None:
        self._check_open()
        self._wake_all()

    async def grant(self, ttl_s: int) -> int:
        self._check_open()
        self._last_lease += 1
        number = self._last_lease
        self._leases[number] = _Lease(ttl_s, self._clock.monotonic() + ttl_s)
        self._timers[number] = asyncio.create_task(self._expire(number))
        return number

    async def renew(self, lease: int) -> bool:
        self._check_open()
        found = self._leases.get(lease)
        now = self._clock.monotonic()
        if found is None or now >= found.ends_at:
            return False
        found.ends_at = now + found.ttl_s
        return True

    async def revoke(self, lease: int) -> None:
        self._check_open()
        timer = self._timers.pop(lease, None)
        if timer is not None:
            timer.cancel()
            self._end(lease)

    async def compact(self, revision: int) -> None:
        self._check_open()
        if revision > self._revision:
            raise FutureRevision(f"revision {revision} is ahead of {self._revision}")
        self._forget_before(revision)

    async def usage(self) -> Usage:
        self._check_open()
        return self._space.usage

    async def defragment(self) -> None:
        self._check_open()
        self._space.defragment()

    async def disarm(self) -> None:
        self._check_open()
        self._space.disarm()

    async def close(self) -> None:
        self._closed = True
        self._wake_all()
        tasks = [*self._timers.values(), *([self._ticker] if self._ticker else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._timers.clear()
        self._ticker = None

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the store is closed")

    def _keys_under(self, prefix: str, begin: str) -> Sequence[str]:
        low = bisect_left(self._keys, begin)
        # From `low` on the keys that begin with the prefix come first, so this is in order too.
        high = bisect_left(self._keys, True, low, key=lambda key: not key.startswith(prefix))
        return self._keys[low:high]

    def _undone(self, at: int, prefix: str, begin: str) -> dict[str, Entry | None]:
        """Return, for each key in range that changed after `at`, the entry it had then."""
        undone: dict[str, Entry | None] = {}
        for revision in range(self._revision, at, -1):
            for change in self._changes_at(revision):
                if change.key >= begin and change.key.startswith(prefix):
                    undone[change.key] = change.previous
        return undone

    def _changes_at(self, revision: int) -> tuple[Change, ...]:
        return self._history[revision - self._revision - 1]

    def _apply(self, ops: Sequence[Op]) -> None:
        """Carry out ops at one new revision; where they change nothing, there is none."""
        revision = self._revision + 1
        changes = tuple(
            self._put(op, revision) if isinstance(op, Put) else self._delete(op.key, revision)
            for op in ops
            if isinstance(op, Put) or op.key in self._entries
        )
        if not changes:
            return
        self._revision = revision
        self._history.append(changes)
        self._space.grow(changes)
        # A quarter more than the limit before trimming, so that trimming costs little on average.
        if len(self._history) > self._history_max * 1.25:
            self._forget_before(revision - self._history_max)
        for watch in self._watches:
            if watch.waiter is None or watch.waiter.done() or watch.next > revision:
                continue
            if any(change.key.startswith(watch.prefix) for change in changes):
                watch.waiter.set_result(revision)

    def _put(self, op: Put, revision: int) -> Change:
        previous = self._entries.get(op.key)
        if previous is None:
            insort(self._keys, op.key)
        self._entries[op.key] = Entry(op.key, op.value, revision)
        self._detach(op.key)
        if op.lease:
            self._lease_of[op.key] = op.lease
            self._leases[op.lease].keys[op.key] = None
        return Change(op.key, revision, op.value, previous)

    def _delete(self, key: str, revision: int) -> Change:
        previous = self._entries.pop(key)
        del self._keys[bisect_left(self._keys, key)]
        self._detach(key)
        return Change(key, revision, None, previous)

    def _detach(self, key: str) -> None:
        lease = self._lease_of.pop(key, 0)
        if lease:
            del self._leases[lease].keys[key]

    def _forget_before(self, revision: int) -> None:
        if revision <= self._compacted:
            return
        self._compacted = revision
        # The changes of `revision` itself stay: a watch may begin with them.
        kept = self._revision - revision + 1
        gone = max(0, len(self._history) - kept)
        self._space.free(self._history[:gone])
        del self._history[:gone]

    async def _expire(self, number: int) -> None:
        lease = self._leases[number]
        while (left_s := lease.ends_at - self._clock.monotonic()) > 0:
            await self._clock.sleep(left_s)
        del self._timers[number]
        self._end(number)

    def _end(self, number: int) -> None:
        keys = sorted(self._leases[number].keys)
        self._apply([Delete(key) for key in keys])
        del self._leases[number]

    def _open(self, watch: _Watch) -> None:
        self._check_open()
        self._watches[watch] = None
        if self._ticker is None:
            self._ticker = asyncio.create_task(self._tick())

    def _forget(self, watch: _Watch) -> None:
        self._watches.pop(watch, None)
        if not self._watches and self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None

    async def _tick(self) -> None:
        """Give every idle watch its progress: one timer for all, and none without a watch."""
        while True:
            await self._clock.sleep(self._progress_interval_s)
            self._wake_all()

    def _wake_all(self) -> None:
        for watch in self._watches:
            if watch.waiter is None:
                watch.is_asked = True
            elif not watch.waiter.done():
                # It waits at the end of the history: everything up to now does not concern it.
                watch.waiter.set_result(self._revision + 1)

    def _changes_for(self, watch: _Watch) -> Changes:
        """Return what is due, cut between two revisions where it is a lot.

        Raises:
            Compacted: a change that is due, or the entry before it, is no longer kept.
        """
        if watch.next < self._compacted:
            raise Compacted(self._compacted)
        due: list[Change] = []
        for revision in range(watch.next, self._revision + 1):
            due += self._matching(watch.prefix, revision)
            if len(due) >= CHANGES_PER_YIELD_MAX:
                return Changes(tuple(due), revision)
        return Changes(tuple(due), max(watch.next - 1, self._revision))

    def _matching(self, prefix: str, revision: int) -> Iterator[Change]:
        for change in self._changes_at(revision):
            if change.key.startswith(prefix):
                if revision == self._compacted and change.previous is not None:
                    raise Compacted(self._compacted)
                yield change
