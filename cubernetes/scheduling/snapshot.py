"""The cluster as the scheduler decides on it: what each node has, its usage kept up to date.

Entries are immutable and exchanged whole. A pod counts from the moment it is *assumed* to be on a
node, which is when its binding is sent: the next decision must not wait for the watch to tell. An
assumption ends when the pod is seen (it then counts where it was seen) or refused.

Refusals are remembered by requests, until the node's facts change or a pod leaves it; plugin.py
says what that asks of a filter. So a thousand equal pods ask a full node once, and not a thousand
times. What scores say of a node is remembered in the same way, until anything changes there.
"""

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from cubernetes.scheduling.memory import Findings, Memory
from cubernetes.scheduling.nodeinfo import NodeFacts, NodeInfo, NodeUsage, PodRequests
from cubernetes.scheduling.peers.index import PodIndex
from cubernetes.scheduling.peers.neighbour import ALONE, Neighbour
from cubernetes.scheduling.plugin import Change, Filter, News, Score, news_of
from cubernetes.scheduling.standing import ORDINARY, Standing

REMEMBERED_REQUESTS_MAX = 256
REMEMBERED_RATINGS_MAX = 16  # each of every node

type Rules = tuple[PodRequests, tuple[Filter, ...], tuple[Score, ...]]


class Assignment(NamedTuple):
    """Where a pod counts, with what. One that is nominated is not there: its room is kept."""

    node: str
    requests: PodRequests
    is_seen: bool
    neighbour: Neighbour = ALONE
    standing: Standing = ORDINARY
    is_nominated: bool = False


