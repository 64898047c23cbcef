"""What roads have acknowledged is concluded for pods: laws over random clusters, then cases."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.endpoints import Endpoints
from controllers.routes import LAST_S, READY_MAX_S, Routes
from cubernetes.api.condition import Condition, condition_of, is_true
from cubernetes.api.coordination.lease import Lease
from cubernetes.api.coordination.road import (
    ROAD_NAMESPACE,
    ROUTES_READY,
    ROUTES_REMOVED,
    acknowledged,
    road_lease,
)
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.meta import Ref, replaced
from cubernetes.client.cache import revision_of
from tests.carry import World
from tests.given import NOW, a_condition, a_node, a_pod, a_service

READY = [a_condition("Ready")]
SILENT = [a_condition("Ready", "Unknown")]
WEB = a_service("web")


def a_road(node: Node, revision: int = 0, program: str = "proxy") -> Lease:
    return road_lease(program, node, revision, NOW)


def a_ready_pod(name: str, number: int, *, led: bool | None = None) -> Pod:
    """led: what RoutesReady says; None: nothing."""
    pod = a_pod(name, node="n1", phase="Running", is_ready=True, ip=f"10.244.1.{number}")
    if led is None:
        return pod
    routes = Condition(type=ROUTES_READY, status="True" if led else "False")
    conditions = (*pod.status.conditions, routes)
    return replaced(pod, status=replaced(pod.status, conditions=conditions))


class Cluster:
    """Nodes with a proxy each, two pods behind one service, and both controllers."""

    def __init__(self, nodes: Sequence[str] = ("n1", "n2", "n3"), pod_count: int = 2) -> None:
        made = [a_node(name, conditions=READY) for name in nodes]
        pods = [a_ready_pod(f"web-{place}", place + 2) for place in range(pod_count)]
        self.world = World([WEB, *made, *map(a_road, made), *pods])
        self.roads = Routes()
        self.settle()

    def settle(self) -> None:
        self.world.settle(Endpoints(), rounds=3)

    def plan(self) -> None:
        for key in self.world.keys(self.roads):
            self.world.carry_out(self.world.plan(self.roads, key))

    def delete(self, name: str, grace_s: int = 30) -> None:
        pod = self.pod(name)
        meta = replaced(pod.metadata, deletion_timestamp=NOW, deletion_grace_period_seconds=grace_s)
        self.world.put(replaced(pod, metadata=meta))

    def acknowledge(self, node: str, revision: int | None = None, program: str = "proxy") -> None:
        """Let a road say a revision; None: the newest of all slices."""
        lease = self.world.get(Lease, f"{program}-{node}", ROAD_NAMESPACE)
        assert lease is not None
        newest = max(revision_of(one) for one in self.world.all(EndpointSlice))
        said = newest if revision is None else revision
        self.world.put(acknowledged(lease, said, NOW))
        for action in self.world.plan(self.roads, lease.ref):
            self.world.carry_out([action])

    def pod(self, name: str) -> Pod:
        pod = self.world.get(Pod, name, "default")
        assert pod is not None
        return pod

    def is_removed(self, name: str) -> bool:
        return is_true(self.pod(name).status.conditions, ROUTES_REMOVED)

    def wait(self, span_s: float) -> None:
        self.world.now += timedelta(seconds=span_s)
        self.plan()


@given(
    said=st.lists(st.sampled_from(["n1", "n2", "n3"]), max_size=6),
    silent=st.sets(st.sampled_from(["n1", "n2", "n3"])),
)
def test_roads_are_removed_exactly_when_every_ready_nodes_road_has_said_so(
    said: list[str], silent: set[str]
) -> None:
    cluster = Cluster()
    for name in sorted(silent):
        cluster.world.put(a_node(name, conditions=SILENT))
    cluster.delete("web-0")
    cluster.settle()
    cluster.plan()
    for name in said:
        cluster.acknowledge(name)

    assert cluster.is_removed("web-0") == ({"n1", "n2", "n3"} <= set(said) | silent)
    assert not cluster.is_removed("web-1")


@given(st.permutations(["n1", "n2", "n3", "slices", "delete"]))
def test_nothing_is_concluded_from_acknowledgements_of_before(order: list[str]) -> None:
    """Whatever comes first: what was said before the slices changed is not about this pod."""
    cluster = Cluster()
    is_told = False
    since: set[str] = set()
    is_deleted = False
    for event in order:
        match event:
            case "delete":
                cluster.delete("web-0")
                is_deleted = True
            case "slices":
                cluster.settle()
                is_told = is_deleted
            case name:
                cluster.acknowledge(name)
                since |= {name} if is_told else set()
        cluster.plan()

        assert cluster.is_removed("web-0") == (since == {"n1", "n2", "n3"})


def test_a_slice_that_changes_for_others_does_not_make_a_pod_wait_for_more() -> None:
    cluster = Cluster(pod_count=3)
    cluster.delete("web-0")
    cluster.settle()
    cluster.plan()
    first = max(revision_of(one) for one in cluster.world.all(EndpointSlice))
    cluster.delete("web-1")
    cluster.settle()
    cluster.plan()

    for name in ("n1", "n2", "n3"):
        cluster.acknowledge(name, first)

    assert cluster.is_removed("web-0")
    assert not cluster.is_removed("web-1")


def test_the_revision_just_before_is_not_enough() -> None:
    cluster = Cluster(["n1"])
    cluster.delete("web-0")
    cluster.settle()
    cluster.plan()
    newest = max(revision_of(one) for one in cluster.world.all(EndpointSlice))

    cluster.acknowledge("n1", newest - 1)
    assert not cluster.is_removed("web-0")
    cluster.acknowledge("n1", newest)
    assert cluster.is_removed("web-0")


def test_any_program_that_has_a_roads_lease_is_waited_for() -> None:
    cluster = Cluster(["n1"])
    node = cluster.world.get(Node, "n1")
    assert node is not None
    cluster.world.put(a_road(node, program="gateway"))
    cluster.delete("web-0")
    cluster.settle()
    cluster.plan()

    cluster.acknowledge("n1")
    assert not cluster.is_removed("web-0")
    cluster.acknowledge("n1", program="gateway")
    assert cluster.is_removed("web-0")


def test_a_road_that_is_gone_or_whose_node_falls_silent_is_waited_for_no_more() -> None:
    cluster = Cluster()
    cluster.delete("web-0")
    cluster.settle()
    cluster.plan()
    cluster.acknowledge("n1")

    cluster.world.remove(Ref("Lease", ROAD_NAMESPACE, "proxy-n2"))
    world, silent = cluster.world, a_node("n3", conditions=SILENT)
    world.put(silent)
    for ref in (
        Ref("Lease", ROAD_NAMESPACE, "proxy-n2"),
        *cluster.roads.keys(silent, world.view()),
    ):
        world.carry_out(world.plan(cluster.roads, ref))

    assert cluster.is_removed("web-0")


def test_a_write_that_was_refused_is_made_again() -> None:
    cluster = Cluster(["n1"])
    cluster.delete("web-0")
    cluster.settle()
    cluster.plan()
    lease = cluster.world.get(Lease, "proxy-n1", ROAD_NAMESPACE)
    assert lease is not None
    newest = max(revision_of(one) for one in cluster.world.all(EndpointSlice))
    cluster.world.put(acknowledged(lease, newest, NOW))

    assert cluster.world.plan(cluster.roads, lease.ref)  # and nothing of it is carried out
    cluster.world.carry_out(cluster.world.plan(cluster.roads, lease.ref))

    assert cluster.is_removed("web-0")


def test_a_services_last_pod_waits_for_its_successor_to_be_led_to() -> None:
    cluster = Cluster(["n1"], pod_count=1)
    cluster.delete("web-0")
    cluster.settle()
    cluster.acknowledge("n1")
    cluster.world.put(a_pod("web-9", node="n1"))
    cluster.wait(LAST_S * 3)
    assert not cluster.is_removed("web-0")

    cluster.world.put(a_ready_pod("web-9", 9))
    cluster.settle()
    cluster.plan()
    assert not cluster.is_removed("web-0")
    cluster.acknowledge("n1")
    assert cluster.is_removed("web-0")


def test_a_services_last_pod_waits_a_moment_where_no_other_is_to_come() -> None:
    cluster = Cluster(["n1"], pod_count=1)
    cluster.delete("web-0")
    cluster.settle()
    cluster.plan()
    cluster.acknowledge("n1")
    assert not cluster.is_removed("web-0")

    cluster.wait(LAST_S)
    assert cluster.is_removed("web-0")


def test_a_ready_pod_is_led_to_when_every_road_has_said_so() -> None:
    cluster = Cluster(pod_count=1)
    cluster.world.put(a_ready_pod("web-9", 9, led=False))
    cluster.plan()
    for name in ("n1", "n2", "n3"):
        # All of it before the slices name the pod.
        cluster.acknowledge(name)
    assert not is_true(cluster.pod("web-9").status.conditions, ROUTES_READY)

    cluster.settle()
    cluster.plan()
    cluster.acknowledge("n1")
    cluster.acknowledge("n2")
    assert not is_true(cluster.pod("web-9").status.conditions, ROUTES_READY)
    cluster.acknowledge("n3")
    assert is_true(cluster.pod("web-9").status.conditions, ROUTES_READY)


def test_a_road_that_stays_silent_does_not_hold_a_rollout_up_for_ever() -> None:
    cluster = Cluster(pod_count=1)
    cluster.world.put(a_ready_pod("web-9", 9, led=False))
    cluster.settle()
    cluster.plan()
    cluster.acknowledge("n1")
    cluster.wait(READY_MAX_S - 0.1)
    assert not is_true(cluster.pod("web-9").status.conditions, ROUTES_READY)

    cluster.wait(0.1)
    routes = condition_of(cluster.pod("web-9").status.conditions, ROUTES_READY)
    assert routes is not None
    assert (routes.status, routes.reason) == ("True", "DeadlineExceeded")
    assert "proxy-n2, proxy-n3" in routes.message


def test_a_pod_that_is_gone_leaves_nothing_behind() -> None:
    cluster = Cluster()
    cluster.delete("web-0")
    cluster.settle()
    cluster.plan()
    assert cluster.roads.waits
    assert cluster.roads.groups
    gone = cluster.pod("web-0")

    cluster.world.remove(gone.ref)
    for key in cluster.roads.keys(gone, cluster.world.view()):
        assert list(cluster.world.plan(cluster.roads, key)) == []

    assert not cluster.roads.waits
    assert not cluster.roads.groups


def test_an_acknowledgement_costs_a_look_at_each_revision_and_none_at_the_other_roads() -> None:
    """The looks that a burst costs grow with the roads, not with their square."""
    names = [f"n{number}" for number in range(40)]
    cluster = Cluster(names, pod_count=30)
    for place in range(20):
        cluster.delete(f"web-{place}")
    cluster.settle()
    cluster.plan()

    assert len(cluster.roads.groups) == 1
    for name in names[:-1]:
        cluster.acknowledge(name)
        (group,) = cluster.roads.groups.values()
        assert len(group.behind) == len(names) - 1 - names.index(name)
    cluster.acknowledge(names[-1])
    assert all(cluster.is_removed(f"web-{place}") for place in range(20))


def with_the_last_pod_of_a_node_going(**policy: Any) -> Cluster:
    """Return two nodes with a pod each; web-0 is deleted, and both roads have said so."""
    cluster = Cluster(["n1", "n2"])
    cluster.world.put(replaced(WEB, spec=replaced(WEB.spec, **policy)))
    other = cluster.pod("web-1")
    cluster.world.put(replaced(other, spec=replaced(other.spec, node_name="n2")))
    cluster.settle()
    cluster.delete("web-0")
    cluster.settle()
    cluster.plan()
    cluster.acknowledge("n1")
    cluster.acknowledge("n2")
    return cluster


@pytest.mark.parametrize(
    "policy",
    [
        {"external_traffic_policy": "Local", "type": "NodePort"},
        {"internal_traffic_policy": "Local"},
    ],
)
def test_the_last_pod_of_a_node_is_led_to_where_a_policy_is_local(policy: dict[str, Any]) -> None:
    """Its node's proxy leads to it while another node has a ready one: no road is removed yet."""
    cluster = with_the_last_pod_of_a_node_going(**policy)
    assert not cluster.is_removed("web-0")

    cluster.world.put(a_ready_pod("web-9", 9))
    cluster.settle()
    cluster.plan()
    cluster.acknowledge("n1")
    assert not cluster.is_removed("web-0")
    cluster.acknowledge("n2")
    assert cluster.is_removed("web-0")


def test_a_pod_of_another_node_does_not_count_as_a_successor_where_a_policy_is_local() -> None:
    """Nothing comes for this node: the pod waits a moment, and not for what never comes."""
    cluster = with_the_last_pod_of_a_node_going(internal_traffic_policy="Local")
    assert not cluster.is_removed("web-0")

    cluster.wait(LAST_S)
    assert cluster.is_removed("web-0")


def test_a_pod_that_is_published_while_it_ends_keeps_its_roads_until_its_deadline() -> None:
    """publishNotReadyAddresses: every proxy counts it as ready until it is gone."""
    cluster = Cluster(["n1"])
    cluster.world.put(replaced(WEB, spec=replaced(WEB.spec, publish_not_ready_addresses=True)))
    cluster.settle()
    cluster.delete("web-0")
    cluster.settle()
    cluster.plan()
    cluster.acknowledge("n1")
    cluster.wait(LAST_S * 3)

    assert not cluster.is_removed("web-0")
