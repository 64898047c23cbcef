"""Preemption: enough pods leave and no more, none that matters as much, with the least harm."""

import random
from collections.abc import Iterable

import pytest

from cubernetes.api.policy.poddisruptionbudget import (
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
    PodDisruptionBudgetStatus,
)
from cubernetes.api.selectors import LabelSelector, equal_to
from cubernetes.scheduling.nodeinfo import NodeFacts, PodRequests
from cubernetes.scheduling.peers.neighbour import (
    ALONE,
    Matcher,
    Neighbour,
    PeerRules,
    PeerTerm,
)
from cubernetes.scheduling.plan import Placement, place
from cubernetes.scheduling.preempt import PreemptionMemory, Preemptor, awaited, preemption
from cubernetes.scheduling.snapshot import Snapshot
from cubernetes.scheduling.standing import Standing
from tests.given import a_meta

WEB = Neighbour("default", frozenset({("app", "web")}))
WEBS = Matcher(equal_to({"app": "web"}), frozenset({"default"}))


def cpu(milli: int) -> PodRequests:
    return PodRequests((("cpu", milli),) if milli else ())


def a_cluster(*sizes: int) -> Snapshot:
    snapshot = Snapshot()
    for at, size in enumerate(sizes):
        snapshot.set_node(NodeFacts(f"n{at + 1}", amounts={"cpu": size}, pod_count=20))
    return snapshot


def see(
    snapshot: Snapshot,
    uid: str,
    node: str,
    milli: int,
    priority: int = 0,
    neighbour: Neighbour = ALONE,
    since_s: float = 0,
) -> None:
    standing = Standing(priority, since_s, ("default", uid))
    snapshot.see(uid, node, cpu(milli), neighbour, standing)


def a_budget(allowed: int) -> PodDisruptionBudget:
    selector = LabelSelector(match_labels={"app": "web"})
    return PodDisruptionBudget(
        metadata=a_meta("web"),
        spec=PodDisruptionBudgetSpec(selector=selector),
        status=PodDisruptionBudgetStatus(disruptions_allowed=allowed),
    )


def victims(
    snapshot: Snapshot,
    milli: int,
    priority: int = 10,
    budgets: Iterable[PodDisruptionBudget] = (),
) -> tuple[str, set[str]] | None:
    found = preemption(Preemptor(cpu(milli), ALONE, priority), snapshot, "", list(budgets))
    return (found.node, set(found.victims)) if found is not None else None


def test_as_many_pods_stay_as_can_and_those_that_matter_more_before_others() -> None:
    snapshot = a_cluster(1000)
    for uid, milli, priority in (("a", 300, 5), ("b", 300, 3), ("c", 400, 1)):
        see(snapshot, uid, "n1", milli, priority)

    assert victims(snapshot, 400) == ("n1", {"c"})
    assert victims(snapshot, 600) == ("n1", {"b", "c"})
    assert victims(snapshot, 600, priority=5) == ("n1", {"b", "c"})
    assert victims(snapshot, 800, priority=5) is None
    assert victims(snapshot, 1001, priority=99) is None


def test_nobody_leaves_for_a_pod_that_matters_no_more() -> None:
    snapshot = a_cluster(1000)
    see(snapshot, "a", "n1", 1000, 10)
    assert victims(snapshot, 100, priority=10) is None
    assert victims(snapshot, 100, priority=11) == ("n1", {"a"})


def test_the_node_of_the_least_harm_is_taken() -> None:
    snapshot = a_cluster(1000, 1000, 1000)
    see(snapshot, "a", "n1", 1000, 5)
    see(snapshot, "b", "n2", 500, 1)
    see(snapshot, "c", "n2", 500, 1)
    see(snapshot, "d", "n3", 1000, 1, since_s=100)
    # Less than 5; and one of 1 is less than two of them.
    assert victims(snapshot, 1000) == ("n3", {"d"})
    # As little as another: the younger goes.
    see(snapshot, "e", "n3", 0, 1)
    assert victims(snapshot, 500) == ("n3", {"d"})
    snapshot.remove("d")
    see(snapshot, "d", "n3", 1000, 1, since_s=-100)
    assert victims(snapshot, 500) == ("n2", {"c"})


