"""The client's end of a WebSocket: a Duplex whose pieces are messages.

Command lines import it: it knows of asyncio alone, since a library of HTTP takes longer to import
than all else that they do.
"""

import asyncio
import base64
import hashlib
import os
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import cast

from cubernetes.host.web.duplex import Broken
from cubernetes.host.web.sockets import shared_buffer
from cubernetes.host.web.websocket.frames import Malformed, Message, Opcode, Reader, frame_of

# How long the other side may take to answer a close.
CLOSE_DEADLINE_S = 5.0
# Reading stops when so much has come and was not taken.
UNREAD_BYTES_MAX = 1024 * 1024
UNSENT_BYTES_MAX = 1024 * 1024
HEAD_BYTES_MAX = 64 * 1024
CLOSED_IN_ORDER = (1000).to_bytes(2)
# RFC 6455, 1.3.
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class HandshakeRefused(Exception):
    """The server does not switch to a WebSocket; it answered with another status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the server answered {status} instead of 101")
        self.status = status


@dataclass(frozen=True, slots=True)
class Dial:
    """Where to, and how the server is known; server_name: in its certificate, if not the host."""

    url: str
    tls: ssl.SSLContext
    server_name: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    deadline_s: float = 30.0


class Connection(asyncio.BufferedProtocol):
    """What comes of a connection: a head of HTTP first, then frames."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self.head: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.messages: deque[Message] = deque()
        self._unread_bytes = 0
        # Set whenever something changes for the reader, for the writer.
        self.come, self._has_room = asyncio.Event(), asyncio.Event()
        self._has_room.set()
        self.why_over = ""
        self._is_paused = False
        self._begun, self._frames = bytearray(), Reader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(UNSENT_BYTES_MAX)

    def get_buffer(self, _sizehint: int) -> memoryview:
        return shared_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(shared_buffer()[:nbytes]))

    def data_received(self, data: bytes) -> None:
        if self.why_over:
            return
        try:
            if self.head.done():
                self._take(self._frames.feed(data))
            else:
                self._begin(data)
        except Malformed as error:
            self.end(f"the server sent {error}")

    def _begin(self, data: bytes) -> None:
        self._begun += data
        head, blank, rest = bytes(self._begun).partition(b"\r\n\r\n")
        if blank:
            self.head.set_result(head)
            self._take(self._frames.feed(rest))
        elif len(self._begun) > HEAD_BYTES_MAX:
            raise Malformed(f"a head of over {HEAD_BYTES_MAX} bytes")

    def _take(self, messages: Sequence[Message]) -> None:
        self.messages.extend(messages)
        self._unread_bytes += sum(len(one.content) for one in messages)
        if messages:
            self.come.set()
        if self._unread_bytes > UNREAD_BYTES_MAX and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def taken(self) -> Message:
        """Return the next message of those that there are."""
        message = self.messages.popleft()
        self._unread_bytes -= len(message.content)
        if self._is_paused and self._unread_bytes <= UNREAD_BYTES_MAX // 2 and not self.why_over:
            self._is_paused = False
            self._transport.resume_reading()
        return message

    def pause_writing(self) -> None:
        self._has_room.clear()

    def resume_writing(self) -> None:
        self._has_room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(str(exc or "the connection was closed"))

    def end(self, why: str) -> None:
        """Close; what has come may still be taken. Repeatable."""
        if self.why_over:
            return
        self.why_over = why
        self.come.set()
        self._has_room.set()
        if not self.head.done():
            self.head.set_exception(Broken(f"no connection: {self.why_over}"))
            self.head.exception()  # it may be that nobody waits for it any more
        self._transport.close()

    async def write(self, piece: bytes) -> None:
        """Send bytes, and return as soon as there is room for more. Raises: Broken."""
        if not self.why_over:
            self._transport.write(piece)
            if self._transport.is_closing():
                await asyncio.sleep(0)  # the loop is about to tell why
            await self._has_room.wait()
        if self.why_over:
            raise Broken(f"the connection broke: {self.why_over}")


