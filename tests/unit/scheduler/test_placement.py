"""Placement: fair, never beyond what a node has, and every refusal explained."""

from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.condition import Condition
from cubernetes.api.core.node import Taint
from cubernetes.api.core.podspec.container import ContainerPort, Resources
from cubernetes.api.core.podspec.hostport import HostPort
from cubernetes.api.core.podspec.placement.affinity import (
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
)
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.core.podspec.toleration import Toleration
from cubernetes.api.meta import replaced
from cubernetes.api.quantities import Quantity
from cubernetes.scheduling.nodeinfo import (
    NodeFacts,
    NodeInfo,
    NodeUsage,
    PodRequests,
    VolumeNeed,
    facts_of,
    requests_of,
)
from cubernetes.scheduling.plan import (
    Placement,
    Unschedulable,
    cursor_of,
    first_refusing,
    is_reported,
    place,
)
from cubernetes.scheduling.plugins.ports import ports
from cubernetes.scheduling.registry import FILTERS
from cubernetes.scheduling.snapshot import Snapshot
from tests.given import NOW, a_container, a_node, a_pod


def refusal(requests: PodRequests, node: NodeInfo) -> str:
    """Return the reason of the first filter that refuses; empty where none does."""
    return (first_refusing(requests, node, FILTERS) or ("",))[0]


SPOT = Taint(key="spot", value="yes", effect="NoSchedule")
SLOW = Taint(key="slow", effect="PreferNoSchedule")


def choosing(**term: NodeSelectorRequirement) -> NodeAffinity:
    selector = NodeSelector(
        node_selector_terms=(NodeSelectorTerm(**{key: (one,) for key, one in term.items()}),)
    )
    return NodeAffinity(required_during_scheduling_ignored_during_execution=selector)


NOT_SSD = choosing(
    match_expressions=NodeSelectorRequirement(key="disk", operator="NotIn", values=("ssd",))
)
ONLY_N1 = choosing(
    match_fields=NodeSelectorRequirement(key="metadata.name", operator="In", values=("n1",))
)
REQUESTS = st.builds(
    PodRequests,
    amounts=st.fixed_dictionaries(
        {},
        optional={
            "cpu": st.sampled_from([500, 1000, 3000]),
            "memory": st.sampled_from([1 << 20, 1 << 30]),
            "example.com/gpu": st.sampled_from([1, 2]),
        },
    ).map(lambda amounts: tuple(sorted(amounts.items()))),
    ports=st.sampled_from(
        [(), (), (HostPort("TCP", 80),), (HostPort("TCP", 80, "10.0.0.1"),), (HostPort("UDP", 80),)]
    ),
    selector=st.sampled_from([(), (), (("disk", "ssd"),)]),
    tolerations=st.sampled_from([(), (), (Toleration(key="spot", operator="Exists"),)]),
    node_affinity=st.sampled_from([None, None, NOT_SSD, ONLY_N1]),
    volumes=st.sampled_from([(), (), (VolumeNeed(ONLY_N1),)]),
)
FACTS = st.builds(
    NodeFacts,
    name=st.sampled_from([f"n{place}" for place in range(6)]),
    labels=st.sampled_from([frozenset(), frozenset({("disk", "ssd")})]),
    is_ready=st.sampled_from([True, True, False]),
    is_schedulable=st.sampled_from([True, True, False]),
    amounts=st.fixed_dictionaries(
        {"cpu": st.sampled_from([0, 1000, 4000]), "memory": st.sampled_from([0, 1 << 21, 1 << 31])},
        optional={"example.com/gpu": st.sampled_from([1, 3])},
    ),
    pod_count=st.sampled_from([0, 1, 5]),
    taints=st.sampled_from([(), (), (SPOT,), (SLOW,), (SPOT, SLOW)]),
)


def a_snapshot(facts: Sequence[NodeFacts]) -> Snapshot:
    snapshot = Snapshot()
    for one in facts:
        snapshot.set_node(one)
    return snapshot


def equal_nodes(count: int, pods: int = 110) -> Snapshot:
    return a_snapshot(
        [NodeFacts(f"n{place:04}", amounts={"cpu": 4000}, pod_count=pods) for place in range(count)]
    )


def is_slow(snapshot: Snapshot, name: str) -> bool:
    node = snapshot.node(name)
    return node is not None and SLOW in node.facts.taints


