"""Which offsets of a partition are done, and up to which it may be committed. Pure.

Records are handled side by side and end in any order; a commit says that all before it are done.
So the lowest that is open holds it back. Offsets have gaps where a log was compacted.
"""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Offsets:
    """One partition."""

    open: set[int] = field(default_factory=set)
    # The first offset that has not been read; None: none has been.
    next_offset: int | None = None
    committed: int | None = None

    def begin(self, offset: int) -> bool:
        """A record was read; return whether it is new: what is open is not begun twice."""
        if self.next_offset is not None and offset < self.next_offset:
            return False
        self.open.add(offset)
        self.next_offset = offset + 1
        return True

    def done(self, offset: int) -> None:
        self.open.discard(offset)

    def to_commit(self) -> int | None:
        """Return the offset to be read next; None where it is what was committed."""
        wanted = min(self.open) if self.open else self.next_offset
        return None if wanted == self.committed else wanted
