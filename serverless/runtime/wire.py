"""What processes of an instance send each other, its HTTP/1.1, and what goes over lines.

A message is two lengths, a head in JSON, and a body as it is. The body of a request to load is such
a message too. On a line a call has before its message what the door must know of it, and an answer
what the door tells of it: heads go through the door unread.
"""

import json
import os
import select
import socket
import struct
import time
from collections.abc import Iterable
from typing import Any, BinaryIO, NamedTuple

LENGTHS = struct.Struct(">II")
# A call: bytes of head, body and revision, places, and how many seconds it may take.
CALL = struct.Struct(">IIHHd")
# An answer: what became of it, bytes of head, body and log, and how many milliseconds it took.
ANSWER = struct.Struct(">BIIId")
RAN, UNLOADED, FULL = 0, 1, 2
SENT_AT_ONCE_BYTES = 32 * 1024
GOOD = b"HTTP/1.1 200 "
HEAD_BYTES_MAX = 256 * 1024
HTTP_HEAD_BYTES_MAX = 16 * 1024
HTTP_BODY_BYTES_MAX = 16 * 1024 * 1024
READ_BYTES = 64 * 1024


class Ended(Exception):
    """The other side closed the connection between two messages, or within one."""


class TooLarge(Exception):
    """A message or a body is over its limit; says which."""


class Late(Exception):
    """A deadline passed."""


class Gone(Exception):
    """Who asked has closed its connection."""


