"""Rules about other pods, against a reference that looks at every pod and node each time."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import log

import pytest

from cubernetes.api.core.node import Node, Taint
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.placement.affinity import (
    Affinity,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    PodAffinity,
    PodAffinityTerm,
    PodAntiAffinity,
    WeightedPodAffinityTerm,
)
from cubernetes.api.core.podspec.placement.spread import TopologySpreadConstraint
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.core.podspec.toleration import Toleration
from cubernetes.api.meta import Labels, replaced
from cubernetes.api.selectors import LabelSelector, Requirement
from cubernetes.scheduling.nodeinfo import facts_of, requests_of
from cubernetes.scheduling.peers.neighbour import neighbour_of
from cubernetes.scheduling.plan import Placement, Unschedulable, Verdict, place
from cubernetes.scheduling.snapshot import Snapshot
from tests.given import NOW, a_container, a_node, a_pod

SPOT = Taint(key="spot", effect="NoSchedule")
NAMESPACES: Mapping[str, Labels] = {"red": {"team": "a"}, "blue": {"team": "b"}, "grey": {}}
KEYS = ("zone", "host", "rack")


class World:
    """The same story told to a snapshot, and kept as plain lists."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.nodes: dict[str, Node] = {}
        self.placed: dict[str, Pod] = {}  # uid -> pod, with its node
        for name, labels in NAMESPACES.items():
            self.snapshot.pods.set_namespace(name, labels)

    def set_node(self, node: Node) -> None:
        self.nodes[node.metadata.name] = node
        self.snapshot.set_node(facts_of(node))

    def remove_node(self, name: str) -> None:
        del self.nodes[name]
        self.snapshot.remove_node(name)

    def see(self, pod: Pod) -> None:
        self.placed[pod.metadata.uid] = pod
        self.snapshot.see(pod.metadata.uid, pod.spec.node_name, requests_of(pod), neighbour_of(pod))

    def remove(self, uid: str) -> None:
        del self.placed[uid]
        self.snapshot.remove(uid)

    def place(self, pod: Pod, cursor: str = "") -> Verdict:
        return place(requests_of(pod), self.snapshot, cursor, neighbour=neighbour_of(pod))

    def there(self) -> Iterator[tuple[Pod, Labels]]:
        """Yield the pods that lie on nodes which are known, with the nodes' labels."""
        for pod in self.placed.values():
            if node := self.nodes.get(pod.spec.node_name):
                yield pod, node.metadata.labels


# The reference: Kubernetes' documentation, word by word, without any memory.


def selects(selector: LabelSelector | None, labels: Labels) -> bool:
    if selector is None:
        return False
    for key, value in selector.match_labels.items():
        if labels.get(key) != value:
            return False
    for one in selector.match_expressions:
        has, found = one.key in labels, labels.get(one.key)
        holds = {
            "In": found in one.values,
            "NotIn": found not in one.values,
            "Exists": has,
            "DoesNotExist": not has,
        }
        if not holds[one.operator]:
            return False
    return True


def means(term: PodAffinityTerm, owner: Pod, other: Pod) -> bool:
    own, labels, namespace = owner.metadata, other.metadata.labels, other.metadata.namespace
    if term.namespaces or term.namespace_selector is not None:
        by_labels = selects(term.namespace_selector, NAMESPACES[namespace])
        if namespace not in term.namespaces and not by_labels:
            return False
    elif namespace != own.namespace:
        return False
    like = all(labels.get(k) == own.labels[k] for k in term.match_label_keys if k in own.labels)
    unlike = all(
        labels.get(k) != own.labels[k] for k in term.mismatch_label_keys if k in own.labels
    )
    return like and unlike and selects(term.label_selector, labels)


def required(pod: Pod, kind: str) -> Sequence[PodAffinityTerm]:
    found = getattr(pod.spec.affinity, kind, None)
    return found.required_during_scheduling_ignored_during_execution if found else ()


