"""Optimistic transactions: an old guess never decides, and nothing is written twice."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from apiserver.state.items import Seen
from apiserver.state.mirror import Mirror
from apiserver.state.transact import BEATEN_DEADLINE_S, Decision, Transactions
from apiserver.state.turns import Turns
from apiserver.storage.memory import MemoryStore
from apiserver.storage.store import Compare, Entry, Outcome, Put
from cubernetes.api.errors import Conflict, NotFound
from cubernetes.host.env import Env
from tests.clocks import SteppedClock

KEY, OTHER = "/cubernetes/clusterips/a", "/cubernetes/clusterips/b"


class Bench:
    """A store, and a mirror that has been left behind on purpose: it is never started."""

    def __init__(self) -> None:
        self.clock = SteppedClock()
        env = Env(clock=self.clock)
        self.store = MemoryStore(env)
        self.mirror = Mirror(self.store, env.clock, (), 10)
        self.transactions = Transactions(self.store, self.mirror, env)
        self.calls = 0

    async def put(self, key: str, value: bytes) -> Outcome:
        return await self.store.commit((), (Put(key, value),))

    async def value(self, key: str) -> bytes | None:
        entry = (await self.store.get(key))[0]
        return entry.value if entry else None

    def counted_up(self, seen: Seen) -> Decision[bytes]:
        """Add one to the number at KEY."""
        self.calls += 1
        entry = seen[KEY]
        if not isinstance(entry, Entry):
            raise NotFound("nothing there")
        value = str(int(entry.value) + 1).encode()
        return Decision((Put(KEY, value),), value)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    one = Bench()
    yield one
    await one.store.close()


async def test_a_refusal_from_an_old_view_is_decided_again_on_the_store(bench: Bench) -> None:
    await bench.put(KEY, b"1")
    done = await bench.transactions.run([KEY], bench.counted_up)

    assert (done.answer, bench.calls) == (b"2", 2)
    assert await bench.value(KEY) == b"2"


async def test_a_refusal_that_the_store_confirms_stands(bench: Bench) -> None:
    with pytest.raises(NotFound):
        await bench.transactions.run([KEY], bench.counted_up)


async def test_a_write_on_an_old_view_is_taken_again_on_what_was_found(bench: Bench) -> None:
    await bench.put(KEY, b"5")
    bench.mirror.plain[KEY] = Entry(KEY, b"1", 1)
    done = await bench.transactions.run([KEY], bench.counted_up)

    assert (done.answer, bench.calls) == (b"6", 2)


async def test_nothing_to_write_is_believed_only_where_it_is_certain(bench: Bench) -> None:
    await bench.put(KEY, b"new")
    bench.mirror.plain[KEY] = Entry(KEY, b"old", 1)

    def settled(seen: Seen) -> Decision[bytes]:
        entry = seen[KEY]
        assert isinstance(entry, Entry)
        return Decision((), entry.value)

    assert (await bench.transactions.run([KEY], settled)).answer == b"new"


async def test_every_key_that_was_read_is_compared(bench: Bench) -> None:
    await bench.put(KEY, b"1")

    def meddled(seen: Seen) -> Decision[None]:
        bench.calls += 1
        if seen[OTHER] is None and bench.calls == 1:
            # Somebody else writes between our reading and our commit.
            entry = Entry(OTHER, b"x", 9)
            bench.store._entries[OTHER] = entry
        if seen[OTHER] is not None:
            raise Conflict("taken")
        return Decision((Put(KEY, b"2"),), None)

    with pytest.raises(Conflict, match="taken"):
        await bench.transactions.run([KEY, OTHER], meddled)
    assert await bench.value(KEY) == b"1"


async def test_a_dry_run_decides_on_the_store_and_writes_nothing(bench: Bench) -> None:
    await bench.put(KEY, b"1")
    bench.mirror.plain[KEY] = Entry(KEY, b"7", 1)
    done = await bench.transactions.run([KEY], bench.counted_up, is_dry=True)

    assert (done.answer, done.revision) == (b"2", 0)
    assert await bench.value(KEY) == b"1"


async def test_who_always_comes_second_is_told_so_in_the_end(bench: Bench) -> None:
    await bench.put(KEY, b"0")
    commit = bench.store.commit

    async def raced(compares: tuple[Compare, ...], ops: tuple[Put, ...]) -> Outcome:
        await commit((), (Put(KEY, b"9"),))
        return await commit(compares, ops)

    bench.store.commit = raced  # type: ignore[method-assign,assignment]
    with pytest.raises(Conflict, match="others wrote first"):
        await bench.transactions.run([KEY], bench.counted_up)
    assert bench.clock.passed_s > BEATEN_DEADLINE_S
    assert bench.calls < BEATEN_DEADLINE_S * 100, "pauses grow, so that the store is not hammered"


async def test_any_number_of_writers_of_one_key_all_succeed_in_turns(bench: Bench) -> None:
    await bench.put(KEY, b"0")
    commit = bench.store.commit

    async def far_away(compares: tuple[Compare, ...], ops: tuple[Put, ...]) -> Outcome:
        await asyncio.sleep(0)  # as a network does: everybody decides before anybody has written
        return await commit(compares, ops)

    bench.store.commit = far_away  # type: ignore[method-assign,assignment]
    count = 200
    writers = [bench.transactions.run([KEY], bench.counted_up) for _ in range(count)]
    answers = {done.answer for done in await asyncio.gather(*writers)}

    assert answers == {str(number).encode() for number in range(1, count + 1)}
    assert bench.calls <= 4 * count, "the work grows with the writers, not with their square"


async def test_a_writer_that_gives_up_its_wait_passes_the_turn_on() -> None:
    turns = Turns()
    order: list[str] = []

    async def wait(name: str) -> None:
        async with turns.turn(KEY):
            order.append(name)
            await asyncio.sleep(0)

    first, second, third = (asyncio.ensure_future(wait(name)) for name in "abc")
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(first, second, third, return_exceptions=True)

    assert order == ["a", "c"]
    assert not turns.is_contended(KEY)
