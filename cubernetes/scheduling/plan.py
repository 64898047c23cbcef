"""Where a pod goes: round robin over the best nodes that pass every filter, or all reasons.

Which nodes are best is a matter of the pod's profile; by default all are equal but for taints that
it does not bear and preferences of its own.

Round robin is exact: of the nodes that pass with the highest score, the first after the one chosen
last, in the order of names; behind the last name comes the first. On equal nodes no one is ever two
pods ahead of another. After a restart the round goes on from the node of the pod bound last.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from cubernetes.api.condition import Condition, condition_of
from cubernetes.api.core.event import MESSAGE_MAX
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.placement.nodes import named_nodes
from cubernetes.scheduling.nodeinfo import NodeInfo, PodRequests
from cubernetes.scheduling.peers.neighbour import ALONE, NO_RULES, Neighbour
from cubernetes.scheduling.plugin import SCORE_MAX, Asked, Filter, PeerFilter, Score, WaitReason
from cubernetes.scheduling.registry import DEFAULT_SCORES, FILTERS, PEER_FILTERS, PEER_SCORES
from cubernetes.scheduling.snapshot import Snapshot

NAMED_NODES = 10  # so many nodes are told one by one; more are told by reason
UNSCHEDULABLE = "Unschedulable"


@dataclass(frozen=True, slots=True)
class Placement:
    node: str


@dataclass(frozen=True)  # without slots: the message, of many nodes, is made once
class Unschedulable:
    """No node takes the pod; reasons has every node. refused tells which news would help it."""

    reasons: Mapping[str, str]
    refused: WaitReason = field(default=WaitReason(PodRequests(), frozenset()), compare=False)
    held: str = ""  # what keeps the pod from every node, whatever they are

    @cached_property
    def message(self) -> str:
        """Return the reasons for people: node by node, or counted where there are many."""
        count = len(self.reasons)
        if self.held:
            return self.held[:MESSAGE_MAX]
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


def place(  # noqa: PLR0913  tests exchange the rules
    requests: PodRequests,
    snapshot: Snapshot,
    cursor: str,
    filters: Sequence[Filter] = FILTERS,
    scores: Sequence[Score] = DEFAULT_SCORES,
    neighbour: Neighbour = ALONE,
    nominated: str = "",
) -> Verdict:
    """Choose the node with the highest score; of several, the next after cursor.

    nominated: the node on which others made room for the pod: it is taken if it passes.

    Asks no further than the first node that passes and could not be better.
    """
    search = Search(requests, snapshot, neighbour, filters, scores)
    best = ""
    if search.may_find:
        # A pod of few nodes, such as one of a DaemonSet, is not asked about at all the others.
        first = _first(requests, snapshot, nominated)
        best = search.best(first) if first else ""
        best = best or search.best(search.names_after(cursor))
    return Placement(best) if best else search.refusal()


def _first(requests: PodRequests, snapshot: Snapshot, nominated: str) -> Sequence[str]:
    """Return the nodes that are asked before the others: where there is room, or the only ones."""
    if nominated and snapshot.node(nominated) is not None:
        return [nominated]
    affinity = requests.node_affinity
    names = named_nodes(affinity) if affinity is not None else None
    return [name for name in sorted(names or ()) if snapshot.node(name) is not None]


def has_peers(asked: Asked) -> bool:
    """Whether any rule about other pods may matter: the pod's own, or one of theirs."""
    return asked.neighbour.rules != NO_RULES or asked.pods.has_rules


def refusing_peers(asked: Asked) -> Iterator[tuple[PeerFilter, Callable[[str], str]]]:
    """Yield the rules about other pods that may refuse a node, prepared for one pod."""
    for one in PEER_FILTERS:
        if (refuses := one.refusing(asked)) is not None:
            yield one, refuses


def _left_by(asked: Asked) -> Collection[str] | None:
    """Return the fewest nodes that a rule about other pods leaves; None: none tells."""
    told = (one.leaving(asked) for one in PEER_FILTERS if one.leaving is not None)
    return min((one for one in told if one is not None), key=len, default=None)


