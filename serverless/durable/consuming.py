"""Reads topics for a group, handles records side by side, and commits what is done.

A record is done when `handle` has returned: whatever must be told of it has been acknowledged. What
is not done when this ends, or when the bus fails, is read again by the next reader.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from cubernetes.host.clock import Clock
from cubernetes.host.log import Log
from cubernetes.host.timing.waiting import wait_until
from serverless.bus.bus import Bus, BusTrouble, NoTopic, PartitionRef, Reader, Record, Start
from serverless.bus.offsets import Offsets

log = Log(__name__)

# Records of one partition, and bytes of all, that are in our hands at a time.
OPEN_MAX = 1000
OPEN_BYTES_MAX = 32 * 1024 * 1024
COMMIT_S = 0.2
SHORTEN_S = 60.0
PAUSE_S = 1.0

type Handle = Callable[[Record], Awaitable[None]]


class Consuming:
    """What a group reads; `topics` are wanted, and followed once they are there.

    is_only_reader: nobody else ever reads these topics: what is committed is removed from them.
    """

    def __init__(
        self, bus: Bus, group: str, handle: Handle, clock: Clock, *, is_only_reader: bool = False
    ) -> None:
        self._bus, self._group, self._handle, self._clock = bus, group, handle, clock
        self._is_only_reader = is_only_reader
        self._wanted: dict[str, Start] = {}
        self._changed = asyncio.Event()
        self._reset()

    def _reset(self) -> None:
        self._offsets: dict[PartitionRef, Offsets] = {}
        # Where each partition ended when it was first followed: what was there before is read then.
        self._ends: dict[PartitionRef, int] = {}
        self._held: set[PartitionRef] = set()
        self._open_bytes = 0

    def want(self, topics: Mapping[str, Start]) -> None:
        """Follow these topics, and no others."""
        if topics != self._wanted:
            self._wanted = dict(topics)
            self._changed.set()

    def wants(self, topic: str) -> bool:
        return topic in self._wanted

    @property
    def is_following(self) -> bool:
        """Whether all that is wanted is read."""
        return {place.topic for place in self._ends} >= self._wanted.keys()

    @property
    def is_caught_up(self) -> bool:
        """Whether all that was there when we began has been read."""
        return self.is_following and all(
            (self._offsets[place].next_offset or 0) >= end for place, end in self._ends.items()
        )

    def is_read_out(self, topic: str) -> bool:
        """Whether a topic is followed, all that it had is read, and none of it is open."""
        own = {at: end for at, end in self._ends.items() if at.topic == topic}
        return bool(own) and all(
            (self._offsets[at].next_offset or 0) >= end and not self._offsets[at].open
            for at, end in own.items()
        )

    async def run(self) -> None:
        """Run until cancelled; while the bus is away, try again."""
        is_told = False
        while True:
            reader = self._bus.reader(self._group)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._read(reader))
                    tasks.create_task(self._keep_following(reader))
                    tasks.create_task(self._keep_committing(reader))
                    if self._is_only_reader:
                        tasks.create_task(self._keep_shortening())
            except* (BusTrouble, NoTopic) as group:
                if not is_told:
                    log.warning("the bus is away", group=self._group, why=group.exceptions[0])
                is_told = True
            finally:
                with suppress(BusTrouble):
                    await self._commit(reader)
                await reader.close()
                self._reset()
            await self._clock.sleep(PAUSE_S)

    async def _keep_following(self, reader: Reader) -> None:
        while True:
            self._changed.clear()
            followed = {place.topic for place in self._ends}
            for topic in sorted(followed - self._wanted.keys()):
                await reader.leave(topic)
                self._forget(topic)
            is_late = False
            for topic in sorted(self._wanted.keys() - followed):
                try:
                    await self._follow(reader, topic)
                except NoTopic:
                    is_late = True
            await wait_until(self._changed, PAUSE_S if is_late else None)

    async def _follow(self, reader: Reader, topic: str) -> None:
        spans = await reader.spans(topic)
        begun = await reader.follow(topic, self._wanted[topic])
        for place, offset in begun.items():
            one = self._offsets.setdefault(place, Offsets())
            if one.next_offset is None:
                one.next_offset = one.committed = offset
            self._ends[place] = spans[place].end

    def _forget(self, topic: str) -> None:
        for place in [one for one in self._ends if one.topic == topic]:
            del self._ends[place]
            self._offsets.pop(place, None)
            self._held.discard(place)

    async def _read(self, reader: Reader) -> None:
        async with asyncio.TaskGroup() as handling:
            while True:
                for record in await reader.read():
                    one = self._offsets.setdefault(record.place, Offsets())
                    if one.begin(record.offset):
                        self._open_bytes += len(record.value)
                        handling.create_task(self._handled(one, record))
                await self._hold_full(reader)

    async def _handled(self, own: Offsets, record: Record) -> None:
        try:
            await self._handle(record)
            own.done(record.offset)
        finally:
            self._open_bytes -= len(record.value)

    async def _hold_full(self, reader: Reader) -> None:
        """Hold the partitions of which enough is in our hands; go on with the others."""
        is_over = self._open_bytes > OPEN_BYTES_MAX
        for place in tuple(self._ends):
            count = len(self._offsets[place].open)
            is_full = count >= OPEN_MAX or (is_over and count > 0)
            if is_full and place not in self._held:
                await reader.hold(place, is_held=True)
                self._held.add(place)
            elif place in self._held and not is_over and count < OPEN_MAX // 2:
                await reader.hold(place, is_held=False)
                self._held.discard(place)

    async def _keep_committing(self, reader: Reader) -> None:
        while True:
            await self._clock.sleep(COMMIT_S)
            await self._hold_full(reader)
            await self._commit(reader)

    async def _keep_shortening(self) -> None:
        """Remove what is committed: it is never read again, and a log without an end fills a disk.

        A bus that does not let us is told of once: calls go on all the same.
        """
        shortened: dict[PartitionRef, int] = {}
        is_told = False
        while True:
            await self._clock.sleep(SHORTEN_S)
            wanted = {
                place: one.committed
                for place, one in self._offsets.items()
                if one.committed is not None and one.committed > shortened.get(place, 0)
            }
            if not wanted:
                continue
            try:
                await self._bus.shorten(wanted)
            except (BusTrouble, NoTopic) as error:
                if not is_told:
                    log.warning("topics are not shortened", group=self._group, why=error)
                is_told = True
            else:
                shortened |= wanted
                is_told = False

    async def _commit(self, reader: Reader) -> None:
        wanted = {
            place: offset
            for place, one in self._offsets.items()
            if (offset := one.to_commit()) is not None
        }
        if wanted:
            await reader.commit(wanted)
            for place, offset in wanted.items():
                if place in self._offsets:
                    self._offsets[place].committed = offset
