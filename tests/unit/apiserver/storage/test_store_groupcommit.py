"""Who waits for company, and what each caller hears of a shared transaction."""

import asyncio
from dataclasses import dataclass, field

import pytest

from apiserver.storage.batch import Proposal
from apiserver.storage.groupcommit import GroupCommit
from apiserver.storage.store import (
    Compare,
    LeaseEnded,
    Outcome,
    Put,
    StoreError,
    Unavailable,
    WriteInDoubt,
)
from cubernetes.host.clock import SystemClock


@dataclass
class Server:
    """Carries out proposals when the test lets it; a put on "bad" fails, a compare on "no" too."""

    open: asyncio.Event = field(default_factory=asyncio.Event)
    error: StoreError | None = None
    sent: list[tuple[str, ...]] = field(default_factory=list)

    async def send(self, proposal: Proposal, tells_found: bool) -> Outcome:
        keys = tuple(op.key for op in proposal.ops)
        self.sent.append(keys)
        await self.open.wait()
        if self.error is not None:
            raise self.error
        if "bad" in keys:
            raise LeaseEnded("bad")
        if any(compare.key == "no" for compare in proposal.compares):
            return Outcome(False, 5, (None,) * len(proposal.compares) if tells_found else ())
        return Outcome(True, 5 + len(self.sent))


def put(group: GroupCommit, key: str, *compared: str) -> asyncio.Future[Outcome]:
    compares = [Compare(each, 0) for each in compared]
    return asyncio.ensure_future(group.commit(compares, [Put(key, b"")]))


async def under_way(server: Server, count: int) -> None:
    async with asyncio.timeout(60):
        while len(server.sent) < count:  # noqa: ASYNC110  the list has no signal
            await asyncio.sleep(0.001)


async def test_a_lone_commit_is_sent_at_once() -> None:
    server = Server()
    group = GroupCommit(server.send, SystemClock())

    first = put(group, "a")
    await asyncio.sleep(0)

    assert server.sent == [("a",)]
    server.open.set()
    assert (await first).succeeded


async def test_those_who_come_while_one_is_under_way_go_together() -> None:
    server = Server()
    group = GroupCommit(server.send, SystemClock())
    all_of_them = [put(group, key) for key in "abcd"]
    await under_way(server, 2)
    server.open.set()

    outcomes = await asyncio.gather(*all_of_them)

    assert server.sent == [("a",), ("b", "c", "d")]
    assert all(outcome.succeeded for outcome in outcomes)


async def test_who_waits_leaves_as_soon_as_nobody_is_under_way() -> None:
    class Never(SystemClock):
        async def sleep(self, span_s: float) -> None:
            await asyncio.Event().wait()

    server = Server()
    group = GroupCommit(server.send, Never())
    both = [put(group, "a"), put(group, "b")]
    await under_way(server, 1)
    server.open.set()

    assert [outcome.succeeded for outcome in await asyncio.gather(*both)] == [True, True]


async def test_where_sharing_fails_each_hears_its_own_answer() -> None:
    server = Server()
    group = GroupCommit(server.send, SystemClock())
    said = [put(group, "a"), put(group, "b"), put(group, "c", "no"), put(group, "bad")]
    await under_way(server, 2)
    server.open.set()

    heard = await asyncio.gather(*said, return_exceptions=True)

    assert [each.succeeded if isinstance(each, Outcome) else type(each) for each in heard] == [
        True, True, False, LeaseEnded,
    ]  # fmt: skip
    assert isinstance(heard[2], Outcome)
    assert heard[2].found == (None,)


@pytest.mark.parametrize("error", [WriteInDoubt("lost"), Unavailable("down")])
async def test_an_unknown_or_unreachable_end_is_everyones_and_is_not_tried_again(
    error: StoreError,
) -> None:
    server = Server(error=error)
    group = GroupCommit(server.send, SystemClock())
    said = [put(group, key) for key in "abc"]
    await under_way(server, 2)
    server.open.set()

    heard = await asyncio.gather(*said, return_exceptions=True)

    assert [type(each) for each in heard] == [type(error)] * 3
    assert len(server.sent) == 2


async def test_who_gives_up_while_waiting_is_never_sent() -> None:
    server = Server()
    group = GroupCommit(server.send, SystemClock())
    said = [put(group, key) for key in "abc"]
    await asyncio.sleep(0)
    said[1].cancel()
    await under_way(server, 2)
    server.open.set()
    await asyncio.gather(*said, return_exceptions=True)

    assert server.sent == [("a",), ("c",)]


async def test_at_the_end_nobody_is_left_waiting() -> None:
    server = Server()
    group = GroupCommit(server.send, SystemClock())
    said = [put(group, key) for key in "abc"]
    await under_way(server, 2)
    late = put(group, "late")
    await asyncio.sleep(0)

    await group.close()

    heard = await asyncio.gather(*said[1:], late, return_exceptions=True)
    assert [type(each) for each in heard] == [WriteInDoubt, WriteInDoubt, Unavailable]
    said[0].cancel()
    await asyncio.gather(said[0], return_exceptions=True)
