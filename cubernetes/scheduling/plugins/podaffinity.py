"""Pod affinity and anti-affinity: a pod's place by the pods that are there, and by their rules."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence

from cubernetes.scheduling.peers.neighbour import PeerTerm
from cubernetes.scheduling.peers.tally import Question, Tally
from cubernetes.scheduling.plugin import Asked, News, PeerFilter, PeerScore


def apart(asked: Asked) -> Callable[[str], str] | None:
    """Keep the pod away from pods that it must not meet, and from pods that must not meet it."""
    pods, rules = asked.pods, asked.neighbour.rules
    tallies = [pods.tally(Question((term.matcher,), term.key)) for term in rules.away]
    met = [
        (term.key, pods.carrying((weight, term)))
        for weight, term in pods.met_by(asked.neighbour)
        if not weight
    ]
    if not tallies and not met:
        return None

    def refuses(node: str) -> str:
        for tally in tallies:
            if count := tally.count_at(node):
                where = f"{tally.question.key}={tally.places[node]}"
                return f"has {count} pods in {where} that the pod's anti-affinity keeps away from"
        for key, places in met:
            place = pods.label(node, key)
            if place is not None and (count := places.get(place, 0)):
                return f"has {count} pods in {key}={place} whose anti-affinity keeps it away"
        return ""

    return refuses


def together(asked: Asked) -> Callable[[str], str] | None:
    """Keep the pod where, for each of its terms, a pod is that all of its terms match."""
    tallies = _companies(asked)
    if not tallies:
        return None
    is_first = _is_first(asked, tallies)

    def refuses(node: str) -> str:
        for tally in tallies:
            key = tally.question.key
            place = tally.places.get(node)
            if place is None:
                return f"lacks the label {key} of the pod affinity"
            if not tally.counts[place] and not is_first:
                return f"has no pod in {key}={place} that the pod affinity asks for"
        return ""

    return refuses


def near_company(asked: Asked) -> Collection[str] | None:
    """Return the nodes of the places where a pod is that the pod seeks."""
    tallies = _companies(asked)
    if not tallies or _is_first(asked, tallies):
        return None
    return min((tally.nodes_with_pods() for tally in tallies), key=len)


def _companies(asked: Asked) -> list[Tally]:
    """Return where the pods are that the pod's required affinity asks for, term by term."""
    terms = asked.neighbour.rules.near
    matchers = tuple(term.matcher for term in terms)
    return [asked.pods.tally(Question(matchers, term.key)) for term in terms]


def _is_first(asked: Asked, companies: Sequence[Tally]) -> bool:
    """Whether nobody of the pod's company is there yet, and it is one of them itself."""
    return not any(tally.total for tally in companies) and all(
        one.matches(asked.neighbour, asked.pods.namespaces)
        for one in companies[0].question.matchers
    )


def wishes(asked: Asked) -> Callable[[str], float] | None:
    """Add the weights of the pods that are liked, and that like the pod; take away the others'."""
    pods = asked.pods
    tallies = [
        (weight, pods.tally(Question((term.matcher,), term.key)))
        for weight, term in asked.neighbour.rules.wishes
    ]
    met: list[tuple[int, PeerTerm]] = [one for one in pods.met_by(asked.neighbour) if one[0]]
    if not tallies and not met:
        return None
    liked: dict[str, Counter[str]] = {}  # label of nodes -> place -> what the pods there weigh
    for weight, term in met:
        of_key = liked.setdefault(term.key, Counter())
        for place, count in pods.carrying((weight, term)).items():
            of_key[place] += weight * count

    def rates(node: str) -> float:
        total = 0
        for weight, tally in tallies:
            total += weight * tally.count_at(node)
        for key, places in liked.items():
            total += places.get(pods.label(node, key) or "", 0)
        return total

    return rates


HELP = News.COMPANY | News.LABELS | News.NAMESPACES
APART = PeerFilter("podAntiAffinity", apart, helped_by=HELP)
TOGETHER = PeerFilter("podAffinity", together, helped_by=HELP, leaving=near_company)
WISHES = PeerScore(wishes, weight=2)
