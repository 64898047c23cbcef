"""Where a pod goes: round robin over the best nodes that pass every filter, or all reasons.

Round robin is exact: of the nodes that pass with the highest score, the first after the one chosen
last, in the order of names; behind the last name comes the first. On equal nodes no one is ever two
pods ahead of another. After a restart the round goes on from the node of the pod bound last.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from cubernetes.api.condition import Condition, condition_of
from cubernetes.api.core.event import MESSAGE_MAX
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.placement.nodes import named_nodes
from scheduler.nodeinfo import NodeInfo, PodRequests
from scheduler.plugin import SCORE_MAX, Filter, Refused, Score
from scheduler.registry import FILTERS, SCORES
from scheduler.snapshot import Snapshot

NAMED_NODES = 10  # so many nodes are told one by one; more are told by reason
UNSCHEDULABLE = "Unschedulable"


@dataclass(frozen=True, slots=True)
class Placement:
    node: str


@dataclass(frozen=True)  # without slots: the message, of many nodes, is made once
class Unschedulable:
    """No node takes the pod; reasons has every node. refused tells which news would help it."""

    reasons: Mapping[str, str]
    refused: Refused = field(default=Refused(PodRequests(), frozenset()), compare=False)

    @cached_property
    def message(self) -> str:
        """Return the reasons for people: node by node, or counted where there are many."""
        count = len(self.reasons)
        if count == 0:
            return "there are no nodes"
        head = f"0/{count} nodes can take the pod: "
        if count <= NAMED_NODES:
            told = [f"{node} {reason}" for node, reason in sorted(self.reasons.items())]
        else:
            told = _counted(self.reasons)
        return (head + "; ".join(told))[:MESSAGE_MAX]

    @property
    def condition(self) -> Condition:
        return Condition(
            type="PodScheduled", status="False", reason=UNSCHEDULABLE, message=self.message
        )


type Verdict = Placement | Unschedulable


def place(
    requests: PodRequests,
    snapshot: Snapshot,
    cursor: str,
    filters: Sequence[Filter] = FILTERS,
    scores: Sequence[Score] = SCORES,
) -> Verdict:
    """Choose the node with the highest score; of several, the next after cursor.

    Asks no further than the first node that passes and could not be better.
    """
    known = snapshot.refusals(requests)
    best = ""
    if len(known.reasons) < len(snapshot):
        # A pod of few nodes, such as one of a DaemonSet, is not asked about at all the others.
        best = _best(requests, snapshot, _named(requests, snapshot), filters, scores)
        best = best or _best(requests, snapshot, snapshot.names_after(cursor), filters, scores)
    if best:
        return Placement(best)
    refused = Refused(requests, frozenset(known.filters.values()))
    return Unschedulable(dict(known.reasons), refused)


def _named(requests: PodRequests, snapshot: Snapshot) -> Sequence[str]:
    affinity = requests.node_affinity
    names = named_nodes(affinity) if affinity is not None else None
    return [name for name in sorted(names or ()) if snapshot.node(name) is not None]


def _best(
    requests: PodRequests,
    snapshot: Snapshot,
    names: Iterable[str],
    filters: Sequence[Filter],
    scores: Sequence[Score],
) -> str:
    """Return the first of the best of these nodes; empty where all refuse, which is remembered."""
    known = snapshot.refusals(requests)
    best, best_total, top = "", -1, SCORE_MAX * sum(one.weight for one in scores)
    for name in names:
        if name in known.reasons:
            continue
        node = snapshot.node(name)
        assert node is not None, f"{name} is in no snapshot"  # noqa: S101  a bug if not
        refusing = first_refusing(requests, node, filters)
        if refusing is not None:
            known.reasons[name], known.filters[name] = refusing
            continue
        total = sum(one.weight * one.rates(requests, node) for one in scores)
        if total >= top:
            return name
        if total > best_total:
            best, best_total = name, total
    return best


def first_refusing(
    requests: PodRequests, node: NodeInfo, filters: Sequence[Filter]
) -> tuple[str, Filter] | None:
    """Return the first filter that refuses the pod, with its reason; None where it passes."""
    for one in filters:
        reason = one.refuses(requests, node)
        if reason:
            return reason, one
    return None


def is_reported(pod: Pod, verdict: Unschedulable) -> bool:
    """True where the pod says so already: then nothing is to be written."""
    old = condition_of(pod.status.conditions, "PodScheduled")
    new = verdict.condition
    return old is not None and (old.status, old.reason, old.message) == (
        new.status, new.reason, new.message
    )  # fmt: skip


def cursor_of(pods: Iterable[Pod]) -> str:
    """Return the node of the pod that was bound last; empty where none is: begin at the first."""
    bound = ((_bound_s(pod), pod.ref, pod.spec.node_name) for pod in pods if pod.spec.node_name)
    return max(bound, default=(0.0, None, ""))[2]


def _bound_s(pod: Pod) -> float:
    scheduled = condition_of(pod.status.conditions, "PodScheduled")
    at = scheduled.last_transition_time if scheduled else None
    at = at or pod.metadata.creation_timestamp
    return at.timestamp() if at is not None else 0.0


def _counted(reasons: Mapping[str, str]) -> list[str]:
    """Return the most frequent reasons first, each with how many nodes give it and one of them."""
    example = {reason: node for node, reason in sorted(reasons.items(), reverse=True)}
    counts = sorted(Counter(reasons.values()).items(), key=lambda one: (-one[1], one[0]))
    return [
        f"{count} such as {example[reason]} {reason}"
        if count > 1
        else f"{example[reason]} {reason}"
        for reason, count in counts
    ]
