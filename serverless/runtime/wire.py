"""What processes of an instance send each other, and its HTTP/1.1: messages and requests.

A message is two lengths, a head in JSON, and a body as it is. The bodies of HTTP requests for calls
and of their answers are such messages too.
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
