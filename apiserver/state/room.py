"""How much room the store has, who may write how much, and what is taken while room is short. Pure.

Room is short from TIGHT_PART of the quota on: the rest is kept for what shrinks or keeps the
cluster alive. What is written between two looks at the store is counted here, so that nobody
writes past the reserve between them.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from apiserver.auth.authorize import MASTERS
from apiserver.auth.members import name_in
from apiserver.settings import Limits
from apiserver.state.statuses import StorageFull
from apiserver.storage.store import Usage
from cubernetes.api.errors import RequestTooLarge, TooManyRequests
from cubernetes.host.web.messages import Identity

# From this part of the quota on history is forgotten sooner, and the file made smaller.
TRIM_PART = 0.6
TIGHT_PART = 0.85
# Room is not short any more below this: between the two, what is so stays so.
ROOM_PART = 0.75
# A defragmentation stops the store for a moment: it must give back this part of the quota.
GAIN_PART = 0.2
# While room is short a status grows by no more.
STATUS_GROWTH_BYTES_MAX = 4096
# etcd measures its file when it writes it: what is younger than this may not be in the figures.
UNTOLD_S = 1.0
# By how much the file grows for a byte that is written: whole pages, and copies of them.
FILE_BYTES_PER_BYTE = 1.25
LOOKS_MAX = 100
WRITERS_MAX = 1000
OTHERS = "others"
NAMED_MAX = 3
RETRY_AFTER_S = 30
# By whom this server writes for itself: its own writes are small and few.
SERVER = Identity("system:apiserver", (MASTERS,))
PAGE = "docs/store-full.md"


class Write(NamedTuple):
    """A write as it is about to be made; old_bytes is 0 where nothing is there yet.

    vital_bytes_max: up to how many bytes it is taken also while room is short, for the cluster
        lives by its kind; 0 for other kinds.
    status_bytes: of its status, where that is what is written; 0 for everything else.
    """

    identity: Identity
    vital_bytes_max: int
    subresource: str
    old_bytes: int
    new_bytes: int
    status_bytes: int = 0


@dataclass(slots=True)
class _Writer:
    rate: float
    burst: float
    left_bytes: float
    at: float
    # Since the store was looked at with room to spare.
    written_bytes: int = 0

    def fill(self, now: float) -> None:
        self.left_bytes = min(self.burst, self.left_bytes + self.rate * (now - self.at))
        self.at = now


class Room:
    """What is known of the store's room. `now` is of a clock that only goes forward, in seconds."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._usage = Usage(0, 0, 0)
        self._since_bytes = 0
        # What was written before the last looks, each with the time of its look.
        self._untold: deque[tuple[float, int]] = deque(maxlen=LOOKS_MAX)
        # The one first that has not written for longest.
        self._writers: dict[str, _Writer] = {}
        # How much objects of each kind take; counted only while the store is filling.
        self.kind_bytes: Mapping[str, int] = {}
        self.is_tight = False

    def looked(self, usage: Usage, now: float) -> None:
        """Take note of what the store has told."""
        self._usage = usage
        self._untold.append((now, self._since_bytes))
        self._since_bytes = 0
        while self._untold[0][0] <= now - UNTOLD_S:
            self._untold.popleft()
        most = ROOM_PART if self.is_tight else TIGHT_PART
        self.is_tight = usage.is_full or self._is_beyond(most)
        if not self.is_filling:
            for writer in self._writers.values():
                writer.written_bytes = 0

    def check(self, write: Write, now: float) -> None:
        """Refuse what is too large for its writer, too much at once, or more than there is room.

        Raises: RequestTooLarge, TooManyRequests, StorageFull.
        """
        self._check_size(write)
        if self._writer(write.identity, now).left_bytes < 0:
            message = f"{write.identity.user} writes more than its rate of bytes, wait"
            raise TooManyRequests(message, retry_after_s=1)
        is_short = self.is_tight or self._is_beyond(TIGHT_PART)
        if is_short and not is_taken(write):
            raise StorageFull(self.sentence(), retry_after_s=RETRY_AFTER_S)

    def noted(self, identity: Identity, written_bytes: int, now: float) -> None:
        """Take note of what was written."""
        writer = self._writer(identity, now)
        writer.left_bytes -= written_bytes
        writer.written_bytes += written_bytes
        self._since_bytes += written_bytes

    def sentence(self) -> str:
        """Return how full the store is, what is taken, and which writers and kinds filled it."""
        writers = {name: one.written_bytes for name, one in self._writers.items()}
        usage = self._usage
        taken = self._taken_bytes()
        return (
            f"the store has {_mib(taken)} of {_mib(usage.quota_bytes)}: taken are deletions, "
            "leases, and what makes an object smaller. "
            f"Largest kinds: {_largest(self.kind_bytes)}. Most written lately: "
            f"{_largest(writers)}. See {PAGE}"
        )

    @property
    def is_filling(self) -> bool:
        """Whether the store is about to run short of room, by the last look and writes since."""
        return self._is_beyond(TRIM_PART)

    @property
    def writer_count(self) -> int:
        return len(self._writers)

    def _is_beyond(self, part: float) -> bool:
        usage = self._usage
        return 0 < usage.quota_bytes * part <= self._taken_bytes()

    def _taken_bytes(self) -> int:
        untold_bytes = self._since_bytes + sum(count for _, count in self._untold)
        untold_bytes = round(untold_bytes * FILE_BYTES_PER_BYTE)
        return max(self._usage.size_bytes, self._usage.used_bytes + untold_bytes)

    def _check_size(self, write: Write) -> None:
        """A node writes small objects; one that somebody else made large it may make smaller."""
        limit = self._limits.node_object_bytes_max
        own_bytes = write.status_bytes or write.new_bytes
        is_over = own_bytes > limit and write.new_bytes > write.old_bytes
        if is_over and name_in(write.identity):
            message = f"a node writes at most {limit} bytes into an object, not {own_bytes}"
            raise RequestTooLarge(message)

    def _writer(self, identity: Identity, now: float) -> _Writer:
        limits = self._limits
        rate, burst = limits.write_bytes_per_s, limits.write_burst_bytes
        if name_in(identity):
            rate, burst = limits.node_write_bytes_per_s, limits.node_write_burst_bytes
        name = identity.user
        if name not in self._writers:
            self._forget_rested(now)
            if len(self._writers) >= WRITERS_MAX:
                name = OTHERS
        writer = self._writers.pop(name, None) or _Writer(rate, burst, burst, now)
        writer.fill(now)
        # Behind all others: the first one has not written for longest.
        self._writers[name] = writer
        return writer

    def _forget_rested(self, now: float) -> None:
        """Make room: the writer that was silent for longest goes, if it may write all again."""
        while len(self._writers) >= WRITERS_MAX:
            name, first = next(iter(self._writers.items()))
            first.fill(now)
            if first.left_bytes < first.burst:
                return
            del self._writers[name]


