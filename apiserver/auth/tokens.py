"""Bootstrap tokens: what is kept of them, whether one is good now, and for which node. Pure.

A token is `id.secret`. The secret has more than 128 bits and is kept only as its SHA-256: with that
much chance in it, a slow hash would add nothing.
"""

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from cubernetes.api.names import is_label

ID_CHARS = 8
# 27 safe letters to choose from: 28 of them are 133 bits.
SECRET_CHARS = 28
TOKEN_CHARS_MAX = 200
# A one-use token whose answer was lost may be used once more, by the same node, this long.
REPEAT_WINDOW_S = 600
# Whose wrong tokens are counted apart in one minute, and the name that all beyond them share.
NAMES_MAX = 4096
OTHERS = ""


class TokenRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the store keeps of a token; node and used_at tell of its use, where it is for one.

    for_node: the only node that it is for, also in the place of one that has the name; empty: any.
    """

    id: str
    secret_hash: str
    expires_at: datetime
    once: bool = True
    for_node: str = ""
    node: str = ""
    used_at: datetime | None = None


class Shown(NamedTuple):
    """What a client shows: the two parts of `id.secret`."""

    id: str
    secret: str


def shown_in(authorization: str) -> Shown | None:
    """Return the token of an Authorization header, None where it has none of our form."""
    scheme, _, text = authorization[:TOKEN_CHARS_MAX].partition(" ")
    name, dot, secret = text.strip().partition(".")
    if scheme.lower() != "bearer" or not dot or not is_label(name) or not secret:
        return None
    return Shown(name, secret)


def hash_of(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def is_good(kept: TokenRecord, secret: str, now: datetime) -> bool:
    """The secret is right, and the token is neither over nor used up."""
    is_right = hmac.compare_digest(kept.secret_hash, hash_of(secret))
    return is_right and now < kept.expires_at and not is_used_up(kept, now)


def is_used_up(kept: TokenRecord, now: datetime) -> bool:
    if not kept.once or kept.used_at is None:
        return False
    return now >= kept.used_at + timedelta(seconds=REPEAT_WINDOW_S)


def may_join(kept: TokenRecord, node: str) -> bool:
    """A token that is good once is good for the node that used it, and no other."""
    is_free = not kept.once or kept.node in ("", node)
    return is_free and kept.for_node in ("", node)


class Failures:
    """Counts wrong tokens in the present minute by names: where one came from, which one it was.

    Names beyond NAMES_MAX share one count, so that a crowd fills no memory and hides nobody.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._minute = -1
        self._counts: dict[str, int] = {}

    def is_over(self, name: str, now_s: float) -> bool:
        self._turn(now_s)
        return self._counts.get(self._kept(name), 0) >= self._most

    def add(self, name: str, now_s: float) -> None:
        self._turn(now_s)
        kept = self._kept(name)
        self._counts[kept] = self._counts.get(kept, 0) + 1

    @property
    def name_count(self) -> int:
        return len(self._counts)

    def _kept(self, name: str) -> str:
        is_full = len(self._counts) >= NAMES_MAX
        return OTHERS if is_full and name not in self._counts else name

    def _turn(self, now_s: float) -> None:
        minute = int(now_s // 60)
        if minute != self._minute:
            self._minute = minute
            self._counts.clear()
