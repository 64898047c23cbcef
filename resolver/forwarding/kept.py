"""Replies that are kept until their time is over: as many as a limit says. Pure."""

from collections import OrderedDict
from typing import NamedTuple

from resolver.forwarding.replies import Reply

REPLIES_MAX = 10_000
REPLY_BYTES_MAX = 4096  # a longer one, which came by TCP, is asked for again


class Kept(NamedTuple):
    reply: Reply
    since_s: float


class Replies:
    """Replies by the key of their question; the one that was used longest ago goes first."""

    def __init__(self, count_max: int = REPLIES_MAX) -> None:
        self._count_max = count_max
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes, now_s: float) -> tuple[Reply, int] | None:
        """Return a reply and its age in whole seconds; None where none is good any more."""
        found = self._kept.get(key)
        if found is None:
            return None
        age_s = now_s - found.since_s
        if age_s >= found.reply.kept_s:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return found.reply, int(age_s)

    def put(self, key: bytes, reply: Reply, now_s: float) -> None:
        """Keep a reply, if its owner lets it be kept and it is not long."""
        if reply.kept_s <= 0 or len(reply.message) > REPLY_BYTES_MAX:
            return
        self._kept[key] = Kept(reply, now_s)
        self._kept.move_to_end(key)
        if len(self._kept) > self._count_max:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        self._kept.clear()
