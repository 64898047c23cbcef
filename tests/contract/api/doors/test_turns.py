"""Turns: bodies that find no room wait unread, and no crowd of one user stands before others."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from apiserver.fairness.gate import Class, class_of
from apiserver.fairness.rounds import CLASS_TURNS
from apiserver.settings import Limits
from cubernetes.host.web.messages import ANONYMOUS, Identity, Request, Response, Unread
from tests.contract.api.world import NODES, PODS, World, a_pod, a_world, settled

JANE = Identity("jane", ("system:masters",))
JOE = Identity("joe", ("system:masters",))
KUBELET = Identity("system:node:n1", ("system:nodes",))
# A class of users has 3000 bytes of these, and one user 1020: room for one body.
BODIES = Limits(body_bytes_max=1000, bodies_bytes_max=10_000)
# 30 seats for users, 10 for one of them.
SEATS = Limits(in_flight_max=100)
FUTURE = {"resourceVersion": "1000000"}


@dataclass
class Asked:
    """A request with a body that comes when the test says so."""

    task: asyncio.Task[Response]
    body: asyncio.Future[bytes]
    is_read: list[bool] = field(default_factory=list)


@asynccontextmanager
async def ended(asked: Sequence[asyncio.Task[Any]]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


def post(world: World, identity: Identity, *, size_bytes: int = 1000) -> Asked:
    body: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    is_read: list[bool] = []

    async def read() -> bytes:
        is_read.append(True)
        return await body

    async def answered() -> Response:
        request = Request("POST", PODS, identity=identity, address="192.0.2.7")
        async with world.server.answering(request, Unread(size_bytes, read)) as response:
            return response

    return Asked(asyncio.create_task(answered()), body, is_read)


async def test_the_sum_of_a_users_bodies_is_bounded_and_others_have_their_own() -> None:
    async with a_world(limits=BODIES) as world, AsyncExitStack() as stack:
        first, second, other = post(world, JANE), post(world, JANE), post(world, JOE)
        await stack.enter_async_context(ended([first.task, second.task, other.task]))
        await settled()
        assert (first.is_read, second.is_read, other.is_read) == ([True], [], [True])
        assert world.server.bodies_bytes == 2000
        first.body.set_result(b"{}")
        await settled()
        assert first.task.done()
        assert second.is_read == [True]


async def test_a_body_whose_turn_does_not_come_is_refused_unread() -> None:
    limits = Limits(body_bytes_max=1000, bodies_bytes_max=10_000, turn_deadline_s=0.05)
    async with a_world(limits=limits) as world, AsyncExitStack() as stack:
        first, second = post(world, JANE), post(world, JANE)
        await stack.enter_async_context(ended([first.task, second.task]))
        answer = await second.task
        assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        assert second.is_read == []


async def test_no_sum_of_bodies_of_many_users_is_over_the_limit() -> None:
    async with a_world(limits=BODIES) as world, AsyncExitStack() as stack:
        crowd = [post(world, Identity(f"u{n}", ("system:masters",))) for n in range(50)]
        kubelet = post(world, KUBELET)
        await stack.enter_async_context(ended([one.task for one in (*crowd, kubelet)]))
        await settled()
        assert sum(len(one.is_read) for one in crowd) == 3
        # A node may not create this pod, which it is told; nobody reads its body for that.
        assert (await kubelet.task).status == 403
        assert kubelet.is_read == []


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer abc.def"}])
async def test_a_strangers_body_is_not_read(headers: dict[str, str]) -> None:
    async def read() -> bytes:
        raise AssertionError("nobody may read this")

    async with a_world() as world:
        request = Request("POST", PODS, headers=headers, identity=ANONYMOUS)
        async with world.server.answering(request, Unread(3_000_000, read)) as response:
            assert response.status == 401
        assert world.server.bodies_bytes == 0


async def test_waiting_reads_of_one_user_are_not_in_the_way_of_others() -> None:
    """450 reads of a revision that never comes: another user's requests take not a turn longer."""
    async with a_world(limits=SEATS) as world, AsyncExitStack() as stack:
        await world.call("POST", PODS, a_pod())
        alone = await _turns_for_a_get(world, JOE)
        crowd = [
            asyncio.create_task(
                world.server.handle(Request("GET", PODS, tuple(FUTURE.items()), identity=JANE))
            )
            for _ in range(450)
        ]
        await stack.enter_async_context(ended(crowd))
        await settled()
        assert world.server.seats_held == 10
        assert await _turns_for_a_get(world, JOE) == alone
        assert await _turns_for_a_get(world, KUBELET, f"{NODES}") == alone


