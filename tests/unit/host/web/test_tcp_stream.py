"""A TCP connection for many bytes: nothing is lost, and it ends on one side at a time."""

import asyncio
import hashlib
import os
import socket
from collections.abc import Callable, Coroutine

import pytest
import uvloop

from cubernetes.host.web.duplex import Broken
from cubernetes.host.web.sockets import UNREAD_BYTES_MAX, TcpStream

PIECE = os.urandom(300_001)
COUNT = 40
DEADLINE_S = 60.0


type Run = Callable[[Coroutine[None, None, None]], None]
type Scenario = Callable[[TcpStream, TcpStream], Coroutine[None, None, None]]

# The command line's loop, and that of the programs.
pytestmark = pytest.mark.parametrize("run", [asyncio.run, uvloop.run])


async def with_ends(scenario: Scenario) -> None:
    """Play a scenario with both ends of a connection."""
    loop = asyncio.get_running_loop()
    made: list[TcpStream] = []
    for one in socket.socketpair():
        one.setblocking(False)
        _, stream = await loop.create_connection(TcpStream, sock=one)
        made.append(stream)
    async with asyncio.timeout(DEADLINE_S):
        await scenario(made[0], made[1])
    for stream in made:
        stream.abort()


async def all_of(stream: TcpStream) -> bytes:
    text = bytearray()
    while (piece := await stream.read()) is not None:
        text += piece
    return bytes(text)


async def given(stream: TcpStream) -> None:
    for _ in range(COUNT):
        await stream.write(PIECE)
    await stream.finish()


def test_both_directions_at_once_lose_nothing_and_end_one_by_one(run: Run) -> None:
    async def scenario(near: TcpStream, far: TcpStream) -> None:
        """Both ends read into the same buffer of the loop."""
        told = await asyncio.gather(all_of(near), all_of(far), given(near), given(far))
        wanted = hashlib.sha256(PIECE * COUNT).digest()
        assert [hashlib.sha256(one).digest() for one in told[:2]] == [wanted, wanted]
        assert await near.read() is None

    run(with_ends(scenario))


def test_after_its_end_a_side_still_hears_the_other(run: Run) -> None:
    async def scenario(near: TcpStream, far: TcpStream) -> None:
        await near.finish()
        assert await far.read() is None
        await far.write(b"the rest")
        assert await near.read() == b"the rest"

    run(with_ends(scenario))


def test_who_does_not_read_holds_up_the_other_side(run: Run) -> None:
    async def scenario(near: TcpStream, far: TcpStream) -> None:
        giving = asyncio.create_task(given(near))
        done, _ = await asyncio.wait((giving,), timeout=0.5)
        assert not done
        first = await far.read()
        assert first is not None
        assert len(first) <= UNREAD_BYTES_MAX
        assert first + await all_of(far) == PIECE * COUNT
        await giving

    run(with_ends(scenario))


def test_what_is_broken_off_is_told_on_both_sides(run: Run) -> None:
    async def scenario(near: TcpStream, far: TcpStream) -> None:
        giving = asyncio.create_task(given(near))
        await far.read()
        far.abort()
        with pytest.raises(Broken):
            await giving
        with pytest.raises(Broken):
            await near.write(b"more")
        with pytest.raises(Broken):
            await asyncio.wait_for(all_of(far), DEADLINE_S)

    run(with_ends(scenario))