def liked(pod: Pod) -> Iterator[tuple[int, PodAffinityTerm]]:
    for kind, sign in (("pod_affinity", 1), ("pod_anti_affinity", -1)):
        found = getattr(pod.spec.affinity, kind, None)
        for one in found.preferred_during_scheduling_ignored_during_execution if found else ():
            yield sign * one.weight, one.pod_affinity_term


def shares(key: str, labels: Labels, others: Labels) -> bool:
    return key in labels and labels[key] == others.get(key)


def is_welcome(world: World, pod: Pod, node: Node) -> bool:
    """Whether the required pod affinity and anti-affinity, both ways, take a node."""
    labels, there = node.metadata.labels, list(world.there())
    for term in required(pod, "pod_anti_affinity"):
        if any(
            means(term, pod, one) and shares(term.topology_key, labels, at) for one, at in there
        ):
            return False
    for one, at in there:
        for term in required(one, "pod_anti_affinity"):
            if means(term, one, pod) and shares(term.topology_key, labels, at):
                return False
    terms = required(pod, "pod_affinity")
    matching = [(one, at) for one, at in there if all(means(term, pod, one) for term in terms)]
    if any(term.topology_key not in labels for term in terms):
        return False
    found = all(any(shares(term.topology_key, labels, at) for _, at in matching) for term in terms)
    is_first = not any(term.topology_key in at for term in terms for _, at in matching)
    return found or (is_first and all(means(term, pod, pod) for term in terms))


def counted(
    world: World, pod: Pod, one: TopologySpreadConstraint, keys: set[str]
) -> tuple[Counter[str], set[str], bool]:
    """Return pods by place, the places, and whether the pod itself is counted."""
    own = pod.metadata
    places: Counter[str] = Counter()
    nodes: set[str] = set()
    for name, node in world.nodes.items():
        labels = node.metadata.labels
        if not keys <= labels.keys():
            continue
        if one.node_affinity_policy != "Ignore" and not takes(pod, node):
            continue
        if one.node_taints_policy == "Honor" and node.spec.taints and not pod.spec.tolerations:
            continue
        nodes.add(name)
        places[labels[one.topology_key]] += 0

    def is_counted(other: Pod) -> bool:
        labels = other.metadata.labels
        like = all(labels.get(k) == own.labels[k] for k in one.match_label_keys if k in own.labels)
        is_near = other.metadata.namespace == own.namespace and not other.metadata.is_deleted
        return is_near and like and selects(one.label_selector, labels)

    for other in world.placed.values():
        if other.spec.node_name in nodes and is_counted(other):
            places[world.nodes[other.spec.node_name].metadata.labels[one.topology_key]] += 1
    return places, nodes, is_counted(pod)


def takes(pod: Pod, node: Node) -> bool:
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity else None
    wants_ssd = affinity is not None or "disk" in pod.spec.node_selector
    return not wants_ssd or node.metadata.labels.get("disk") == "ssd"


def is_even(world: World, pod: Pod, node: Node) -> bool:
    hard = [
        one
        for one in pod.spec.topology_spread_constraints
        if one.when_unsatisfiable == "DoNotSchedule"
    ]
    keys = {one.topology_key for one in hard}
    for one in hard:
        if one.topology_key not in node.metadata.labels:
            return False
        places, _, is_self = counted(world, pod, one, keys)
        fewest = min(places.values(), default=0)
        if len(places) < (one.min_domains or 1):
            fewest = 0
        here = places.get(node.metadata.labels[one.topology_key], 0)
        if here + int(is_self) - fewest > one.max_skew:
            return False
    return True


def passing(world: World, pod: Pod) -> list[str]:
    return [
        name
        for name, node in sorted(world.nodes.items())
        if takes(pod, node)
        and (not node.spec.taints or pod.spec.tolerations)
        and is_welcome(world, pod, node)
        and is_even(world, pod, node)
    ]


def total_of_wishes(world: World, pod: Pod, node: Node) -> float:
    labels, total = node.metadata.labels, 0.0
    for one, at in world.there():
        for weight, term in liked(pod):
            total += weight * (means(term, pod, one) and shares(term.topology_key, labels, at))
        theirs = [*liked(one), *((1, term) for term in required(one, "pod_affinity"))]
        for weight, term in theirs:
            total += weight * (means(term, one, pod) and shares(term.topology_key, labels, at))
    return total


