"""Reading: from matchers to series and samples, over the head and all blocks."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tsdb.budget import Budget
from tsdb.columns.codec import Rows
from tsdb.columns.frame import FrameRows, assemble
from tsdb.columns.labels import Key
from tsdb.columns.matching import Index, Matcher, matching_rows
from tsdb.columns.selection import Selection
from tsdb.columns.series import Series
from tsdb.errors import Corrupt
from tsdb.steps import Steps, finished
from tsdb.storage.block import Block
from tsdb.storage.store import Store

# Plans are kept for dashboards, which ask the same again; together they may name so many series.
PLANS_KEPT, PLANNED_SERIES_KEPT = 256, 100_000
# How often a plan is made anew that blocks outran; the next one is made without a pause.
PLANS_WITH_PAUSES_MAX = 2


@dataclass(frozen=True)
class Plan:
    """Which rows of which sources answer a selector; places say where they stand in the answer.

    The head is the source None. It holds while neither the head's series nor the blocks change.
    """

    keys: list[Key]
    series: Series
    sources: list[tuple[Block | None, Rows, Rows]]


class Reader:
    """Answers about one store. Plans of late selectors are kept."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._plans: OrderedDict[object, Plan] = OrderedDict()
        self._planned_series = 0
        self._told_of: object = None
        self.damaged_reads = 0

    def select(
        self, matchers: Sequence[Matcher], first_ms: int, last_ms: int, budget: Budget
    ) -> Iterator[Selection | None]:
        """Read the samples between two times, both included: yields None on the way, then these.

        Raises:
            LimitExceeded, QueryTimeout: the budget is used up.
        """
        plan = yield from self._plan(tuple(matchers), first_ms, last_ms, budget)
        parts: list[FrameRows] = []
        # The head says what it has before the first pause: afterwards its rows may be others'.
        sources = [
            ((self._store.head if block is None else block).parts(rows, first_ms, last_ms), places)
            for block, rows, places in plan.sources
        ]
        for source, places in sources:
            for part in source:
                budget.charge_samples(part.frame.sample_count)
                budget.check_time()
                parts.append(FrameRows(places[part.rows], part.frame))
                if len(parts) % 4 == 0:
                    yield None
        yield Selection(plan.keys, plan.series, assemble(len(plan.keys), parts))

    def series(
        self,
        matcher_sets: Sequence[Sequence[Matcher]],
        first_ms: int,
        last_ms: int,
        budget: Budget,
    ) -> Steps[list[Key]]:
        """Return the keys of all series of the blocks and head that touch a span of time.

        Raises:
            LimitExceeded: one set of matchers means more than query_series.
        """
        found: set[Key] = set()
        for matchers in matcher_sets:
            plan = yield from self._plan(tuple(matchers), first_ms, last_ms, budget)
            found.update(self._touched(plan, first_ms, last_ms))
            budget.check_series(len(found))
        return sorted(found)

    def _touched(self, plan: Plan, first_ms: int, last_ms: int) -> list[Key]:
        """Return the keys of a plan, without series of the head that lie beside the span."""
        head = self._store.head
        touched = np.zeros(len(plan.keys), bool)
        for block, rows, places in plan.sources:
            found = places if block is not None else places[head.touched(rows, first_ms, last_ms)]
            touched[found] = True
        return [plan.keys[place] for place in np.flatnonzero(touched).tolist()]

    def oldest_ms(self, default_ms: int) -> int:
        """Return the time of the oldest sample that is here, in blocks or in memory."""
        oldest_ms = self._store.head.oldest_ms()
        times = [block.footer.first_ms for block in self._store.blocks]
        return min(times if oldest_ms is None else [*times, oldest_ms], default=default_ms)

    def label_names(self, first_ms: int, last_ms: int) -> list[str]:
        indexes = self._told_indexes(first_ms, last_ms)
        return sorted({name for _, index in indexes for name in index.label_names()})

    def label_values(self, name: str, first_ms: int, last_ms: int) -> list[str]:
        found: set[str] = set()
        for block, index in self._told_indexes(first_ms, last_ms):
            try:
                found.update(index.label_values(name))
            except Corrupt:
                self._count_damage(block)
        return sorted(found)

    def _told_indexes(self, first_ms: int, last_ms: int) -> Iterator[tuple[Block | None, Index]]:
        """Yield the indexes of a span; the head's only where it has begun by its end."""
        for block, index in self._indexes(first_ms, last_ms):
            oldest_ms = None if block is not None else self._store.head.oldest_ms()
            if block is not None or (oldest_ms is not None and oldest_ms <= last_ms):
                yield block, index

    def _indexes(self, first_ms: int, last_ms: int) -> Iterator[tuple[Block | None, Index]]:
        for block in self._store.blocks:
            if block.footer.last_ms >= first_ms and block.footer.first_ms <= last_ms:
                yield block, block.index
        head = self._store.head
        if head.newest_ms >= first_ms:
            yield None, head.index

    def _plan(
        self, matchers: tuple[Matcher, ...], first_ms: int, last_ms: int, budget: Budget
    ) -> Steps[Plan]:
        """Return a plan that holds until the next pause."""
        name = self._plan_name(matchers, first_ms, last_ms)
        plan = self._plans.get(name)
        if plan is not None:
            self._plans.move_to_end(name)
        else:
            plan = yield from self._steady_plan(matchers, first_ms, last_ms, budget)
            # It may lack what came while it was made: then it serves once.
            if self._plan_name(matchers, first_ms, last_ms) == name:
                self._keep(name, plan)
        budget.check_series(len(plan.keys))
        return plan

    def _steady_plan(
        self, matchers: Sequence[Matcher], first_ms: int, last_ms: int, budget: Budget
    ) -> Steps[Plan]:
        """Make a plan; anew where samples went from the head to a block, or blocks into one."""
        for _ in range(PLANS_WITH_PAUSES_MAX):
            before = list(self._store.blocks)
            plan = yield from self._new_plan(matchers, first_ms, last_ms, budget)
            if self._store.blocks == before:
                return plan
        return finished(self._new_plan(matchers, first_ms, last_ms, budget))

    def _plan_name(self, matchers: tuple[Matcher, ...], first_ms: int, last_ms: int) -> object:
        sources = tuple(
            "" if block is None else block.footer.name
            for block, _ in self._indexes(first_ms, last_ms)
        )
        return matchers, sources, self._store.head.index.generation

    def _keep(self, name: object, plan: Plan) -> None:
        told_of = (tuple(self._store.blocks), self._store.head.index.generation)
        if told_of != self._told_of:
            # What was planned before is never asked for again, and would keep blocks open.
            self._plans.clear()
            self._planned_series, self._told_of = 0, told_of
        replaced = self._plans.pop(name, None)
        self._planned_series += len(plan.keys) - (len(replaced.keys) if replaced else 0)
        self._plans[name] = plan
        while len(self._plans) > PLANS_KEPT or self._planned_series > PLANNED_SERIES_KEPT:
            _, oldest = self._plans.popitem(last=False)
            self._planned_series -= len(oldest.keys)

    def _new_plan(
        self, matchers: Sequence[Matcher], first_ms: int, last_ms: int, budget: Budget
    ) -> Steps[Plan]:
        found: list[tuple[Block | None, Rows, list[Key]]] = []
        # Blocks first, the head last: its rows hold until the next pause.
        for block, index in list(self._indexes(first_ms, last_ms)):
            try:
                rows = yield from matching_rows(index, matchers)
                budget.check_series(len(rows))
                keys = (self._store.head if block is None else block.index).keys_of(rows.tolist())
            except Corrupt:
                self._count_damage(block)
                continue
            if len(rows):
                found.append((block, rows, keys))
        if len(found) == 1:
            # The order of the source's own rows: then nothing has to be moved.
            block, rows, every = found[0]
            return Plan(every, Series(None, every), [(block, rows, np.arange(len(rows)))])
        every = sorted({key for _, _, keys in found for key in keys})
        place_of = {key: place for place, key in enumerate(every)}
        sources = [
            (block, rows, np.fromiter((place_of[key] for key in keys), np.intp, len(keys)))
            for block, rows, keys in found
        ]
        return Plan(every, Series(None, every), sources)

    def damage_count(self) -> int:
        """Return how often damaged bytes were met so far."""
        blocks = sum(block.damaged_strips for block in self._store.blocks)
        return blocks + self.damaged_reads

    def _count_damage(self, block: Block | None) -> None:
        if block is None:
            self.damaged_reads += 1
        else:
            block.damaged_strips += 1
