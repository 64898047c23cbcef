"""How long what is read may be kept: told on each node, by how many nodes there are."""

from collections.abc import Sequence

import pytest

from controllers.nodes.ttl import BURST, EVERY_NODE, TTL, NodeTtls
from cubernetes.api.core.node import Node
from cubernetes.api.meta import replaced
from cubernetes.reconcile.plan import RequeueAfter
from tests.carry import World
from tests.given import NOW, a_node


def nodes(count: int, told: str | None = None) -> list[Node]:
    made = [a_node(f"n{number}") for number in range(count)]
    notes = {} if told is None else {TTL: told}
    return [replaced(one, metadata=replaced(one.metadata, annotations=notes)) for one in made]


def settled(found: Sequence[Node]) -> set[str]:
    world = World(found)
    world.settle(NodeTtls(), 4)
    return {one.metadata.annotations[TTL] for one in world.all(Node)}


@pytest.mark.parametrize(
    ("count", "seconds"), [(1, "0"), (100, "0"), (101, "15"), (501, "30"), (1001, "60")]
)
def test_many_nodes_may_keep_what_they_read_for_longer(count: int, seconds: str) -> None:
    assert settled(nodes(count)) == {seconds}


def test_between_two_bounds_nodes_keep_what_they_say() -> None:
    assert settled(nodes(95, "0")) == {"0"}
    assert settled(nodes(95, "15")) == {"15"}
    assert settled(nodes(89, "15")) == {"0"}


def test_a_text_that_is_none_of_ours_is_put_right() -> None:
    assert settled(nodes(2, "soon")) == {"0"}


def test_very_many_nodes_are_written_in_portions() -> None:
    world = World(nodes(BURST + 10))
    plan = list(NodeTtls().plan(EVERY_NODE, world.view(), NOW))

    assert len(plan) == BURST + 1
    assert isinstance(plan[-1], RequeueAfter)
    assert settled(world.all(Node)) == {"30"}


def test_a_node_that_goes_counts_no_more() -> None:
    found = [*nodes(100, "0"), a_node("last")]
    going = replaced(found[-1].metadata, deletion_timestamp=NOW)
    world = World([*found[:-1], replaced(found[-1], metadata=going)])
    assert world.plan(NodeTtls(), EVERY_NODE) == []