class Search:
    """One decision: a pod's rules, prepared once, and asked about nodes."""

    def __init__(
        self,
        requests: PodRequests,
        snapshot: Snapshot,
        neighbour: Neighbour = ALONE,
        filters: Sequence[Filter] = FILTERS,
        scores: Sequence[Score] = DEFAULT_SCORES,
    ) -> None:
        self._requests, self._snapshot, self._neighbour = requests, snapshot, neighbour
        self._filters, self._scores = filters, scores
        self._known = snapshot.refusals(requests)
        self._rated = snapshot.ratings((requests, tuple(filters), tuple(scores)))
        asked = Asked(requests, neighbour, snapshot.pods)
        self._peers: list[tuple[PeerFilter, Callable[[str], str]]] = []
        self._wishes: list[tuple[int, Callable[[str], float | None]]] = []
        self._left: Collection[str] | None = None
        if has_peers(asked):
            self._peers = list(refusing_peers(asked))
            self._left = _left_by(asked)
            rating = ((one.weight, one.rating(asked)) for one in PEER_SCORES)
            self._wishes = [(weight, rates) for weight, rates in rating if rates is not None]

    def names_after(self, cursor: str) -> Iterable[str]:
        """Return the nodes that the pod's peers leave, in the order of the round."""
        if self._left is None:
            return self._snapshot.names_after(cursor)
        names = sorted(self._left)
        begin = bisect_right(names, cursor)
        return (*names[begin:], *names[:begin])

    @property
    def may_find(self) -> bool:
        """Whether there is a node of which it is not known that it refuses."""
        return len(self._known.reasons) < len(self._snapshot)

    def best(self, names: Iterable[str]) -> str:
        """Return the first of the best of these nodes; empty where all refuse."""
        if self._wishes:
            return self._wished(names)
        best, best_total = "", -1
        top = SCORE_MAX * sum(one.weight for one in self._scores)
        for name, total in self._passing(names):
            if total >= top:
                return name
            if total > best_total:
                best, best_total = name, total
        return best

    def _wished(self, names: Iterable[str]) -> str:
        """Return the best by what the pod's peers add, too: stretched over all that pass."""
        passing = list(self._passing(names))
        totals: list[float] = [total for _, total in passing]
        for weight, rates in self._wishes:
            rated = [rates(name) for name, _ in passing]
            for at, rate in enumerate(_stretched(rated)):
                totals[at] += weight * rate
        # Of equal ones the first, as max says.
        best = max(zip(totals, passing, strict=True), key=lambda one: one[0], default=None)
        return best[1][0] if best is not None else ""

    def _passing(self, names: Iterable[str]) -> Iterator[tuple[str, int]]:
        """Yield the nodes that pass, each with its total."""
        known, peers, rated = self._known.reasons, self._peers, self._rated
        for name in names:
            if name in known or (peers and self.is_kept_away(name)):
                continue
            version = self._snapshot.version(name)
            rating = rated.get(name)
            if rating is not None and rating[0] == version:
                yield name, rating[1]
                continue
            node = self._snapshot.node(name)
            assert node is not None, f"{name} is in no snapshot"  # noqa: S101  a bug if not
            if not self._is_refused(node):
                total = self._total(node)
                rated[name] = (version, total)
                yield name, total

    def _is_refused(self, node: NodeInfo) -> bool:
        """Tell whether a filter refuses a node, and remember that."""
        refusing = first_refusing(self._requests, node, self._filters)
        if refusing is not None:
            name = node.facts.name
            self._known.reasons[name], self._known.filters[name] = refusing
        return refusing is not None

    def _total(self, node: NodeInfo) -> int:
        return sum(one.weight * one.rates(self._requests, node) for one in self._scores)

    def is_kept_away(self, name: str) -> bool:
        """Tell whether rules about other pods keep the pod from a node."""
        for _, refuses in self._peers:  # noqa: SIM110  asked of every node: any() takes twice as long
            if refuses(name):
                return True
        return False

    def told(self, name: str) -> Iterator[tuple[str, str]]:
        """Yield every filter that refuses a node, by its name, with the reason."""
        node = self._snapshot.node(name)
        assert node is not None, f"{name} is in no snapshot"  # noqa: S101  a bug if not
        for one in self._filters:
            if reason := one.refuses(self._requests, node):
                yield one.refuses.__name__, reason
        for peer, refuses in self._peers:
            if reason := refuses(name):
                yield peer.name, reason

    def refusal(self) -> Unschedulable:
        """Return why no node takes the pod: what a node is itself goes before its company."""
        known, by_peers = self._known, set[PeerFilter]()
        if not self._peers:
            refused = WaitReason(self._requests, frozenset(known.filters.values()))
            return Unschedulable(dict(known.reasons), refused)
        reasons: dict[str, str] = {}
        for name in self._snapshot.names_after(""):
            node = self._snapshot.node(name)
            if name not in known.reasons and node is not None:
                self._is_refused(node)
            reason = known.reasons.get(name, "")
            for one, refuses in self._peers:
                if not reason and (reason := refuses(name)):
                    by_peers.add(one)
            reasons[name] = reason
        refused = WaitReason(
            self._requests,
            frozenset(known.filters.values()),
            self._neighbour if by_peers else ALONE,
            frozenset(by_peers),
        )
        return Unschedulable(reasons, refused)


def _stretched(rated: Sequence[float | None]) -> Iterator[float]:
    """Yield rates as parts of SCORE_MAX between the worst and the best; equal ones are all 0."""
    told = [one for one in rated if one is not None]
    least = min(told, default=0.0)
    span = max(told, default=0.0) - least
    for one in rated:
        yield SCORE_MAX * (one - least) / span if one is not None and span else 0.0


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
