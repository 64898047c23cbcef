"""Nodes that fall silent, come back, or only seem to: judged by what was seen, and when."""

from datetime import datetime, timedelta
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.nodes.evictions import EVICTION_BURST
from controllers.nodes.silence import Nodes, Timing, tolerated_s
from cubernetes.api.condition import condition_of
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.spec import PodReadinessGate
from cubernetes.api.core.podspec.toleration import UNREACHABLE, Toleration, unreachable_s
from cubernetes.api.core.podstatus import ContainerStatus
from cubernetes.api.meta import Ref, replaced
from tests.carry import World
from tests.given import NOW, a_container, a_lease, a_node, a_pod, a_replicaset, a_running_pod


def a_replaced_pod(name: str, *, node: str = "n1") -> Pod:
    """Return a pod that serves, and whose controller makes another one when it goes."""
    pod = a_running_pod(name, node=node)
    owner = a_replicaset("web").owner_reference()
    return replaced(pod, metadata=replaced(pod.metadata, owner_references=(owner,)))


class Cluster:
    """Nodes whose kubelets renew every 2 s unless silent, and a leader that renews as well."""

    def __init__(self, *names: str) -> None:
        self.world = World([a_node(name) for name in names])
        self.names = names
        self.nodes = Nodes()
        self.silent: set[str] = set()
        self.is_api_away = False
        self.now = NOW

    def run(self, span_s: int) -> None:
        """Let time pass, a second at a time; every key is planned and carried out."""
        for _ in range(span_s):
            self.now += timedelta(seconds=1)
            if not self.is_api_away and self.now.second % 2 == 0:
                self.renew()
            self.plan_all()

    def renew(self) -> None:
        for name in sorted(set(self.names) - self.silent):
            self.world.put(a_lease(name, renewed_at=self.now))
        self.world.put(a_lease("controllers", "kube-system", renewed_at=self.now))

    def plan_all(self) -> None:
        leader = Ref("Lease", "kube-system", "controllers")
        for key in (leader, *(Ref("Node", "", name) for name in self.names)):
            self.world.carry_out(self.nodes.plan(key, self.world.view(), self.now))

    def status(self, name: str) -> str:
        node = self.world.get(Node, name)
        ready = condition_of(node.status.conditions, "Ready") if node else None
        return ready.status if ready else ""

    def is_ready(self, pod: str) -> bool:
        found = self.world.get(Pod, pod, "default")
        ready = condition_of(found.status.conditions, "Ready") if found else None
        return ready is not None and ready.status == "True"

    def is_going(self, pod: str) -> bool:
        found = self.world.get(Pod, pod, "default")
        return found is None or found.metadata.is_deleted


def test_w14_a_silent_node_is_unknown_after_10_s_and_its_pods_are_not_ready() -> None:
    cluster = Cluster("n1", "n2", "n3")
    cluster.world.put(a_running_pod("web-0", node="n1"))
    cluster.run(20)
    cluster.silent.add("n1")

    cluster.run(8)
    assert cluster.status("n1") == "True"
    cluster.run(5)
    assert cluster.status("n1") == "Unknown"
    assert not cluster.is_ready("web-0")
    assert cluster.status("n2") == "True"
    assert not cluster.is_going("web-0")


def test_w14_after_30_s_more_pods_that_a_controller_replaces_are_deleted() -> None:
    cluster = Cluster("n1", "n2", "n3")
    cluster.world.put(a_replaced_pod("web-0", node="n1"))
    cluster.world.put(a_replaced_pod("web-1", node="n2"))
    cluster.run(20)
    cluster.silent.add("n1")

    cluster.run(36)
    assert not cluster.is_going("web-0")
    cluster.run(8)
    assert cluster.is_going("web-0")
    assert not cluster.is_going("web-1")