def put_all(snapshot: Snapshot, pods: Sequence[PodRequests]) -> list[str]:
    """Place one after the other, as the scheduler does; return the nodes of those that fit."""
    nodes, cursor = [], ""
    for number, requests in enumerate(pods):
        verdict = place(requests, snapshot, cursor)
        if isinstance(verdict, Placement):
            cursor = verdict.node
            snapshot.assume(f"uid-{number}", cursor, requests)
            nodes.append(cursor)
    return nodes


@given(st.lists(FACTS, max_size=6), st.lists(REQUESTS, max_size=30))
def test_no_node_ever_gets_more_than_it_has(
    facts: list[NodeFacts], pods: list[PodRequests]
) -> None:
    snapshot = a_snapshot(facts)
    put_all(snapshot, pods)

    for one in {one.name: one for one in facts}.values():
        node = snapshot.node(one.name)
        assert node is not None
        usage = node.usage
        assert usage.pod_count <= one.pod_count
        assert all(count <= one.amounts.get(name, 0) for name, count in usage.amounts.items())
        assert usage.pod_count == 0 or (one.is_ready and one.is_schedulable)
        taken = list(usage.ports)
        assert not any(
            port.collides(other) for at, port in enumerate(taken) for other in taken[:at]
        )


@given(st.lists(FACTS, max_size=6), st.lists(REQUESTS, max_size=30))
def test_what_is_remembered_of_refusals_changes_no_decision(
    facts: list[NodeFacts], pods: list[PodRequests]
) -> None:
    """With the memory and without it, each pod goes to the same node or to none."""
    snapshot, cursor = a_snapshot(facts), ""
    for number, requests in enumerate(pods):
        plain = [
            name
            for name in snapshot.names_after(cursor)
            if (node := snapshot.node(name)) and not refusal(requests, node)
        ]
        verdict = place(requests, snapshot, cursor)
        if isinstance(verdict, Placement):
            welcome = [name for name in plain if not is_slow(snapshot, name)]
            assert verdict.node == (welcome or plain)[0]
            cursor = verdict.node
            snapshot.assume(f"uid-{number}", cursor, requests)
        else:
            assert plain == []
            assert len(verdict.reasons) == len({one.name for one in facts})
        if number % 3 == 2:
            snapshot.remove(f"uid-{number - 1}")


@given(node_count=st.integers(1, 20), pod_count=st.integers(0, 90))
def test_w46_on_equal_nodes_nobody_is_two_pods_ahead(node_count: int, pod_count: int) -> None:
    snapshot = equal_nodes(node_count)
    counts = Counter(put_all(snapshot, [PodRequests()] * pod_count))

    spread = [counts[f"n{place:04}"] for place in range(node_count)]
    assert max(spread) - min(spread) <= 1


@given(st.lists(FACTS, max_size=6, unique_by=lambda one: one.name), st.lists(REQUESTS, max_size=10),
       st.randoms(use_true_random=False))  # fmt: skip
def test_the_order_in_which_nodes_come_does_not_matter(
    facts: list[NodeFacts], pods: list[PodRequests], chance: st.DataObject
) -> None:
    shuffled = list(facts)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]

    assert put_all(a_snapshot(facts), pods) == put_all(a_snapshot(shuffled), pods)


def test_w46_a_selector_goes_round_too_and_only_over_ready_nodes() -> None:
    ssd = frozenset({("disk", "ssd")})
    snapshot = a_snapshot(
        [
            NodeFacts("n1", labels=ssd, pod_count=9),
            NodeFacts("n2", pod_count=9),
            NodeFacts("n3", labels=ssd, pod_count=9, is_ready=False),
            NodeFacts("n4", labels=ssd, pod_count=9),
        ]
    )

    assert put_all(snapshot, [PodRequests(selector=(("disk", "ssd"),))] * 4) == [
        "n1",
        "n4",
        "n1",
        "n4",
    ]


def test_w14_a_node_that_is_not_ready_is_not_chosen_and_says_so() -> None:
    snapshot = a_snapshot([facts_of(a_node("n1", is_ready=False))])

    assert place(PodRequests(), snapshot, "") == Unschedulable({"n1": "is not ready"})


def test_w17_without_a_node_the_pod_goes_nowhere_and_is_told() -> None:
    verdict = place(PodRequests(), Snapshot(), "")

    assert verdict == Unschedulable({})
    assert isinstance(verdict, Unschedulable)
    assert verdict.message == "there are no nodes"


