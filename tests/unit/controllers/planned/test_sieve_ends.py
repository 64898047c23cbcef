"""Sieve's failures of who cleans up, and of who gives things to namespaces, nodes, services."""

from collections.abc import Callable, Mapping

import pytest

from controllers.access.accounts import Accounts
from controllers.cleanup.garbage import Garbage
from controllers.cleanup.namespaces import Namespaces
from controllers.deployments.deployments import Deployments
from controllers.loadbalancers import LoadBalancers
from controllers.nodes.pressures import PressureTaints
from controllers.nodes.ttl import NodeTtls
from controllers.replicaset import ReplicaSets
from controllers.volumes.volumes import Volumes
from cubernetes.api.addresspool import pool_of
from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.bodies.envelopes import Propagation
from cubernetes.api.core.namespace import Namespace, NamespaceSpec
from cubernetes.api.core.node import Node
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.core.service import Service
from cubernetes.api.meta import Object, replaced
from cubernetes.reconcile.plan import Delete, Planner
from tests.carry import World
from tests.given import a_condition, a_deployment, a_namespace, a_node, a_service
from tests.unit.controllers.planned.sieve import Story, suffer
from tests.unit.controllers.volumes.test_volume_laws import a_world, keep_folders, select


def _deleted(kind: type[Object], name: str, how: Propagation) -> Callable[[World], None]:
    def delete(world: World) -> None:
        for one in world.all(kind):
            if one.metadata.name == name:
                world.carry_out([Delete(kind, one.ref, one.metadata.uid, propagation=how)])

    return delete


def _cascades() -> Story:
    """Three Deployments go, each in another way; a fourth stays."""
    ways: Mapping[str, Propagation] = {
        "a": "Background", "b": "Foreground", "c": "Orphan",
    }  # fmt: skip
    deeds = {5 + at: _deleted(Deployment, name, how) for at, (name, how) in enumerate(ways.items())}
    made = [a_deployment(name, replicas=1) for name in (*ways, "d")]
    return Story([a_node("n1"), *made], [Garbage, Deployments, ReplicaSets], deeds)


def _closed_room() -> Story:
    def close(world: World) -> None:
        (room,) = [one for one in world.all(Namespace) if one.metadata.name == "room"]
        meta = replaced(room.metadata, deletion_timestamp=world.now)
        world.put(replaced(room, metadata=meta))

    spec = NamespaceSpec(finalizers=("kubernetes",))
    rooms = [replaced(a_namespace(name), spec=spec) for name in ("default", "room")]
    made = [a_deployment("web", name, replicas=2) for name in ("default", "room")]
    planners: list[Callable[[], Planner]] = [
        Namespaces, lambda: Accounts("PEM"), Deployments, ReplicaSets,
    ]  # fmt: skip
    return Story([a_node("n1"), *rooms, *made], planners, {6: close})


def _nodes_come() -> Story:
    """Nodes come and are told how long to keep what they read; one is under pressure at times."""

    def press(status: str) -> Callable[[World], None]:
        def change(world: World) -> None:
            (node,) = [one for one in world.all(Node) if one.metadata.name == "n0"]
            told = a_condition("DiskPressure", status)  # type: ignore[arg-type]
            kept = [one for one in node.status.conditions if one.type != "DiskPressure"]
            status_now = replaced(node.status, conditions=(*kept, told))
            world.put(replaced(node, status=status_now))

        return change

    def come(world: World) -> None:
        world.put(a_node("n2"), a_node("n3"))

    deeds = {3: press("True"), 5: come, 9: press("False"), 12: press("True")}
    return Story([a_node("n0"), a_node("n1")], [NodeTtls, PressureTaints], deeds, rounds=30)


def _addresses() -> Story:
    """Three services want two addresses; the first goes, and the last has its own."""
    pool = pool_of("192.0.2.240-192.0.2.241")

    def balanced(name: str) -> Service:
        one = a_service(name)
        return replaced(one, spec=replaced(one.spec, type="LoadBalancer")).defaulted()

    def holds(world: World) -> None:
        found = [
            ingress.ip for one in world.all(Service) for ingress in one.status.load_balancer.ingress
        ]
        assert len(found) == len(set(found)), found

    deeds: dict[int, Callable[[World], None]] = {
        at: lambda world, name=name: world.put(balanced(name))  # type: ignore[misc]
        for at, name in ((2, "a"), (6, "b"), (9, "c"))
    }
    deeds[14] = lambda world: world.remove(a_service("a").ref)
    return Story([], [lambda: LoadBalancers(pool)], deeds, holds)


def _claims() -> Story:
    """Claims are bound to what people made, and folders made for others, one of which goes."""

    def tend(world: World) -> None:
        select(world, "c", "n1")
        select(world, "d", "n2")
        keep_folders(world)

    deeds: dict[int, Callable[[World], None]] = dict.fromkeys(range(2, 40), tend)

    def go(world: World) -> None:
        for one in world.all(PersistentVolumeClaim):
            if one.metadata.name in ("a", "c"):
                world.carry_out([Delete(PersistentVolumeClaim, one.ref, one.metadata.uid)])

    def holds(world: World) -> None:
        names = [
            one.spec.volume_name for one in world.all(PersistentVolumeClaim) if one.spec.volume_name
        ]
        assert len(names) == len(set(names)), names

    deeds[15] = go
    return Story(list(a_world().view().objects), [Volumes], deeds, holds)


STORIES: Mapping[str, Callable[[], Story]] = {
    "cascades": _cascades,
    "closed room": _closed_room,
    "nodes come": _nodes_come,
    "addresses": _addresses,
    "claims": _claims,
}
VICTIMS = [(name, place) for name, make in STORIES.items() for place in range(len(make().planners))]


@pytest.mark.parametrize(("name", "place"), VICTIMS)
def test_what_goes_is_gone_and_what_is_given_is_there_in_the_end(name: str, place: int) -> None:
    suffered = suffer(STORIES[name], place)
    assert suffered.write_count
    assert suffered.unlike == []