def test_a_bare_pod_serves_no_more_at_once_and_is_kept_for_five_minutes() -> None:
    cluster = Cluster("n1", "n2", "n3")
    cluster.world.put(a_running_pod("alone", node="n1"))
    cluster.world.put(a_replaced_pod("web-0", node="n1"))
    cluster.run(20)
    cluster.silent.add("n1")

    cluster.run(15)
    assert not cluster.is_ready("alone")
    cluster.run(285)
    assert cluster.is_going("web-0")
    assert not cluster.is_going("alone")
    cluster.run(20)
    assert cluster.is_going("alone")


def test_a_bare_pod_comes_back_as_itself_when_its_node_does() -> None:
    cluster = Cluster("n1", "n2", "n3")
    cluster.world.put(a_running_pod("alone", node="n1"))
    cluster.run(20)
    before = cluster.world.get(Pod, "alone", "default")
    cluster.silent.add("n1")
    cluster.run(290)

    cluster.silent.clear()
    cluster.run(12)

    after = cluster.world.get(Pod, "alone", "default")
    assert before is not None
    assert after is not None
    assert (after.metadata.uid, after.metadata.is_deleted) == (before.metadata.uid, False)
    assert cluster.is_ready("alone")


@pytest.mark.parametrize(
    ("toleration", "stays_s"),
    [
        (Toleration(key=UNREACHABLE, operator="Exists", effect="NoExecute"), inf),
        (
            Toleration(
                key=UNREACHABLE, operator="Exists", effect="NoExecute", toleration_seconds=90
            ),
            90,
        ),
        (Toleration(operator="Exists", effect="NoExecute", toleration_seconds=5), 5),
        (Toleration(operator="Exists", effect="NoExecute", toleration_seconds=-1), 0),
        (Toleration(key="other", operator="Exists", effect="NoExecute", toleration_seconds=5), 30),
        (Toleration(key=UNREACHABLE, operator="Exists", effect="NoSchedule"), 30),
        (Toleration(key=UNREACHABLE, value="x", effect="NoExecute", toleration_seconds=5), 30),
    ],
    ids=["for ever", "so long", "any taint", "negative", "another", "no eviction", "value"],
)
def test_a_pod_that_says_how_long_it_stays_goes_by_that(
    toleration: Toleration, stays_s: float
) -> None:
    pod = a_replaced_pod("web-0")

    told = replaced(pod, spec=replaced(pod.spec, tolerations=(toleration,)))

    assert tolerated_s(told, Timing()) == stays_s


def test_of_several_spans_the_shortest_counts() -> None:
    spans = [None, 60, 20]
    one = Toleration(key=UNREACHABLE, operator="Exists", effect="NoExecute")

    assert unreachable_s([replaced(one, toleration_seconds=span_s) for span_s in spans]) == 20
    assert unreachable_s([]) is None


def test_a_node_never_looked_at_counts_as_silent_when_evictions_are_weighed() -> None:
    """Two of four are silent: half may be. Of the fifth and sixth nothing is known."""
    cluster = Cluster("n1", "n2", "n3", "n4")
    cluster.world.put(a_replaced_pod("web-0", node="n1"))
    cluster.run(20)
    cluster.silent |= {"n1", "n2"}
    cluster.run(30)
    cluster.world.put(a_node("n5"))
    cluster.world.put(a_node("n6"))

    cluster.run(60)
    assert not cluster.is_going("web-0")

    # Known to live, they are the majority that lets the silent be given up.
    cluster.names = (*cluster.names, "n5", "n6")
    cluster.run(10)
    assert cluster.is_going("web-0")


def test_nothing_is_evicted_while_more_than_half_of_the_nodes_are_silent() -> None:
    cluster = Cluster("n1", "n2", "n3")
    cluster.world.put(a_replaced_pod("web-0"))
    cluster.run(20)
    cluster.silent |= {"n1", "n2"}

    cluster.run(300)

    assert (cluster.status("n1"), cluster.status("n2")) == ("Unknown", "Unknown")
    assert not cluster.is_going("web-0")


