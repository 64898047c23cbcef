"""The cluster as the scheduler decides on it: what each node has, its usage kept up to date.

Entries are immutable and exchanged whole. A pod counts from the moment it is *assumed* to be on a
node, which is when its binding is sent: the next decision must not wait for the watch to tell. An
assumption ends when the pod is seen (it then counts where it was seen) or refused.

Refusals are remembered by requests, until the node's facts change or a pod leaves it; plugin.py
says what that asks of a filter. So a thousand equal pods ask a full node once, and not a thousand
times.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import NamedTuple

from scheduler.nodeinfo import NodeFacts, NodeInfo, NodeUsage, PodRequests
from scheduler.plugin import Change, Filter, News, news_of

REMEMBERED_REQUESTS_MAX = 256


class Assignment(NamedTuple):
    """Where a pod counts, with what."""

    node: str
    requests: PodRequests
    is_seen: bool


class Refusals(NamedTuple):
    """What is known of the nodes that refuse some requests: why, and by which filter. By name."""

    reasons: dict[str, str]
    filters: dict[str, Filter]


class Snapshot:
    """Changed between decisions only, by what was seen and what was decided."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeInfo] = {}
        self._names: list[str] = []
        # A pod may be seen before its node is: usage does not depend on facts.
        self._usages: dict[str, NodeUsage] = {}
        self._assignments: dict[str, Assignment] = {}
        self._refusals: dict[PodRequests, Refusals] = {}
        self._news: dict[str, News] = {}

    def __len__(self) -> int:
        return len(self._names)

    def node(self, name: str) -> NodeInfo | None:
        return self._nodes.get(name)

    def names_after(self, cursor: str) -> Iterator[str]:
        """Yield every node once, in the order of names, beginning after cursor."""
        begin = bisect_right(self._names, cursor)
        yield from self._names[begin:]
        yield from self._names[:begin]

    def refusals(self, requests: PodRequests) -> Refusals:
        """Return which nodes are known to refuse the requests, and why. Decisions add to it."""
        known = self._refusals.get(requests)
        if known is None:
            if len(self._refusals) >= REMEMBERED_REQUESTS_MAX:
                del self._refusals[next(iter(self._refusals))]
            known = self._refusals[requests] = Refusals({}, {})
        return known

    def changes(self) -> list[Change]:
        """Return the nodes with news since the last call, each as it is now."""
        changed = [Change(self._nodes[name], news) for name, news in self._news.items()]
        self._news.clear()
        return changed

    # What was seen

    def set_node(self, facts: NodeFacts) -> bool:
        """Take note of a node; return whether that changes any decision."""
        old = self._nodes.get(facts.name)
        if old is not None and old.facts == facts:
            return False
        if old is None:
            insort(self._names, facts.name)
        new = NodeInfo(facts, self._usages.get(facts.name, NodeUsage()))
        self._nodes[facts.name] = new
        self._note(facts.name, news_of(old, new))
        self._forget_refusals(facts.name)
        return True

    def remove_node(self, name: str) -> None:
        if self._nodes.pop(name, None) is not None:
            del self._names[bisect_left(self._names, name)]
            self._news.pop(name, None)
            self._forget_refusals(name)

    def see(self, uid: str, node: str, requests: PodRequests) -> bool:
        """Count a pod where it was seen; return whether any node's room has grown by that."""
        old = self._assignments.get(uid)
        self._assignments[uid] = Assignment(node, requests, is_seen=True)
        if old is not None and (old.node, old.requests) == (node, requests):
            return False
        if old is not None:
            self._take_off(old)
        self._put_on(node, requests)
        return old is not None

    def remove(self, uid: str) -> bool:
        """Count a pod no longer: it has finished, or is gone. Return whether room has grown."""
        assignment = self._assignments.pop(uid, None)
        if assignment is not None:
            self._take_off(assignment)
        return assignment is not None

    # What was decided

    def assume(self, uid: str, node: str, requests: PodRequests) -> None:
        assert uid not in self._assignments, f"{uid} is assigned"  # noqa: S101  a bug if not
        self._assignments[uid] = Assignment(node, requests, is_seen=False)
        self._put_on(node, requests)

    def assumed(self, uid: str) -> str:
        """Return the node that a pod was sent to and not yet seen on; empty where none."""
        assignment = self._assignments.get(uid)
        return assignment.node if assignment is not None and not assignment.is_seen else ""

    def refuse(self, uid: str) -> bool:
        """End an assumption: the binding was refused. Return whether room has grown."""
        return self.remove(uid) if self.assumed(uid) else False

    def _put_on(self, node: str, requests: PodRequests) -> None:
        self._set_usage(node, self._usages.get(node, NodeUsage()).plus(requests))

    def _take_off(self, assignment: Assignment) -> None:
        self._set_usage(assignment.node, self._usages[assignment.node].minus(assignment.requests))
        self._note(assignment.node, News.PODS)
        self._forget_refusals(assignment.node)

    def _set_usage(self, node: str, usage: NodeUsage) -> None:
        if usage.pod_count:
            self._usages[node] = usage
        else:
            self._usages.pop(node, None)
        old = self._nodes.get(node)
        if old is not None:
            self._nodes[node] = NodeInfo(old.facts, usage)

    def _note(self, node: str, news: News) -> None:
        if node in self._nodes:
            self._news[node] = self._news.get(node, News(0)) | news

    def _forget_refusals(self, node: str) -> None:
        for known in self._refusals.values():
            known.reasons.pop(node, None)
            known.filters.pop(node, None)
