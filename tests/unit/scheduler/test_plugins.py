"""The law of plugins, for every one in the registry; and that a rule that breaks it is caught."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count, product
from typing import Any, NamedTuple

import pytest

from cubernetes.api.core.node import PRESSURE_TAINTS, Taint
from cubernetes.api.core.podspec.hostport import HostPort
from cubernetes.api.core.podspec.placement.affinity import (
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    PreferredSchedulingTerm,
)
from cubernetes.api.core.podspec.toleration import Toleration
from cubernetes.scheduling.nodeinfo import (
    FreeVolume,
    NodeFacts,
    NodeInfo,
    NodeUsage,
    PodRequests,
    VolumeNeed,
    requests_of,
)
from cubernetes.scheduling.plan import Placement, Unschedulable, place
from cubernetes.scheduling.plugin import SCORE_MAX, Change, Filter, News, Score, news_of
from cubernetes.scheduling.plugins.taints import TAINTS
from cubernetes.scheduling.registry import FILTERS, SCORES
from cubernetes.scheduling.snapshot import Snapshot
from tests.given import a_pod

SPOT = Taint(key="spot", effect="NoSchedule")
SLOW = Taint(key="slow", effect="PreferNoSchedule")
WEB = HostPort("TCP", 80)
SSD = NodeSelectorTerm(
    match_expressions=(NodeSelectorRequirement(key="disk", operator="In", values=("ssd",)),)
)
ON_SSD = NodeAffinity(
    required_during_scheduling_ignored_during_execution=NodeSelector(node_selector_terms=(SSD,)),
    preferred_during_scheduling_ignored_during_execution=(
        PreferredSchedulingTerm(weight=7, preference=SSD),
        PreferredSchedulingTerm(weight=3, preference=NodeSelectorTerm()),
    ),
)
# A volume that is on certain nodes, and two of which one is still to be chosen.
THEIRS = VolumeNeed(affinity=ON_SSD)
CHOSEN = VolumeNeed(is_free=True, free=(FreeVolume("a", ON_SSD),))
# Two values of everything that a pod may request and that a node may be.
REQUESTS = [
    PodRequests(
        amounts,
        ports,
        selector,
        tolerations,
        affinity,
        (THEIRS, CHOSEN) if affinity else (),
        ("web:1",) if ports else (),
    )
    for amounts, ports, selector, tolerations, affinity in product(
        [(), (("cpu", 500), ("example.com/gpu", 1))],
        [(), (WEB,)],
        [(), (("disk", "ssd"),)],
        [(), (Toleration(key="spot", operator="Exists"),)],
        [None, ON_SSD],
    )
]
VALUES: Mapping[str, Sequence[Any]] = {
    "labels": [frozenset(), frozenset({("disk", "ssd")})],
    "is_ready": [False, True],
    "is_schedulable": [False, True],
    "amounts": [{}, {"cpu": 1000, "example.com/gpu": 2}],
    "pod_count": [1, 3],
    "taints": [(), (SPOT, SLOW)],
    "ports": [(), (WEB,)],
    "images": [frozenset(), frozenset({("web:1", 1 << 29)})],
}
# No filter looks at images: they are not combined with everything else.
COMBINED = [name for name in VALUES if name != "images"]
FACTS = [
    NodeFacts("n1", **dict(zip(COMBINED, values, strict=True)))
    for values in product(*(VALUES[name] for name in COMBINED))
]
FACTS.append(FACTS[-1]._replace(images=VALUES["images"][1]))
PODS = [[], REQUESTS[-1:], REQUESTS[-1:] * 2]


def usage_of(pods: Iterable[PodRequests]) -> NodeUsage:
    usage = NodeUsage()
    for one in pods:
        usage = usage.plus(one)
    return usage


class Case(NamedTuple):
    """A pod, and states of a node: old, equal to it, with a pod less, and what comes of old."""

    requests: PodRequests
    old: NodeInfo
    again: NodeInfo
    emptier: NodeInfo
    new: NodeInfo


def law_broken(rule: Filter, case: Case) -> str:
    """Return which of the law's sentences a filter breaks with a pod and the states of a node."""
    requests, old, again, emptier, new = case
    said = rule.refuses(requests, old)
    if rule.refuses(requests, again) != said:
        return "only its arguments"
    if rule.refuses(requests, emptier) and not said:
        return "usage only makes worse"
    is_helped = bool(said) and not rule.refuses(requests, new)
    return "news are declared" if is_helped and not rule.helped_by & news_of(old, new) else ""


def states() -> Iterator[tuple[NodeInfo, NodeInfo, NodeInfo, NodeInfo]]:
    """Yield the states of cases, which differ in one field, or only by a pod that has left."""
    usages = [(usage_of(pods), usage_of(pods[:-1]), usage_of(pods[1:])) for pods in PODS]
    for before, (full, less, left) in product(FACTS, usages):
        old, again = NodeInfo(before, full), NodeInfo(before._replace(), full)
        emptier = NodeInfo(before, less)
        yield old, again, emptier, NodeInfo(before, left)
        for field, values in VALUES.items():
            other = values[1 - values.index(getattr(before, field))]
            yield old, again, emptier, NodeInfo(before._replace(**{field: other}), left)


STATES = list(states())
CASES = [Case(requests, *state) for requests, state in product(REQUESTS, STATES)]


@pytest.mark.parametrize("rule", FILTERS, ids=lambda one: one.refuses.__name__)
def test_every_filter_keeps_the_law(rule: Filter) -> None:
    assert {law_broken(rule, case) for case in CASES} == {""}


