"""Pods in company: reasons with numbers, who is woken by whom, and what a decision costs."""

from collections.abc import Sequence

from cubernetes.api.core.node import Taint
from cubernetes.api.selectors import EVERYTHING, equal_to
from cubernetes.scheduling.nodeinfo import NodeFacts, PodRequests
from cubernetes.scheduling.peers.index import QUESTIONS_MAX
from cubernetes.scheduling.peers.neighbour import (
    ALONE,
    Matcher,
    Neighbour,
    PeerRules,
    PeerTerm,
    Spread,
)
from cubernetes.scheduling.peers.tally import Question
from cubernetes.scheduling.plan import Placement, Unschedulable, place
from cubernetes.scheduling.plugin import News
from cubernetes.scheduling.snapshot import Snapshot

HERE = frozenset({"default"})
WEBS = Matcher(equal_to({"app": "web"}), HERE)
PLAIN = PodRequests()


def a_neighbour(app: str = "web", **rules: tuple[object, ...]) -> Neighbour:
    made = PeerRules(**rules)  # type: ignore[arg-type]
    return Neighbour("default", frozenset({("app", app)}), rules=made)


APART = a_neighbour(away=(PeerTerm(WEBS, "zone"),))
EVEN = a_neighbour(spreads=(Spread(WEBS, "zone", 1, True, 1, True, False),))


def a_cluster(zones: Sequence[str]) -> Snapshot:
    snapshot = Snapshot()
    for at, zone in enumerate(zones):
        labels = frozenset({("zone", zone)}) if zone else frozenset[tuple[str, str]]()
        snapshot.set_node(NodeFacts(f"n{at + 1}", labels=labels, pod_count=9))
    return snapshot


def decide(snapshot: Snapshot, pod: Neighbour, uid: str = "", cursor: str = "") -> object:
    verdict = place(PLAIN, snapshot, cursor, neighbour=pod)
    if isinstance(verdict, Placement):
        if uid:
            snapshot.assume(uid, verdict.node, PLAIN, pod)
        return verdict.node
    return verdict.reasons


def test_anti_affinity_counts_who_is_there_and_holds_both_ways() -> None:
    snapshot, plain = a_cluster("aab"), a_neighbour()
    assert decide(snapshot, APART, "p1") == "n1"
    assert decide(snapshot, APART, "p2", "n1") == "n3"

    kept = "has 1 pods in zone={} that the pod's anti-affinity keeps away from"
    assert decide(snapshot, APART) == {
        "n1": kept.format("a"), "n2": kept.format("a"), "n3": kept.format("b"),
    }  # fmt: skip
    theirs = "has 1 pods in zone={} whose anti-affinity keeps it away"
    refused = decide(snapshot, plain)
    assert isinstance(refused, dict)
    assert refused["n2"] == theirs.format("a")
    assert decide(snapshot, a_neighbour("db"), "", "n1") == "n2"


def test_affinity_goes_where_its_pods_are_and_the_first_of_a_group_anywhere() -> None:
    snapshot = a_cluster(["a", "b", ""])
    near = a_neighbour(near=(PeerTerm(WEBS, "zone"),))
    assert decide(snapshot, near, "p1", "n1") == "n2"
    assert decide(snapshot, near, "", "n2") == "n2"
    strange = a_neighbour("db", near=(PeerTerm(WEBS, "zone"),))
    assert decide(a_cluster(["a", ""]), strange) == {
        "n1": "has no pod in zone=a that the pod affinity asks for",
        "n2": "lacks the label zone of the pod affinity",
    }


def test_a_wish_draws_pods_together_or_apart_and_never_holds_them_back() -> None:
    snapshot = a_cluster("abc")
    likes = a_neighbour("db", wishes=((10, PeerTerm(WEBS, "zone")),))
    shy = a_neighbour("db", wishes=((-10, PeerTerm(WEBS, "zone")),))
    snapshot.see("w", "n2", PLAIN, a_neighbour())
    assert decide(snapshot, likes) == "n2"
    assert decide(snapshot, shy, "", "n1") == "n3"
    snapshot.see("s", "n3", PLAIN, shy)
    # A pod is drawn, too, by what those that are there would rather have.
    assert decide(snapshot, a_neighbour(), "", "n2") == "n1"


def test_spreading_says_by_how_much_and_what_is_missing() -> None:
    snapshot = a_cluster(["a", "b", ""])
    assert [decide(snapshot, EVEN, f"p{at}") for at in range(3)] == ["n1", "n2", "n1"]
    assert decide(snapshot, EVEN, "", "n2") == "n2"
    snapshot.set_node(NodeFacts("n2", labels=frozenset({("zone", "b")})))
    assert decide(snapshot, EVEN) == {
        "n1": "would have zone=a 2 pods ahead of the emptiest, at most 1",
        "n2": "has room for 0 pods and runs 1",
        "n3": "lacks the label zone of the spread constraint",
    }


def test_with_too_few_places_the_emptiest_counts_as_empty() -> None:
    snapshot = a_cluster("ab")
    (spread,) = EVEN.rules.spreads
    many = a_neighbour(spreads=(spread._replace(min_domains=3),))
    assert [decide(snapshot, many, f"p{at}") for at in range(2)] == ["n1", "n2"]
    assert isinstance(decide(snapshot, many), dict)


