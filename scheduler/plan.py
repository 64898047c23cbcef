"""Where a pod goes: round robin over the nodes that pass every filter, or every node's reason.

Round robin is exact: the first node after the one chosen last, in the order of names, that passes;
behind the last name comes the first. On equal nodes no one is ever two pods ahead of another. After
a restart the round goes on from where the pod stands that was bound last.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cubernetes.api.condition import Condition, condition_of
from cubernetes.api.core.event import MESSAGE_MAX
from cubernetes.api.core.pod import Pod
from scheduler.nodeinfo import NodeInfo, PodRequests
from scheduler.registry import FILTERS, PENALTIES, Filter, Penalty
from scheduler.snapshot import Snapshot

NAMED_NODES = 10  # so many nodes are told one by one; more are told by reason
UNSCHEDULABLE = "Unschedulable"


@dataclass(frozen=True, slots=True)
class Placement:
    node: str


@dataclass(frozen=True, slots=True)
class Unschedulable:
    """No node takes the pod; reasons has every node."""

    reasons: Mapping[str, str]

    @property
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
    penalties: Sequence[Penalty] = PENALTIES,
) -> Verdict:
    """Choose the next node after cursor that passes; asks no further than the first that does.

    A node with a penalty is passed over where another one has less of it.
    """
    refused = snapshot.refusals(requests)
    best, best_penalty = "", 0
    if len(refused) < len(snapshot):
        for name in snapshot.names_after(cursor):
            if name in refused:
                continue
            node = snapshot.node(name)
            assert node is not None, f"{name} is in no snapshot"  # noqa: S101  a bug if not
            reason = refusal(requests, node, filters)
            if reason:
                refused[name] = reason
                continue
            penalty = sum(one(requests, node) for one in penalties)
            if not penalty:
                return Placement(name)
            if not best or penalty < best_penalty:
                best, best_penalty = name, penalty
    return Placement(best) if best else Unschedulable(dict(refused))


def refusal(requests: PodRequests, node: NodeInfo, filters: Sequence[Filter] = FILTERS) -> str:
    """Return why the node cannot take the pod: the first filter's reason; empty where it can."""
    for one in filters:
        reason = one(requests, node)
        if reason:
            return reason
    return ""


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
