"""Topology spread constraints: no place is further ahead of the emptiest than it may be."""

from collections.abc import Callable
from math import log

from cubernetes.scheduling.nodeinfo import PodRequests
from cubernetes.scheduling.peers.neighbour import Spread
from cubernetes.scheduling.peers.tally import NodeChoice, Question, Tally
from cubernetes.scheduling.plugin import Asked, News, PeerFilter, PeerScore


def spread(asked: Asked) -> Callable[[str], str] | None:
    """Keep the pod from places that it would bring more than maxSkew ahead."""
    counted = _counted(asked, is_required=True)
    if not counted:
        return None
    bounds = []
    for one, tally in counted:
        fewest = 0 if len(tally.counts) < one.min_domains else tally.fewest
        own = int(one.matcher.matches(asked.neighbour, asked.pods.namespaces))
        bounds.append((one, tally, fewest, own))

    def refuses(node: str) -> str:
        for one, tally, fewest, own in bounds:
            place = asked.pods.label(node, one.key)
            if place is None:
                return f"lacks the label {one.key} of the spread constraint"
            skew = tally.counts.get(place, 0) + own - fewest
            if skew > one.max_skew:
                told = f"would have {one.key}={place} {skew} pods ahead of the emptiest"
                return f"{told}, at most {one.max_skew}"
        return ""

    return refuses


def evenness(asked: Asked) -> Callable[[str], float | None] | None:
    """Rate a node by how few pods its places have; a place of few kinds counts for less."""
    counted = _counted(asked, is_required=False)
    if not counted:
        return None
    weights = [(one, tally, log(len(tally.counts) + 2)) for one, tally in counted]

    def rates(node: str) -> float | None:
        total = 0.0
        for one, tally, weight in weights:
            if node not in tally.places:
                return None
            total -= tally.count_at(node) * weight + one.max_skew - 1
        return total

    return rates


def _counted(asked: Asked, *, is_required: bool) -> list[tuple[Spread, Tally]]:
    spreads = [one for one in asked.neighbour.rules.spreads if one.is_required == is_required]
    keys = tuple(sorted({one.key for one in spreads}))
    return [
        (
            one,
            asked.pods.tally(Question((one.matcher,), one.key, _among(one, keys, asked.requests))),
        )
        for one in spreads
    ]


def _among(one: Spread, keys: tuple[str, ...], requests: PodRequests) -> NodeChoice:
    return NodeChoice(
        keys,
        requests.selector if one.counts_chosen else (),
        requests.node_affinity if one.counts_chosen else None,
        requests.tolerations if one.counts_borne else None,
    )


SPREAD = PeerFilter("topologySpread", spread, helped_by=News.COMPANY | News.LABELS | News.TAINTS)
EVENNESS = PeerScore(evenness, weight=2)
