"""Causes: what the uids of a family have in common, and that nothing else of a uid is given up."""

import uuid

import pytest

from cubernetes.api.causes import CAUSE_CHARS, cause_of, uid_for
from cubernetes.api.coordination.lease import Lease
from cubernetes.api.core.event import Event, ObjectReference
from cubernetes.api.meta import ObjectMeta, OwnerReference
from cubernetes.host.random import SeededRng


def an_owner(uid: str, *, controller: bool) -> OwnerReference:
    return OwnerReference(
        api_version="apps/v1", kind="ReplicaSet", name="web", uid=uid, controller=controller
    )


def test_a_family_has_one_cause_over_any_number_of_generations() -> None:
    rng = SeededRng("causes")
    parent = first = rng.uuid()
    uids = {first}
    for _ in range(50):
        parent = uid_for(rng.uuid(), parent)
        uids.add(parent)
    assert {cause_of(one) for one in uids} == {first[:CAUSE_CHARS]}
    assert len(uids) == 51


def test_the_uid_of_a_child_is_a_random_uuid_in_all_that_it_does_not_share() -> None:
    rng = SeededRng("causes")
    parent, own = rng.uuid(), rng.uuid()
    child = uid_for(own, parent)
    assert child == parent[:13] + own[13:]
    assert uuid.UUID(child).version == 4
    assert str(uuid.UUID(child)) == child


@pytest.mark.parametrize(
    "parent",
    ["", "web", "1", "F" * 36, "0" * 36, "00000000-0000-0000-0000-00000000000", "a\n" * 18],
)
def test_a_parent_whose_uid_is_none_of_ours_gives_nothing_to_its_children(parent: str) -> None:
    own = SeededRng("causes").uuid()
    assert uid_for(own, parent) == own


def test_the_parent_is_who_manages_an_object_else_its_first_owner_else_nobody() -> None:
    def parent(*owners: OwnerReference) -> str:
        return Lease(metadata=ObjectMeta(name="web", owner_references=owners)).parent_uid

    assert parent() == ""
    assert parent(an_owner("a", controller=False), an_owner("b", controller=False)) == "a"
    assert parent(an_owner("a", controller=False), an_owner("b", controller=True)) == "b"


def test_an_event_belongs_to_what_it_is_about() -> None:
    about = ObjectReference(kind="Pod", name="web-0", uid="of-the-pod")
    assert Event(metadata=ObjectMeta(name="e"), involved_object=about).parent_uid == "of-the-pod"
