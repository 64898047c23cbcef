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

from cubernetes.scheduling.nodeinfo import NodeFacts, NodeInfo, NodeUsage, PodRequests
from cubernetes.scheduling.peers.index import PodIndex
from cubernetes.scheduling.peers.neighbour import ALONE, Neighbour
from cubernetes.scheduling.plugin import Change, Filter, News, news_of

REMEMBERED_REQUESTS_MAX = 256


class Assignment(NamedTuple):
    """Where a pod counts, with what."""

    node: str
    requests: PodRequests
    is_seen: bool
    neighbour: Neighbour = ALONE


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
        self._moved: dict[str, set[Neighbour]] = {}
        self.pods = PodIndex()

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

    @property
    def has_news(self) -> bool:
        return bool(self._news)

    def note_namespaces(self) -> None:
        """Note that labels of namespaces have changed: rules may mean other pods everywhere."""
        for name in self._names:
            self._note(name, News.NAMESPACES)

    def changes(self) -> list[Change]:
        """Return the nodes with news since the last call, each as it is now."""
        changed = [
            Change(self._nodes[name], news, frozenset(self._moved.get(name, ())))
            for name, news in self._news.items()
        ]
        self._news.clear()
        self._moved.clear()
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
        self.pods.set_node(facts)
        self._note(facts.name, news_of(old, new))
        self._forget_refusals(facts.name)
        return True

    def remove_node(self, name: str) -> None:
        if self._nodes.pop(name, None) is not None:
            del self._names[bisect_left(self._names, name)]
            self._news.pop(name, None)
            self._moved.pop(name, None)
            self.pods.remove_node(name)
            self._forget_refusals(name)

    def see(self, uid: str, node: str, requests: PodRequests, neighbour: Neighbour = ALONE) -> bool:
        """Count a pod where it was seen; return whether that may help any other."""
        old, new = self._assignments.get(uid), Assignment(node, requests, True, neighbour)
        self._assignments[uid] = new
        if old is not None and (old.node, old.requests) == (node, requests):
            return self._exchange(old, new)
        if old is not None:
            self._take_off(old)
        has_company = self._put_on(new)
        return old is not None or has_company

    def _exchange(self, old: Assignment, new: Assignment) -> bool:
        """Let a pod be another to other pods; its node's room is what it was."""
        if old.neighbour == new.neighbour:
            return False
        self.pods.add(old.node, old.neighbour, -1)
        self.pods.add(new.node, new.neighbour)
        return self._note_moved(new.node, old.neighbour) | self._note_moved(new.node, new.neighbour)

    def remove(self, uid: str) -> bool:
        """Count a pod no longer: it has finished, or is gone. Return whether room has grown."""
        assignment = self._assignments.pop(uid, None)
        if assignment is not None:
            self._take_off(assignment)
        return assignment is not None

    # What was decided

    def assume(
        self, uid: str, node: str, requests: PodRequests, neighbour: Neighbour = ALONE
    ) -> None:
        assert uid not in self._assignments, f"{uid} is assigned"  # noqa: S101  a bug if not
        self._assignments[uid] = Assignment(node, requests, False, neighbour)
        self._put_on(self._assignments[uid])

    def assumed(self, uid: str) -> str:
        """Return the node that a pod was sent to and not yet seen on; empty where none."""
        assignment = self._assignments.get(uid)
        return assignment.node if assignment is not None and not assignment.is_seen else ""

    def refuse(self, uid: str) -> bool:
        """End an assumption: the binding was refused. Return whether room has grown."""
        return self.remove(uid) if self.assumed(uid) else False

    def _put_on(self, one: Assignment) -> bool:
        self._set_usage(one.node, self._usages.get(one.node, NodeUsage()).plus(one.requests))
        self.pods.add(one.node, one.neighbour)
        return self._note_moved(one.node, one.neighbour)

    def _take_off(self, assignment: Assignment) -> None:
        self._set_usage(assignment.node, self._usages[assignment.node].minus(assignment.requests))
        self.pods.add(assignment.node, assignment.neighbour, -1)
        self._note(assignment.node, News.PODS)
        self._note_moved(assignment.node, assignment.neighbour)
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

    def _note_moved(self, node: str, pod: Neighbour) -> bool:
        """Note that a pod has come or left, where rules ask for that; return whether they do."""
        if not self.pods.is_asked or node not in self._nodes:
            return False
        self._note(node, News.COMPANY)
        self._moved.setdefault(node, set()).add(pod)
        return True

    def _forget_refusals(self, node: str) -> None:
        for known in self._refusals.values():
            known.reasons.pop(node, None)
            known.filters.pop(node, None)
