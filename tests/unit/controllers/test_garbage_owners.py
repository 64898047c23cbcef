"""Owners and dependents, as Kubernetes' page on garbage collection tells of them.

https://kubernetes.io/docs/concepts/architecture/garbage-collection/ and, where that is silent,
attemptToDeleteItem and its neighbours in pkg/controller/garbagecollector.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.cleanup.garbage import Garbage
from controllers.owners import FOREGROUND, ORPHAN, blocking_in_circle
from cubernetes.api.apiextensions.customresourcedefinition import CustomResourceDefinition
from cubernetes.api.apiextensions.definedkinds import followed_kind, followed_resource
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.coding import codec
from cubernetes.api.core.event import Event
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import Object, OwnerReference, replaced
from cubernetes.api.registry import KINDS
from cubernetes.reconcile.plan import Delete, Patch, RequeueAfter, StillView
from tests.carry import World
from tests.definitions import GROUP, a_definition
from tests.given import NOW, a_node, a_pod, a_replicaset

FOREIGN = OwnerReference(api_version="example.com/v1", kind="Thing", name="x", uid="u-x")


def to(owner: Object, *, blocks: bool = True) -> OwnerReference:
    return replaced(owner.owner_reference(), controller=False, block_owner_deletion=blocks)


def owned[O: Object](thing: O, *owners: OwnerReference) -> O:
    return replaced(thing, metadata=replaced(thing.metadata, owner_references=owners))


def a_running_pod(name: str, *owners: OwnerReference) -> Pod:
    """Return one that stays for its grace when it is deleted, until its kubelet confirms."""
    return owned(a_pod(name, node="n1"), *owners)


ALIVE, OTHER = a_replicaset("alive"), a_replicaset("other")
GONE = a_replicaset("gone")
GOING = a_replicaset("going", deleted_at=NOW, finalizers=[FOREGROUND])
ENDING = a_replicaset("ending", deleted_at=NOW, finalizers=["example.com/hold"])
LEAVING = a_replicaset("leaving", deleted_at=NOW, finalizers=[ORPHAN])


@dataclass(frozen=True)
class Row:
    """Owners of a running pod, and what is so when nothing is left to do.

    pod: what became of it: stays, or is deleted (Terminating, for its kubelet).
    left: to which owners it still refers. gone: which owners are gone while the pod is there.
    """

    owners: Sequence[OwnerReference]
    pod: str
    left: Sequence[str]
    gone: Sequence[str] = ()


TABLE: Mapping[str, Row] = {
    "its only owner is there": Row([to(ALIVE)], "stays", ["alive"]),
    "two owners are there": Row([to(ALIVE), to(OTHER)], "stays", ["alive", "other"]),
    "its only owner is gone": Row([to(GONE)], "deleted", ["gone"]),
    "one owner is gone, another is there": Row([to(GONE), to(ALIVE)], "stays", ["alive"]),
    "its owner waits for it": Row([to(GOING)], "deleted", ["going"]),
    "its owner goes and does not wait for it": Row(
        [to(GOING, blocks=False)], "deleted", ["going"], gone=["going"]
    ),
    "one owner waits for it, another is there": Row(
        [to(GOING), to(ALIVE)], "stays", ["alive"], gone=["going"]
    ),
    "one owner is gone, another waits for it": Row(
        [to(GONE), to(GOING)], "deleted", ["gone", "going"]
    ),
    "one is gone, one waits, one is there": Row(
        [to(GONE), to(GOING), to(ALIVE)], "stays", ["alive"], gone=["going"]
    ),
    "its owner is deleted and held by others": Row([to(ENDING)], "stays", ["ending"]),
    "its owner is held by others, another waits for it": Row(
        [to(ENDING), to(GOING)], "stays", ["ending"], gone=["going"]
    ),
    "its owner lets it stay": Row([to(LEAVING)], "stays", [], gone=["leaving"]),
    "its owner lets it stay, another is there": Row(
        [to(LEAVING), to(ALIVE)], "stays", ["alive"], gone=["leaving"]
    ),
    "of one owner nobody will ever know": Row([to(GONE), FOREIGN], "stays", ["gone", "x"]),
    "of one owner nobody will ever know, another waits for it": Row(
        [to(GOING), FOREIGN], "stays", ["going", "x"]
    ),
    "of one owner nobody will ever know, another is there": Row(
        [to(GONE), FOREIGN, to(ALIVE)], "stays", ["x", "alive"]
    ),
}


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_what_becomes_of_a_dependent_and_of_its_owners(row: Row) -> None:
    owners = [ALIVE, OTHER, GOING, ENDING, LEAVING]
    needed = [one for one in owners if any(ref.uid == one.metadata.uid for ref in row.owners)]
    world = World([a_node("n1"), *needed, a_running_pod("web-0", *row.owners)])

    world.settle(Garbage(), 4)

    (pod,) = world.all(Pod)
    assert pod.metadata.is_deleted == (row.pod == "deleted")
    assert [one.name for one in pod.metadata.owner_references] == list(row.left)
    there = {one.metadata.name for one in world.all(ReplicaSet)}
    assert there == {one.metadata.name for one in needed} - set(row.gone)


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_an_owner_that_waits_goes_when_its_dependent_is_gone(row: Row) -> None:
    world = World([a_node("n1"), GOING, a_running_pod("web-0", *row.owners)])
    garbage = Garbage()
    for key in world.keys(garbage):
        world.carry_out(world.plan(garbage, key))
    for pod in world.all(Pod):
        world.remove(pod.ref)

    world.settle(garbage, 2)

    assert world.all(ReplicaSet) == []


def test_a_chain_of_owners_goes_from_its_end() -> None:
    top = a_replicaset("top", deleted_at=NOW, finalizers=[FOREGROUND])
    middle = owned(a_replicaset("middle"), to(top))
    world = World([a_node("n1"), top, middle, a_running_pod("end", to(middle))])

    world.settle(Garbage(), 4)

    assert [one.metadata.is_deleted for one in world.all(ReplicaSet)] == [True, True]
    assert [one.metadata.finalizers for one in world.all(ReplicaSet)] == [(FOREGROUND,)] * 2
    assert world.all(Pod)[0].metadata.is_deleted
    world.remove(world.all(Pod)[0].ref)
    world.settle(Garbage(), 4)
    assert world.all(ReplicaSet) == []


def test_what_its_owner_would_let_stay_stays_when_the_owner_is_collected() -> None:
    """The finalizer of an object says what becomes of its dependents, whoever deletes it."""
    middle = owned(a_replicaset("middle", finalizers=[ORPHAN]), to(GONE))
    world = World([a_node("n1"), middle, a_running_pod("end", to(middle))])

    world.settle(Garbage(), 4)

    assert world.all(ReplicaSet) == []
    (pod,) = world.all(Pod)
    assert (pod.metadata.is_deleted, pod.metadata.owner_references) == (False, ())


@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_a_circle_of_owners_does_not_wait_for_itself(length: int) -> None:
    names = [f"s{place}" for place in range(length)]
    sets = [
        owned(a_replicaset(name), to(a_replicaset(names[place - 1])))
        for place, name in enumerate(names)
    ]
    world = World(sets)
    world.carry_out([Delete(ReplicaSet, sets[0].ref, "uid-s0", propagation="Foreground")])

    world.settle(Garbage(), 4 * length)

    assert world.all(ReplicaSet) == []


def test_only_owners_that_wait_over_references_that_block_are_a_circle() -> None:
    def going(name: str, *owners: OwnerReference) -> ReplicaSet:
        return owned(a_replicaset(name, deleted_at=NOW, finalizers=[FOREGROUND]), *owners)

    def circular(*sets: ReplicaSet) -> frozenset[str]:
        first = sets[0]
        return blocking_in_circle(first, first.metadata.owner_references, StillView(sets), KINDS)

    one, two, three = (a_replicaset(name) for name in ("one", "two", "three"))
    first, last = going("one", to(two)), going("three", to(one))
    assert circular(first, going("two", to(one))) == {"uid-two"}
    assert circular(first, going("two", to(three)), last) == {"uid-two"}
    # A chain, references that do not block, and an owner that does not go, or is somebody else.
    assert circular(first, going("two", to(three)), going("three")) == frozenset()
    assert circular(first, going("two", to(one, blocks=False))) == frozenset()
    assert circular(going("one", to(two, blocks=False)), going("two", to(one))) == frozenset()
    assert circular(first, owned(two, to(three)), last) == frozenset()
    assert circular(first, owned(a_replicaset("two", uid="new"), to(one))) == frozenset()


def test_a_change_of_an_owner_that_waits_concerns_its_dependents() -> None:
    world = World([GOING, a_running_pod("web-0", to(GOING))])

    assert world.all(Pod)[0].ref in list(Garbage().keys(GOING, world.view()))
    assert world.all(Pod)[0].ref not in list(Garbage().keys(ALIVE, world.view()))


def test_a_reference_is_not_taken_for_dangling_while_the_view_of_its_kind_lags() -> None:
    world = World([ALIVE, a_running_pod("web-0", to(GONE), to(ALIVE))])
    lagging = replace(world.view(), as_of=1)
    ref = world.all(Pod)[0].ref

    # Without a Node the pod is looked at again anyway; what matters is that nothing is written.
    assert {*Garbage().plan(ref, lagging, NOW)} == {RequeueAfter(1.0)}


class Lagging(StillView):
    """A view in which one kind is as of before everything that the others show."""

    def revision(self, kind: type[Object]) -> int:
        return 1 if kind is Event else 2**62


@pytest.mark.parametrize("finalizer", [ORPHAN, FOREGROUND])
def test_a_finalizer_stays_while_the_view_of_any_kind_may_hide_a_dependent(finalizer: str) -> None:
    """An Event may have an owner too, and the view of Events is not there yet."""
    owner = a_replicaset("web", deleted_at=NOW, finalizers=[finalizer])
    world = World([owner])
    garbage, objects = Garbage(), world.view().objects

    assert list(garbage.plan(owner.ref, Lagging(objects), NOW)) == [RequeueAfter(1.0)]
    (change,) = garbage.plan(owner.ref, StillView(objects), NOW)
    assert isinstance(change, Patch)
    assert change.change["metadata"]["finalizers"] is None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)
@pytest.mark.parametrize("finalizer", [ORPHAN, FOREGROUND])
def test_every_kind_may_be_the_one_that_lags(kind: type[Object], finalizer: str) -> None:
    class OneLags(StillView):
        def revision(self, of: type[Object]) -> int:
            return 1 if of is kind else 2**62

    owner = a_replicaset("web", deleted_at=NOW, finalizers=[finalizer])
    objects = World([owner]).view().objects

    assert list(Garbage().plan(owner.ref, OneLags(objects), NOW)) == [RequeueAfter(1.0)]


SIZE = 5
GRAPHS = st.dictionaries(
    st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1)), st.booleans(), max_size=8
)


def survivors(edges: Mapping[tuple[int, int], bool], deleted: set[int]) -> set[int]:
    """Return what stays: what is not deleted and has no owner, or one that stays."""
    left = set(range(SIZE)) - deleted
    while True:
        owners = {one: {above for above, below in edges if below == one} for one in left}
        kept = {one for one in left if not owners[one] or owners[one] & left}
        if kept == left:
            return left
        left = kept


@given(edges=GRAPHS, deleted=st.sets(st.integers(0, SIZE - 1)), cut=st.integers(0, 8))
def test_any_graph_of_owners_comes_to_rest_with_nothing_that_waits_for_ever(
    edges: Mapping[tuple[int, int], bool], deleted: set[int], cut: int
) -> None:
    """edges: from an owner to its dependent, and whether that blocks the owner's deletion."""
    sets = [a_replicaset(f"s{place}") for place in range(SIZE)]
    world = World()
    for place, one in enumerate(sets):
        references = [
            to(sets[above], blocks=blocks)
            for (above, below), blocks in edges.items()
            if below == place
        ]
        world.put(owned(one, *references))
    for place in deleted:
        ref, uid = sets[place].ref, sets[place].metadata.uid
        world.carry_out([Delete(ReplicaSet, ref, uid, propagation="Foreground")])
    garbage = Garbage()
    for key in world.keys(garbage)[:cut]:
        world.carry_out(world.plan(garbage, key), limit=1)

    world.settle(garbage, 6 * SIZE)

    kept = survivors(edges, deleted)
    assert {one.metadata.name for one in world.all(ReplicaSet)} == {f"s{one}" for one in kept}
    for one in world.all(ReplicaSet):
        assert {ref.name for ref in one.metadata.owner_references} <= {f"s{each}" for each in kept}


def test_an_owner_of_a_kind_that_is_defined_and_not_followed_yet_is_waited_for() -> None:
    tree = {
        **a_definition(),
        "status": {
            "acceptedNames": {"plural": "crontabs", "kind": "CronTab"},
            "conditions": [{"type": "Established", "status": "True"}],
        },
    }
    definition = codec.from_tree(CustomResourceDefinition, tree).model
    owner = OwnerReference(api_version=f"{GROUP}/v1", kind="CronTab", name="ended", uid="u-ended")
    pod = a_running_pod("web", owner)
    world, planner = World([definition, pod, a_node("n1")]), Garbage()
    assert [type(one) for one in planner.plan(pod.ref, world.view(), NOW)] == [RequeueAfter]

    resource = followed_resource(definition)
    assert resource is not None
    planner.know([followed_kind(resource)])
    assert [type(one) for one in planner.plan(pod.ref, world.view(), NOW)] == [Delete]
