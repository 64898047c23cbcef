"""Which watch is woken next: those of nodes and the control plane first, and users in turn. Pure.

A change may concern thousands of watches of one user. They are woken a few at a time, so that
requests go between; each reads all that is new to it then, so that late is not slow. Of four turns
one is a user's, where users wait: nobody can keep them waiting for ever.
"""

from collections import OrderedDict
from collections.abc import Hashable

# Of so many turns, one begins with the last class.
CLASS_TURNS = 4


class Rounds[One: Hashable]:
    """Each member stands in line once, until its turn or until it is taken out."""

    def __init__(self, class_count: int) -> None:
        # By class, by user in the order of their turns, each with those that wait.
        # In order, and the first is taken at once: a dict would pass by all that were taken before.
        self._classes: list[dict[str, OrderedDict[One, None]]] = [{} for _ in range(class_count)]
        self._places: dict[One, tuple[int, str]] = {}
        self._turn_count = 0

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, one: One) -> bool:
        return one in self._places

    def add(self, class_index: int, user: str, one: One) -> None:
        if one not in self._places:
            self._places[one] = (class_index, user)
            self._classes[class_index].setdefault(user, OrderedDict())[one] = None

    def discard(self, one: One) -> None:
        place = self._places.pop(one, None)
        if place is None:
            return
        class_index, user = place
        users = self._classes[class_index]
        del users[user][one]
        if not users[user]:
            del users[user]

    def next(self) -> One | None:
        """Take out who is next; None where nobody waits."""
        self._turn_count += 1
        is_theirs = self._turn_count % CLASS_TURNS == 0
        for users in reversed(self._classes) if is_theirs else self._classes:
            if not users:
                continue
            user = next(iter(users))
            waiting = users.pop(user)
            one, _ = waiting.popitem(last=False)
            del self._places[one]
            if waiting:
                # Behind all others of its class.
                users[user] = waiting
            return one
        return None
