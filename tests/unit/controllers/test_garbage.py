"""Garbage: everything that nobody needs goes, and nothing else ever does."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from controllers.cleanup.garbage import MISSING_GRACE_S, Garbage
from controllers.owners import FOREGROUND, ORPHAN
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import OwnerReference, replaced
from cubernetes.reconcile.plan import Delete, RequeueAfter
from tests.carry import World
from tests.given import NOW, a_node, a_pod, a_replicaset

WEB = a_replicaset("web")
POD = a_pod("web-0", owner=WEB)
OWNER = WEB.owner_reference()


def plan_pod(world: World, garbage: Garbage | None = None) -> list[object]:
    return list((garbage or Garbage()).plan(POD.ref, world.view(), world.now))


def test_w18_with_its_set_every_pod_goes_also_those_that_never_ran() -> None:
    world = World([WEB, POD, a_pod("web-1", owner=WEB, phase="Running")])
    world.remove(WEB.ref)

    world.settle(Garbage(), 1)

    assert world.all(Pod) == []


def test_an_owner_is_the_incarnation_not_the_name() -> None:
    world = World([a_replicaset("web", uid="another"), POD])

    world.settle(Garbage(), 1)

    assert world.all(Pod) == []


def test_on_missing_facts_it_holds() -> None:
    """The view of the owners' kind is older than the pod: an absence in it means nothing."""
    world = World([POD])
    lagging = replace(world.view(), as_of=1)

    assert [*Garbage().plan(POD.ref, lagging, NOW)] == [RequeueAfter(1.0)]


def test_an_owner_whose_end_was_seen_is_gone_for_certain() -> None:
    garbage, world = Garbage(), World([POD])
    lagging = replace(world.view(), as_of=1)

    assert POD.ref in list(garbage.keys(WEB, lagging))
    (delete,) = garbage.plan(POD.ref, lagging, NOW)
    assert isinstance(delete, Delete)


def test_an_owner_of_a_kind_that_we_do_not_know_keeps_it() -> None:
    owner = OwnerReference(api_version="example.com/v1", kind="Thing", name="x", uid="u")
    kept = replaced(POD, metadata=replaced(POD.metadata, owner_references=(owner,)))

    assert plan_pod(World([kept])) == []


def test_a_namesake_of_our_kinds_in_another_group_is_not_waited_for() -> None:
    """It will never be in any view: looking again each second would go on for ever."""
    owner = OwnerReference(api_version="example.com/v1", kind="ReplicaSet", name="x", uid="u")
    kept = replaced(POD, metadata=replaced(POD.metadata, owner_references=(owner,)))

    assert plan_pod(World([kept])) == []


def test_what_is_in_no_namespace_is_not_garbage_of_an_owner_that_is_in_one() -> None:
    node = a_node("n1")
    owned = replaced(node, metadata=replaced(node.metadata, owner_references=(OWNER,)))
    world = World([owned])

    assert list(Garbage().plan(owned.ref, world.view(), NOW)) == []


def test_a_new_owner_that_was_written_meanwhile_saves_it() -> None:
    world = World([POD])
    plan = plan_pod(world)
    adopter = a_replicaset("adopter")
    owners = (adopter.owner_reference(),)
    world.put(adopter)
    world.put(replaced(POD, metadata=replaced(POD.metadata, owner_references=owners)))

    world.carry_out(plan)  # type: ignore[arg-type]

    assert len(world.all(Pod)) == 1


def test_a_deleted_pod_that_was_never_bound_goes_at_once() -> None:
    world = World([a_pod("web-0", deleted_at=NOW)])

    world.settle(Garbage(), 1)

    assert world.all(Pod) == []


def test_a_deleted_pod_that_runs_is_its_kubelets() -> None:
    world = World([a_node("n1"), a_pod("web-0", node="n1", deleted_at=NOW)])

    assert plan_pod(world) == []


