"""Namespaces: empty before they go, and only deleted ones are touched."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from controllers.cleanup.namespaces import Namespaces
from controllers.cleanup.remaining import NAMED_MAX, TELL_S, told
from cubernetes.api.condition import Condition
from cubernetes.api.core.namespace import Namespace, NamespaceSpec
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import Object, replaced
from cubernetes.reconcile.plan import Action, Delete, RequeueAfter, UpdateStatus
from tests.carry import World
from tests.given import NOW, a_lease, a_namespace, a_pod, a_replicaset, a_service, a_slice, an_event


def a_going(name: str) -> Namespace:
    spec = NamespaceSpec(finalizers=("kubernetes",))
    return replaced(a_namespace(name, deleted_at=NOW), spec=spec)


def contents(namespace: str) -> list[Object]:
    return [
        a_pod("p", namespace),
        a_pod("bound", namespace, node="n1"),
        a_replicaset("r", namespace),
        a_service("s", namespace),
        a_slice("e", namespace),
        a_lease("l", namespace),
        an_event(a_pod("p", namespace)),
    ]


def test_everything_in_it_goes_then_the_namespace_goes_and_nothing_else() -> None:
    world = World([a_going("old"), a_namespace("new"), *contents("old"), *contents("new")])

    world.settle(Namespaces(), 1)
    assert [one.metadata.name for one in world.all(Object) if one.metadata.namespace == "old"] == [
        "bound"
    ]

    world.remove(a_pod("bound", "old").ref)
    world.settle(Namespaces(), 1)
    assert [one.metadata.name for one in world.all(Namespace)] == ["new"]
    assert len([one for one in world.all(Object) if one.metadata.namespace == "new"]) == 7


def test_makers_go_before_what_they_make() -> None:
    plan = World([a_going("old"), *contents("old")]).plan(Namespaces(), a_going("old").ref)

    kinds = [one.kind.resource.kind for one in plan if isinstance(one, Delete)]
    assert kinds.index("ReplicaSet") < kinds.index("Pod")
    assert kinds[-1] == "Event"


def test_a_live_namespace_gives_no_work() -> None:
    world = World([a_namespace("default"), *contents("default")])

    assert [
        key for one in contents("default") for key in Namespaces().keys(one, world.view())
    ] == []
    assert world.plan(Namespaces(), a_namespace("default").ref) == []


def test_on_missing_facts_it_is_not_called_empty() -> None:
    lagging = replace(World([a_going("old")]).view(), as_of=1)

    assert [*Namespaces().plan(a_going("old").ref, lagging, NOW)] == [RequeueAfter(1.0)]


LATER = NOW + timedelta(seconds=TELL_S)


def kept_pod() -> Pod:
    pod = a_pod("kept", "old", deleted_at=NOW)
    return replaced(pod, metadata=replaced(pod.metadata, finalizers=("example.com/mine",)))


def what_is_told(plan: Iterable[Action]) -> dict[str, tuple[str, str]]:
    """Return what the one write of a plan says, by the types of its conditions."""
    conditions = namespace_in(plan).status.conditions
    return {one.type: (one.status, one.message) for one in conditions}


def namespace_in(plan: Iterable[Action]) -> Namespace:
    (write,) = [one for one in plan if isinstance(one, UpdateStatus)]
    assert isinstance(write.object, Namespace)
    return write.object


def test_what_keeps_it_is_told_once_it_takes_longer_than_usual() -> None:
    pods = [kept_pod(), a_pod("ends", "old", deleted_at=NOW)]
    view = World([a_going("old"), *pods]).view()

    assert [*Namespaces().plan(a_going("old").ref, view, NOW)] == [RequeueAfter(TELL_S)]
    assert what_is_told(Namespaces().plan(a_going("old").ref, view, LATER)) == {
        "NamespaceContentRemaining": (
            "True",
            "Some resources are remaining: pods. has 2 resource instances",
        ),
        "NamespaceFinalizersRemaining": (
            "True",
            "Some content in the namespace has finalizers remaining: "
            "example.com/mine in 1 resource instances",
        ),
    }


def told_namespace() -> Namespace:
    return namespace_in(told(a_going("old"), [kept_pod()], LATER))


def test_the_same_is_not_told_again_and_something_else_after_a_while() -> None:
    plain = [a_pod("ends", "old", deleted_at=NOW)]
    soon, late = LATER + timedelta(seconds=1), LATER + timedelta(seconds=TELL_S)

    assert [*told(told_namespace(), [kept_pod()], late)] == []
    assert [*told(told_namespace(), plain, soon)] == [RequeueAfter(TELL_S - 1)]
    found = what_is_told(told(told_namespace(), plain, late))
    assert found["NamespaceFinalizersRemaining"] == (
        "False",
        "All content-preserving finalizers finished",
    )


def test_what_others_tell_stays_and_since_when_only_where_it_became_so() -> None:
    others = Condition(type="example.com/Audited", status="True", last_transition_time=NOW)
    before = told_namespace()
    status = replaced(before.status, conditions=(others, *before.status.conditions))
    plain = [a_pod("ends", "old", deleted_at=NOW), a_pod("too", "old", deleted_at=NOW)]
    late = LATER + timedelta(seconds=TELL_S)

    found = namespace_in(told(replaced(before, status=status), plain, late)).status.conditions
    assert found[0] == others
    assert [one.last_transition_time for one in found[1:]] == [LATER, late]
    assert [*told(replaced(before, status=status), [kept_pod()], late)] == []


def test_of_many_finalizers_the_first_are_named() -> None:
    pod = kept_pod()
    names = tuple(f"example.com/f{number:02}" for number in range(NAMED_MAX + 3))
    many = replaced(pod, metadata=replaced(pod.metadata, finalizers=names))

    _, message = what_is_told(told(a_going("old"), [many], LATER))["NamespaceFinalizersRemaining"]
    assert message.endswith(f"f{NAMED_MAX - 1:02} in 1 resource instances, and 3 more")
