"""What a pod is to other pods: its namespace and labels, and its rules about theirs. Immutable."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.placement.affinity import (
    PodAffinity,
    PodAffinityTerm,
    PodAntiAffinity,
)
from cubernetes.api.core.podspec.placement.spread import TopologySpreadConstraint
from cubernetes.api.meta import Labels
from cubernetes.api.selectors import LabelSelector, Selector, Term

type Namespaces = Mapping[str, Labels]
# As kube-scheduler's hardPodAffinityWeight: what a required affinity of a pod there is worth.
REQUIRED_WEIGHT = 1


class Matcher(NamedTuple):
    """Which pods are meant.

    selector: by their labels; None means no pod.
    namespaces: where they are; by_labels adds those whose labels it matches.
    is_staying: pods that are terminating are not meant.
    """

    selector: Selector | None
    namespaces: frozenset[str]
    by_labels: Selector | None = None
    is_staying: bool = False

    def may_match(self, pod: "Neighbour") -> bool:
        """Whether it matches for some labels of the pod's namespace."""
        is_there = pod.namespace in self.namespaces or self.by_labels is not None
        return is_there and self.selector is not None and self.selector.matches(dict(pod.labels))

    def matches(self, pod: "Neighbour", namespaces: Namespaces) -> bool:
        if self.selector is None or (self.is_staying and pod.is_leaving):
            return False
        is_there = pod.namespace in self.namespaces or (
            self.by_labels is not None and self.by_labels.matches(namespaces.get(pod.namespace, {}))
        )
        return is_there and self.selector.matches(dict(pod.labels))


class PeerTerm(NamedTuple):
    """Pods, and the label of nodes whose equal values are one place."""

    matcher: Matcher
    key: str


class Spread(NamedTuple):
    """How evenly the matched pods must lie over the values of a label of nodes."""

    matcher: Matcher
    key: str
    max_skew: int
    is_required: bool
    min_domains: int
    counts_chosen: bool  # only nodes that the pod's selector and node affinity take
    counts_borne: bool  # only nodes whose taints the pod bears


class PeerRules(NamedTuple):
    """A pod's rules about other pods. wishes: each with a weight, below 0 to keep away."""

    near: tuple[PeerTerm, ...] = ()
    away: tuple[PeerTerm, ...] = ()
    wishes: tuple[tuple[int, PeerTerm], ...] = ()
    spreads: tuple[Spread, ...] = ()


NO_RULES = PeerRules()


class Neighbour(NamedTuple):
    """Equal for pods that other pods cannot tell apart."""

    namespace: str = ""
    labels: frozenset[tuple[str, str]] = frozenset()
    is_leaving: bool = False
    rules: PeerRules = NO_RULES

    def is_concerned(self, other: "Neighbour") -> bool:
        """Whether the coming or leaving of another pod may change what this one's rules say."""
        rules = self.rules
        own = [term.matcher for term in (*rules.near, *rules.away)]
        own += [one.matcher for one in rules.spreads]
        return any(one.may_match(other) for one in own) or any(
            term.matcher.may_match(self) for term in other.rules.away
        )


ALONE = Neighbour()


def neighbour_of(pod: Pod) -> Neighbour:
    meta = pod.metadata
    return Neighbour(meta.namespace, frozenset(meta.labels.items()), meta.is_deleted, rules_of(pod))


def rules_of(pod: Pod) -> PeerRules:
    affinity, spreads = pod.spec.affinity, pod.spec.topology_spread_constraints
    near = affinity.pod_affinity if affinity is not None else None
    away = affinity.pod_anti_affinity if affinity is not None else None
    if near is None and away is None and not spreads:
        return NO_RULES
    return PeerRules(
        _required(near, pod),
        _required(away, pod),
        (*_wishes(near, pod, 1), *_wishes(away, pod, -1)),
        tuple(_spread(one, pod) for one in spreads),
    )


def _required(affinity: PodAffinity | PodAntiAffinity | None, pod: Pod) -> tuple[PeerTerm, ...]:
    if affinity is None:
        return ()
    terms = affinity.required_during_scheduling_ignored_during_execution
    return tuple(_term(one, pod) for one in terms)


def _wishes(
    affinity: PodAffinity | PodAntiAffinity | None, pod: Pod, sign: int
) -> tuple[tuple[int, PeerTerm], ...]:
    if affinity is None:
        return ()
    wishes = affinity.preferred_during_scheduling_ignored_during_execution
    return tuple((sign * one.weight, _term(one.pod_affinity_term, pod)) for one in wishes)


def _term(term: PodAffinityTerm, pod: Pod) -> PeerTerm:
    keys = term.match_label_keys, term.mismatch_label_keys
    named, by_labels = frozenset(term.namespaces), term.namespace_selector
    if not named and by_labels is None:
        named = frozenset((pod.metadata.namespace,))
    where = by_labels.selector if by_labels is not None else None
    return PeerTerm(
        Matcher(_selector(term.label_selector, pod, *keys), named, where), term.topology_key
    )


def _spread(one: TopologySpreadConstraint, pod: Pod) -> Spread:
    selector = _selector(one.label_selector, pod, one.match_label_keys)
    return Spread(
        Matcher(selector, frozenset((pod.metadata.namespace,)), is_staying=True),
        one.topology_key,
        one.max_skew,
        one.when_unsatisfiable == "DoNotSchedule",
        one.min_domains or 1,
        one.node_affinity_policy != "Ignore",
        one.node_taints_policy == "Honor",
    )


def _selector(
    selector: LabelSelector | None, pod: Pod, like: Sequence[str], unlike: Sequence[str] = ()
) -> Selector | None:
    """Return the selector with the pod's own values of some keys in it; keys it lacks are left."""
    if selector is None:
        return None
    own = pod.metadata.labels
    return Selector(
        (
            *selector.selector.terms,
            *(Term(key, "in", frozenset((own[key],))) for key in like if key in own),
            *(Term(key, "notin", frozenset((own[key],))) for key in unlike if key in own),
        )
    )
