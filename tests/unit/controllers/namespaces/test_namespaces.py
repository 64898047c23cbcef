"""Namespaces: empty before they go, and only deleted ones are touched."""

from dataclasses import replace

from controllers.cleanup.namespaces import Namespaces
from cubernetes.api.core.namespace import Namespace, NamespaceSpec
from cubernetes.api.meta import Object, replaced
from cubernetes.reconcile.plan import Delete, RequeueAfter
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
