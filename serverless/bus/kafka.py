"""Kafka as the bus, by librdkafka, whose threads end here: our loop asks threads of its own.

There is one reader for each group, and it is assigned its partitions by hand: groups have no
members, so that none ever waits for a rebalance. A write has returned when the broker says that all
in-sync replicas have it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from cubernetes.host.blocking import Blocking, StillHanging
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
from serverless.settings import BusSettings

ASK_S = 30.0
# How long a call into the library may take beyond what it was told to.
SLACK_S = 20.0
# A broker that was killed is back in seconds, on a machine that is full later: writers wait.
WRITE_S = 30.0
READ_S = 1.0
POLL_S = 0.5
BATCH_MAX = 500
# Of records that the library has read ahead, for each reader.
AHEAD_KIB = 8 * 1024
RECORD_BYTES_MAX = 2 * 1024 * 1024
ABSENT = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
)

# The library writes hundreds of lines while a broker is away: our errors say what matters of it.
_SILENT = logging.getLogger("librdkafka")
_SILENT.disabled = True


def config_of(access: BusSettings) -> dict[str, Any]:
    """Return what the library must be told of a cluster."""
    told: dict[str, Any] = {
        "bootstrap.servers": ",".join(access.brokers),
        "logger": _SILENT,
        "socket.keepalive.enable": True,
        "reconnect.backoff.max.ms": 2000,
    }
    if access.ca:
        told |= {"security.protocol": "ssl", "ssl.ca.location": access.ca}
    if access.cert:
        told |= {"ssl.certificate.location": access.cert, "ssl.key.location": access.key}
    return told


class KafkaBus:
    """Topics of a cluster of brokers."""

    def __init__(self, access: BusSettings, blocking: Blocking) -> None:
        self._access, self._blocking = access, blocking
        self._admin = AdminClient(config_of(access))
        self._producer = self._new_producer()
        self._is_spent = False
        self._acks: asyncio.Task[None] | None = None
        self._readers_count = 0

    def _new_producer(self) -> Producer:
        return Producer(
            {
                **config_of(self._access),
                "acks": "all",
                "enable.idempotence": True,
                "compression.type": "zstd",
                "linger.ms": 0,
                # How long a topic that nobody shows may still be on its way.
                "topic.metadata.propagation.max.ms": 3000,
                "message.timeout.ms": int(WRITE_S * 1000),
                "message.max.bytes": RECORD_BYTES_MAX,
                # As Java's clients do: who writes by key elsewhere meets the same partition.
                "partitioner": "murmur2_random",
                "queue.buffering.max.kbytes": 64 * 1024,
                "error_cb": self._mend,
            }
        )

    async def make(self, topic: Topic) -> None:
        config = {"min.insync.replicas": str(max(1, self._access.replicas - 1))}
        if topic.retention_s:
            config["retention.ms"] = str(topic.retention_s * 1000)
        else:
            config["retention.ms"] = "-1"
        config["retention.bytes"] = str(topic.partition_bytes_max or -1)
        if topic.is_compacted:
            config["cleanup.policy"] = "compact"
        new = NewTopic(topic.name, topic.partition_count, self._access.replicas, config=config)

        def make() -> None:
            try:
                self._admin.create_topics([new], request_timeout=ASK_S)[topic.name].result(ASK_S)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise

        await self._asked(f"make {topic.name}", make)

    async def remove(self, name: str) -> None:
        def remove() -> None:
            self._admin.delete_topics([name], request_timeout=ASK_S)[name].result(ASK_S)

        with suppress(NoTopic):
            await self._asked(f"remove {name}", remove)

    async def topics(self) -> Mapping[str, int]:
        found = await self._asked("topics", partial(self._admin.list_topics, timeout=ASK_S))
        return {name: len(one.partitions) for name, one in found.topics.items()}

    async def write(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> None:
        if self._acks is None:
            self._acks = asyncio.create_task(self._serve())
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[None] = loop.create_future()
        told = partial(_told, answered)

        def delivered(error: KafkaError | None, _: Message) -> None:
            # The loop may have ended meanwhile: then nobody is there to be told.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(told, error)

        if self._is_spent:
            self._is_spent, self._producer = False, self._new_producer()
        try:
            # An empty value is none: so a compacted topic forgets the key.
            self._producer.produce(
                topic, value or None, key, headers=list(headers), on_delivery=delivered
            )
        except BufferError as error:
            raise BusTrouble("too much waits to be written") from error
        except KafkaException as error:
            self._mend(error.args[0])
            raise _error_of(error.args[0], f"write to {topic}") from error
        try:
            async with asyncio.timeout(WRITE_S + SLACK_S):
                await answered
        except TimeoutError as error:
            raise BusTrouble(f"write to {topic}: no acknowledgement") from error
        except KafkaException as error:
            self._mend(error.args[0])
            raise _error_of(error.args[0], f"write to {topic}") from error

    async def shorten(self, offsets: Mapping[PartitionRef, int]) -> None:
        wanted = [TopicPartition(*place, offset) for place, offset in offsets.items()]

        def shorten() -> None:
            for each in self._admin.delete_records(wanted, request_timeout=ASK_S).values():
                each.result(ASK_S)

        await self._asked("shorten", shorten)

    def _mend(self, error: KafkaError) -> None:
        """A producer that says that it cannot go on is replaced; called on any thread."""
        if error.fatal():
            self._is_spent = True

    def reader(self, group: str) -> Reader:
        self._readers_count += 1
        return KafkaReader(self._access, group, self._readers_count, self._blocking)

    async def close(self) -> None:
        if self._acks is not None:
            self._acks.cancel()
            with suppress(asyncio.CancelledError):
                await self._acks
        with suppress(BusTrouble):
            await self._asked("flush", partial(self._producer.flush, POLL_S))

    async def _serve(self) -> None:
        """Have the library tell what was acknowledged."""
        while True:
            with suppress(StillHanging, KafkaException):
                poll = partial(self._producer.poll, POLL_S)
                await self._blocking.run(("kafka", "acks"), poll, deadline_s=POLL_S + SLACK_S)

    async def _asked[T](self, what: str, work: Callable[[], T]) -> T:
        return await _asked(self._blocking, ("kafka", what), what, work)


class KafkaReader:
    """A group's only reader."""

    def __init__(self, access: BusSettings, group: str, number: int, blocking: Blocking) -> None:
        self._blocking, self._own = blocking, f"{group} {number}"
        self._consumer = Consumer(
            {
                **config_of(access),
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "queued.max.messages.kbytes": AHEAD_KIB,
                "fetch.message.max.bytes": RECORD_BYTES_MAX,
                "fetch.error.backoff.ms": 50,
            }
        )

    async def follow(self, topic: str, start: Start) -> Mapping[PartitionRef, int]:
        return await self._asked("follow", partial(self._followed, topic, start))

    def _followed(self, topic: str, start: Start) -> Mapping[PartitionRef, int]:
        places = [TopicPartition(topic, number) for number in self._partitions(topic)]
        known = self._consumer.committed(places, timeout=ASK_S)
        fresh: list[TopicPartition] = []
        begin: dict[PartitionRef, int] = {}
        for one in known:
            first, end = self._consumer.get_watermark_offsets(one, timeout=ASK_S)
            if one.offset < 0 and start == "latest":
                one.offset = end
                fresh.append(one)
            begin[PartitionRef(topic, one.partition)] = max(first, one.offset)
        if fresh:
            self._consumer.commit(offsets=fresh, asynchronous=False)
        self._consumer.incremental_assign(
            [TopicPartition(topic, place.partition, at) for place, at in begin.items()]
        )
        return begin

    async def leave(self, topic: str) -> None:
        def leave() -> None:
            own = [one for one in self._consumer.assignment() if one.topic == topic]
            self._consumer.incremental_unassign(own)

        await self._asked("leave", leave)

    async def read(self) -> Sequence[Record]:
        def read() -> list[Message]:
            first = self._consumer.poll(READ_S)
            return [] if first is None else [first, *self._consumer.consume(BATCH_MAX, 0)]

        # A batch that comes after its caller has gone is lost to this reader, not to its group.
        messages = await _asked(self._blocking, ("kafka read", self._own), "read", read)
        found = []
        for one in messages:
            error = one.error()
            if error is None:
                found.append(_record_of(one))
            elif error.fatal() or error.code() in ABSENT:
                raise BusTrouble(f"read: {error}")
        return found

    async def hold(self, place: PartitionRef, *, is_held: bool) -> None:
        change = self._consumer.pause if is_held else self._consumer.resume
        await self._asked("hold", partial(change, [TopicPartition(*place)]))

    async def commit(self, offsets: Mapping[PartitionRef, int]) -> None:
        wanted = [TopicPartition(*place, offset) for place, offset in offsets.items()]
        await self._asked(
            "commit", partial(self._consumer.commit, offsets=wanted, asynchronous=False)
        )

    async def spans(self, topic: str) -> Mapping[PartitionRef, Span]:
        def spans() -> Mapping[PartitionRef, Span]:
            return {
                PartitionRef(topic, number): Span(
                    *self._consumer.get_watermark_offsets(
                        TopicPartition(topic, number), timeout=ASK_S
                    )
                )
                for number in self._partitions(topic)
            }

        return await self._asked("spans", spans)

    async def close(self) -> None:
        with suppress(BusTrouble):
            # Another key would run beside a read that is under way.
            await _asked(self._blocking, ("kafka read", self._own), "close", self._consumer.close)

    def _partitions(self, topic: str) -> list[int]:
        """Raises: NoTopic."""
        found = self._consumer.list_topics(topic, timeout=ASK_S).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        return sorted(found.partitions)

    async def _asked[T](self, what: str, work: Callable[[], T]) -> T:
        return await _asked(self._blocking, ("kafka", self._own), what, work)


