"""Which pods make room for one that matters more, and on which node: with the least harm.

As kube-scheduler: of a node's pods of lower priority as many stay as can, those first that a budget
protects, then those that matter more. Of the nodes that one takes which breaks the fewest budgets,
whose most important victim matters least, whose victims matter least together and are fewest, and
whose most important victim is the youngest.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from cubernetes.api.policy.poddisruptionbudget import PodDisruptionBudget
from cubernetes.scheduling.memory import Findings, Memory
from cubernetes.scheduling.nodeinfo import NodeInfo, PodRequests
from cubernetes.scheduling.peers.neighbour import Neighbour
from cubernetes.scheduling.plan import first_refusing, has_peers, refusing_peers
from cubernetes.scheduling.plugin import Asked
from cubernetes.scheduling.registry import FILTERS
from cubernetes.scheduling.snapshot import Assignment, Snapshot

# So many nodes on which it could be are compared: what a decision may cost.
CANDIDATES_MAX = 100
# Kinds of pods that need room, of which it is remembered what nodes have.
WISHES_MAX = 16
# Added to priorities so that one victim is always less harm than two of the same.
PRIORITY_OFFSET = 2**31


class Preemptor(NamedTuple):
    """The pod that needs room."""

    requests: PodRequests
    neighbour: Neighbour
    priority: int


class Preemption(NamedTuple):
    """Where room is made, and by whom: uids, with what counts of each."""

    node: str
    victims: dict[str, Assignment]
    broken_count: int = 0

    @property
    def harm(self) -> tuple[float, ...]:
        """Return the least for the least harm."""
        standings = [one.standing for one in self.victims.values()]
        highest = max(one.priority for one in standings)
        oldest_s = min(one.since_s for one in standings if one.priority == highest)
        together = sum(one.priority + PRIORITY_OFFSET for one in standings)
        return (self.broken_count, highest, together, len(standings), -oldest_s)


type Wish = tuple[PodRequests, int]


class PreemptionMemory:
    """What room nodes have, by what is requested at which priority.

    Where other pods' rules count, or where a budget has changed, nothing is remembered.
    """

    def __init__(self) -> None:
        self._memory: Memory[Wish, Preemption | None] = Memory(WISHES_MAX)
        self._budgets: Sequence[PodDisruptionBudget] = ()

    def about(
        self, pod: Preemptor, snapshot: Snapshot, budgets: Sequence[PodDisruptionBudget]
    ) -> Findings[Preemption | None]:
        if budgets != self._budgets:
            self._budgets, self._memory = budgets, Memory(WISHES_MAX)
        if has_peers(Asked(pod.requests, pod.neighbour, snapshot.pods)):
            return {}
        known = self._memory.of((pod.requests, pod.priority))
        if len(known) > 2 * len(snapshot):
            # Most are of nodes that are gone.
            known.clear()
        return known


def preemption(
    pod: Preemptor,
    snapshot: Snapshot,
    cursor: str,
    budgets: Sequence[PodDisruptionBudget] = (),
    memory: PreemptionMemory | None = None,
) -> Preemption | None:
    """Return the least harm by which a pod that no node takes gets a place; None: it gets none.

    memory: of one snapshot; it makes no difference but to what is asked again.
    """
    if not snapshot.has_lower(pod.priority):
        return None
    found: list[Preemption] = []
    known = memory.about(pod, snapshot, budgets) if memory is not None else {}
    for name in snapshot.names_after(cursor):
        version, finding = snapshot.version(name), known.get(name)
        if finding is None or finding[0] != version:
            finding = known[name] = version, _on(pod, snapshot, name, budgets)
        if finding[1] is not None:
            found.append(finding[1])
            if len(found) == CANDIDATES_MAX:
                break
    return min(found, key=lambda one: one.harm, default=None)


def awaited(pod: Preemptor, snapshot: Snapshot, node: str) -> Preemption | None:
    """Return the pods of lower priority that are leaving a node, where there are any."""
    if not node:
        return None
    there = snapshot.on(node)
    leaving = {
        uid: one
        for uid, one in there.items()
        if one.neighbour.is_leaving and one.standing.priority < pod.priority
    }
    return Preemption(node, leaving) if leaving else None


def _on(
    pod: Preemptor, snapshot: Snapshot, name: str, budgets: Sequence[PodDisruptionBudget]
) -> Preemption | None:
    there = snapshot.on(name)
    victims = {uid: one for uid, one in there.items() if one.standing.priority < pod.priority}
    if not victims or not _fits(pod, snapshot, name, victims.values()):
        return None
    order = sorted(
        victims.items(), key=lambda one: (-one[1].standing.priority, one[1].standing.since_s)
    )
    breaking = set(_breaking(order, budgets))
    # Stable: of the protected ones and of the others those that matter more come first.
    for uid, one in sorted(order, key=lambda each: each[0] not in breaking):
        del victims[uid]
        if not _fits(pod, snapshot, name, victims.values()):
            victims[uid] = one
    return Preemption(name, victims, len(breaking & victims.keys()))


def _breaking(
    pods: Iterable[tuple[str, Assignment]], budgets: Sequence[PodDisruptionBudget]
) -> Iterator[str]:
    """Yield those that a budget would not allow to go, if all went in this order."""
    left = [one.status.disruptions_allowed for one in budgets]
    for uid, pod in pods:
        who = pod.neighbour
        labels = dict(who.labels)
        guards = [at for at, one in enumerate(budgets) if one.guards(who.namespace, labels)]
        if any(left[at] <= 0 for at in guards):
            yield uid
        for at in guards:
            left[at] -= 1


def _fits(pod: Preemptor, snapshot: Snapshot, name: str, gone: Iterable[Assignment]) -> bool:
    """Tell whether a node would take a pod if some of its pods were gone."""
    node = snapshot.node(name)
    assert node is not None, f"{name} is in no snapshot"  # noqa: S101  a bug if not
    gone = list(gone)
    usage = node.usage
    for one in gone:
        usage = usage.minus(one.requests)
    if first_refusing(pod.requests, NodeInfo(node.facts, usage), FILTERS) is not None:
        return False
    company = [one.neighbour for one in gone if not one.is_nominated]
    with snapshot.pods.without(name, company):
        asked = Asked(pod.requests, pod.neighbour, snapshot.pods)
        peers = refusing_peers(asked) if has_peers(asked) else ()
        return not any(refuses(name) for _, refuses in peers)
