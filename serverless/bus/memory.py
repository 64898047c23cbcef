"""A bus in memory, for tests: what the contract suite demands, and faults on demand."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from zlib import crc32

from cubernetes.host.clock import Clock
from cubernetes.host.timing.waiting import wait_until
from serverless.bus.bus import (
    BusTrouble,
    Headers,
    NoTopic,
    PartitionRef,
    Reader,
    Record,
    Span,
    Start,
    Topic,
)

READ_S = 0.2
BATCH_MAX = 500


@dataclass(slots=True)
class Log:
    """A partition. first: the oldest offset that is kept."""

    records: list[Record] = field(default_factory=list)
    first: int = 0

    @property
    def end(self) -> int:
        return self.first + len(self.records)

    def drop(self, count: int) -> None:
        """Remove the oldest records, as many as there are at most."""
        gone_count = max(0, min(count, len(self.records)))
        self.records = self.records[gone_count:]
        self.first += gone_count


class MemoryBus:
    """is_away: nobody answers. lost_answers: so many writes are kept, and not acknowledged."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.logs: dict[PartitionRef, Log] = {}
        self._counts: dict[str, int] = {}
        self.committed: dict[tuple[str, PartitionRef], int] = {}
        self.is_away = False
        self.lost_answers = 0
        self.news = asyncio.Event()

    async def make(self, topic: Topic) -> None:
        self.check()
        if topic.name not in self._counts:
            self._counts[topic.name] = topic.partition_count
            for number in range(topic.partition_count):
                self.logs[PartitionRef(topic.name, number)] = Log()

    async def remove(self, name: str) -> None:
        self.check()
        for number in range(self._counts.pop(name, 0)):
            self.logs.pop(PartitionRef(name, number))

    async def topics(self) -> Mapping[str, int]:
        self.check()
        return dict(self._counts)

    async def write(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> None:
        self.check()
        places = self.places(topic)
        place = places[crc32(key) % len(places)]
        log = self.logs[place]
        at_ms = int(self._clock.now().timestamp() * 1000)
        log.records.append(Record(place, log.end, key, value, headers, at_ms))
        self.news.set()
        if self.lost_answers:
            self.lost_answers -= 1
            raise BusTrouble("no acknowledgement")

    async def shorten(self, offsets: Mapping[PartitionRef, int]) -> None:
        self.check()
        for place, offset in offsets.items():
            if place not in self.logs:
                raise NoTopic(place.topic)
            self.logs[place].drop(offset - self.logs[place].first)

    def reader(self, group: str) -> Reader:
        return MemoryReader(self, group, self._clock)

    async def close(self) -> None:
        """Keep everything: another process may go on with it."""

    def check(self) -> None:
        """Raises: BusTrouble."""
        if self.is_away:
            raise BusTrouble("the bus is away")

    def places(self, topic: str) -> list[PartitionRef]:
        """Raises: NoTopic."""
        if topic not in self._counts:
            raise NoTopic(topic)
        return [PartitionRef(topic, number) for number in range(self._counts[topic])]

    def forget(self, topic: str, kept_count: int) -> None:
        """Keep only the newest records of each partition, as retention does."""
        for place in self.places(topic):
            self.logs[place].drop(len(self.logs[place].records) - kept_count)


class MemoryReader:
    """A group's reader."""

    def __init__(self, bus: MemoryBus, group: str, clock: Clock) -> None:
        self._bus, self._group, self._clock = bus, group, clock
        self._next: dict[PartitionRef, int] = {}
        self._held: set[PartitionRef] = set()

    async def follow(self, topic: str, start: Start) -> Mapping[PartitionRef, int]:
        self._bus.check()
        for place in self._bus.places(topic):
            log = self._bus.logs[place]
            known = self._bus.committed.get((self._group, place))
            if known is None and start == "latest":
                known = self._bus.committed[self._group, place] = log.end
            self._next[place] = max(log.first, known or 0)
        return {place: self._next[place] for place in self._bus.places(topic)}

    async def leave(self, topic: str) -> None:
        self._next = {place: at for place, at in self._next.items() if place.topic != topic}

    async def read(self) -> Sequence[Record]:
        self._bus.check()
        found = self._found()
        if not found:
            self._bus.news.clear()
            await wait_until(self._bus.news, READ_S)
            self._bus.check()
            found = self._found()
        return found

    def _found(self) -> list[Record]:
        found: list[Record] = []
        for place, at in self._next.items():
            log = self._bus.logs.get(place)
            if log is None or place in self._held:
                continue
            begin = max(at, log.first) - log.first
            batch = log.records[begin : begin + BATCH_MAX]
            if batch:
                found += batch
                self._next[place] = batch[-1].offset + 1
        return found

    async def hold(self, place: PartitionRef, *, is_held: bool) -> None:
        if is_held:
            self._held.add(place)
        else:
            self._held.discard(place)

    async def commit(self, offsets: Mapping[PartitionRef, int]) -> None:
        self._bus.check()
        for place, offset in offsets.items():
            self._bus.committed[self._group, place] = offset

    async def spans(self, topic: str) -> Mapping[PartitionRef, Span]:
        self._bus.check()
        logs = {place: self._bus.logs[place] for place in self._bus.places(topic)}
        return {place: Span(log.first, log.end) for place, log in logs.items()}

    async def close(self) -> None:
        self._next.clear()