class DialledWebSocket:
    """The client's end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._is_closing = False

    async def read(self, silence_s: float | None = None) -> bytes | None:
        """Return the next message; see Duplex. Without a word, or a ping, for silence_s it is over.

        Raises: Broken.
        """
        while True:
            message = await self._next(silence_s)
            match message.opcode:
                case Opcode.PING:
                    # Here and no earlier: a pong says that all before it has been read.
                    await self._send(Opcode.PONG, message.content)
                case Opcode.PONG:
                    pass
                case Opcode.CLOSE:
                    if not self._is_closing:
                        self._is_closing = True
                        with suppress(Broken):
                            await self._send(Opcode.CLOSE, message.content[:2])
                    return None
                case _:
                    return message.content

    async def _next(self, silence_s: float | None) -> Message:
        connection = self._connection
        try:
            async with asyncio.timeout(silence_s):
                while not connection.messages:
                    if connection.why_over:
                        raise Broken(f"the connection broke: {connection.why_over}")
                    connection.come.clear()
                    await connection.come.wait()
        except TimeoutError as error:
            raise Broken(f"nothing was heard for {silence_s} s") from error
        return connection.taken()

    async def write(self, piece: bytes) -> None:
        """Send a message. Raises: Broken."""
        if self._is_closing:
            raise Broken("the connection is closing")
        await self._send(Opcode.BINARY, piece)

    async def _send(self, opcode: Opcode, content: bytes) -> None:
        await self._connection.write(frame_of(opcode, content))

    async def finish(self) -> None:
        """Close in good order; what the other side still sends is dropped."""
        with suppress(Broken, TimeoutError):
            # Where the server reads nothing any more, it is not told either.
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                if not self._is_closing:
                    self._is_closing = True
                    await self._send(Opcode.CLOSE, CLOSED_IN_ORDER)
                    while (await self._next(None)).opcode is not Opcode.CLOSE:
                        pass
        self._connection.end("it was closed here")


@asynccontextmanager
async def dialled(dial: Dial, protocols: Sequence[str]) -> AsyncIterator[DialledWebSocket]:
    """Open a WebSocket to a server, and close it with the context.

    Raises: Broken: no connection. HandshakeRefused.
    """
    scheme, _, rest = dial.url.partition("://")
    authority, slash, target = rest.partition("/")
    host, colon, port = authority.rpartition(":")
    if scheme != "https" or not colon or not port.isdecimal():
        raise Broken(f"no connection: {authority!r} must be https://address:port")
    host = host.strip("[]")
    loop = asyncio.get_running_loop()
    connection: Connection | None = None
    try:
        async with asyncio.timeout(dial.deadline_s):
            _, connection = await loop.create_connection(
                Connection, host, int(port), ssl=dial.tls, server_hostname=dial.server_name or host
            )
            await shake_hands(connection, authority, slash + target, dial.headers, protocols)
    except (OSError, TimeoutError) as error:
        if connection is not None:
            connection.end("it was given up")
        raise Broken(f"no connection: {error}") from error
    except BaseException:
        if connection is not None:
            connection.end("it was given up")
        raise
    socket = DialledWebSocket(connection)
    try:
        yield socket
    finally:
        await socket.finish()


async def shake_hands(
    connection: Connection,
    authority: str,
    target: str,
    headers: Mapping[str, str],
    protocols: Sequence[str],
) -> None:
    """Ask for a WebSocket, by RFC 6455, 4.1. Raises: Broken, HandshakeRefused."""
    key = base64.b64encode(os.urandom(16))
    lines = {
        "Host": authority,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": key.decode(),
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": ", ".join(protocols),
        **headers,
    }
    head = [f"GET {target or '/'} HTTP/1.1", *(f"{name}: {text}" for name, text in lines.items())]
    if any("\r" in line or "\n" in line for line in head) or target.split() != [target]:
        raise Broken("no connection: a request's head holds a blank or a line end")
    await connection.write("\r\n".join([*head, "", ""]).encode("latin-1"))
    first, *rest = (await connection.head).decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if not words[0].startswith("HTTP/1.") or not words[1:] or not words[1].isdecimal():
        raise Broken(f"no connection: it speaks no HTTP/1.1: {first[:40]!r}")
    if words[1] != "101":
        raise HandshakeRefused(int(words[1]))
    answer = {
        name.strip().lower(): text.strip() for name, _, text in (one.partition(":") for one in rest)
    }
    proof = base64.b64encode(hashlib.sha1(key + _MAGIC, usedforsecurity=False).digest()).decode()
    if (
        answer.get("upgrade", "").lower() != "websocket"
        or answer.get("sec-websocket-accept") != proof
        or answer.get("sec-websocket-protocol") not in protocols
    ):
        raise Broken("no connection: the server's handshake is not that of a WebSocket")