def test_a_pod_on_a_node_that_is_gone_goes_after_a_grace() -> None:
    garbage = Garbage()
    world = World([a_pod("web-0", node="n1")])

    assert plan_pod(world, garbage) == [RequeueAfter(MISSING_GRACE_S)]
    world.now = NOW + timedelta(seconds=MISSING_GRACE_S)
    assert plan_pod(world, garbage) == [Delete(Pod, POD.ref, POD.metadata.uid, grace_s=0)]


def test_a_node_that_registers_again_keeps_its_pods() -> None:
    garbage = Garbage()
    world = World([a_pod("web-0", node="n1")])
    plan_pod(world, garbage)
    world.put(a_node("n1"))
    world.now = NOW + timedelta(seconds=MISSING_GRACE_S * 2)

    assert plan_pod(world, garbage) == []
    assert garbage.missing == {}


def test_a_missing_node_is_forgotten_with_its_last_pod() -> None:
    garbage = Garbage()
    pods = [a_pod("web-0", node="n1"), a_pod("web-1", node="n1")]
    world = World(pods)
    plan_pod(world, garbage)
    for pod, left in zip(pods, ({"n1": NOW}, {}), strict=True):
        world.remove(pod.ref)
        list(garbage.keys(pod, world.view()))
        assert garbage.missing == left


def test_orphaned_dependents_stay_and_lose_their_owner_before_it_goes() -> None:
    going = a_replicaset("web", deleted_at=NOW, finalizers=[ORPHAN])
    world = World([going, POD, a_pod("web-1", owner=WEB)])

    world.settle(Garbage(), 2)

    assert [pod.metadata.owner_references for pod in world.all(Pod)] == [(), ()]
    assert world.all(ReplicaSet) == []


def test_in_the_foreground_the_owner_outlives_its_dependents() -> None:
    going = a_replicaset("web", deleted_at=NOW, finalizers=[FOREGROUND])
    world = World([going, a_node("n1"), a_pod("web-0", owner=WEB, node="n1")])

    world.settle(Garbage(), 1)
    assert len(world.all(ReplicaSet)) == 1

    world.remove(POD.ref)
    assert going.ref in world.keys(Garbage())
    world.settle(Garbage(), 1)
    assert world.all(ReplicaSet) == []


@given(
    lives=st.lists(st.booleans(), min_size=1, max_size=4),
    pods=st.lists(st.sets(st.integers(0, 3)), max_size=8),
    cut=st.integers(0, 4),
)
def test_exactly_those_go_whose_owners_are_all_gone(
    lives: list[bool], pods: list[set[int]], cut: int
) -> None:
    owners = [a_replicaset(f"set-{place}") for place in range(4)]
    alive = [owner for place, owner in enumerate(owners) if place < len(lives) and lives[place]]
    world = World([*alive])
    kept = []
    for place, mine in enumerate(pods):
        references = tuple(
            replaced(owners[owner].owner_reference(), controller=False) for owner in sorted(mine)
        )
        pod = a_pod(f"p-{place}")
        world.put(replaced(pod, metadata=replaced(pod.metadata, owner_references=references)))
        if not mine or any(owners[owner] in alive for owner in mine):
            kept.append(pod.metadata.name)
    for key in world.keys(Garbage())[:cut]:
        world.carry_out(world.plan(Garbage(), key))
    world.settle(Garbage(), 1)

    assert [pod.metadata.name for pod in world.all(Pod)] == kept


def test_what_was_seen_to_end_is_remembered_up_to_a_limit() -> None:
    garbage, world = Garbage(), World()
    for place in range(10_050):
        list(garbage.keys(a_pod(f"p-{place}"), world.view()))

    assert len(garbage.gone) == 10_000
    assert "uid-p-0" not in garbage.gone


def test_an_owner_that_waits_hears_when_a_dependent_leaves_it() -> None:
    world = World([WEB, a_pod("web-0")])

    assert WEB.ref in list(Garbage().keys(POD, world.view()))
    assert WEB.ref not in list(Garbage().keys(a_pod("web-0"), world.view()))