calls = count()
BREAKING: list[tuple[Callable[[PodRequests, NodeInfo], str], News, str]] = [
    (lambda _, __: "refused" if next(calls) % 2 else "", News.NODE, "only its arguments"),
    (
        lambda _, node: "" if node.usage.pod_count else "has no company",
        ~News.NODE,
        "usage only makes worse",
    ),
    (lambda _, node: "is cordoned" * (not node.facts.is_ready), News.LABELS, "news are declared"),
    (
        lambda _, node: "is full" * (node.usage.pod_count > 1),
        News.AMOUNTS,
        "news are declared",
    ),
]


@pytest.mark.parametrize(("refuses", "helped_by", "sentence"), BREAKING)
def test_a_filter_that_breaks_the_law_is_caught_and_the_sentence_named(
    refuses: Callable[[PodRequests, NodeInfo], str], helped_by: News, sentence: str
) -> None:
    rule = Filter(refuses, helped_by)
    assert {law_broken(rule, case) for case in CASES} - {""} == {sentence}


@pytest.mark.parametrize("rule", SCORES.values(), ids=lambda one: one.rates.__name__)
def test_every_score_is_within_its_bounds_and_of_its_arguments_only(rule: Score) -> None:
    for requests, facts, pods in product(REQUESTS, FACTS, PODS):
        rated = [rule.rates(requests, NodeInfo(facts, usage_of(pods))) for _ in range(2)]
        assert rated[0] == rated[1]
        assert 0 <= rated[0] <= SCORE_MAX
    assert rule.weight > 0


def test_every_field_of_a_nodes_facts_belongs_to_some_news() -> None:
    assert VALUES.keys() == set(NodeFacts._fields) - {"name"}
    for old, _, _, new in STATES:
        news = news_of(old, NodeInfo(new.facts, old.usage))
        assert (news == News(0)) == (old.facts == new.facts)
    assert news_of(None, NodeInfo(FACTS[0])) == News.NODE


def fewest_pods(_: PodRequests, node: NodeInfo) -> int:
    return max(0, SCORE_MAX - 10 * node.usage.pod_count)


def test_the_best_node_is_chosen_and_of_equal_ones_the_next_in_the_round() -> None:
    snapshot = Snapshot()
    for at in range(1, 5):
        snapshot.set_node(NodeFacts(f"n{at}", pod_count=9))
    snapshot.see("a", "n2", PodRequests())
    snapshot.see("b", "n4", PodRequests())

    def chosen(cursor: str, *scores: Score) -> object:
        return place(PodRequests(), snapshot, cursor, FILTERS, scores)

    assert chosen("n1") == Placement("n2")
    assert chosen("n1", Score(fewest_pods)) == Placement("n3")
    assert chosen("n3", Score(fewest_pods)) == Placement("n1")

    def late(_: PodRequests, node: NodeInfo) -> int:
        return 15 if node.facts.name == "n4" else 0

    assert chosen("n1", Score(fewest_pods), Score(late)) == Placement("n4")
    assert chosen("n1", Score(fewest_pods, weight=2), Score(late)) == Placement("n3")


def test_the_search_ends_at_the_first_node_that_could_not_be_better() -> None:
    snapshot, rated = Snapshot(), []
    for at in range(100):
        snapshot.set_node(NodeFacts(f"n{at:02}", pod_count=9))

    def all_good(_: PodRequests, node: NodeInfo) -> int:
        rated.append(node.facts.name)
        return SCORE_MAX

    assert place(PodRequests(), snapshot, "n49", FILTERS, [Score(all_good)]) == Placement("n50")
    assert rated == ["n50"]


def test_a_refusal_tells_by_which_filters_so_that_only_their_news_help() -> None:
    snapshot = Snapshot()
    snapshot.set_node(NodeFacts("n1", pod_count=9))
    snapshot.set_node(NodeFacts("n2", pod_count=9, taints=(SPOT,)))
    asked = PodRequests((("cpu", 1),))
    snapshot.changes()

    verdict = place(asked, snapshot, "")

    assert isinstance(verdict, Unschedulable)
    bigger = NodeFacts("n1", pod_count=9, amounts={"cpu": 1})
    helped = verdict.refused.is_helped_by
    assert helped(Change(NodeInfo(bigger), News.AMOUNTS))
    assert not helped(Change(NodeInfo(bigger), News.LABELS))
    assert not helped(Change(NodeInfo(bigger._replace(amounts={})), News.AMOUNTS))
    assert helped(Change(NodeInfo(bigger), News.TAINTS))


def test_news_of_a_node_are_gathered_until_they_are_taken() -> None:
    snapshot, node = Snapshot(), NodeFacts("n1", pod_count=9)
    snapshot.see("a", "n1", PodRequests())
    snapshot.set_node(node)
    assert [one.news for one in snapshot.changes()] == [News.NODE]
    assert snapshot.changes() == []

    snapshot.set_node(node._replace(taints=(SPOT,)))
    snapshot.remove("a")
    (change,) = snapshot.changes()
    assert change.news == News.TAINTS | News.PODS
    assert change.node == NodeInfo(node._replace(taints=(SPOT,)))
    snapshot.set_node(node)
    snapshot.remove_node("n1")
    assert snapshot.changes() == []


def test_all_but_pods_that_request_nothing_bear_a_node_that_is_short_of_memory() -> None:
    memory, disk = PRESSURE_TAINTS["MemoryPressure"], PRESSURE_TAINTS["DiskPressure"]
    short, full = (NodeInfo(NodeFacts("n1", taints=(one,))) for one in (memory, disk))
    asks, plain = requests_of(a_pod("asks", memory="64Mi")), requests_of(a_pod("plain"))
    assert TAINTS.refuses(asks, short) == ""
    assert TAINTS.refuses(plain, short) == f"has the taint {memory.key}:NoSchedule"
    assert TAINTS.refuses(asks, full) == f"has the taint {disk.key}:NoSchedule"