def test_the_round_goes_on_after_the_one_chosen_last_also_when_that_is_gone() -> None:
    snapshot = equal_nodes(3)

    assert place(PodRequests(), snapshot, "n0001") == Placement("n0002")
    assert place(PodRequests(), snapshot, "n0002") == Placement("n0000")
    assert place(PodRequests(), snapshot, "n0000-gone") == Placement("n0001")


def test_after_a_restart_the_round_goes_on_from_the_pod_bound_last() -> None:
    def bound(name: str, node: str, second: int) -> object:
        pod = a_pod(name, node=node)
        at = Condition(
            type="PodScheduled", status="True", last_transition_time=NOW.replace(second=second)
        )
        return replaced(pod, status=replaced(pod.status, conditions=(at,)))

    pods = [bound("a", "n1", 3), bound("b", "n3", 9), bound("c", "n2", 5), a_pod("d")]

    assert cursor_of(pods) == "n3"  # type: ignore[arg-type]
    assert cursor_of([]) == ""


def test_each_filter_says_what_is_missing() -> None:
    full = NodeUsage(
        amounts={"cpu": 3500, "memory": 7 << 20}, pod_count=2, ports=(HostPort("TCP", 80),)
    )
    facts = NodeFacts("n1", amounts={"cpu": 4000, "memory": 8 << 20}, pod_count=3)
    node = NodeInfo(facts, full)

    told = "Insufficient cpu: needs 501m, has 500m free"
    assert refusal(PodRequests((("cpu", 501),)), node) == told
    told = "Insufficient memory: needs 2Mi, has 1Mi free"
    assert refusal(PodRequests((("memory", 2 << 20),)), node) == told
    assert refusal(PodRequests(ports=(HostPort("TCP", 80, "10.0.0.1"),)), node) == (
        "has host port 80/TCP taken"
    )
    assert refusal(PodRequests(selector=(("a", "b"),)), node) == "lacks the label a=b"
    assert refusal(PodRequests(), NodeInfo(facts._replace(pod_count=2), full)) == (
        "has room for 2 pods and runs 2"
    )
    assert refusal(PodRequests(), NodeInfo(facts._replace(is_schedulable=False))) == "is cordoned"
    assert refusal(PodRequests(amounts=(("cpu", 500), ("memory", 1 << 20))), node) == ""


def test_host_ports_on_different_addresses_or_protocols_go_together() -> None:
    one = HostPort("TCP", 80, "10.0.0.1")

    assert not one.collides(HostPort("TCP", 80, "10.0.0.2"))
    assert not one.collides(HostPort("UDP", 80, "10.0.0.1"))
    assert one.collides(HostPort("TCP", 80, "0.0.0.0"))
    assert HostPort("TCP", 80).collides(one)


def test_a_demand_is_read_from_every_container_and_the_hosts_network() -> None:
    ports = [ContainerPort(container_port=8080), ContainerPort(container_port=53, host_port=5353)]
    containers = (
        a_container("a", cpu="500m", memory="1Mi"),
        a_container("b", cpu="1", ports=ports),
    )
    pod = a_pod(spec=PodSpec(containers=containers, node_selector={"b": "2", "a": "1"}))

    requests = requests_of(pod)
    assert requests == PodRequests(
        (("cpu", 1500), ("memory", 1 << 20)), (HostPort("TCP", 5353),), (("a", "1"), ("b", "2"))
    )
    on_host = replaced(pod, spec=replaced(pod.spec, host_network=True))
    assert [one.port for one in requests_of(on_host).ports] == [53, 8080]


def test_what_a_node_says_of_itself_is_read_as_a_whole() -> None:
    node = a_node("n1", cpu="1500m", memory="2Gi", pods="7", labels={"disk": "ssd"})
    capacity = {**node.status.capacity, "cpu": Quantity("9")}
    node = replaced(node, status=replaced(node.status, capacity=capacity))

    facts = facts_of(node)

    assert facts.labels >= {("disk", "ssd")}
    assert (facts.name, facts.is_ready, facts.is_schedulable) == ("n1", True, True)
    assert (facts.amounts, facts.pod_count) == ({"cpu": 1500, "memory": 2 << 30}, 7)
    only_capacity = replaced(node, status=replaced(node.status, allocatable={}))
    assert facts_of(only_capacity).amounts["cpu"] == 9000