def test_a_node_that_comes_back_is_ready_again_and_so_are_its_pods() -> None:
    cluster = Cluster("n1", "n2", "n3")
    cluster.world.put(a_running_pod("web-0", node="n1"))
    cluster.run(20)
    cluster.silent.add("n1")
    cluster.run(15)

    cluster.silent.clear()
    cluster.run(12)

    assert cluster.status("n1") == "True"
    assert cluster.is_ready("web-0")


def test_a_pod_whose_container_was_not_ready_does_not_become_ready_by_its_nodes_return() -> None:
    cluster = Cluster("n1", "n2", "n3")
    cluster.world.put(a_pod("web-0", node="n1", phase="Running"))
    cluster.silent.add("n1")
    cluster.run(20)
    cluster.silent.clear()
    cluster.run(20)

    assert not cluster.is_ready("web-0")


def test_a_pod_whose_gate_was_closed_does_not_become_ready_by_its_nodes_return() -> None:
    cluster = Cluster("n1", "n2", "n3")
    pod = a_pod("web-0", node="n1", phase="Running", is_ready=True)
    gate = PodReadinessGate(condition_type="example.com/warm")
    cluster.world.put(replaced(pod, spec=replaced(pod.spec, readiness_gates=(gate,))))
    cluster.silent.add("n1")
    cluster.run(20)
    cluster.silent.clear()
    cluster.run(20)

    assert not cluster.is_ready("web-0")


def test_a_pod_whose_sidecar_was_not_ready_does_not_become_ready_by_its_nodes_return() -> None:
    cluster = Cluster("n1", "n2", "n3")
    pod = a_pod("web-0", node="n1", phase="Running", is_ready=True)
    side = replaced(a_container("side"), restart_policy="Always")
    status = replaced(pod.status, init_container_statuses=(ContainerStatus(name="side"),))
    spec = replaced(pod.spec, init_containers=(side,))
    cluster.world.put(replaced(pod, spec=spec, status=status))
    cluster.silent.add("n1")
    cluster.run(20)
    cluster.silent.clear()
    cluster.run(20)

    assert not cluster.is_ready("web-0")


def test_an_api_server_that_was_away_for_minutes_makes_no_node_silent() -> None:
    cluster = Cluster("n1", "n2", "n3")
    cluster.run(20)
    cluster.is_api_away = True
    cluster.run(180)
    cluster.is_api_away = False
    # One kubelet is heard before the others are: these must not be called silent for it.
    cluster.silent |= {"n2", "n3"}
    cluster.run(6)
    cluster.silent.clear()
    cluster.run(20)

    assert [cluster.status(name) for name in cluster.names] == ["True"] * 3
    assert cluster.world.records == []


@given(jump_s=st.integers(-7200, 7200))
def test_a_wall_clock_that_is_set_makes_no_node_silent_and_hides_none(jump_s: int) -> None:
    cluster = Cluster("n1", "n2", "n3")
    cluster.run(20)
    cluster.silent.add("n3")
    cluster.now += timedelta(seconds=jump_s)
    cluster.run(4)
    assert cluster.status("n1") == cluster.status("n2") == "True"

    cluster.run(16)
    assert [cluster.status(name) for name in cluster.names] == ["True", "True", "Unknown"]


def test_what_the_writers_clock_says_does_not_matter() -> None:
    cluster = Cluster("n1", "n2")
    for second in range(0, 60, 2):
        cluster.now = NOW + timedelta(seconds=second)
        cluster.world.put(
            a_lease("n1", renewed_at=datetime.min.replace(tzinfo=NOW.tzinfo, second=second % 60))
        )
        cluster.world.put(a_lease("n2", renewed_at=cluster.now + timedelta(days=400)))
        cluster.plan_all()

    assert (cluster.status("n1"), cluster.status("n2")) == ("True", "True")