class Asked(NamedTuple):
    """An HTTP request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def packed(head: Any, body: bytes = b"") -> bytes:
    text = json.dumps(head, separators=(",", ":")).encode()
    return LENGTHS.pack(len(text), len(body)) + text + body


def unpacked(message: bytes) -> tuple[Any, bytes]:
    """Return head and body of a whole message. Raises: ValueError."""
    if len(message) < LENGTHS.size:
        raise ValueError("a message without its lengths")
    head_bytes, body_bytes = LENGTHS.unpack_from(message)
    if len(message) != LENGTHS.size + head_bytes + body_bytes:
        raise ValueError("a message of another length than it says")
    start = LENGTHS.size + head_bytes
    return json.loads(message[LENGTHS.size : start]), message[start:]


def read_message(
    connection: socket.socket, body_bytes_max: int, deadline_s: float | None = None
) -> tuple[Any, bytes]:
    """Read one message; deadline_s is by the monotonic clock.

    Raises: Ended, TooLarge, Late.
    """
    head_bytes, body_bytes = LENGTHS.unpack(_exactly(connection, LENGTHS.size, deadline_s))
    if head_bytes > HEAD_BYTES_MAX or body_bytes > body_bytes_max:
        raise TooLarge(f"has {head_bytes} + {body_bytes} bytes, at most {body_bytes_max}")
    content = _exactly(connection, head_bytes + body_bytes, deadline_s)
    return json.loads(content[:head_bytes]), content[head_bytes:]


class Called(NamedTuple):
    """A call as it came over a line; message is what its worker is sent."""

    revision: str
    places: int
    timeout_s: float
    message: bytes


def read_call(stream: BinaryIO) -> Called:
    """Read a call of a line. Raises: Ended, TooLarge, OSError."""
    told = stream.read(CALL.size)
    if len(told) != CALL.size:
        raise Ended
    head_bytes, body_bytes, name_bytes, places, timeout_s = CALL.unpack(told)
    if head_bytes > HEAD_BYTES_MAX or body_bytes > HTTP_BODY_BYTES_MAX:
        raise TooLarge(f"has {head_bytes} + {body_bytes} bytes")
    content = stream.read(name_bytes + head_bytes + body_bytes)
    if len(content) != name_bytes + head_bytes + body_bytes:
        raise Ended
    message = LENGTHS.pack(head_bytes, body_bytes) + content[name_bytes:]
    return Called(content[:name_bytes].decode(errors="replace"), places, timeout_s, message)


def answer_frame(verdict: int, head: bytes, body: bytes, log: bytes, spent_ms: float) -> bytes:
    told = ANSWER.pack(verdict, len(head), len(body), len(log), spent_ms)
    return b"".join((told, head, body, log))


def send(connection: socket.socket, content: bytes, timeout_s: float) -> None:
    """Send to a process that reads. Raises: TimeoutError, OSError."""
    if len(content) <= SENT_AT_ONCE_BYTES:
        # There is room for it: nothing else is on the way.
        connection.sendall(content)
        return
    connection.settimeout(timeout_s)
    connection.sendall(content)
    connection.settimeout(None)


def read_raw(
    connection: socket.socket, body_bytes_max: int, deadline_s: float | None = None
) -> tuple[bytes, bytes]:
    """Read one message of a connection on which no other follows; its head stays as it is.

    Raises: Ended, TooLarge, Late.
    """
    content = _some(connection, deadline_s)
    if len(content) < LENGTHS.size:
        content += _exactly(connection, LENGTHS.size - len(content), deadline_s)
    head_bytes, body_bytes = LENGTHS.unpack_from(content)
    if head_bytes > HEAD_BYTES_MAX or body_bytes > body_bytes_max:
        raise TooLarge(f"has {head_bytes} + {body_bytes} bytes, at most {body_bytes_max}")
    missing = LENGTHS.size + head_bytes + body_bytes - len(content)
    if missing < 0:
        raise TooLarge("has more bytes than it says")
    if missing:
        content += _exactly(connection, missing, deadline_s)
    body_at = LENGTHS.size + head_bytes
    return content[LENGTHS.size : body_at], content[body_at:]


def _some(connection: socket.socket, deadline_s: float | None) -> bytes:
    """Read what is there, where the other side has said that something is."""
    if deadline_s is not None and deadline_s <= time.monotonic():
        raise Late
    try:
        piece = connection.recv(READ_BYTES)
    except ConnectionError as error:
        raise Ended from error
    if not piece:
        raise Ended
    return piece


def _exactly(connection: socket.socket, count: int, deadline_s: float | None) -> bytes:
    pieces: list[bytes] = []
    while count:
        if deadline_s is not None:
            connection.settimeout(max(0.001, deadline_s - time.monotonic()))
        try:
            piece = connection.recv(min(count, READ_BYTES))
        except TimeoutError as error:
            raise Late from error
        except ConnectionError as error:
            raise Ended from error
        if not piece:
            raise Ended
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


class Said:
    """What a worker prints while it runs a call: the first bytes are kept, the rest is counted."""

    def __init__(self, pipe: int, bytes_max: int) -> None:
        self._pipe, self._room = pipe, bytes_max
        self._pieces: list[bytes] = []
        self._lost_bytes = 0

    def take(self) -> None:
        """Read all that is there, without waiting."""
        while True:
            try:
                piece = os.read(self._pipe, READ_BYTES)
            except BlockingIOError:
                return
            if not piece:
                return
            kept = piece[: self._room]
            self._room -= len(kept)
            self._lost_bytes += len(piece) - len(kept)
            self._pieces.append(kept)

    @property
    def text(self) -> str:
        text = b"".join(self._pieces).decode(errors="replace")
        return f"{text}\n[{self._lost_bytes} bytes more]\n" if self._lost_bytes else text


def await_readable(
    connection: socket.socket, said: Said, pipe: int, deadline_s: float, client: socket.socket
) -> None:
    """Wait until the connection can be read; take what the pipe has meanwhile.

    Raises: Late; Gone: the client does not wait for it any more.
    """
    poll = select.poll()
    poll.register(client, select.POLLRDHUP)
    poll.register(connection, select.POLLIN)
    poll.register(pipe, select.POLLIN)
    while True:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise Late
        ready = {number for number, _ in poll.poll(left_s * 1000 + 1)}
        if pipe in ready:
            said.take()
        if connection.fileno() in ready:
            return
        if client.fileno() in ready:
            raise Gone
        if ready == {pipe}:
            # A pipe that every writer has closed is readable for ever.
            time.sleep(0.001)


def read_request(stream: BinaryIO) -> Asked:
    """Read an HTTP request. Raises: Ended, TooLarge, ValueError: it is none."""
    lines = list(_head_lines(stream))
    method, target, _ = lines[0].split(" ", 2)
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError("a header line without a colon")
        headers[name.lower()] = value.strip()
    count = int(headers.get("content-length", "0"))
    if not 0 <= count <= HTTP_BODY_BYTES_MAX:
        raise TooLarge(f"a body has {count} bytes, at most {HTTP_BODY_BYTES_MAX}")
    body = stream.read(count) if count else b""
    if len(body) != count:
        raise Ended
    return Asked(method, target, headers, body)


def _head_lines(stream: BinaryIO) -> Iterable[str]:
    size_bytes = 0
    while True:
        line = stream.readline(HTTP_HEAD_BYTES_MAX)
        size_bytes += len(line)
        if not line.endswith(b"\n"):
            raise Ended if size_bytes < HTTP_HEAD_BYTES_MAX else TooLarge("a head is too long")
        if size_bytes > HTTP_HEAD_BYTES_MAX:
            raise TooLarge("a head is too long")
        text = line.rstrip(b"\r\n").decode("latin-1")
        if not text:
            return
        yield text


def answer_bytes(status: int, body: bytes, media: str) -> bytes:
    head = (
        f"HTTP/1.1 {status} {'OK' if status == 200 else 'Error'}\r\n"
        f"Content-Type: {media}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("latin-1") + body
