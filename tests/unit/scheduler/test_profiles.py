"""Profiles: which scores count is said by the schedulerName of a pod, and by nothing else."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest

from cubernetes.api.core.node import ContainerImage
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import replaced
from cubernetes.scheduling.nodeinfo import (
    NodeFacts,
    NodeInfo,
    NodeUsage,
    PodRequests,
    facts_of,
    images_of,
    requests_of,
)
from cubernetes.scheduling.plan import Placement, place
from cubernetes.scheduling.registry import PROFILES, ROUND_ROBIN, SCORES, weighted
from cubernetes.scheduling.snapshot import Snapshot
from cubernetes.scheduling.whatif import Cluster, answer
from tests.given import a_container, a_node, a_pod

GIBI = 1 << 30
MEBI = 1 << 20
ROOM = {"cpu": 4000, "memory": 4 * GIBI}
SMALL = PodRequests((("cpu", 500), ("memory", GIBI // 2)))
LEAST, MOST = "least-allocated-scheduler", "most-allocated-scheduler"


def placed(profile: str, count: int, nodes: Sequence[NodeFacts]) -> list[str]:
    """Place pods one after the other; return where they went."""
    snapshot, cursor, found = Snapshot(), "", []
    for one in nodes:
        snapshot.set_node(one)
    for number in range(count):
        verdict = place(SMALL, snapshot, cursor, scores=weighted(PROFILES[profile]))
        assert isinstance(verdict, Placement)
        cursor = verdict.node
        snapshot.assume(str(number), cursor, SMALL)
        found.append(cursor)
    return found


def some_nodes(*cpus: int) -> list[NodeFacts]:
    return [
        NodeFacts(f"n{at}", amounts={"cpu": cpu, "memory": 2 * cpu * MEBI}, pod_count=99)
        for at, cpu in enumerate(cpus, start=1)
    ]


def test_by_default_pods_go_round_whatever_the_nodes_have_left() -> None:
    assert placed("default-scheduler", 4, some_nodes(9000, 4000)) == ["n1", "n2", "n1", "n2"]


def test_the_node_with_the_most_left_is_first_and_equal_ones_go_round() -> None:
    went = placed(LEAST, 12, some_nodes(8000, 4000))
    assert Counter(went) == {"n1": 8, "n2": 4}
    assert placed(LEAST, 3, some_nodes(4000, 4000, 4000)) == ["n1", "n2", "n3"]


def test_the_node_with_the_least_left_is_filled_first() -> None:
    assert placed(MOST, 9, some_nodes(4000, 4000)) == ["n1"] * 8 + ["n2"]
    # Of unequal ones the one that is fuller by the same pod.
    assert placed(MOST, 3, some_nodes(8000, 2000)) == ["n2"] * 3


@pytest.mark.parametrize(
    ("used", "score"),
    [
        ({}, 100 - round(100 * abs(0.125 - 0.125) / 2)),
        ({"cpu": 2000}, 75),
        ({"memory": 3 * GIBI}, round(100 * (1 - 0.75 / 2))),
        ({"cpu": 9000, "memory": 9 * GIBI}, 100),
    ],
)
def test_cpu_and_memory_are_to_be_given_away_alike(used: dict[str, int], score: int) -> None:
    node = NodeInfo(NodeFacts("n", amounts=ROOM), NodeUsage(used, 1))
    assert SCORES["balanced"].rates(SMALL, node) == score


def with_image(name: str, *names: str, size: int) -> NodeFacts:
    node = a_node(name)
    status = replaced(node.status, images=(ContainerImage(names=names, size_bytes=size),))
    return facts_of(replaced(node, status=status))


def running(*images: str, scheduler: str = LEAST) -> Pod:
    pod = a_pod(containers=[a_container(image=one) for one in images])
    return replaced(pod, spec=replaced(pod.spec, scheduler_name=scheduler))


def test_a_profile_may_prefer_nodes_that_have_the_images() -> None:
    rates = SCORES["image-locality"].rates
    node = NodeInfo(with_image("n1", "web:latest", "web@sha256:aa", size=500 * MEBI))

    def score(*images: str) -> int:
        return rates(PodRequests(images=images_of(running(*images))), node)

    assert score("web") == score("web:latest") == score("web@sha256:aa") == 48
    assert score("web:2") == score("db/web") == 0
    # Of two containers, for one there is the image.
    assert score("web", "other") == 24
    small = NodeInfo(with_image("n1", "web:latest", size=20 * MEBI))
    assert rates(PodRequests(images=("web:latest",)), small) == 0
    huge = NodeInfo(with_image("n1", "web:latest", size=9 * GIBI))
    assert rates(PodRequests(images=("web:latest",)), huge) == 100
    assert rates(PodRequests(), huge) == 0


@pytest.mark.parametrize(("scheduler", "node"), [(LEAST, "n2"), ("default-scheduler", "n1")])
def test_why_a_pod_goes_where_it_goes_is_told_by_its_own_profile(scheduler: str, node: str) -> None:
    nodes = [a_node("n1", cpu="2"), a_node("n2", cpu="8")]
    pod = a_pod(cpu="1")
    pod = replaced(pod, spec=replaced(pod.spec, scheduler_name=scheduler))
    assert answer(Cluster([pod], nodes, []), pod).chosen == node


def test_images_are_no_part_of_what_a_pod_weighs() -> None:
    assert requests_of(running("web")).images == ()


@pytest.mark.parametrize(
    ("weights", "told"),
    [({"speed": 1}, "no score is called 'speed'"), ({"taints": 0}, "taints must be at least 1")],
)
def test_a_profile_of_unknown_scores_is_refused(weights: dict[str, int], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        weighted(weights)


def test_weights_are_those_of_the_profile() -> None:
    (one,) = weighted({"balanced": 7})
    assert (one.rates, one.weight) == (SCORES["balanced"].rates, 7)
    assert PROFILES["default-scheduler"] == ROUND_ROBIN


class Twice:
    """A cluster that is kept up to date; `anew` is the same one, seen anew and asked nothing."""

    def __init__(self, facts: Sequence[NodeFacts]) -> None:
        self.facts = {one.name: one for one in facts}
        self.there: dict[str, str] = {}
        self.kept = self.anew()

    def anew(self) -> Snapshot:
        snapshot = Snapshot()
        for one in self.facts.values():
            snapshot.set_node(one)
        for uid, node in self.there.items():
            snapshot.see(uid, node, SMALL)
        return snapshot

    def change(self, chance: random.Random) -> None:
        """Let a node be ready or not, come anew, or be left by a pod."""
        node = chance.choice(list(self.facts))
        if chance.random() < 0.3:
            facts = self.facts[node] = self.facts[node]._replace(is_ready=chance.random() < 0.8)
            self.kept.set_node(facts)
        if chance.random() < 0.1:
            self.kept.remove_node(node)
            self.kept.set_node(self.facts[node])
        if self.there and chance.random() < 0.3:
            uid = chance.choice(list(self.there))
            del self.there[uid]
            self.kept.remove(uid)


def test_what_is_remembered_of_nodes_changes_no_decision() -> None:
    placed_count = 0
    for seed in range(40):
        chance, cursor = random.Random(seed), ""
        world = Twice(some_nodes(8000, 4000, 2000, 4000))
        for step in range(40):
            world.change(chance)
            scores = weighted(PROFILES[chance.choice(list(PROFILES))])
            verdict = place(SMALL, world.kept, cursor, scores=scores)
            assert verdict == place(SMALL, world.anew(), cursor, scores=scores), (seed, step)
            if isinstance(verdict, Placement):
                placed_count += 1
                cursor = world.there[str(step)] = verdict.node
                world.kept.assume(str(step), cursor, SMALL)
    assert placed_count > 500
