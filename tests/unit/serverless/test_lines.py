"""Lines to instances: an answer is understood however its bytes are cut."""

import asyncio
import itertools
import socket
import time
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverless.envelope import FULL, RAN, Misread, RawAnswer, result_of
from serverless.lines import Broken, Line, NoLines, NotOpened, Refused
from serverless.runtime import wire

OPENED = wire.answer_bytes(200, b"", "text/plain")
SPAN_S = 600.0


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_ended = False

    def write(self, data: object) -> None:
        self.written.append(cast(bytes, data))

    def is_closing(self) -> bool:
        return self.is_ended

    def abort(self) -> None:
        self.is_ended = True


async def a_line() -> tuple[Line, Wire]:
    line, far = Line("key", asyncio.get_running_loop()), Wire()
    line.connection_made(far)
    return line, far


@given(body=st.binary(max_size=60), log=st.binary(max_size=20), cuts=st.lists(st.integers(0, 200)))
def test_answers_are_the_same_however_they_are_cut(
    body: bytes, log: bytes, cuts: list[int]
) -> None:
    first = wire.answer_frame(RAN, b'{"outcome":"ok"}', body, log, 1.5)
    content = OPENED + first
    places = sorted({min(cut, len(content)) for cut in cuts} | {0, len(content)})

    async def asked() -> tuple[RawAnswer, RawAnswer]:
        line, _ = await a_line()
        asking = asyncio.ensure_future(line.ask(b"call", SPAN_S))
        await asyncio.sleep(0)
        for begin, end in itertools.pairwise(places):
            line.data_received(content[begin:end])
        one = await asking
        asking = asyncio.ensure_future(line.ask(b"call", SPAN_S))
        await asyncio.sleep(0)
        line.data_received(wire.answer_frame(FULL, b"", b"", b"", 0.0))
        return one, await asking

    one, other = asyncio.run(asked())

    assert one == RawAnswer(RAN, b'{"outcome":"ok"}', body, log, 1.5)
    assert other == RawAnswer(FULL, b"", b"", b"", 0.0)


@pytest.mark.parametrize(
    ("came", "error", "why"),
    [
        (wire.answer_bytes(403, b"another key", "text/plain"), Refused, "403"),
        (wire.answer_bytes(404, b"nothing is here", "text/plain"), NoLines, "404"),
        (b"x" * 20_000, Broken, "a head without an end"),
        (OPENED + b"\0" + b"\xff" * 20, Broken, "bytes"),
        (OPENED + wire.answer_frame(RAN, b"", b"", b"", 0.0) + b"more", Broken, "more than"),
    ],
)
async def test_what_is_no_answer_ends_the_line_and_says_why(
    came: bytes, error: type[Exception], why: str
) -> None:
    line, _ = await a_line()
    asking = asyncio.ensure_future(line.ask(b"call", SPAN_S))
    await asyncio.sleep(0)

    line.data_received(came)

    with pytest.raises(error, match=why):
        await asking
    assert not line.is_alive


async def test_an_answer_to_nothing_ends_the_line() -> None:
    line, _ = await a_line()

    line.data_received(OPENED + wire.answer_frame(RAN, b"", b"", b"", 0.0))

    assert not line.is_alive


async def test_a_line_that_ends_loses_its_call_and_takes_no_other() -> None:
    line, _ = await a_line()
    asking = asyncio.ensure_future(line.ask(b"call", SPAN_S))
    await asyncio.sleep(0)

    line.connection_lost(None)

    with pytest.raises(Broken, match="it was closed"):
        await asking
    # That one was surely not sent: another instance may run it.
    with pytest.raises(NotOpened, match="before the call was sent"):
        await line.ask(b"call", SPAN_S)


async def test_who_gives_a_call_up_ends_its_line() -> None:
    line, far = await a_line()
    asking = asyncio.ensure_future(line.ask(b"call", SPAN_S))
    await asyncio.sleep(0)

    asking.cancel()
    await asyncio.wait([asking])

    assert far.is_ended
    assert far.written[1:] == [b"call"]


@pytest.mark.parametrize(
    "head", [b"{", b"[]", b'{"outcome": "none"}', b'{"outcome": "ok", "x": ' + b"[" * 100_000]
)
def test_a_result_that_is_none_is_misread(head: bytes) -> None:
    with pytest.raises(Misread):
        result_of(RawAnswer(RAN, head, b"", b"", 0.0))


def test_a_worker_that_says_too_little_keeps_its_door_no_longer_than_the_deadline() -> None:
    door, worker = socket.socketpair()
    with door, worker:
        # Where the deadline is not kept, this ends the test.
        door.settimeout(SPAN_S / 10)
        worker.sendall(b"\0" * (wire.LENGTHS.size - 1))

        with pytest.raises(wire.Late):
            wire.read_raw(door, 100, time.monotonic() + 1.0)


def test_a_worker_may_say_its_lengths_in_pieces() -> None:
    door, worker = socket.socketpair()
    with door, worker:
        said = wire.packed({"a": 1}, b"body")
        # Each piece is read before the next is there.
        pieces = iter([said[:3], said[3:8], said[8:]])

        class Dripping:
            def recv(self, count: int) -> bytes:
                worker.sendall(next(pieces, b""))
                return door.recv(count)

            def settimeout(self, seconds: float) -> None:
                door.settimeout(seconds)

        dripping = cast(socket.socket, Dripping())

        assert wire.read_raw(dripping, 100, time.monotonic() + SPAN_S) == (b'{"a":1}', b"body")
