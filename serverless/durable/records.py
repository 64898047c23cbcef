"""What the platform writes into topics: calls, results, dead letters; and topics' names. Pure.

A record's value is a head in JSON and a body, as instances are sent (serverless/envelope.py). What
cannot be read is somebody else's: it is told, and passed over.
"""

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from cubernetes.api.serverless.function import Function, RetrySpec
from serverless.board.key import FunctionKey
from serverless.bus.bus import Record, Topic
from serverless.envelope import Misread, Params, packed, unpacked

PREFIX = "cube."
CALLS_PREFIX = f"{PREFIX}calls."
UID_CHARS = 8
CALLS_PARTITIONS = 4
DAY_S = 24 * 3600
MIB = 1024 * 1024
RESULTS = Topic(f"{PREFIX}results", 4, DAY_S, 64 * MIB)
DEAD = Topic(f"{PREFIX}dead", 4, 14 * DAY_S, 64 * MIB)
RUNS = Topic(f"{PREFIX}runs", 4, is_compacted=True)
# How long a call rests before its next attempt: the delay of a topic is the same for all in it.
RETRY_DELAYS_S = (1, 10, 60, 300)
RETRIES: Mapping[int, Topic] = {
    delay_s: Topic(f"{PREFIX}retry.{delay_s}", 1) for delay_s in RETRY_DELAYS_S
}
# Groups, under which Kafka's own tools show how far we are.
CALLS_GROUP, RETRY_GROUP = f"{PREFIX}calls", f"{PREFIX}retry"
RESULTS_GROUP, DEAD_GROUP = f"{PREFIX}results", f"{PREFIX}dead"
RUNS_GROUP = f"{PREFIX}runs"

# The source of calls that are steps of runs, and the outcome of those that nobody wanted any more.
WORKFLOW, CANCELLED = "workflow", "cancelled"

BODY_BYTES_MAX = 1 * MIB
RESULT_BYTES_MAX = 256 * 1024
# Of a call without its body, as it is written.
HEAD_BYTES_MAX = 64 * 1024


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that failed. at: when, ISO 8601."""

    at: str
    error: str


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call without its body.

    uid: the Function's, so that another of its name is not called. origin: where it comes from, in
    the words of its source. due_ms: when it is to go on, for one that rests. retry: how it is tried
    again, where not as its function says. chain: the functions that have handed it on, while id,
    source, origin and retry stay those of the first. deadline_ms: after which no attempt begins or
    goes on; 0: never.
    """

    id: str
    namespace: str
    name: str
    uid: str
    method: str = "POST"
    path: str = "/"
    params: Params = ()
    variables: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    source: str = "http"
    origin: Mapping[str, str] = {}
    attempt: int = 1
    due_ms: int = 0
    failures: tuple[Failure, ...] = ()
    retry: RetrySpec | None = None
    chain: tuple[str, ...] = ()
    deadline_ms: int = 0

    @property
    def function(self) -> FunctionKey:
        return FunctionKey(self.namespace, self.name)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended for ever. outcome: ok, failed (there is a dead letter too), gone, or
    cancelled.

    at: when, ISO 8601. failures: of the attempts before.
    """

    call: str
    namespace: str
    name: str
    outcome: str
    status: int
    content_type: str = ""
    headers: Mapping[str, str] = {}
    error: str = ""
    attempts: int = 1
    milliseconds: float = 0.0
    at: str = ""
    failures: tuple[Failure, ...] = ()


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is tried no more, and why.

    is_whole: whether its body was kept. redriven: the record is no letter, but says that the letter
    of this call has become another call.
    """

    call: Call
    error: str
    at: str
    is_whole: bool = True
    redriven: str = ""


def calls_topic(namespace: str, name: str, uid: str) -> Topic:
    """Return the topic of a function's calls; it is kept whole: each call ends by a record."""
    return Topic(f"{CALLS_PREFIX}{namespace}.{name}.{uid[:UID_CHARS]}", CALLS_PARTITIONS)


def topic_of(function: Function) -> Topic:
    meta = function.metadata
    return calls_topic(meta.namespace, meta.name, meta.uid)


def is_ours(topic: str) -> bool:
    """Whether a topic is one that the platform makes."""
    fixed = {one.name for one in (RESULTS, DEAD, RUNS, *RETRIES.values())}
    return topic in fixed or topic.startswith(CALLS_PREFIX)


def value_of(head: Any, body: bytes = b"") -> bytes:
    return packed(head, body)


def read[H](record: Record, kind: type[H]) -> tuple[H, bytes]:
    """Return the head and body of a record. Raises: Misread."""
    try:
        return unpacked(record.value, kind)
    except msgspec.ValidationError as error:
        raise Misread(str(error)) from error


def id_for(scope: str, *words: str) -> str:
    """Return the id that follows from a cause: the same cause is the same call.

    scope is a uid that strangers do not know, so that they cannot make the id either.
    """
    return str(uuid.uuid5(uuid.UUID(scope), "\n".join(words)))
