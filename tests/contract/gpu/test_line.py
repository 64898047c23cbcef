"""Lines to sites, where the other end is an sshd of the test's own that answers when it is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import asyncssh

from gpu.sites.slurm.line import SESSIONS_MAX, Address, Lines
from tests.contract.gpu.worlds import until


class Door:
    """Answers every request at once, but what readers ask: until `is_let` nothing of that."""

    def __init__(self) -> None:
        self.is_let, self.asked = asyncio.Event(), list[str]()
        self.open_count = self.opened_count = 0

    async def answer(self, process: "asyncssh.SSHServerProcess[str]") -> None:
        words = process.command or ""
        self.asked.append(words)
        if words.startswith("read"):
            await self.is_let.wait()
        process.stdout.write(words)
        process.exit(0)


class AnyKey(asyncssh.SSHServer):
    def __init__(self, door: Door) -> None:
        self._door = door

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._door.open_count += 1
        self._door.opened_count += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.open_count -= 1

    def begin_auth(self, username: str) -> bool:
        return False


@asynccontextmanager
async def opened(door: Door) -> AsyncIterator[Address]:
    host, ours = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=partial(AnyKey, door), server_host_keys=[host],
        process_factory=door.answer,
    )  # fmt: skip
    async with server:
        known = host.export_public_key().decode().strip()
        private = ours.export_private_key().decode()
        yield Address("127.0.0.1", server.get_port(), "hpc", (known,), private)


async def test_however_many_read_outputs_the_program_is_answered() -> None:
    door, lines = Door(), Lines()
    async with opened(door) as address, asyncio.TaskGroup() as tasks:
        readers = [
            tasks.create_task(lines.read("a", address, f"read 0-{one} out 0"))
            for one in range(5 * SESSIONS_MAX)
        ]

        async def is_full() -> bool:
            return len(door.asked) == SESSIONS_MAX

        await until(is_full)
        async with asyncio.timeout(60):
            told = await asyncio.gather(
                *(lines.ask("a", address, f"states {one}") for one in range(3 * SESSIONS_MAX))
            )
        assert {one.code for one in told} == {0}
        assert not any(one.done() for one in readers)
        assert sum(1 for one in door.asked if one.startswith("read")) == SESSIONS_MAX
        door.is_let.set()
        told = await asyncio.gather(*readers)
        assert {one.stdout for one in told} == {b"read 0-%d out 0" % one for one in range(40)}
        await lines.close()


async def test_lines_that_nobody_uses_are_closed_and_are_made_again_when_they_are_needed() -> None:
    door, lines = Door(), Lines(idle_s=0)
    door.is_let.set()

    async def is_closed() -> bool:
        return not door.open_count

    async with opened(door) as address:
        for made_count in (2, 4):
            assert (await lines.ask("a", address, "states")).stdout == b"states"
            assert (await lines.read("a", address, "read 1")).stdout == b"read 1"
            await until(is_closed)
            assert door.opened_count == made_count
        await lines.close()


async def test_a_line_is_kept_while_a_request_is_under_way_and_while_it_is_used() -> None:
    door, lines = Door(), Lines(idle_s=0)
    async with opened(door) as address, asyncio.TaskGroup() as tasks:
        slow = tasks.create_task(lines.ask("a", address, "read slowly"))

        async def is_asked() -> bool:
            return bool(door.asked)

        await until(is_asked)
        for number in range(5):
            words = f"states {number}"
            assert (await lines.ask("a", address, words)).stdout == words.encode()
        door.is_let.set()
        assert (await slow).stdout == b"read slowly"
        assert door.opened_count == 1
        await lines.close()

    door, lines = Door(), Lines(idle_s=0)
    async with opened(door) as address:
        # One follows the other at once: the line is not idle between.
        for number in range(5):
            await lines.ask("a", address, f"states {number}")
        assert door.opened_count == 1
        await lines.close()
