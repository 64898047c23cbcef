"""Log lines of calls, kept in memory: the newest of each function, within bounds. Pure."""

from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import datetime

from serverless.board.key import FunctionKey
from serverless.chain import is_part_of

CALLS_MAX = 1000  # of one function
BYTES_MAX = 256 * 1024  # of one function
FUNCTIONS_MAX = 200  # the functions that said something last


@dataclass(frozen=True, slots=True)
class Entry:
    """What a call has said, and how it ended. is_cold: whether it waited for an instance."""

    call: str
    at: datetime
    outcome: str
    milliseconds: float
    revision: str
    text: str
    is_cold: bool = False


class KeptLogs:
    """What calls have said, the oldest forgotten first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[FunctionKey, deque[Entry]] = OrderedDict()
        self._bytes: dict[FunctionKey, int] = {}

    def add(self, function: FunctionKey, entry: Entry) -> None:
        entries = self._entries.setdefault(function, deque())
        self._entries.move_to_end(function)
        entries.append(entry)
        self._bytes[function] = self._bytes.get(function, 0) + len(entry.text)
        while len(entries) > CALLS_MAX or (self._bytes[function] > BYTES_MAX and len(entries) > 1):
            self._bytes[function] -= len(entries.popleft().text)
        while len(self._entries) > FUNCTIONS_MAX:
            oldest, _ = self._entries.popitem(last=False)
            del self._bytes[oldest]

    def of(self, function: FunctionKey, call: str = "") -> tuple[Entry, ...]:
        """Return what is kept, oldest first; of one call alone where one is named."""
        entries = self._entries.get(function, ())
        return tuple(one for one in entries if not call or is_part_of(one.call, call))

    def of_call(self, call: str) -> list[tuple[FunctionKey, Entry]]:
        """Return what is kept of one call, of all functions that had it, oldest first."""
        found = [
            (function, one)
            for function, kept in self._entries.items()
            for one in kept
            if is_part_of(one.call, call)
        ]
        return sorted(found, key=lambda pair: pair[1].at)

    def forget(self, function: FunctionKey) -> None:
        self._entries.pop(function, None)
        self._bytes.pop(function, None)