def test_what_a_spread_counts_follows_its_policies() -> None:
    (spread,) = EVEN.rules.spreads
    spot = Taint(key="spot", effect="NoSchedule")

    def chosen(*, counts_borne: bool) -> object:
        snapshot = a_cluster("ab")
        labels = frozenset({("zone", "c")})
        snapshot.set_node(NodeFacts("n3", labels=labels, pod_count=9, taints=(spot,)))
        pod = a_neighbour(spreads=(spread._replace(counts_borne=counts_borne),))
        return [decide(snapshot, pod, f"p{at}") for at in range(3)][-1]

    assert chosen(counts_borne=True) == "n1"
    # The empty zone c, where the pod cannot go, holds the others back.
    assert isinstance(chosen(counts_borne=False), dict)


def refused(snapshot: Snapshot, pod: Neighbour) -> Unschedulable:
    verdict = place(PLAIN, snapshot, "", neighbour=pod)
    assert isinstance(verdict, Unschedulable)
    snapshot.changes()
    return verdict


def test_a_pod_is_woken_by_pods_that_its_rules_are_about_and_by_no_other() -> None:
    snapshot = a_cluster("a")
    snapshot.see("w", "n1", PLAIN, a_neighbour())
    snapshot.see("d", "n1", PLAIN, a_neighbour("db"))
    waits = refused(snapshot, APART).refused

    snapshot.remove("d")
    assert [waits.is_helped_by(one) for one in snapshot.changes()] == [False]
    snapshot.remove("w")
    assert [waits.is_helped_by(one) for one in snapshot.changes()] == [True]
    snapshot.note_namespaces()
    assert [waits.is_helped_by(one) for one in snapshot.changes()] == [True]


def test_a_pod_that_seeks_company_is_woken_when_it_comes() -> None:
    snapshot = a_cluster("a")
    seeks = a_neighbour("db", near=(PeerTerm(WEBS, "zone"),))
    waits = refused(snapshot, seeks).refused
    snapshot.assume("d", "n1", PLAIN, a_neighbour("db"))
    assert [waits.is_helped_by(one) for one in snapshot.changes()] == [False]
    snapshot.assume("w", "n1", PLAIN, a_neighbour())
    (change,) = snapshot.changes()
    assert change.news == News.COMPANY
    assert waits.is_helped_by(change)
    assert decide(snapshot, seeks) == "n1"


def test_a_pod_that_another_keeps_away_is_woken_when_that_one_leaves() -> None:
    snapshot = a_cluster("a")
    snapshot.see("w", "n1", PLAIN, APART)
    waits = refused(snapshot, EVEN).refused
    snapshot.remove("w")
    assert [waits.is_helped_by(one) for one in snapshot.changes()] == [True]


def test_where_no_rule_asks_no_company_is_noted_and_nothing_is_prepared() -> None:
    snapshot = a_cluster("a")
    snapshot.assume("w", "n1", PLAIN, a_neighbour())
    snapshot.changes()
    snapshot.assume("v", "n1", PLAIN, a_neighbour())
    assert not snapshot.has_news
    assert not snapshot.pods.is_asked
    assert decide(snapshot, ALONE) == "n1"


def test_a_question_is_answered_once_and_then_kept_whatever_comes_and_goes() -> None:
    """A thousand pods that keep apart look at no other pod: matching is asked for each kind."""
    snapshot = a_cluster([f"z{at}" for at in range(50)])
    asked = 0

    class Counting(Matcher):
        def matches(self, pod: Neighbour, namespaces: object) -> bool:
            nonlocal asked
            asked += 1
            return super().matches(pod, namespaces)  # type: ignore[arg-type]

    apart = a_neighbour(away=(PeerTerm(Counting(EVERYTHING, HERE), "zone"),))
    nodes = {decide(snapshot, apart, f"p{at}", f"n{at}") for at in range(50)}
    assert len(nodes) == 50
    assert asked < 10


def test_a_pod_that_was_there_before_a_question_leaves_its_answer_too() -> None:
    snapshot, later = a_cluster("ab"), Question((WEBS,), "zone")
    snapshot.pods.tally(Question((WEBS,), "host"))
    snapshot.see("w", "n1", PLAIN, a_neighbour())
    assert snapshot.pods.tally(later).counts == {"a": 1, "b": 0}
    snapshot.remove("w")
    assert snapshot.pods.tally(later).counts == {"a": 0, "b": 0}
    assert snapshot.pods.tally(later).total == 0


def test_old_questions_make_room_and_are_answered_again() -> None:
    snapshot = a_cluster("ab")
    snapshot.see("w", "n1", PLAIN, a_neighbour())
    first = Question((WEBS,), "zone")
    assert snapshot.pods.tally(first).count_at("n1") == 1
    for at in range(QUESTIONS_MAX):
        snapshot.pods.tally(Question((WEBS,), f"key{at}"))
    snapshot.see("v", "n2", PLAIN, a_neighbour())
    assert snapshot.pods.tally(first).counts == {"a": 1, "b": 1}
