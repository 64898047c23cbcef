"""What the gateway and an instance send each other: lengths, a head in JSON, and a body. Pure.

A call and its answer have before their head what the instance's door must know of them: it reads no
JSON, and hands both on as they are. The runner has a copy of its own, for it imports nothing of
ours; tests/contract/functions/test_runner.py keeps the two equal.
"""

import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

LENGTHS = struct.Struct(">II")
# A call: bytes of head, body and revision, places, and how many seconds it may take.
CALL = struct.Struct(">IIHHd")
# An answer: what became of it, bytes of head, body and log, and how many milliseconds it took.
ANSWER = struct.Struct(">BIIId")
RAN, UNLOADED, FULL = 0, 1, 2
ANSWER_BYTES_MAX = 8 * 1024 * 1024


# Values by name: text where they come from a query, what JSON can say where a function gives them.
type Params = tuple[tuple[str, Any], ...]


class CallHead(msgspec.Struct, frozen=True, kw_only=True):
    """A call without its body; places: how many calls the instance may run at a time.

    source and origin: where the call comes from, and what is told of that. deadline_ms: when it is
    ended, in milliseconds of the epoch.
    """

    call: str
    method: str
    path: str
    params: Params = ()
    variables: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    timeout_s: float
    places: int
    attempt: int = 1
    source: str = "http"
    origin: Mapping[str, str] = {}
    deadline_ms: int = 0


class Onward(msgspec.Struct, frozen=True, kw_only=True):
    """Which function is to answer in place of the one that was called; its body is the result's."""

    function: str
    method: str = "POST"
    path: str = "/"
    params: Params = ()
    headers: Mapping[str, str] = {}


class ResultHead(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended: ok, error, timeout, lost or onward.

    With ok, its answer without its body; with onward, the function that is to answer.
    """

    outcome: str
    status: int = 0
    content_type: str = ""
    headers: Mapping[str, str] = {}
    error: str = ""
    log: str = ""
    milliseconds: float = 0.0
    onward: Onward | None = None


class Misread(Exception):
    """What came is no such message."""


# How a worker may say that its call has ended, and how the door may.
OUTCOMES = frozenset(("ok", "error", "onward", "timeout", "lost"))


class RawAnswer(NamedTuple):
    """An instance's answer: whether the call has run, and if so with which head and body."""

    verdict: int
    head: bytes
    body: bytes
    log: bytes
    milliseconds: float


_encode_head = msgspec.json.Encoder().encode
_decode_result = msgspec.json.Decoder(ResultHead).decode


def call_frame(revision: str, head: CallHead, body: bytes) -> bytes:
    text, name = _encode_head(head), revision.encode()
    told = CALL.pack(len(text), len(body), len(name), head.places, head.timeout_s)
    return b"".join((told, name, text, body))


def answer_lengths(content: bytes) -> int:
    """Return how many bytes follow the lengths of an answer. Raises: Misread: too many."""
    _, head_bytes, body_bytes, log_bytes, _ = ANSWER.unpack_from(content)
    count: int = head_bytes + body_bytes + log_bytes
    if count > ANSWER_BYTES_MAX:
        raise Misread(f"an answer of {count} bytes")
    return count


def raw_answer(content: bytes) -> RawAnswer:
    """Return a whole answer's parts."""
    verdict, head_bytes, body_bytes, log_bytes, milliseconds = ANSWER.unpack_from(content)
    body_at = ANSWER.size + head_bytes
    log_at = body_at + body_bytes
    return RawAnswer(
        verdict,
        content[ANSWER.size : body_at],
        content[body_at:log_at],
        content[log_at : log_at + log_bytes],
        milliseconds,
    )


def result_of(answer: RawAnswer) -> ResultHead:
    """Return the head of a result, with what the door has told of it. Raises: Misread."""
    try:
        result = _decode_result(answer.head)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Misread(f"its answer cannot be read: {error}") from error
    if result.outcome not in OUTCOMES:
        raise Misread(f"its answer has an end that is none: {result.outcome[:80]!r}")
    log = answer.log.decode(errors="replace")
    return msgspec.structs.replace(result, log=log, milliseconds=round(answer.milliseconds, 2))


def packed(head: Any, body: bytes = b"") -> bytes:
    text = msgspec.json.encode(head)
    return LENGTHS.pack(len(text), len(body)) + text + body


def unpacked[H](message: bytes, kind: type[H]) -> tuple[H, bytes]:
    """Return head and body of a whole message. Raises: Misread."""
    try:
        head_bytes, body_bytes = LENGTHS.unpack_from(message)
        if len(message) != LENGTHS.size + head_bytes + body_bytes:
            raise Misread("a message of another length than it says")
        start = LENGTHS.size + head_bytes
        return msgspec.json.decode(message[LENGTHS.size : start], type=kind), message[start:]
    except (struct.error, msgspec.DecodeError) as error:
        raise Misread(str(error)) from error
