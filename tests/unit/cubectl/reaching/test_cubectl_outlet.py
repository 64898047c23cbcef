"""What a command says on its way to our files: all of it, in order, and little of it held."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cubectl.connection.outlet import HELD_BYTES_MAX, Outlet
from cubernetes.host.blocking import Threads

DEADLINE_S = 60.0
MEGABYTE = 1024 * 1024


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for file in (reader, writer):
        try:
            os.close(file)
        except OSError:
            continue  # the test has closed it


async def read_all(reader: int, size: int) -> bytearray:
    """Read so many bytes on a thread of their own."""
    threads, found = Threads(), bytearray()
    while len(found) < size:
        found += await threads.run(("test", "read"), lambda: os.read(reader, MEGABYTE))
    return found


async def test_pieces_are_written_in_their_order_whatever_came_while_one_was_written(
    pipe: tuple[int, int],
) -> None:
    reader, writer = pipe
    outlet = Outlet(Threads())
    pieces = [bytes([count % 256]) * (count * 37 % 70_000) for count in range(200)]
    whole = b"".join(pieces)
    async with asyncio.timeout(DEADLINE_S):
        reading = asyncio.create_task(read_all(reader, len(whole)))
        for piece in pieces:
            await outlet.put(writer, piece)
        await outlet.empty()
        assert await reading == whole


async def test_the_last_piece_waits_for_no_other(pipe: tuple[int, int]) -> None:
    """What was put while another was being written is written when that is done."""
    reader, writer = pipe
    outlet = Outlet(Threads())
    async with asyncio.timeout(DEADLINE_S):
        await outlet.put(writer, bytes(MEGABYTE // 2))  # more than a pipe holds: it is not done
        await outlet.put(writer, b"last")
        assert (await read_all(reader, MEGABYTE // 2 + 4))[-4:] == b"last"


async def test_files_take_turns_as_their_pieces_do(
    tmp_path: Path,
) -> None:
    path = tmp_path / "both"
    with path.open("ab") as one, path.open("ab") as other:
        outlet = Outlet(Threads())
        for at in range(50):
            await outlet.put((one, other)[at % 2].fileno(), b"%d\n" % at)
        async with asyncio.timeout(DEADLINE_S):
            await outlet.empty()
    assert path.read_bytes().split() == [b"%d" % at for at in range(50)]


async def test_who_is_not_read_is_given_no_more_than_may_be_held(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    outlet = Outlet(Threads())
    taken = 0

    async def put() -> None:
        nonlocal taken
        for _ in range(64):
            await outlet.put(writer, bytes(HELD_BYTES_MAX // 4))
            taken += 1

    putting = asyncio.create_task(put())
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if outlet.is_full:
                break
            await asyncio.sleep(0)
    assert taken <= 9  # what is being written, what is held, and the one that waits
    async with asyncio.timeout(DEADLINE_S):
        await read_all(reader, 16 * HELD_BYTES_MAX)
        await putting
    assert taken == 64


async def test_a_reader_that_has_gone_is_told_to_who_puts(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.close(reader)
    outlet = Outlet(Threads())
    await outlet.put(writer, b"x")
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(BrokenPipeError):
            await outlet.empty()
    with pytest.raises(BrokenPipeError):
        await outlet.put(writer, b"y")