def test_a_restart_makes_us_slower_and_never_wrong() -> None:
    cluster = Cluster("n1", "n2", "n3")
    cluster.run(20)
    cluster.silent.add("n1")
    cluster.run(8)
    cluster.nodes = Nodes()
    cluster.run(8)
    assert cluster.status("n1") == "True"
    cluster.run(6)
    assert cluster.status("n1") == "Unknown"


def test_a_node_found_silent_stays_so_until_a_renewal_is_really_seen() -> None:
    cluster = Cluster("n1", "n2", "n3")
    cluster.run(20)
    cluster.silent.add("n1")
    cluster.run(15)
    cluster.nodes = Nodes()

    cluster.run(9)

    assert cluster.status("n1") == "Unknown"


def test_what_a_kubelet_says_of_itself_is_not_overwritten() -> None:
    cluster = Cluster("n1", "n2")
    cluster.world.put(a_node("n1", is_ready=False))
    cluster.run(120)

    assert cluster.status("n1") == "False"


def test_a_live_cluster_costs_no_writes() -> None:
    cluster = Cluster("n1", "n2", "n3")
    cluster.world.put(a_running_pod("web-0", node="n1"))
    cluster.run(60)
    node = cluster.world.get(Node, "n1")
    assert node is not None
    revision = node.metadata.resource_version

    cluster.run(120)

    assert cluster.world.get(Node, "n1") == node
    assert node.metadata.resource_version == revision


def test_w16_a_node_that_was_deleted_is_not_made_again_and_is_forgotten() -> None:
    cluster = Cluster("n1", "n2")
    cluster.run(20)
    cluster.world.remove(Ref("Node", "", "n1"))
    cluster.run(30)

    assert cluster.world.get(Node, "n1") is None
    assert "node/n1" not in cluster.nodes.seen


def test_the_pods_of_a_node_that_has_left_serve_no_more() -> None:
    cluster = Cluster("n1", "n2")
    for node in cluster.names:
        cluster.world.put(a_running_pod(f"web-{node}", node=node))
    cluster.run(20)
    cluster.silent.add("n1")
    cluster.world.remove(Ref("Node", "", "n1"))
    cluster.plan_all()
    assert cluster.is_ready("web-n1"), "its lease is there: it may be a Node not seen yet"

    cluster.world.remove(Ref("Lease", "kube-node-lease", "n1"))
    cluster.plan_all()
    assert not cluster.is_ready("web-n1")
    assert cluster.is_ready("web-n2")


def test_a_lease_that_is_gone_is_forgotten() -> None:
    cluster = Cluster("n1")
    cluster.run(4)
    leader = Ref("Lease", "kube-system", "controllers")
    assert str(leader) in cluster.nodes.seen
    cluster.world.remove(leader)
    cluster.plan_all()

    assert str(leader) not in cluster.nodes.seen


def test_w16_a_late_word_of_the_old_node_does_not_make_the_new_one_silent() -> None:
    """Readiness hangs on renewals seen, not on connections: a new Node has its full time."""
    cluster = Cluster("n1", "n2", "n3")
    cluster.run(20)
    cluster.silent.add("n1")
    cluster.run(9)
    cluster.world.remove(Ref("Node", "", "n1"))
    cluster.plan_all()
    cluster.world.put(a_node("n1", uid="uid-again"))
    cluster.run(8)

    assert cluster.status("n1") == "True"


def test_pods_are_evicted_some_at_a_time() -> None:
    cluster = Cluster("n1", "n2", "n3")
    for place in range(EVICTION_BURST + 10):
        pod = a_replaced_pod(f"web-{place}", node="n1")
        cluster.world.put(replaced(pod, status=replaced(pod.status, conditions=())))
    cluster.run(20)
    cluster.silent.add("n1")
    going = []
    for _ in range(50):
        cluster.run(1)
        going.append(sum(pod.metadata.is_deleted for pod in cluster.world.all(Pod)))

    assert sorted(set(going)) == [0, EVICTION_BURST, EVICTION_BURST + 10]