def evenness_of(world: World, pod: Pod, node: Node) -> float | None:
    soft = [
        one
        for one in pod.spec.topology_spread_constraints
        if one.when_unsatisfiable == "ScheduleAnyway"
    ]
    total = 0.0
    for one in soft:
        places, nodes, _ = counted(world, pod, one, {other.topology_key for other in soft})
        if node.metadata.name not in nodes:
            return None
        here = places[node.metadata.labels[one.topology_key]]
        total -= here * log(len(places) + 2) + one.max_skew - 1
    return total


def rated(world: World, pod: Pod, names: Sequence[str]) -> dict[str, float]:
    """Return the sum of both scores, each stretched over the nodes that pass."""
    totals = dict.fromkeys(names, 0.0)
    rates: list[Callable[[World, Pod, Node], float | None]] = [total_of_wishes, evenness_of]
    for rate in rates:
        raw = {name: rate(world, pod, world.nodes[name]) for name in names}
        known = [one for one in raw.values() if one is not None]
        span = max(known, default=0) - min(known, default=0)
        for name, one in raw.items():
            if one is not None and span:
                totals[name] += 2 * 100 * (one - min(known)) / span
    return totals


# Chance


def a_selector(chance: random.Random) -> LabelSelector | None:
    kind = chance.randrange(6)
    if kind == 0:
        return chance.choice([None, LabelSelector()])
    if kind < 4:
        return LabelSelector(match_labels={"app": chance.choice("ab")})
    operator = chance.choice(["In", "NotIn", "Exists", "DoesNotExist"])
    values = ("a", "c") if operator in ("In", "NotIn") else ()
    key = chance.choice(["app", "tier"])
    expression = Requirement(key=key, operator=operator, values=values)  # type: ignore[arg-type]
    return LabelSelector(match_expressions=(expression,))


def a_term(chance: random.Random) -> PodAffinityTerm:
    selector = a_selector(chance)
    keys = [(), ("tier",)] if selector is not None else [()]
    return PodAffinityTerm(
        label_selector=selector,
        topology_key=chance.choice(KEYS),
        namespaces=chance.choice([(), (), ("red",), ("blue", "grey")]),
        namespace_selector=chance.choice(
            [None, None, LabelSelector(), LabelSelector(match_labels={"team": "a"})]
        ),
        match_label_keys=chance.choice(keys),
        mismatch_label_keys=chance.choice(keys) if chance.random() < 0.2 else (),
    )


def an_affinity(chance: random.Random) -> Affinity | None:
    def some(most: int) -> tuple[PodAffinityTerm, ...]:
        return tuple(a_term(chance) for _ in range(chance.randint(0, most)))

    def wishes() -> tuple[WeightedPodAffinityTerm, ...]:
        return tuple(
            WeightedPodAffinityTerm(weight=chance.choice([1, 50, 100]), pod_affinity_term=one)
            for one in some(1)
        )

    if chance.random() < 0.4:
        return None
    ssd = NodeSelectorRequirement(key="disk", operator="In", values=("ssd",))
    terms = (NodeSelectorTerm(match_expressions=(ssd,)),)
    node = NodeAffinity(
        required_during_scheduling_ignored_during_execution=NodeSelector(node_selector_terms=terms)
    )
    return Affinity(
        node_affinity=node if chance.random() < 0.2 else None,
        pod_affinity=PodAffinity(
            required_during_scheduling_ignored_during_execution=some(2),
            preferred_during_scheduling_ignored_during_execution=wishes(),
        )
        if chance.random() < 0.5
        else None,
        pod_anti_affinity=PodAntiAffinity(
            required_during_scheduling_ignored_during_execution=some(1),
            preferred_during_scheduling_ignored_during_execution=wishes(),
        )
        if chance.random() < 0.5
        else None,
    )


