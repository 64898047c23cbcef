"""Every write of the API: read some keys, decide, and commit only if nobody wrote meanwhile.

What is read first comes from memory and may be old. That costs nothing where the decision is to
write, for the commit compares every key that was read. Where the decision is a refusal, or that
nothing needs writing, it is taken again on what the store itself says.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from apiserver.items import Item, item_of
from apiserver.mirror import Mirror, StoreWentBack
from apiserver.statuses import error_from
from apiserver.storage.store import Compare, Entry, Op, Outcome, Put, Store, StoreError
from cubernetes.api.errors import ApiError, Conflict, ServiceUnavailable
from cubernetes.host.env import Env

# How often somebody else may be first before we say so.
ATTEMPTS_MAX = 16

type Seen = Mapping[str, Item | Entry | None]


class Decision[T](NamedTuple):
    """What to write, and what to answer once it is written. No ops: nothing needs writing."""

    ops: tuple[Op, ...]
    answer: T


class Done[T](NamedTuple):
    """revision is the write's, or 0 where nothing was written."""

    answer: T
    revision: int


class Transactions:
    """Optimistic transactions over the store, with the mirror as the first guess."""

    def __init__(self, store: Store, mirror: Mirror, env: Env) -> None:
        self._store = store
        self._mirror = mirror
        self._clock = env.clock
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
        the store says, and writes nothing.

        Raises: whatever decide raises; Conflict after ATTEMPTS_MAX; what error_from makes.
        """
        keys = tuple(dict.fromkeys(keys))
        seen: Seen = {key: self._guess(key) for key in keys}
        is_sure = False
        for _ in range(ATTEMPTS_MAX):
            try:
                decision = decide(seen)
            except ApiError:
                if is_sure:
                    raise
                seen, is_sure = await self._read(keys), True
                continue
            if is_sure and (is_dry or not decision.ops):
                return Done(decision.answer, 0)
            ops = () if is_dry else decision.ops
            outcome = await self._commit(seen, ops)
            if outcome.succeeded:
                return Done(decision.answer, outcome.revision if ops else 0)
            seen = {
                key: self._typed(key, entry) for key, entry in zip(keys, outcome.found, strict=True)
            }
            is_sure = True
        raise Conflict(f"others wrote first {ATTEMPTS_MAX} times in a row; please try again")

    async def entry(self, key: str) -> Entry | None:
        """Read one key from the store itself."""
        known = self._mirror.known
        try:
            entry, revision = await self._store.get(key)
        except StoreError as trouble:
            raise error_from(trouble) from trouble
        self._check_onward(known, revision)
        return entry

    def _guess(self, key: str) -> Item | Entry | None:
        return self._mirror.item(key) or self._mirror.plain.get(key)

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