def test_a_budget_is_broken_only_where_nothing_else_helps() -> None:
    snapshot = a_cluster(1000, 1000)
    see(snapshot, "a", "n1", 1000, 1, WEB)
    see(snapshot, "b", "n2", 1000, 5)

    assert victims(snapshot, 1000) == ("n1", {"a"})
    assert victims(snapshot, 1000, budgets=[a_budget(1)]) == ("n1", {"a"})
    assert victims(snapshot, 1000, budgets=[a_budget(0)]) == ("n2", {"b"})
    snapshot.remove("b")
    snapshot.set_node(NodeFacts("n2"))
    assert victims(snapshot, 1000, budgets=[a_budget(0)]) == ("n1", {"a"})


def test_of_a_nodes_pods_the_protected_ones_stay_first() -> None:
    snapshot = a_cluster(1000)
    see(snapshot, "a", "n1", 500, 1, WEB)
    see(snapshot, "b", "n1", 500, 5)
    assert victims(snapshot, 500) == ("n1", {"a"})
    assert victims(snapshot, 500, budgets=[a_budget(0)]) == ("n1", {"b"})


def test_pods_that_keep_another_away_leave_too() -> None:
    snapshot = a_cluster(1000)
    term = PeerTerm(Matcher(equal_to({"app": "web"}), frozenset({"default"})), "zone")
    snapshot.set_node(
        NodeFacts("n1", frozenset({("zone", "a")}), amounts={"cpu": 1000}, pod_count=9)
    )
    see(snapshot, "a", "n1", 100, 1, WEB)
    see(snapshot, "b", "n1", 100, 1)
    apart = WEB._replace(rules=PeerRules(away=(term,)))

    found = preemption(Preemptor(cpu(100), apart, 10), snapshot, "")

    assert found is not None
    assert set(found.victims) == {"a"}
    # What was supposed is undone.
    assert isinstance(place(cpu(0), snapshot, ""), Placement)
    assert preemption(Preemptor(cpu(100), apart, 10), snapshot, "") == found


def test_room_is_kept_for_a_pod_and_given_up_for_one_that_matters_more() -> None:
    snapshot = a_cluster(1000)
    see(snapshot, "a", "n1", 1000, 1)
    snapshot.nominate("p", "n1", cpu(1000), Standing(10, 0, ("default", "p")))
    snapshot.remove("a")

    assert not isinstance(place(cpu(1), snapshot, ""), Placement)
    assert victims(snapshot, 1000, priority=10) is None
    assert victims(snapshot, 1000, priority=11) is None  # nothing that is there matters less
    see(snapshot, "b", "n1", 0, 1)
    assert victims(snapshot, 1000, priority=11) == ("n1", {"p"})
    assert snapshot.nominated_on("n1") == [("default", "p")]
    kept = snapshot.lift("p")
    assert kept is not None
    assert kept.node == "n1"
    assert place(cpu(1000), snapshot, "", nominated="n1") == Placement("n1")


def test_those_that_leave_already_are_waited_for() -> None:
    snapshot = a_cluster(1000)
    see(snapshot, "a", "n1", 500, 1, WEB._replace(is_leaving=True))
    see(snapshot, "b", "n1", 500, 10, WEB._replace(is_leaving=True))
    pod = Preemptor(cpu(500), ALONE, 10)
    found = awaited(pod, snapshot, "n1")
    assert found is not None
    assert set(found.victims) == {"a"}
    assert awaited(pod, snapshot, "n2") is None
    assert awaited(pod._replace(priority=1), snapshot, "n1") is None


type Pods = dict[str, tuple[str, int, int]]  # uid -> node, milli, priority


def room_on(snapshot: Snapshot, name: str, pods: Pods, gone: set[str]) -> int:
    node = snapshot.node(name)
    assert node is not None
    taken = sum(one[1] for uid, one in pods.items() if one[0] == name and uid not in gone)
    return node.facts.amounts["cpu"] - taken


