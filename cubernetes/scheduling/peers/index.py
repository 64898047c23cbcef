"""Which pods lie where, and the answers to what rules ask of that, kept up to date.

A question is answered once by looking at all pods, and from then on with each pod that comes or
leaves: a decision costs a look-up for each node that it asks, and no look at other pods.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from cubernetes.api.meta import Labels
from cubernetes.scheduling.nodeinfo import NodeFacts
from cubernetes.scheduling.peers.neighbour import NO_RULES, REQUIRED_WEIGHT, Neighbour, PeerTerm
from cubernetes.scheduling.peers.tally import Question, Tally

QUESTIONS_MAX = 256
REMEMBERED_MAX = 4096

type Carried = tuple[int, PeerTerm]  # a rule of pods that are there; weight 0: it keeps away
type Places = dict[str, int]  # place -> pods


class PodIndex:
    """Changed between decisions only."""

    def __init__(self) -> None:
        self._on: dict[str, dict[Neighbour, int]] = {}
        self._facts: dict[str, NodeFacts] = {}
        self._labels: dict[str, dict[str, str]] = {}
        self._namespaces: dict[str, Labels] = {}
        self._tallies: dict[Question, Tally] = {}
        self._carried: dict[Carried, Places] = {}
        # What follows from the above, by pod; forgotten when questions or rules change.
        self._counting: dict[Neighbour, list[Tally]] = {}
        self._met: dict[Neighbour, list[Carried]] = {}

    @property
    def namespaces(self) -> Mapping[str, Labels]:
        return self._namespaces

    @property
    def is_asked(self) -> bool:
        """Whether any rule has asked about pods."""
        return bool(self._tallies)

    @property
    def has_rules(self) -> bool:
        """Whether any pod that is there has a rule about others."""
        return bool(self._carried)

    def label(self, node: str, key: str) -> str | None:
        return self._labels[node].get(key)

    def tally(self, question: Question) -> Tally:
        """Return the answer to a question, which stays right while it is looked at again."""
        found = self._tallies.get(question)
        if found is None:
            if len(self._tallies) >= QUESTIONS_MAX:
                del self._tallies[next(iter(self._tallies))]
            found = self._tallies[question] = self._answered(question)
            self._counting.clear()
        return found

    def met_by(self, pod: Neighbour) -> list[Carried]:
        """Return the rules of pods that are there which are about such a pod."""
        found = self._met.get(pod)
        if found is None:
            found = [one for one in self._carried if one[1].matcher.matches(pod, self._namespaces)]
            _remember(self._met, pod, found)
        return found

    def carrying(self, carried: Carried) -> Places:
        """Return how many pods have a rule, by place."""
        return self._carried[carried]

    @contextmanager
    def without(self, node: str, pods: Sequence[Neighbour]) -> Iterator[None]:
        """Answer, for the length of the block, as if these pods of a node were gone."""
        for one in pods:
            self.add(node, one, -1)
        try:
            yield
        finally:
            for one in pods:
                self.add(node, one)

    # What was seen

    def add(self, node: str, pod: Neighbour, count: int = 1) -> None:
        """Count a pod on a node, or, below 0, no longer. The node may be seen later."""
        there = self._on.setdefault(node, {})
        there[pod] = there.get(pod, 0) + count
        if not there[pod]:
            del there[pod]
            if not there:
                del self._on[node]
        self._weigh(node, pod, count)

    def set_node(self, facts: NodeFacts) -> None:
        old = self._facts.get(facts.name)
        if old is not None and (old.labels, old.taints) == (facts.labels, facts.taints):
            return
        if old is not None:
            self.remove_node(facts.name)
        labels = dict(facts.labels)
        self._facts[facts.name], self._labels[facts.name] = facts, labels
        for tally in self._tallies.values():
            tally.set_node(facts, labels)
        self._weigh_all(facts.name, 1)

    def remove_node(self, name: str) -> None:
        if name in self._facts:
            self._weigh_all(name, -1)
            for tally in self._tallies.values():
                tally.remove_node(name)
            del self._facts[name], self._labels[name]

    def set_namespace(self, name: str, labels: Labels | None) -> bool:
        """Take note of a namespace's labels, None where it is gone; tell whether rules ask."""
        if self._namespaces.get(name) == labels:
            return False
        is_asked = self.is_asked or self.has_rules
        if labels is None:
            del self._namespaces[name]
        else:
            self._namespaces[name] = labels
        self._tallies.clear()
        self._counting.clear()
        self._met.clear()
        return is_asked

    def _weigh_all(self, node: str, sign: int) -> None:
        for pod, count in self._on.get(node, {}).items():
            self._weigh(node, pod, sign * count)

    def _weigh(self, node: str, pod: Neighbour, count: int) -> None:
        if pod.rules is NO_RULES and not self._tallies:
            return
        labels = self._labels.get(node)
        if labels is None:
            return
        if self._tallies:
            for tally in self._counted_in(pod):
                tally.add(node, count)
        for carried in _carried(pod):
            place = labels.get(carried[1].key)
            if place is not None:
                self._carry(carried, place, count)

    def _carry(self, carried: Carried, place: str, count: int) -> None:
        places = self._carried.get(carried)
        if places is None:
            places = self._carried[carried] = {}
            self._met.clear()
        places[place] = places.get(place, 0) + count
        if not places[place]:
            del places[place]
            if not places:
                del self._carried[carried]
                self._met.clear()

    def _counted_in(self, pod: Neighbour) -> list[Tally]:
        found = self._counting.get(pod)
        if found is None:
            found = [one for one in self._tallies.values() if self._is_meant(one.question, pod)]
            _remember(self._counting, pod, found)
        return found

    def _is_meant(self, question: Question, pod: Neighbour) -> bool:
        return all(one.matches(pod, self._namespaces) for one in question.matchers)

    def _answered(self, question: Question) -> Tally:
        tally, meant = Tally(question), dict[Neighbour, bool]()
        for name, facts in self._facts.items():
            tally.set_node(facts, self._labels[name])
            for pod, count in self._on.get(name, {}).items():
                if pod not in meant:
                    meant[pod] = self._is_meant(question, pod)
                if meant[pod]:
                    tally.add(name, count)
        return tally


def _carried(pod: Neighbour) -> Iterator[Carried]:
    """Yield the rules of a pod that others meet when they come."""
    rules = pod.rules
    yield from ((0, term) for term in rules.away)
    yield from ((REQUIRED_WEIGHT, term) for term in rules.near)
    yield from rules.wishes


def _remember[T](known: dict[Neighbour, T], pod: Neighbour, found: T) -> None:
    if len(known) >= REMEMBERED_MAX:
        known.clear()
    known[pod] = found
