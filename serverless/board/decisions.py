"""Why functions have as many instances as they have: the newest decisions of each. Pure."""

from collections import OrderedDict, deque
from datetime import datetime
from typing import NamedTuple

from serverless.board.key import FunctionKey

DECISIONS_MAX = 100  # of one function
FUNCTIONS_MAX = 1000  # those of which something was decided last


class Decision(NamedTuple):
    """How many instances were wanted from then on. in_hand: calls that waited and ran."""

    at: datetime
    wanted: int
    in_hand: int
    reason: str


class Decisions:
    """What was decided, the oldest forgotten first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[FunctionKey, deque[Decision]] = OrderedDict()

    def note(self, function: FunctionKey, decision: Decision) -> None:
        """Keep a decision, if it differs from the one before."""
        kept = self._kept.setdefault(function, deque(maxlen=DECISIONS_MAX))
        if kept and (kept[-1].wanted, kept[-1].reason) == (decision.wanted, decision.reason):
            return
        kept.append(decision)
        self._kept.move_to_end(function)
        while len(self._kept) > FUNCTIONS_MAX:
            self._kept.popitem(last=False)

    def of(self, function: FunctionKey) -> tuple[Decision, ...]:
        """Return what is kept, the oldest first."""
        return tuple(self._kept.get(function, ()))

    def forget(self, function: FunctionKey) -> None:
        self._kept.pop(function, None)
