"""How many of the pods that are meant lie in each place; kept up to date pod by pod."""

from collections import Counter
from typing import NamedTuple

from cubernetes.api.core.podspec.placement.affinity import NodeAffinity
from cubernetes.api.core.podspec.placement.nodes import is_required
from cubernetes.api.core.podspec.toleration import Toleration, unborne
from cubernetes.scheduling.nodeinfo import NodeFacts
from cubernetes.scheduling.peers.neighbour import Matcher

HARD = ("NoSchedule", "NoExecute")


class NodeChoice(NamedTuple):
    """Which nodes count: those with labels of these keys, and what else is asked of them.

    tolerations: None where taints are ignored.
    """

    keys: tuple[str, ...] = ()
    selector: tuple[tuple[str, str], ...] = ()
    node_affinity: NodeAffinity | None = None
    tolerations: tuple[Toleration, ...] | None = None

    def takes(self, facts: NodeFacts, labels: dict[str, str]) -> bool:
        affinity, tolerations = self.node_affinity, self.tolerations
        return (
            all(key in labels for key in self.keys)
            and all(pair in facts.labels for pair in self.selector)
            and (affinity is None or is_required(affinity, facts.name, labels))
            and (tolerations is None or not unborne(tolerations, facts.taints, HARD))
        )


EVERY_NODE = NodeChoice()


class Question(NamedTuple):
    """How many pods that all the matchers match lie in each place that a label of nodes makes."""

    matchers: tuple[Matcher, ...]
    key: str
    among: NodeChoice = EVERY_NODE


class Tally:
    """The answer to a question: places by node, pods by place, and the fewest in any place."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.places: dict[str, str] = {}  # node -> its place, where the node counts
        self.counts: dict[str, int] = {}  # place -> pods; a place of no pods is there too
        self.total = 0
        self._nodes: dict[str, set[str]] = {}  # place -> nodes
        self._levels: Counter[int] = Counter()  # so many pods -> places
        self.fewest = 0

    def count_at(self, node: str) -> int:
        """Return how many lie in a node's place; 0 where the node counts for nothing."""
        place = self.places.get(node)
        return self.counts[place] if place is not None else 0

    def nodes_with_pods(self) -> set[str]:
        """Return the nodes in whose place any pod lies."""
        return {
            name for place, nodes in self._nodes.items() if self.counts[place] for name in nodes
        }

    def set_node(self, facts: NodeFacts, labels: dict[str, str]) -> None:
        """Let a node count, or not. No pod of it may count at the time."""
        self.remove_node(facts.name)
        place = labels.get(self.question.key)
        if place is not None and self.question.among.takes(facts, labels):
            self.places[facts.name] = place
            self._nodes.setdefault(place, set()).add(facts.name)
            if place not in self.counts:
                self.counts[place] = 0
                self._levels[0] += 1
                self.fewest = 0

    def remove_node(self, name: str) -> None:
        place = self.places.pop(name, None)
        if place is None:
            return
        self._nodes[place].remove(name)
        if not self._nodes[place]:
            del self._nodes[place]
            self._leave(self.counts.pop(place))

    def add(self, node: str, count: int) -> None:
        """Count pods on a node, or, below 0, no longer."""
        place = self.places.get(node)
        if place is None or not count:
            return
        old = self.counts[place]
        self.counts[place] = old + count
        self.total += count
        self._levels[old + count] += 1
        self.fewest = min(self.fewest, old + count)
        self._leave(old)

    def _leave(self, level: int) -> None:
        self._levels[level] -= 1
        if not self._levels[level]:
            del self._levels[level]
            if level == self.fewest:
                self.fewest = min(self._levels, default=0)
