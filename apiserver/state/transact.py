"""Every write of the API: read some keys, decide, and commit only if nobody wrote meanwhile.

What is read first comes from memory and may be old. That costs nothing where the decision is to
write, for the commit compares every key that was read. Where the decision is a refusal, or that
nothing needs writing, it is taken again on what the store itself says.
"""

from collections.abc import Callable, Sequence
from itertools import count
from typing import NamedTuple

from apiserver.state.items import Item, Seen, item_of
from apiserver.state.mirror import Mirror, StoreWentBack
from apiserver.state.statuses import error_from
from apiserver.state.turns import Turns
from apiserver.storage.store import Compare, Entry, Op, Outcome, Put, Store, StoreError
from cubernetes.api.errors import ApiError, Conflict, ServiceUnavailable
from cubernetes.host.env import Env
from cubernetes.host.timing.backoff import backoff_s, jittered_s

# How long other API servers' writers may be first before we say so.
BEATEN_DEADLINE_S = 10.0
# The writer in turn loses to other servers only: so often by chance, then a pause helps.
EAGER_ATTEMPTS_MAX = 2
PAUSE_BASE_S = 0.001
PAUSE_S_MAX = 0.1


class Decision[T](NamedTuple):
    """What to write, and what to answer once it is written. No ops: nothing needs writing."""

    ops: tuple[Op, ...]
    answer: T


class Done[T](NamedTuple):
    """revision is the write's, or 0 where nothing was written; put_bytes is what was put."""

    answer: T
    revision: int
    put_bytes: int = 0


class Transactions:
    """Optimistic transactions over the store, with the mirror as the first guess."""

    def __init__(self, store: Store, mirror: Mirror, env: Env) -> None:
        self._store = store
        self._mirror = mirror
        self._clock, self._rng = env.clock, env.rng
        self._turns = Turns()
        spans = env.metrics.histogram(
            "cube_apiserver_commit_seconds",
            "Transactions of the store: written, beaten by another write, or failed.",
            "outcome",
        )
        self._written, self._beaten, self._failed = (
            spans.labels(one) for one in ("written", "beaten", "failed")
        )

    async def run[T](
        self, keys: Sequence[str], decide: Callable[[Seen], Decision[T]], *, is_dry: bool = False
    ) -> Done[T]:
        """Carry out what decide says about the keys, as one transaction.

        decide is called again whenever what it saw was no longer true. A dry run decides on what
        the store says, and writes nothing. Writers that meet at the first key take turns there.

        Raises: whatever decide raises; Conflict where other writers of the store were first for
        BEATEN_DEADLINE_S; what error_from makes.
        """
        keys = tuple(dict.fromkeys(keys))
        began_at, is_sure = self._clock.monotonic(), False
        seen: Seen = self._guesses(keys)
        if not self._turns.is_contended(keys[0]):
            ended = await self._attempt(seen, decide, is_sure=False, is_dry=is_dry)
            if isinstance(ended, Done):
                return ended
            seen, is_sure = ended, True
        async with self._turns.turn(keys[0]):
            for attempt in count(1):
                ended = await self._attempt(seen, decide, is_sure=is_sure, is_dry=is_dry)
                if isinstance(ended, Done):
                    return ended
                seen, is_sure = ended, True
                if self._clock.monotonic() - began_at > BEATEN_DEADLINE_S:
                    break
                if attempt > EAGER_ATTEMPTS_MAX:
                    pause_s = backoff_s(attempt, base_s=PAUSE_BASE_S, limit_s=PAUSE_S_MAX)
                    await self._clock.sleep(jittered_s(pause_s, self._rng.fraction()))
        raise Conflict(f"others wrote first for {BEATEN_DEADLINE_S:g} s; please try again")

    async def _attempt[T](
        self, seen: Seen, decide: Callable[[Seen], Decision[T]], *, is_sure: bool, is_dry: bool
    ) -> Done[T] | Seen:
        """Decide on what was seen and commit; return what the store says where that was old.

        is_sure: what was seen is the store's own word, so that a refusal stands.
        """
        try:
            decision = decide(seen)
        except ApiError:
            if is_sure:
                raise
            return await self._read(tuple(seen))
        if is_sure and (is_dry or not decision.ops):
            return Done(decision.answer, 0)
        ops = () if is_dry else decision.ops
        outcome = await self._commit(seen, ops)
        if outcome.succeeded:
            put_bytes = sum(len(op.value) for op in ops if isinstance(op, Put))
            return Done(decision.answer, outcome.revision if ops else 0, put_bytes)
        return {
            key: self._typed(key, entry) for key, entry in zip(seen, outcome.found, strict=True)
        }

    async def entry(self, key: str) -> Entry | None:
        """Read one key from the store itself."""
        known = self._mirror.known
        try:
            entry, revision = await self._store.get(key)
        except StoreError as trouble:
            raise error_from(trouble) from trouble
        self._check_onward(known, revision)
        return entry

    def _guesses(self, keys: Sequence[str]) -> Seen:
        mirror = self._mirror
        return {key: mirror.item(key) or mirror.plain.get(key) for key in keys}

    async def _read(self, keys: Sequence[str]) -> Seen:
        return {key: self._typed(key, await self.entry(key)) for key in keys}

    def _typed(self, key: str, entry: Entry | None) -> Item | Entry | None:
        kind = self._mirror.kind_at(key)
        return entry if entry is None or kind is None else item_of(kind, entry)

    async def _commit(self, seen: Seen, ops: tuple[Op, ...]) -> Outcome:
        compares = [Compare(key, one.revision if one else 0) for key, one in seen.items()]
        known = self._mirror.known
        began_at, ended = self._clock.monotonic(), self._failed
        try:
            outcome = await self._store.commit(compares, ops)
            ended = self._written if outcome.succeeded else self._beaten
        except StoreError as trouble:
            raise error_from(trouble) from trouble
        finally:
            ended.observe(self._clock.monotonic() - began_at)
        # What is put has a revision of its own, behind everything that was there before; to delete
        # what is not there has none.
        is_written = outcome.succeeded and any(isinstance(op, Put) for op in ops)
        self._check_onward(known + 1 if is_written else known, outcome.revision)
        return outcome

    def _check_onward(self, known: int, revision: int) -> None:
        try:
            self._mirror.check_onward(known, revision)
        except StoreWentBack as why:
            raise ServiceUnavailable(f"the store: {why}", retry_after_s=1) from why
