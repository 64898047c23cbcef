"""A client's WebSocket over a connection that is played."""

import asyncio
import base64
import hashlib
from collections.abc import Mapping

import pytest

from cubernetes.host.web.duplex import Broken
from cubernetes.host.web.websocket.client import (
    UNREAD_BYTES_MAX,
    Connection,
    DialledWebSocket,
    HandshakeRefused,
    shake_hands,
)
from cubernetes.host.web.websocket.frames import Opcode, frame_of

PROTOCOL = "v5.channel.k8s.io"
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Played(asyncio.Transport):
    """A connection that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.is_paused = self.is_closed = False

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.sent += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """It holds everything."""

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        assert not self.is_closed
        self.is_paused = False

    def close(self) -> None:
        assert not self.is_closed, "asyncio's own breaks where it is closed twice"
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


def a_server_frame(opcode: int, content: bytes) -> bytes:
    if len(content) < 126:
        return bytes((0x80 | opcode, len(content))) + content
    return bytes((0x80 | opcode, 127)) + len(content).to_bytes(8) + content


def begun() -> tuple[Connection, Played]:
    connection, transport = Connection(), Played()
    connection.connection_made(transport)
    return connection, transport


async def met(
    headers: Mapping[str, str] | None = None, status: str = "101 Switching", behind: bytes = b""
) -> tuple[Connection, Played]:
    """Shake hands with a server that answers so, and sends this right behind its head."""
    connection, transport = begun()
    shaking = asyncio.create_task(
        shake_hands(connection, "host:6443", "/exec?command=ls", {"X-Word": "a"}, (PROTOCOL,))
    )
    await asyncio.sleep(0)  # it writes at once, and waits for an answer
    (key,) = (
        line.split(b": ")[1]
        for line in transport.sent.split(b"\r\n")
        if line.startswith(b"Sec-WebSocket-Key")
    )
    lines = {
        "Upgrade": "WebSocket",
        "Sec-Websocket-Accept": base64.b64encode(hashlib.sha1(key + MAGIC).digest()).decode(),  # noqa: S324  it is RFC 6455's
        "Sec-WebSocket-Protocol": PROTOCOL,
        **(headers or {}),
    }
    answer = "\r\n".join([f"HTTP/1.1 {status}", *(f"{k}: {v}" for k, v in lines.items()), "", ""])
    head = answer.encode()
    connection.data_received(head[:20])
    connection.data_received(head[20:] + behind)
    await shaking
    transport.sent = b""
    return connection, transport


async def test_what_comes_right_behind_the_head_is_read() -> None:
    connection, _ = await met(behind=a_server_frame(Opcode.BINARY, b"\x01early"))

    assert await DialledWebSocket(connection).read() == b"\x01early"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Websocket-Accept": "another"},
        {"Upgrade": "h2c"},
        {"Sec-WebSocket-Protocol": "another"},
    ],
)
async def test_a_handshake_that_proves_nothing_is_refused(headers: Mapping[str, str]) -> None:
    with pytest.raises(Broken, match="handshake"):
        await met(headers)


async def test_another_status_is_told() -> None:
    with pytest.raises(HandshakeRefused) as refused:
        await met(status="403 Forbidden")

    assert refused.value.status == 403


async def test_what_speaks_no_http_is_told() -> None:
    connection, _ = begun()
    connection.data_received(b"SSH-2.0-server\r\n\r\n")

    with pytest.raises(Broken, match="speaks no HTTP"):
        await shake_hands(connection, "host:1", "/", {}, (PROTOCOL,))


async def test_a_ping_is_answered_where_it_is_read_and_no_earlier() -> None:
    connection, transport = await met()
    socket = DialledWebSocket(connection)
    connection.data_received(
        a_server_frame(Opcode.BINARY, b"a")
        + a_server_frame(Opcode.PING, b"end")
        + a_server_frame(Opcode.BINARY, b"b")
    )

    assert await socket.read() == b"a"
    assert transport.sent == b""
    assert await socket.read() == b"b"
    assert transport.sent == frame_of(Opcode.PONG, b"end")


async def test_who_does_not_read_stops_the_other_side() -> None:
    connection, transport = await met()
    socket = DialledWebSocket(connection)
    piece = b"x" * (UNREAD_BYTES_MAX // 2 + 1)

    connection.data_received(a_server_frame(Opcode.BINARY, piece))
    assert not transport.is_paused
    connection.data_received(a_server_frame(Opcode.BINARY, piece))
    assert transport.is_paused

    assert await socket.read() == piece
    assert await socket.read() == piece
    assert not transport.is_paused


async def test_a_writer_waits_until_there_is_room() -> None:
    connection, _ = await met()
    connection.pause_writing()
    writing = asyncio.create_task(DialledWebSocket(connection).write(b"a"))
    await asyncio.sleep(0)
    assert not writing.done()

    connection.resume_writing()

    await writing


async def test_a_connection_that_is_lost_ends_reader_and_writer() -> None:
    connection, _ = await met()
    socket = DialledWebSocket(connection)
    connection.pause_writing()
    reading, writing = asyncio.create_task(socket.read()), asyncio.create_task(socket.write(b"a"))
    await asyncio.sleep(0)

    connection.connection_lost(ConnectionResetError("reset"))

    for task in (reading, writing):
        with pytest.raises(Broken, match="reset"):
            await task


async def test_what_came_before_the_end_is_still_read() -> None:
    connection, _ = await met()
    connection.data_received(a_server_frame(Opcode.BINARY, b"last"))
    connection.connection_lost(None)
    socket = DialledWebSocket(connection)

    assert await socket.read() == b"last"
    with pytest.raises(Broken):
        await socket.read()


async def test_a_close_is_answered_once_and_is_the_end() -> None:
    connection, transport = await met()
    socket = DialledWebSocket(connection)
    connection.data_received(a_server_frame(Opcode.CLOSE, b"\x03\xe8bye"))

    assert await socket.read() is None
    await socket.finish()

    assert transport.sent == frame_of(Opcode.CLOSE, b"\x03\xe8")
    assert transport.is_closed


async def test_whoever_finishes_drops_what_still_comes() -> None:
    connection, transport = await met()
    finishing = asyncio.create_task(DialledWebSocket(connection).finish())
    await asyncio.sleep(0)
    connection.data_received(
        a_server_frame(Opcode.BINARY, b"late") + a_server_frame(Opcode.CLOSE, b"\x03\xe8")
    )

    await finishing

    assert transport.sent == frame_of(Opcode.CLOSE, b"\x03\xe8")
    assert transport.is_closed


async def test_a_frame_that_cannot_be_breaks_the_connection() -> None:
    connection, transport = await met()
    connection.data_received(b"\x83\x00")

    with pytest.raises(Broken, match="unknown kind"):
        await DialledWebSocket(connection).read()
    assert transport.is_closed


async def test_silence_is_the_end() -> None:
    connection, _ = await met()

    with pytest.raises(Broken, match="nothing was heard"):
        await DialledWebSocket(connection).read(0)