def a_spread(chance: random.Random) -> TopologySpreadConstraint:
    is_hard = chance.random() < 0.6
    selector = a_selector(chance)
    return TopologySpreadConstraint(
        max_skew=chance.choice([1, 1, 2]),
        topology_key=chance.choice(KEYS),
        when_unsatisfiable="DoNotSchedule" if is_hard else "ScheduleAnyway",
        label_selector=selector,
        min_domains=chance.choice([None, None, 2, 4]) if is_hard else None,
        node_affinity_policy=chance.choice([None, "Honor", "Ignore"]),
        node_taints_policy=chance.choice([None, "Honor", "Ignore"]),
        match_label_keys=("tier",) if selector is not None and chance.random() < 0.3 else (),
    )


def a_random_pod(chance: random.Random, uid: str) -> Pod:
    labels = {"app": chance.choice("abc")}
    if chance.random() < 0.5:
        labels["tier"] = chance.choice("xy")
    spreads = {
        (one.topology_key, one.when_unsatisfiable): one
        for one in (a_spread(chance) for _ in range(chance.choice([0, 0, 1, 2])))
    }
    spec = PodSpec(
        containers=(a_container(),),
        affinity=an_affinity(chance),
        node_selector={"disk": "ssd"} if chance.random() < 0.1 else {},
        tolerations=(Toleration(operator="Exists"),) if chance.random() < 0.3 else (),
        topology_spread_constraints=tuple(spreads.values()),
    )
    return a_pod(uid, chance.choice(list(NAMESPACES)), spec=spec, labels=labels, uid=uid)


def a_random_node(chance: random.Random, name: str) -> Node:
    labels = {"host": name} if chance.random() < 0.9 else {}
    if chance.random() < 0.8:
        labels["zone"] = chance.choice("uvw")
    if chance.random() < 0.5:
        labels["rack"] = chance.choice("12")
    if chance.random() < 0.6:
        labels["disk"] = "ssd"
    node = a_node(name, taints=[SPOT] if chance.random() < 0.2 else [])
    return replaced(node, metadata=replaced(node.metadata, labels=labels))


def change(world: World, chance: random.Random) -> None:
    """Let something else happen than a pod that comes."""
    match chance.randrange(6):
        case 0 if len(world.nodes) > 1:
            world.remove_node(chance.choice(sorted(world.nodes)))
        case 1 | 2:
            world.set_node(a_random_node(chance, f"n{chance.randrange(5)}"))
        case 3 if world.placed:
            uid = chance.choice(sorted(world.placed))
            pod = world.placed[uid]
            meta = replaced(pod.metadata, deletion_timestamp=NOW, labels={"app": "a"})
            world.see(replaced(pod, metadata=meta))
        case _ if world.placed:
            world.remove(chance.choice(sorted(world.placed)))
        case _:
            pass


@pytest.mark.parametrize("part", range(4))
def test_every_decision_agrees_with_the_reference(part: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(part * 30, part * 30 + 30):
        chance, world = random.Random(seed), World()
        for at in range(chance.randint(1, 5)):
            world.set_node(a_random_node(chance, f"n{at}"))
        for step in range(20):
            if chance.random() < 0.3:
                change(world, chance)
            pod = a_random_pod(chance, f"p{step}")
            names, verdict = passing(world, pod), world.place(pod)
            if isinstance(verdict, Unschedulable):
                assert names == [], (seed, step)
                assert verdict.reasons.keys() == world.nodes.keys()
                assert all(verdict.reasons.values())
                seen["refused"] += 1
                continue
            assert verdict.node in names, (seed, step)
            totals = rated(world, pod, names)
            best = max(totals.values())
            assert totals[verdict.node] == pytest.approx(best), (seed, step)
            seen["chosen"] += max(totals.values()) > min(totals.values())
            seen["placed"] += 1
            world.see(replaced(pod, spec=replaced(pod.spec, node_name=verdict.node)))
    assert min(seen.values()) > 20, seen
    assert len(seen) == 3


def test_placement_is_the_type_of_a_node_that_takes_a_pod() -> None:
    world = World()
    world.set_node(a_node("n1"))
    assert world.place(a_pod(namespace="red")) == Placement("n1")
