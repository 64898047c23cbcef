"""Node affinity in the scheduler: where a pod goes, why it does not, and whom it asks."""

from cubernetes.api.core.podspec.placement.affinity import (
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    PreferredSchedulingTerm,
)
from cubernetes.scheduling.nodeinfo import NodeFacts, NodeInfo, PodRequests
from cubernetes.scheduling.plan import Placement, Unschedulable, place
from cubernetes.scheduling.plugin import Filter, News
from cubernetes.scheduling.registry import FILTERS
from cubernetes.scheduling.snapshot import Snapshot


def in_zone(zone: str) -> NodeSelectorTerm:
    one = NodeSelectorRequirement(key="zone", operator="In", values=(zone,))
    return NodeSelectorTerm(match_expressions=(one,))


def named(*names: str) -> NodeAffinity:
    terms = tuple(
        NodeSelectorTerm(
            match_fields=(
                NodeSelectorRequirement(key="metadata.name", operator="In", values=(name,)),
            )
        )
        for name in names
    )
    return NodeAffinity(
        required_during_scheduling_ignored_during_execution=NodeSelector(node_selector_terms=terms)
    )


def a_cluster(**zones: str) -> Snapshot:
    snapshot = Snapshot()
    for name, zone in zones.items():
        snapshot.set_node(NodeFacts(name, labels=frozenset({("zone", zone)}), pod_count=9))
    return snapshot


def test_a_required_node_affinity_is_kept_and_a_refusal_names_the_condition() -> None:
    snapshot = a_cluster(n1="a", n2="b", n3="b")
    required = NodeSelector(node_selector_terms=(in_zone("b"),))
    asked = PodRequests(
        node_affinity=NodeAffinity(required_during_scheduling_ignored_during_execution=required)
    )

    assert [place(asked, snapshot, cursor) for cursor in ("", "n2", "n3")] == [
        Placement("n2"),
        Placement("n3"),
        Placement("n2"),
    ]
    verdict = place(asked, a_cluster(n1="a"), "")
    assert isinstance(verdict, Unschedulable)
    assert verdict.reasons == {"n1": "does not match the node affinity: zone In (b)"}


def test_a_preferred_node_affinity_goes_before_the_round_and_yields_to_filters() -> None:
    snapshot = a_cluster(n1="a", n2="b", n3="c", n4="b")
    asked = PodRequests(
        node_affinity=NodeAffinity(
            preferred_during_scheduling_ignored_during_execution=(
                PreferredSchedulingTerm(weight=60, preference=in_zone("b")),
                PreferredSchedulingTerm(weight=40, preference=in_zone("c")),
            )
        )
    )

    assert place(asked, snapshot, "") == Placement("n2")
    assert place(asked, snapshot, "n2") == Placement("n4")
    for name in ("n2", "n4"):
        snapshot.set_node(NodeFacts(name, labels=frozenset({("zone", "b")}), is_ready=False))
    assert place(asked, snapshot, "n4") == Placement("n3")


def test_a_pod_of_one_node_is_asked_about_at_that_node_alone() -> None:
    """A DaemonSet's pods, one for each node, would otherwise cost pods times nodes."""
    snapshot, asked_names = a_cluster(**{f"n{at}": "a" for at in range(100, 200)}), []

    def asked(_: PodRequests, node: NodeInfo) -> str:
        asked_names.append(node.facts.name)
        return ""

    filters = (*FILTERS, Filter(asked, News(0)))
    for at in (150, 100, 199):
        pod = PodRequests(node_affinity=named(f"n{at}"))
        assert place(pod, snapshot, "n120", filters) == Placement(f"n{at}")
    assert asked_names == ["n150", "n100", "n199"]

    snapshot.set_node(NodeFacts("n150", is_ready=False))
    verdict = place(PodRequests(node_affinity=named("n150", "gone")), snapshot, "")
    assert isinstance(verdict, Unschedulable)
    assert len(verdict.reasons) == 100
    assert verdict.reasons["n150"] == "is not ready"
