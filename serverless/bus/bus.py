"""What the platform asks of a bus: topics of records, written once acknowledged, read by groups.

A record that was acknowledged is read at least once by every group that follows its topic, in the
order of its partition. A group goes on where it has committed; it has no members that could be
rebalanced: its one reader follows all partitions.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

type Start = Literal["earliest", "latest"]
type Headers = tuple[tuple[str, bytes], ...]


class BusTrouble(Exception):
    """The bus did not do it, or nobody knows whether it did: it may be tried again."""


class NoTopic(Exception):
    """There is no such topic."""


class Topic(NamedTuple):
    """A topic as it is made. retention_s and partition_bytes_max: 0 keeps without that limit.

    is_compacted: of the records of a key the last is kept; one with an empty value removes it.
    """

    name: str
    partition_count: int
    retention_s: int = 0
    partition_bytes_max: int = 0
    is_compacted: bool = False


class PartitionRef(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class Record(NamedTuple):
    """A record as it was written; at_ms is the time that the bus keeps with it."""

    place: PartitionRef
    offset: int
    key: bytes
    value: bytes
    headers: Headers = ()
    at_ms: int = 0


class Span(NamedTuple):
    """The offsets that a partition has: from first up to, and without, end."""

    first: int
    end: int


class Reader(Protocol):
    """What one group reads."""

    async def follow(self, topic: str, start: Start) -> Mapping[PartitionRef, int]:
        """Read a topic too: from where the group has committed, else from start.

        Where it begins at `latest` this is committed, so that the next reader of the group misses
        nothing. Returns from which offset each partition is read; what is kept no longer is passed
        over. Raises: BusTrouble, NoTopic.
        """
        ...

    async def leave(self, topic: str) -> None:
        """Read a topic no longer."""
        ...

    async def read(self) -> Sequence[Record]:
        """Return what has come, after a while nothing. Raises: BusTrouble: begin another reader."""
        ...

    async def hold(self, place: PartitionRef, *, is_held: bool) -> None:
        """Read nothing of a partition for now, or go on where it was held."""
        ...

    async def commit(self, offsets: Mapping[PartitionRef, int]) -> None:
        """Keep for the group which offset of each partition it has to read next.

        Raises: BusTrouble.
        """
        ...

    async def spans(self, topic: str) -> Mapping[PartitionRef, Span]:
        """Return which offsets there are. Raises: BusTrouble, NoTopic."""
        ...

    async def close(self) -> None: ...


class Bus(Protocol):
    """Topics, writing and readers."""

    async def make(self, topic: Topic) -> None:
        """Make a topic; one that is there stays as it is. Raises: BusTrouble."""
        ...

    async def remove(self, name: str) -> None:
        """Remove a topic, if it is there. Raises: BusTrouble."""
        ...

    async def topics(self) -> Mapping[str, int]:
        """Return every topic, and how many partitions it has. Raises: BusTrouble."""
        ...

    async def write(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> None:
        """Return once the record is acknowledged; records of one key share a partition.

        Raises: BusTrouble: it may have been written all the same; NoTopic.
        """
        ...

    async def shorten(self, offsets: Mapping[PartitionRef, int]) -> None:
        """Remove the records of each partition that are before an offset; again does nothing.

        Raises: BusTrouble, NoTopic: any of them may have been shortened.
        """
        ...

    def reader(self, group: str) -> Reader: ...

    async def close(self) -> None: ...
