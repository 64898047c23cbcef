"""Which peers have been silent for how long, and who must be told of it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

# One lost echo is nothing; what a healed cable needs to carry again is less.
LOST_S = 30.0


class News(NamedTuple):
    """A peer is lost, or answers again after so many seconds."""

    peer: str
    is_lost: bool
    silent_s: float


@dataclass(frozen=True, slots=True)
class Silence:
    """since_s: when each silent peer was first silent. lost: of whom people were told."""

    since_s: Mapping[str, float] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()


def silence_after(
    before: Silence, answered: Mapping[str, bool], now_s: float
) -> tuple[Silence, list[News]]:
    """Return who is silent after a look at some peers, and the news.

    answered: for each peer that is asked at all, whether it answered; others are forgotten.
    """
    since_s = {
        peer: before.since_s.get(peer, now_s)
        for peer, is_there in sorted(answered.items())
        if not is_there
    }
    known = before.lost & answered.keys()
    lost = frozenset(peer for peer in since_s if now_s - since_s[peer] >= LOST_S)
    news = [News(peer, True, now_s - since_s[peer]) for peer in sorted(lost - known)]
    back = sorted(known - since_s.keys())
    news += [News(peer, False, now_s - before.since_s[peer]) for peer in back]
    return Silence(since_s, lost), news
