"""What a scheduling rule is, and the law that its author keeps.

A *filter* says why a node cannot take a pod, or nothing (the empty text). A *score* says how good a
node is that can. One file in plugins/ each, one line in registry.py.

The law of filters, checked by tests/unit/scheduler/test_plugins.py for every one in the registry:

1. **Only its arguments.** The verdict depends on the pod's requests and on the node's facts and
   usage, and on nothing else: no clock, no other node, no state of its own. A rule that needs
   another fact adds it to nodeinfo.py.
2. **Usage only makes worse.** What is refused on a node is refused there as well when more pods
   have come.
3. **News are declared.** What was refused can be accepted after a change of the node only if the
   change is one of `helped_by`.

The scheduler relies on it twice. A refusal is remembered for all pods of equal requests until the
node's facts change or a pod leaves it (by 1 and 2), so that a thousand equal pods ask a full node
once. And a pod that no node takes is decided on again only when a filter that refused it is helped
(by 3): a filter that declares too little leaves pods waiting for the long retry; one that declares
too much costs decisions.

What depends on other nodes' pods is a *peer filter* or a *peer score*. It is prepared once for a
decision, with the counts that it asks of (see peers/index.py), and then says for each node by name
why not, or how good it is. Nothing of it is remembered, and it declares its news all the same:
COMPANY is a pod that has come to a node or left it, and helps only where one of the two has a
rule about the other. The rates of a peer score are stretched over the nodes that pass, so that the
best has SCORE_MAX and the worst 0.

A score depends on its arguments only, too. It lies in 0..SCORE_MAX; a node's total is the sum over
all scores, each times its weight. The pod goes to a node with the highest total, and of several to
the next in the round. A node with the highest total there can be ends the search, so that a score
costs nothing where it finds nothing to prefer.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Flag, auto
from typing import NamedTuple

from cubernetes.scheduling.nodeinfo import NodeFacts, NodeInfo, PodRequests
from cubernetes.scheduling.peers.index import PodIndex
from cubernetes.scheduling.peers.neighbour import ALONE, Neighbour

SCORE_MAX = 100


class News(Flag):
    """What has changed at a node. A node that is new wakes every pod, whatever a filter says."""

    NODE = auto()  # it is new
    READINESS = auto()  # Ready, cordoned, or to be deleted
    LABELS = auto()
    TAINTS = auto()
    AMOUNTS = auto()  # what it has of resources, the number of pods included
    PORTS = auto()  # those of its own programs
    IMAGES = auto()  # those that it has
    PODS = auto()  # a pod has left
    NAMESPACES = auto()  # namespaces have other labels
    COMPANY = auto()  # a pod has come or left, where rules about pods are in use


@dataclass(frozen=True, slots=True, eq=False)
class Filter:
    """helped_by: the changes of a node after which `refuses` may accept what it refused."""

    refuses: Callable[[PodRequests, NodeInfo], str]
    helped_by: News


class Score(NamedTuple):
    """rates: from 0 to SCORE_MAX, which is a node that could not be better."""

    rates: Callable[[PodRequests, NodeInfo], int]
    weight: int = 1


class Asked(NamedTuple):
    """A pod, and the pods that there are: what a rule about other pods is prepared with."""

    requests: PodRequests
    neighbour: Neighbour
    pods: PodIndex


@dataclass(frozen=True, slots=True, eq=False)
class PeerFilter:
    """refusing: what says of a node, by name, why not; None where nothing is to be asked.

    leaving: the only nodes that it may leave, where it can tell them without asking all; else None.
    """

    name: str
    refusing: Callable[[Asked], Callable[[str], str] | None]
    helped_by: News
    leaving: Callable[[Asked], Collection[str] | None] | None = None


class PeerScore(NamedTuple):
    """rating: what rates a node, by name, the more the better; None rates worst of all."""

    rating: Callable[[Asked], Callable[[str], float | None] | None]
    weight: int = 1


class Change(NamedTuple):
    """A node as it is now, what is new about it, and the pods that have come or left."""

    node: NodeInfo
    news: News
    moved: frozenset[Neighbour] = frozenset()


class WaitReason(NamedTuple):
    """Why pods wait: what they request, and the filters that refused it. Equal for equal pods."""

    requests: PodRequests
    filters: frozenset[Filter]
    neighbour: Neighbour = ALONE
    peer_filters: frozenset[PeerFilter] = frozenset()

    def is_helped_by(self, change: Change) -> bool:
        """Tell whether the pods are worth another decision."""
        is_helped = News.NODE in change.news or any(
            one.helped_by & change.news and not one.refuses(self.requests, change.node)
            for one in self.filters
        )
        return is_helped or any(self._is_let_by(one, change) for one in self.peer_filters)

    def _is_let_by(self, one: PeerFilter, change: Change) -> bool:
        news = one.helped_by & change.news
        if news & ~News.COMPANY:
            return True
        return bool(news) and any(map(self.neighbour.is_concerned, change.moved))


# What a node says of itself that may help a pod, by the news that a change of it is.
NEWS_OF_FACTS: Mapping[News, Callable[[NodeFacts], object]] = {
    News.READINESS: lambda facts: (facts.is_ready, facts.is_schedulable),
    News.LABELS: lambda facts: facts.labels,
    News.TAINTS: lambda facts: facts.taints,
    News.AMOUNTS: lambda facts: (facts.amounts, facts.pod_count),
    News.PORTS: lambda facts: facts.ports,
    News.IMAGES: lambda facts: facts.images,
}


def news_of(old: NodeInfo | None, new: NodeInfo) -> News:
    """Return what has changed at a node that may help a pod."""
    if old is None:
        return News.NODE
    found = News.PODS if new.usage.pod_count < old.usage.pod_count else News(0)
    for news, stated_by in NEWS_OF_FACTS.items():
        if stated_by(old.facts) != stated_by(new.facts):
            found |= news
    return found
