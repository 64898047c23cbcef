"""Kinds as a value: found by their names, changed only as a whole."""

import pytest

from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.kinds import Kinds, KindsClash


class Twin(Pod):
    """The same kind, with another model."""


class Other(Node):
    resource = Node.resource._replace(kind="Other", plural="others")


class Squatter(Node):
    resource = Node.resource._replace(kind="Squatter")


def test_kinds_are_a_sequence_in_the_order_in_which_they_were_given() -> None:
    kinds = Kinds(Pod, Node)

    assert (list(kinds), kinds[1], kinds[:1], len(kinds)) == ([Pod, Node], Node, (Pod,), 2)
    assert Pod in kinds
    assert ReplicaSet not in kinds


@pytest.mark.parametrize("word", ["rs", "ReplicaSet", "replicasets", "ReplicaSets.apps"])
def test_a_kind_is_found_as_people_call_it(word: str) -> None:
    assert Kinds(Pod, ReplicaSet).named(word) is ReplicaSet
    assert Kinds(Pod).named(word) is None


def test_a_kind_is_found_as_a_manifest_calls_it() -> None:
    kinds = Kinds(Pod, ReplicaSet)

    assert kinds.of("apps/v1", "ReplicaSet") is ReplicaSet
    assert kinds.of("v1", "ReplicaSet") is None
    assert kinds.of("apps/v1", "replicaset") is None


def test_one_more_kind_is_another_value() -> None:
    before = Kinds(Pod, Node)
    after = before.with_(Other)

    assert (list(before), list(after)) == ([Pod, Node], [Pod, Node, Other])
    assert list(after.without(Node)) == [Pod, Other]


def test_a_kind_of_a_known_name_takes_its_place() -> None:
    assert list(Kinds(Pod, Node).with_(Twin)) == [Twin, Node]


@pytest.mark.parametrize("kinds", [(Pod, Twin), (Pod, Pod, Twin), (Node, Squatter)])
def test_two_kinds_of_one_name_or_path_are_refused(kinds: tuple[type[Pod], ...]) -> None:
    with pytest.raises(KindsClash, match="twice"):
        Kinds(*kinds)