async def _asked[T](
    blocking: Blocking, key: tuple[str, str], what: str, work: Callable[[], T]
) -> T:
    """Raises: BusTrouble, NoTopic."""
    try:
        return await blocking.run(key, work, deadline_s=ASK_S + SLACK_S)
    except KafkaException as error:
        raise _error_of(error.args[0], what) from error
    except (StillHanging, TimeoutError, RuntimeError) as error:
        raise BusTrouble(f"{what}: {error or 'no answer'}") from error


def _error_of(error: KafkaError, what: str) -> Exception:
    told = f"{what}: {error.str()}"
    return NoTopic(told) if error.code() in ABSENT else BusTrouble(told)


def _told(answered: asyncio.Future[None], error: KafkaError | None) -> None:
    if answered.done():
        return
    if error is None:
        answered.set_result(None)
    else:
        answered.set_exception(KafkaException(error))


def _record_of(message: Message) -> Record:
    headers = tuple(_header(name, value) for name, value in _pairs(message.headers()))
    place = PartitionRef(message.topic() or "", message.partition() or 0)
    _, at_ms = message.timestamp()
    offset, key, value = message.offset() or 0, message.key() or b"", message.value() or b""
    return Record(place, offset, key, value, headers, at_ms)


def _pairs(told: Any) -> Sequence[tuple[str, Any]]:
    return tuple(told.items() if isinstance(told, dict) else told or ())


def _header(name: str, value: Any) -> tuple[str, bytes]:
    return name, value.encode() if isinstance(value, str) else value or b""