def test_a_node_that_is_cordoned_or_going_takes_nothing() -> None:
    node = a_node("n1")
    going = replaced(node, metadata=replaced(node.metadata, deletion_timestamp=NOW))
    cordoned = replaced(node, spec=replaced(node.spec, unschedulable=True))

    assert not facts_of(going).is_schedulable
    assert not facts_of(cordoned).is_schedulable


def test_a_host_port_on_one_address_of_the_node_keeps_its_address() -> None:
    ports = [ContainerPort(container_port=80, host_port=80, host_ip="10.0.0.7")]

    requests = requests_of(a_pod(spec=PodSpec(containers=(a_container(ports=ports),))))

    assert requests.ports == (HostPort("TCP", 80, "10.0.0.7"),)


def test_a_pod_without_host_ports_fits_where_they_are_taken() -> None:
    node = NodeInfo(NodeFacts("n1", pod_count=9), NodeUsage(ports=(HostPort("TCP", 80),)))

    assert refusal(PodRequests(), node) == ""
    assert refusal(PodRequests(ports=(HostPort("TCP", 81),)), node) == ""
    both = PodRequests(ports=(HostPort("TCP", 80), HostPort("TCP", 80, "10.0.0.1")))
    assert refusal(both, node) == "has host port 80/TCP, 80/TCP taken"


def test_everything_that_a_node_lacks_is_said() -> None:
    node = NodeInfo(
        NodeFacts("n1", amounts={"cpu": 1000, "memory": 1000}, pod_count=9),
        NodeUsage(amounts={"cpu": 2000}),
    )

    assert refusal(PodRequests(amounts=(("cpu", 1), ("memory", 1001))), node) == (
        "Insufficient cpu: needs 1m, has 0m free and "
        "Insufficient memory: needs 1001 bytes, has 1000 bytes free"
    )
    assert refusal(
        PodRequests(selector=(("a", "b"), ("c", "d"))), NodeInfo(NodeFacts("n1", pod_count=9))
    ) == ("lacks the label a=b, c=d")


def test_the_most_frequent_reasons_come_first_and_equal_ones_in_their_order() -> None:
    reasons = {f"n{at:02}": "is cordoned" for at in range(2, 12)}
    reasons |= {"n00": "lacks b", "n01": "lacks b", "n12": "lacks a", "n13": "lacks a"}

    assert Unschedulable(reasons).message == (
        "0/14 nodes can take the pod: 10 such as n02 is cordoned; "
        "2 such as n12 lacks a; 2 such as n00 lacks b"
    )


def test_a_node_that_has_not_told_its_size_takes_nothing() -> None:
    node = a_node("n1")
    silent = replaced(node, status=replaced(node.status, allocatable={}, capacity={}))

    assert refusal(PodRequests(), NodeInfo(facts_of(silent))) == "has room for 0 pods and runs 0"


def test_few_nodes_are_told_one_by_one_and_many_are_counted() -> None:
    few = Unschedulable({"n2": "is cordoned", "n1": "is not ready"})
    assert few.message == "0/2 nodes can take the pod: n1 is not ready; n2 is cordoned"

    many = Unschedulable(
        {f"n{at:03}": "is cordoned" if at else "is not ready" for at in range(500)}
    )
    assert many.message == (
        "0/500 nodes can take the pod: 499 such as n001 is cordoned; n000 is not ready"
    )


@given(st.dictionaries(st.text(max_size=40), st.text(max_size=200), max_size=40))
def test_a_message_is_never_longer_than_an_event_may_be(reasons: dict[str, str]) -> None:
    assert len(Unschedulable(reasons).message) <= 1024


def test_w17_what_a_pod_says_already_is_not_written_again() -> None:
    verdict = Unschedulable({"n1": "is cordoned"})
    pod = a_pod()
    told = replaced(pod, status=replaced(pod.status, conditions=(verdict.condition,)))

    assert not is_reported(pod, verdict)
    assert is_reported(told, verdict)
    assert not is_reported(told, Unschedulable({"n1": "is not ready"}))


def test_a_taint_keeps_away_whoever_does_not_bear_it_and_is_named() -> None:
    snapshot = a_snapshot([facts_of(a_node("n1", taints=[SPOT])), facts_of(a_node("n2"))])
    bears = requests_of(a_pod(spec=PodSpec(
        containers=(a_container(),), tolerations=(Toleration(key="spot", value="yes"),)
    )))  # fmt: skip

    assert put_all(snapshot, [PodRequests()] * 3) == ["n2"] * 3
    assert put_all(a_snapshot([facts_of(a_node("n1", taints=[SPOT]))]), [bears]) == ["n1"]
    verdict = place(PodRequests(), a_snapshot([facts_of(a_node("n1", taints=[SPOT]))]), "")
    assert isinstance(verdict, Unschedulable)
    assert verdict.reasons == {"n1": "has the taint spot=yes:NoSchedule"}


