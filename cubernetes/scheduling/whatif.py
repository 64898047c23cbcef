"""Why a pod is where it is or nowhere, and what would be if nodes were other: on a snapshot alone.

A supposition is a line of words: `node [NAME] +4cpu`, `untaint NODE KEY`, `label NODE KEY=VALUE`,
`uncordon NODE`, `delete [NAMESPACE/]POD`.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.node import Node
from cubernetes.api.core.parts.resources import units
from cubernetes.api.core.persistentvolume import PersistentVolume
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.policy.poddisruptionbudget import PodDisruptionBudget
from cubernetes.api.quantities import Quantity
from cubernetes.api.storage.storageclass import StorageClass
from cubernetes.scheduling.claims import StillStorage, needs_of
from cubernetes.scheduling.nodeinfo import NodeFacts, facts_of, images_of, requests_of
from cubernetes.scheduling.peers.neighbour import neighbour_of
from cubernetes.scheduling.plan import Placement, Search, cursor_of, place
from cubernetes.scheduling.preempt import Preemptor, preemption
from cubernetes.scheduling.registry import PROFILES, ROUND_ROBIN, weighted
from cubernetes.scheduling.snapshot import Snapshot
from cubernetes.scheduling.standing import standing_of

FORMS = (
    "node [NAME] +4cpu +8Gimemory",
    "untaint NODE KEY",
    "label NODE KEY=VALUE",
    "uncordon NODE",
    "delete [NAMESPACE/]POD",
)
# The unit is as short as it can be: `4memory` is 4 of memory, and not 4m of `emory`.
_MORE = re.compile(
    r"\+([0-9]+(?:\.[0-9]+)?[A-Za-z]{0,2}?)"
    r"(cpu|memory|ephemeral-storage|pods|[a-z0-9.-]+/[A-Za-z0-9_.-]+)\Z"
)


class NotUnderstood(Exception):
    """A supposition has no form that there is, or is about nothing that there is."""


class Cluster(NamedTuple):
    """What was read: enough to decide as the scheduler does."""

    pods: Sequence[Pod]
    nodes: Sequence[Node]
    namespaces: Sequence[Namespace]
    budgets: Sequence[PodDisruptionBudget] = ()
    claims: Sequence[PersistentVolumeClaim] = ()
    volumes: Sequence[PersistentVolume] = ()
    classes: Sequence[StorageClass] = ()


class Refusing(NamedTuple):
    """A filter, why it refuses, and the nodes of which it says the same."""

    plugin: str
    reason: str
    nodes: tuple[str, ...]


class Answer(NamedTuple):
    """What becomes of a pod.

    chosen: the node that the scheduler would take now; empty where there is none.
    passing: every node that passes.
    room: where none does, the node on which pods of lower priority would make room; victims: them.
    """

    chosen: str
    passing: tuple[str, ...]
    refusing: tuple[Refusing, ...]
    room: str = ""
    victims: tuple[str, ...] = ()


def answer(cluster: Cluster, pod: Pod, suppositions: Iterable[str] = ()) -> Answer:
    """Tell what becomes of a pod, as if it had no node, if the suppositions were true.

    Raises:
        NotUnderstood: of a supposition.
    """
    facts = {node.metadata.name: facts_of(node) for node in cluster.nodes}
    gone = {pod.metadata.uid}
    for line in suppositions:
        _suppose(line, facts, cluster.pods, gone, pod.metadata.namespace)
    snapshot = _snapshot(cluster, facts, gone)
    there = [one for one in cluster.pods if one.metadata.uid not in gone]
    storage = StillStorage(cluster.claims, cluster.volumes, cluster.classes, there)
    needs = needs_of(pod, storage)
    if needs.held:
        return Answer("", (), (Refusing("volumes", needs.held, tuple(sorted(facts))),))
    requests = requests_of(pod)._replace(volumes=needs.volumes, images=images_of(pod))
    neighbour = neighbour_of(pod)
    cursor = cursor_of(cluster.pods)
    scores = weighted(PROFILES.get(pod.spec.scheduler_name, ROUND_ROBIN))
    verdict = place(requests, snapshot, cursor, scores=scores, neighbour=neighbour)
    search = Search(requests, snapshot, neighbour)
    by_reason: dict[tuple[str, str], list[str]] = {}
    passing = []
    for name in snapshot.names_after(""):
        told = list(search.told(name))
        if not told:
            passing.append(name)
        for one in told:
            by_reason.setdefault(one, []).append(name)
    grouped = _grouped(by_reason)
    if isinstance(verdict, Placement):
        return Answer(verdict.node, tuple(passing), grouped)
    preemptor = Preemptor(requests, neighbour, pod.spec.priority or 0)
    is_patient = pod.spec.preemption_policy == "Never"
    found = None if is_patient else preemption(preemptor, snapshot, cursor, cluster.budgets)
    if found is None:
        return Answer("", (), grouped)
    victims = sorted("/".join(one.standing.key) for one in found.victims.values())
    return Answer("", (), grouped, found.node, tuple(victims))


def _grouped(by_reason: Mapping[tuple[str, str], Sequence[str]]) -> tuple[Refusing, ...]:
    """Return the reason of the most nodes first."""
    order = sorted(by_reason.items(), key=lambda one: (-len(one[1]), one[0]))
    return tuple(Refusing(plugin, reason, tuple(nodes)) for (plugin, reason), nodes in order)


def _snapshot(cluster: Cluster, facts: Mapping[str, NodeFacts], gone: set[str]) -> Snapshot:
    snapshot = Snapshot()
    for room in cluster.namespaces:
        snapshot.pods.set_namespace(room.metadata.name, room.metadata.labels)
    for one in facts.values():
        snapshot.set_node(one)
    for pod in cluster.pods:
        uid, node = pod.metadata.uid, pod.spec.node_name
        if node and uid not in gone and not is_finished(pod):
            snapshot.see(uid, node, requests_of(pod), neighbour_of(pod), standing_of(pod))
    return snapshot


def _suppose(
    line: str, facts: dict[str, NodeFacts], pods: Sequence[Pod], gone: set[str], namespace: str
) -> None:
    verb, *words = line.split() or [""]
    if verb == "delete" and len(words) == 1:
        place, _, name = words[0].rpartition("/")
        wanted = (place or namespace, name)
        found = [one for one in pods if (one.metadata.namespace, one.metadata.name) == wanted]
        if not found:
            raise NotUnderstood(f"{line!r}: there is no pod {'/'.join(wanted)}")
        gone.update(one.metadata.uid for one in found)
        return
    if verb == "node":
        named = [word for word in words if not word.startswith("+")]
        more = [word for word in words if word.startswith("+")]
        change, is_form = _bigger(more, line), len(named) <= 1 and bool(more)
    else:
        named, rest = words[:1], words[1:]
        known = CHANGES.get(verb)
        is_form = known is not None and len(words) == known[0]
        change = known[1](rest) if known is not None and is_form else _same
    if not is_form:
        raise NotUnderstood(f"{line!r}: must be one of: {'; '.join(FORMS)}")
    for name in named or list(facts):
        if name not in facts:
            raise NotUnderstood(f"{line!r}: there is no node {name}")
        facts[name] = change(facts[name])


type FactsChange = Callable[[NodeFacts], NodeFacts]


def _same(facts: NodeFacts) -> NodeFacts:
    return facts


def _bigger(words: Sequence[str], line: str) -> FactsChange:
    more: dict[str, int] = {}
    for word in words:
        form = _MORE.match(word)
        try:
            amount, name = form.groups() if form else ("", "")
            more[name] = more.get(name, 0) + units(name, Quantity(amount))
        except ValueError as error:
            told = f"{line!r}: {word!r} must be such as +4cpu, +8Gimemory or +1example.com/gpu"
            raise NotUnderstood(told) from error

    def change(facts: NodeFacts) -> NodeFacts:
        amounts = dict(facts.amounts)
        for name, count in more.items():
            amounts[name] = amounts.get(name, 0) + count
        pods = amounts.pop("pods", 0)
        return facts._replace(amounts=amounts, pod_count=facts.pod_count + pods)

    return change


def _untainted(words: Sequence[str]) -> FactsChange:
    (key,) = words
    return lambda facts: facts._replace(taints=tuple(t for t in facts.taints if t.key != key))


def _labelled(words: Sequence[str]) -> FactsChange:
    key, _, value = words[0].partition("=")

    def change(facts: NodeFacts) -> NodeFacts:
        others = {pair for pair in facts.labels if pair[0] != key}
        return facts._replace(labels=frozenset({*others, (key, value)}))

    return change


def _uncordoned(_: Sequence[str]) -> FactsChange:
    return lambda facts: facts._replace(is_schedulable=True)


# The number of words behind the verb, the node's name first, and what the others make of it.
CHANGES: Mapping[str, tuple[int, Callable[[Sequence[str]], FactsChange]]] = {
    "untaint": (2, _untainted),
    "label": (2, _labelled),
    "uncordon": (1, _uncordoned),
}