async def _turns_for_a_get(world: World, identity: Identity, path: str = f"{PODS}/web") -> int:
    """Return how often the loop goes round until a request is answered."""
    task = asyncio.create_task(world.server.handle(Request("GET", path, identity=identity)))
    turn_count = 0
    while not task.done():
        await asyncio.sleep(0)
        turn_count += 1
    assert task.result().status == 200
    return turn_count


async def test_a_change_that_a_crowd_watches_is_not_in_the_way_of_others() -> None:
    """450 watches of one user are told one after the other, and requests go between."""
    async with a_world() as world, AsyncExitStack() as stack:
        await world.call("POST", PODS, a_pod(), identity=JOE)
        told: list[str] = []

        async def read(identity: Identity, name: str) -> None:
            watch = await world.watch(PODS, identity=identity, resourceVersion="1")
            told.append(f"first of {name}")
            try:
                while True:
                    await watch.next()
                    told.append(name)
            finally:
                await watch.close()

        names = [f"jane-{number}" for number in range(450)]
        crowd = [asyncio.create_task(read(JANE, name)) for name in names]
        crowd.append(asyncio.create_task(read(Identity("system:controllers"), "controllers")))
        await stack.enter_async_context(ended(crowd))
        async with asyncio.timeout(60):
            while len(told) < 2 * len(crowd):  # noqa: ASYNC110  what other tasks will do
                await asyncio.sleep(0)
        alone = await _turns_for_a_get(world, JOE)
        told.clear()
        label = {"metadata": {"labels": {"a": "b"}}}
        merge = {"content-type": "application/merge-patch+json"}
        answer = await world.call("PATCH", f"{PODS}/web", label, headers=merge, identity=JOE)
        assert answer.code == 200
        turns = await _turns_for_a_get(world, JOE)
        # As many turns of the loop as when he was alone, and in each of them one of the crowd.
        assert turns <= 2 * alone
        assert len(told) <= 30
        assert "controllers" in told[:CLASS_TURNS]
        async with asyncio.timeout(60):
            while len(told) < len(crowd):  # noqa: ASYNC110  what other tasks will do
                await asyncio.sleep(0)
        assert sorted(told) == sorted([*names, "controllers"])


async def test_pieces_of_long_answers_come_in_turns() -> None:
    async with a_world() as world:
        order: list[str] = []

        async def send(identity: Identity, name: str) -> None:
            for _ in range(3):
                await world.server.turn(Request("GET", PODS, identity=identity))
                order.append(name)

        await asyncio.gather(*(send(JANE, "jane") for _ in range(5)), send(JOE, "joe"))
        # Five lists of one user are before another's no more than one is.
        assert [index for index, name in enumerate(order) if name == "joe"] == [1, 3, 5]


async def test_a_users_crowd_has_an_end() -> None:
    limits = Limits(in_flight_max=10, waiting_per_user_max=5)
    async with a_world(limits=limits) as world, AsyncExitStack() as stack:
        asked = [
            asyncio.create_task(
                world.server.handle(Request("GET", PODS, tuple(FUTURE.items()), identity=JANE))
            )
            for _ in range(8)
        ]
        await stack.enter_async_context(ended(asked))
        await settled()
        refused = [task.result() for task in asked if task.done()]
        assert [one.status for one in refused] == [429, 429]
        assert (await world.call("GET", PODS, identity=JOE)).code == 200


async def test_a_long_list_takes_the_seats_of_many() -> None:
    async with a_world(limits=SEATS) as world:
        for number in range(1200):
            pod = a_pod(f"p{number}")
            assert (await world.call("POST", PODS, pod, identity=JOE)).code == 201
        assert len((await world.call("GET", PODS)).names) == 1200
        seats: dict[str, int] = {}
        for limit in ("", "10", "600"):
            query = (("limit", limit),) if limit else ()
            request = Request("GET", PODS, query, identity=JANE)
            async with world.server.answering(request):
                seats[limit] = world.server.seats_held
        assert seats == {"": 10, "10": 1, "600": 7}
        assert world.server.seats_held == 0
        request = Request("GET", PODS, (("watch", "1"),), identity=JANE)
        async with world.server.answering(request) as response:
            # Its place is among the watches from now on.
            assert (response.status, world.server.seats_held) == (200, 0)
            await response.body.aclose()  # type: ignore[union-attr]  # a stream has it


def test_who_asks_is_of_the_class_of_his_work() -> None:
    """Names alone make nobody a node or a controller's equal: the group must be there too."""
    assert class_of(Identity("system:controllers")) is Class.CONTROL
    assert class_of(KUBELET) is Class.NODES
    assert class_of(Identity("system:proxy:n1", ("system:proxies",))) is Class.NODES
    assert class_of(Identity("system:proxy:n1")) is Class.USERS
    assert class_of(Identity("system:node:n1")) is Class.USERS
    assert class_of(JANE) is Class.USERS
    assert class_of(ANONYMOUS) is Class.STRANGERS