def is_taken(write: Write) -> bool:
    """Whether a write is taken while room is short. Deletions are not asked for: they are."""
    if write.vital_bytes_max:
        return write.new_bytes <= write.vital_bytes_max
    if not write.old_bytes:
        return False
    growth_bytes = write.new_bytes - write.old_bytes
    # How pods and nodes are, services depend on.
    return growth_bytes <= (STATUS_GROWTH_BYTES_MAX if write.subresource == "status" else 0)


def is_to_trim(usage: Usage) -> bool:
    """Whether history must be forgotten sooner than the store does by itself."""
    return usage.is_full or usage.size_bytes >= usage.quota_bytes * TRIM_PART


def is_worth_defragmenting(usage: Usage) -> bool:
    """Whether the file is large, and would be much smaller."""
    gain_bytes = usage.size_bytes - usage.used_bytes
    return is_to_trim(usage) and gain_bytes >= usage.quota_bytes * GAIN_PART


def may_disarm(usage: Usage) -> bool:
    """Whether a full store has room again, so that it is not full at the next write."""
    return usage.is_full and usage.size_bytes < usage.quota_bytes * TIGHT_PART


def _largest(bytes_by_name: Mapping[str, int]) -> str:
    ranked = sorted(bytes_by_name.items(), key=lambda one: (-one[1], one[0]))[:NAMED_MAX]
    return ", ".join(f"{name} {_mib(count)}" for name, count in ranked if count) or "none"


def _mib(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB"
