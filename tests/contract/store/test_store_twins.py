"""The store in memory and a real etcd are given the same life; nobody could tell them apart."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from apiserver.storage.etcd.store import EtcdStore
from apiserver.storage.memory import MemoryStore
from apiserver.storage.store import (
    Change,
    Compare,
    Delete,
    Entry,
    Op,
    Outcome,
    Page,
    Put,
    Store,
    StoreError,
)
from cubernetes.host.env import Env
from tests.contract.store.stores import EtcdServer, changes_until, etcd_store, watching

pytestmark = pytest.mark.etcd

NAMES = ("a", "a/b", "b", "c")
EXAMPLES = 40


@dataclass(frozen=True)
class Commit:
    """A transaction in which revisions count back from the present: 0 compares with absence."""

    compares: tuple[tuple[str, int], ...]
    ops: tuple[Op, ...]


@dataclass(frozen=True)
class List:
    back: int
    limit: int
    after: str


@dataclass(frozen=True)
class Compact:
    back: int


@dataclass(frozen=True)
class Watch:
    back: int


type Step = Commit | List | Compact | Watch

name = st.sampled_from(NAMES)
a_put = st.builds(Put, name, st.binary(max_size=3))
an_op = st.one_of(a_put, a_put, st.builds(Delete, name))
a_commit = st.builds(
    Commit,
    st.lists(st.tuples(name, st.integers(0, 4)), max_size=2).map(tuple),
    st.lists(an_op, max_size=3, unique_by=lambda op: op.key).map(tuple),
)
a_list = st.builds(List, st.integers(-1, 6), st.integers(0, 3), st.sampled_from(("", *NAMES)))
a_watch = st.builds(Watch, st.integers(0, 8))
a_step = st.one_of(
    a_commit, a_commit, a_commit, a_list, a_watch, st.builds(Compact, st.integers(-1, 4))
)


class Twin:
    """One of the stores, whose revisions are told relative to where the life began."""

    def __init__(self, store: Store, at: str) -> None:
        self._store, self._at = store, at
        self._began = self._now = 0

    async def begin(self) -> None:
        # So many that a revision counted back never reaches 0, which means absence.
        for _ in range(6):
            put = await self._store.commit([], [Put(f"{self._at}begin", b"")])
        self._began = self._now = put.revision

    async def take(self, step: Step) -> object:
        match step:
            case Commit(compares, ops):
                return await self._told(self._commit(compares, ops))
            case List(back, limit, after):
                revision = max(self._began, self._now - back)
                behind = f"{self._at}{after}" if after else ""
                return await self._told(
                    self._store.list(self._at, revision=revision, limit=limit, after=behind)
                )
            case Compact(back):
                return await self._told(self._store.compact(max(self._began, self._now - back)))
            case Watch(back):
                return await self._told(self._watch(max(self._began - 1, self._now - back)))

    async def _commit(self, compares: tuple[tuple[str, int], ...], ops: tuple[Op, ...]) -> Outcome:
        real = [
            Compare(f"{self._at}{key}", back and self._now + 1 - back) for key, back in compares
        ]
        outcome = await self._store.commit(
            real, [replace(op, key=f"{self._at}{op.key}") for op in ops]
        )
        self._now = outcome.revision
        return outcome

    async def _watch(self, after: int) -> list[Change]:
        async with watching(self._store, self._at, after) as watch:
            if after >= self._now:
                return []
            return await changes_until(watch, self._now)

    async def _told(self, work: Awaitable[object]) -> object:
        try:
            return self._relative(await work)
        except StoreError as error:
            return type(error), getattr(error, "revision", self._began) - self._began

    def _relative(self, told: object) -> object:
        match told:
            case Outcome():
                found = tuple(self._relative(entry) for entry in told.found)
                return told.succeeded, told.revision - self._began, found
            case Page():
                entries = tuple(self._relative(entry) for entry in told.entries)
                return entries, told.revision - self._began, told.more
            case Entry():
                return told.key, told.value, told.revision - self._began
            case Change():
                revision = told.revision - self._began
                return told.key, revision, told.value, self._relative(told.previous)
            case list():
                return [self._relative(each) for each in told]
        return told


async def live(etcd_twin: EtcdStore, at: str, steps: list[Step]) -> None:
    memory = MemoryStore(Env())
    # The same keys, so that answers are equal; the same offset within a life, not in the whole.
    twins = [Twin(memory, at), Twin(etcd_twin, at)]
    for twin in twins:
        await twin.begin()
    try:
        for step in steps:
            one, other = [await twin.take(step) for twin in twins]
            assert one == other, step
    finally:
        await memory.close()


def test_memory_and_etcd_cannot_be_told_apart(etcd: EtcdServer) -> None:
    with asyncio.Runner() as runner:
        numbers = iter(range(1_000_000))
        opened = etcd_store(etcd.address)
        store = runner.run(opened.__aenter__())

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(st.lists(a_step, min_size=1, max_size=25))
        def compare(steps: list[Step]) -> None:
            runner.run(live(store, f"/twins/{next(numbers)}/", steps))

        try:
            compare()
        finally:
            runner.run(opened.__aexit__(None, None, None))