@pytest.mark.parametrize("part", range(3))
def test_every_victim_is_needed_and_none_matters_as_much(part: int) -> None:
    """The reference adds up who is left, on each node, and knows nothing of harm."""
    made = 0
    for seed in range(part * 200, part * 200 + 200):
        chance = random.Random(seed)
        snapshot = a_cluster(*(chance.choice([500, 1000, 2000]) for _ in range(3)))
        pods: Pods = {
            f"p{at}": (chance.choice(["n1", "n2", "n3"]), chance.randrange(100, 600), at % 4)
            for at in range(chance.randrange(12))
        }
        for uid, (node, milli, priority) in pods.items():
            see(snapshot, uid, node, milli, priority, since_s=chance.random())
        milli, priority = chance.randrange(100, 2000), chance.randrange(1, 5)
        if isinstance(place(cpu(milli), snapshot, ""), Placement):
            continue
        found = victims(snapshot, milli, priority)

        lower = {uid for uid, one in pods.items() if one[2] < priority}
        is_possible = any(
            room_on(snapshot, name, pods, lower) >= milli
            and any(pods[uid][0] == name for uid in lower)
            for name in ("n1", "n2", "n3")
        )
        assert (found is not None) == is_possible, seed
        if found is not None:
            made += 1
            node, gone = found
            assert gone <= lower
            assert all(pods[uid][0] == node for uid in gone)
            assert room_on(snapshot, node, pods, gone) >= milli
            assert all(room_on(snapshot, node, pods, gone - {uid}) < milli for uid in gone)
    assert made > 10


def a_step(chance: random.Random, snapshot: Snapshot, pods: dict[str, int]) -> None:
    """Let a pod come, change or go, room be kept or given up, or a node change or go."""
    node, uid = f"n{chance.randrange(1, 4)}", f"p{chance.randrange(12)}"
    match chance.randrange(8):
        case 0 | 1 | 2:
            pods[uid] = chance.randrange(100, 600)
            priority = chance.randrange(4)
            see(snapshot, uid, node, pods[uid], priority, WEB, since_s=chance.random())
        case 3 if uid in pods:
            del pods[uid]
            snapshot.remove(uid)
        case 4:
            standing = Standing(chance.randrange(4), 0.0, ("default", "kept"))
            snapshot.nominate("kept", node, cpu(300), standing)
        case 5:
            snapshot.lift("kept")
        case 6:
            size = chance.choice([500, 1000, 2000])
            snapshot.set_node(NodeFacts(node, amounts={"cpu": size}, pod_count=20))
        case _ if chance.random() < 0.3:
            snapshot.remove_node(node)
        case _:
            pass


def test_what_is_remembered_of_room_changes_no_decision() -> None:
    made = 0
    for seed in range(60):
        chance, snapshot, memory = (
            random.Random(seed),
            a_cluster(1000, 1000, 500),
            PreemptionMemory(),
        )
        pods: dict[str, int] = {}
        budgets: list[PodDisruptionBudget] = []
        for _ in range(60):
            a_step(chance, snapshot, pods)
            if chance.random() < 0.1:
                budgets = [a_budget(chance.randrange(3))]
            keeping = Neighbour("default", rules=PeerRules(away=(PeerTerm(WEBS, "kubernetes.io"),)))
            who = ALONE if chance.random() < 0.8 else keeping
            pod = Preemptor(cpu(chance.choice([300, 700])), who, chance.choice([2, 4]))
            if isinstance(place(pod.requests, snapshot, "", neighbour=who), Placement):
                continue
            found = preemption(pod, snapshot, "", budgets, memory)
            assert found == preemption(pod, snapshot, "", budgets), seed
            made += found is not None
    assert made > 500


def test_nodes_that_went_are_not_remembered() -> None:
    snapshot, memory = a_cluster(1000), PreemptionMemory()
    pod = Preemptor(cpu(500), ALONE, 10)
    for number in range(50):
        name = f"m{number}"
        snapshot.set_node(NodeFacts(name, amounts={"cpu": 100}, pod_count=20))
        preemption(pod, snapshot, "", (), memory)
        snapshot.remove_node(name)
    see(snapshot, "a", "n1", 900)
    preemption(pod, snapshot, "", (), memory)
    assert len(memory.about(pod, snapshot, ())) <= 3
