"""Lines to sites, where the other end is an sshd of the test's own that answers when it is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncssh

from gpu.sites.slurm.line import SESSIONS_MAX, Address, Lines
from tests.contract.gpu.worlds import until


class Door:
    """Answers every request at once, but what readers ask: until `is_let` nothing of that."""

    def __init__(self) -> None:
        self.is_let, self.asked = asyncio.Event(), list[str]()

    async def answer(self, process: "asyncssh.SSHServerProcess[str]") -> None:
        words = process.command or ""
        self.asked.append(words)
        if words.startswith("read"):
            await self.is_let.wait()
        process.stdout.write(words)
        process.exit(0)


class AnyKey(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return False


@asynccontextmanager
async def opened(door: Door) -> AsyncIterator[Address]:
    host, ours = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=AnyKey, server_host_keys=[host],
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