def test_noexecute_keeps_new_pods_away_too() -> None:
    hard = Taint(key="spot", effect="NoExecute")
    verdict = place(PodRequests(), a_snapshot([facts_of(a_node("n1", taints=[hard]))]), "")
    assert isinstance(verdict, Unschedulable)
    assert verdict.reasons == {"n1": "has the taint spot:NoExecute"}


def test_a_node_that_is_better_avoided_takes_pods_only_when_no_other_does() -> None:
    worse = (SLOW, Taint(key="older", effect="PreferNoSchedule"))
    snapshot = a_snapshot(
        [
            NodeFacts("n1", amounts={"cpu": 9000}, pod_count=1, taints=(SLOW,)),
            NodeFacts("n2", amounts={"cpu": 9000}, pod_count=2),
            NodeFacts("n3", amounts={"cpu": 9000}, pod_count=1, taints=worse),
        ]
    )
    assert put_all(snapshot, [PodRequests()] * 5) == ["n2", "n2", "n1", "n3"]


def test_a_taint_that_goes_lets_the_pod_come() -> None:
    """A refusal is remembered by requests until what the node says of itself changes."""
    snapshot = a_snapshot([facts_of(a_node("n1", taints=[SPOT]))])
    assert isinstance(place(PodRequests(), snapshot, ""), Unschedulable)
    snapshot.set_node(facts_of(a_node("n1")))
    assert place(PodRequests(), snapshot, "") == Placement("n1")


def test_ports_of_the_nodes_own_programs_are_taken() -> None:
    notes = {"cubernetes.io/ports-in-use": "10250/TCP,8472/UDP,x,99999999/TCP,0/TCP,1/SCTP"}
    node = a_node("n1")
    node = replaced(node, metadata=replaced(node.metadata, annotations=notes))
    there = NodeInfo(facts_of(node))

    def refusal(port: int, protocol: str, address: str = "") -> str:
        return ports(PodRequests(ports=(HostPort(protocol, port, address),)), there)

    assert refusal(10250, "TCP") == "has host port 10250/TCP taken"
    assert refusal(10250, "TCP", "192.168.0.7") == "has host port 10250/TCP taken"
    assert refusal(8472, "UDP") == "has host port 8472/UDP taken"
    assert refusal(10250, "UDP") == refusal(8472, "TCP") == refusal(1, "TCP") == ""


def test_a_resource_of_any_name_is_counted_in_whole_units_and_named() -> None:
    gpu = Resources(limits={"example.com/gpu": Quantity("2")})
    disk = Resources(requests={"ephemeral-storage": Quantity("2Gi")})
    containers = (
        replaced(a_container("a"), resources=gpu),
        replaced(a_container("b"), resources=replaced(gpu, requests=disk.requests)),
    )
    asked = requests_of(a_pod(spec=PodSpec(containers=containers)))
    assert asked.amounts == (("ephemeral-storage", 2 << 30), ("example.com/gpu", 4))

    node = a_node("n1")
    amounts = {**node.status.allocatable, "example.com/gpu": Quantity("3")}
    amounts["ephemeral-storage"] = Quantity("1Gi")
    there = NodeInfo(facts_of(replaced(node, status=replaced(node.status, allocatable=amounts))))
    assert refusal(asked, there) == (
        "Insufficient ephemeral-storage: needs 2048Mi, has 1024Mi free and "
        "Insufficient example.com/gpu: needs 4, has 3 free"
    )
    assert refusal(PodRequests((("example.com/gpu", 3),)), there) == ""
    assert refusal(PodRequests((("example.com/gpu", 1),)), NodeInfo(facts_of(node))) == (
        "Insufficient example.com/gpu: needs 1, has 0 free"
    )


def test_devices_are_promised_once_and_free_again_with_their_pod() -> None:
    node = NodeFacts("n1", amounts={"example.com/gpu": 2}, pod_count=9)
    snapshot, asked = a_snapshot([node]), PodRequests((("example.com/gpu", 1),))

    assert put_all(snapshot, [asked] * 3) == ["n1", "n1"]
    snapshot.remove("uid-0")
    assert place(asked, snapshot, "") == Placement("n1")
