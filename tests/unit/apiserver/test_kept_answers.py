"""What many nodes have kept of one pod: all of it has a bound, and the newest has its room."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

from apiserver.subresources.keptlogs import ANSWERS_BYTES_MAX, Newest, ask, ends_in
from cubernetes.api.bodies.postmortem import PostMortem, PostMortemList
from cubernetes.api.coding import codec
from cubernetes.api.core.node import Node
from cubernetes.api.errors import NotFound, ServiceUnavailable
from tests.given import a_node

NODE_COUNT = 40
LINES = ("x" * 16_000,) * 20
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def an_end(made_at: int, attempt: int, log: tuple[str, ...] = LINES) -> PostMortem:
    return PostMortem(
        uid=f"u{made_at}",
        made_at=made_at,
        container="main",
        attempt=attempt,
        ended_at=NOON,
        log=log,
    )


class Kubelets:
    """Each of them has two ends of a pod that it had, made in the second of its number."""

    async def open(self, node: Node, path: str, query: str) -> AsyncIterator[bytes]:
        number = int(node.metadata.name.removeprefix("n"))
        if number == 0:
            raise NotFound("nothing is kept")
        if number == 1:
            raise ServiceUnavailable("it does not answer")
        told = PostMortemList(items=(an_end(number, 0), an_end(number, 1)))

        async def pieces() -> AsyncIterator[bytes]:
            yield codec.encode(told)

        return pieces()


async def test_the_answers_of_many_nodes_have_a_bound_in_sum() -> None:
    newest = Newest[PostMortem]()
    nodes = [a_node(f"n{number}") for number in range(NODE_COUNT)]
    kubelets: Any = Kubelets()
    silent = await ask(kubelets, nodes, "/postMortems/default/web", ends_in, newest)
    assert silent == ["n1"]
    kept = [place.log for place in newest.places]
    each = len(codec.encode(an_end(NODE_COUNT, 0)))
    assert sum(len(codec.encode(one)) for one in kept) <= ANSWERS_BYTES_MAX
    assert len(kept) == ANSWERS_BYTES_MAX // each
    assert newest.omitted == 2 * (NODE_COUNT - 2) - len(kept)
    # Whatever the order of the answers: the newest, and the newest first.
    orders = [(one.made_at, one.attempt) for one in kept]
    every = sorted(((at, life) for at in range(2, NODE_COUNT) for life in (0, 1)), reverse=True)
    assert orders == every[: len(kept)]
    assert {place.node.metadata.name for place in newest.places} <= {f"n{at}" for at, _ in orders}


def test_the_same_life_may_be_told_by_two_nodes() -> None:
    newest = Newest[PostMortem]()
    for name in ("n1", "n2"):
        newest.take(a_node(name), [an_end(1, 0)])
    assert [place.node.metadata.name for place in newest.places] == ["n2", "n1"]
    assert newest.omitted == 0


def test_nothing_older_than_what_had_no_room_is_held_whatever_their_sizes_and_their_order() -> None:
    ends = [an_end(at, 0, ("x" * size,)) for at, size in ((1, 10), (2, 5_000), (3, 3_000), (4, 10))]
    room_bytes = 6_000
    for told in permutations(ends):
        newest = Newest[PostMortem](room_bytes)
        for one in told:
            newest.take(a_node("n1"), [one])
        assert [place.log.made_at for place in newest.places] == [4, 3], told
        assert newest.omitted == 2