NOBODY: Mapping[str, Assignment] = MappingProxyType({})


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
        self._nominated: dict[str, Assignment] = {}
        self._there: dict[str, dict[str, Assignment]] = {}  # by node
        self._kept: dict[str, dict[str, Assignment]] = {}  # the nominated ones, by node
        self._priorities: Counter[int] = Counter()
        self._versions: dict[str, int] = {}
        self._change_count = 0
        self._ratings: Memory[Rules, int] = Memory(REMEMBERED_RATINGS_MAX)
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
        names, begin = self._names, bisect_right(self._names, cursor)
        # By their places: most decisions end at the first, and a slice would copy them all.
        for place in range(begin, len(names)):
            yield names[place]
        for place in range(begin):
            yield names[place]

    def refusals(self, requests: PodRequests) -> Refusals:
        """Return which nodes are known to refuse the requests, and why. Decisions add to it."""
        known = self._refusals.get(requests)
        if known is None:
            if len(self._refusals) >= REMEMBERED_REQUESTS_MAX:
                del self._refusals[next(iter(self._refusals))]
            known = self._refusals[requests] = Refusals({}, {})
        return known

    def ratings(self, rules: Rules) -> Findings[int]:
        """Return what is known of the totals of nodes that pass. Decisions add to it."""
        return self._ratings.of(rules)

    def version(self, node: str) -> int:
        """Return a number that changes with everything that is known of a node and its pods."""
        return self._versions.get(node, 0)

    def _touch(self, node: str) -> None:
        if node in self._nodes:
            self._change_count += 1
            self._versions[node] = self._change_count

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
        self._touch(facts.name)
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
            self._ratings.forget(name)
            del self._versions[name]

    def see(
        self,
        uid: str,
        node: str,
        requests: PodRequests,
        neighbour: Neighbour = ALONE,
        standing: Standing = ORDINARY,
    ) -> bool:
        """Count a pod where it was seen; return whether that may help any other."""
        new = Assignment(node, requests, True, neighbour, standing)
        old = self._forget(uid)
        self._remember(uid, new)
        if old is not None and (old.node, old.requests) == (node, requests):
            return self._exchange(old, new)
        if old is not None:
            self._take_off(old)
        has_company = self._put_on(new)
        return old is not None or has_company

    def confirm(self, uid: str, node: str) -> bool:
        """Count a pod as seen where it was assumed, with the same weight; False where it was not.

        The caller knows that it is what it was. Its standing stays, too: since when it is there is
        said by its creation, until it has started.
        """
        old = self._assignments.get(uid)
        if old is None or old.is_seen or old.node != node:
            return False
        self._assignments[uid] = self._there[node][uid] = old._replace(is_seen=True)
        return True

    def _exchange(self, old: Assignment, new: Assignment) -> bool:
        """Let a pod be another to other pods; its node's room is what it was."""
        if old.neighbour == new.neighbour:
            return False
        self.pods.add(old.node, old.neighbour, -1)
        self.pods.add(new.node, new.neighbour)
        return self._note_moved(new.node, old.neighbour) | self._note_moved(new.node, new.neighbour)

    def remove(self, uid: str) -> bool:
        """Count a pod no longer: it has finished, or is gone. Return whether room has grown."""
        assignment = self._forget(uid)
        if assignment is not None:
            self._take_off(assignment)
        return assignment is not None

    def _remember(self, uid: str, one: Assignment) -> None:
        self._assignments[uid] = one
        self._there.setdefault(one.node, {})[uid] = one
        self._touch(one.node)
        self._priorities[one.standing.priority] += 1

    def _forget(self, uid: str) -> Assignment | None:
        one = self._assignments.pop(uid, None)
        if one is not None:
            _take(self._there, one.node, uid)
            self._touch(one.node)
            priority = one.standing.priority
            self._priorities[priority] -= 1
            if not self._priorities[priority]:
                del self._priorities[priority]
        return one

    # What was decided

    def assume(
        self,
        uid: str,
        node: str,
        requests: PodRequests,
        neighbour: Neighbour = ALONE,
        standing: Standing = ORDINARY,
    ) -> None:
        assert uid not in self._assignments, f"{uid} is assigned"  # noqa: S101  a bug if not
        one = Assignment(node, requests, False, neighbour, standing)
        self._remember(uid, one)
        self._put_on(one)

    # Who is to have the room of others

    def has_lower(self, priority: int) -> bool:
        """Tell whether any pod that is there matters less."""
        return any(one < priority for one in self._priorities)

    def there(self, uids: Iterable[str]) -> dict[str, Assignment]:
        """Return those of some pods that count, as they are now."""
        return {uid: self._assignments[uid] for uid in uids if uid in self._assignments}

    def on(self, node: str) -> Mapping[str, Assignment]:
        """Return what counts on a node, by uid, the nominated ones too."""
        there, kept = self._there.get(node, NOBODY), self._kept.get(node)
        return {**there, **kept} if kept else there

    def nominate(self, uid: str, node: str, requests: PodRequests, standing: Standing) -> None:
        """Keep room on a node for a pod for which others leave it; it is not there yet."""
        self.lift(uid)
        one = Assignment(node, requests, False, ALONE, standing, is_nominated=True)
        self._nominated[uid] = one
        self._kept.setdefault(node, {})[uid] = one
        self._set_usage(node, self._usages.get(node, NodeUsage()).plus(requests))

    def lift(self, uid: str) -> Assignment | None:
        """Keep no room for a pod any more; return what was kept. The caller notes it as news."""
        one = self._nominated.pop(uid, None)
        if one is not None:
            _take(self._kept, one.node, uid)
            self._set_usage(one.node, self._usages[one.node].minus(one.requests))
            self._forget_refusals(one.node)
        return one

    def note_room(self, node: str) -> None:
        """Note that less is kept on a node than was."""
        self._note(node, News.PODS)

    def nominated_on(self, node: str) -> list[tuple[str, str]]:
        """Return the pods for which room is kept on a node, by namespace and name."""
        return [one.standing.key for one in self._kept.get(node, NOBODY).values()]

    # How it is counted

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
        self._touch(node)
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


def _take(by_node: dict[str, dict[str, Assignment]], node: str, uid: str) -> None:
    """Take a pod out of those of a node."""
    of_node = by_node[node]
    del of_node[uid]
    if not of_node:
        del by_node[node]
