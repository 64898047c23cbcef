"""Places: how many long streams each user has open, and how many it may."""

import sys
from collections import Counter

from cubernetes.api.errors import TooManyRequests

RETRY_S = 10


class Places:
    """The places of one kind of stream. Whatever takes one leaves it, in every case."""

    def __init__(self, streams: str, per_user_max: int, all_max: int = sys.maxsize) -> None:
        """streams: what they are called in a refusal."""
        self._streams, self._per_user_max, self._all_max = streams, per_user_max, all_max
        self._by_user: Counter[str] = Counter()

    @property
    def count(self) -> int:
        return self._by_user.total()

    def check_room(self, user: str) -> None:
        """Refuse a stream over the limit of its user, or of all.

        Raises: TooManyRequests.
        """
        if self._by_user[user] >= self._per_user_max:
            message = f"{user} has {self._per_user_max} {self._streams} open, the most allowed"
            raise TooManyRequests(message, retry_after_s=RETRY_S)
        if self.count >= self._all_max:
            message = f"{self._all_max} {self._streams} are open, the most that this server has"
            raise TooManyRequests(message, retry_after_s=RETRY_S)

    def take(self, user: str) -> None:
        self._by_user[user] += 1

    def leave(self, user: str) -> None:
        self._by_user[user] -= 1
        if not self._by_user[user]:
            del self._by_user[user]
