"""What the gateway and an instance send each other: two lengths, a head in JSON, and a body. Pure.

The runner has a copy of its own, for it imports nothing of ours; a test keeps the two equal.
"""

import struct
from collections.abc import Mapping
from typing import Any

import msgspec

LENGTHS = struct.Struct(">II")


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
