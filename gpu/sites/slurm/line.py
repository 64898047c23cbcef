"""Lines to sites: ssh, with a key of ours and the site's own key pinned; nothing else is tried.

By asyncssh and not by the system's ssh: no process for each request, and the private key never lies
in a file.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import asyncssh

from cubernetes.host.log import Log
from gpu.driver import SiteTrouble

log = Log(__name__)
# It tells of each session and of each request in them.
asyncssh.set_log_level("WARNING")

CONNECT_S, REQUEST_S = 15.0, 60.0
KEEPALIVE_S, KEEPALIVES_MAX = 5, 3
# A line that is idle for so long is closed. A site that is there is asked more often.
IDLE_S = 60.0
ANSWER_BYTES_MAX = 32 << 20
CHUNK_BYTES = 64 << 10
# An sshd that was not told otherwise opens ten sessions for one connection (MaxSessions).
SESSIONS_MAX = 8
# Outputs of one site that are followed at once, over connections of their own.
FOLLOWERS_MAX = 64
READERS = "#readers"  # no name of a site has such an end
MORE = 3  # the exit code of cube-site where an output may go on, and is to be asked for again


class Address(NamedTuple):
    """Where a site is, and by what it is known. Another one is another line."""

    host: str
    port: int
    user: str
    host_keys: tuple[str, ...]
    private_key: str


class NotOver(Exception):
    """A site lets go of who has followed an output for an hour; more of it may come."""


class Answer(NamedTuple):
    code: int
    stdout: bytes
    stderr: str


class Lines:
    """A warm connection to each site for the program and one for readers, made when it is needed
    and closed when it is idle; and others for followers."""

    def __init__(self, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        # Requests that are under way; the ends of those lines that have none.
        self._asking = Counter[str]()
        self._ends: dict[str, asyncio.TimerHandle] = {}
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._followers = Counter[str]()
        self._open: dict[str, tuple[Address, asyncssh.SSHClientConnection]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def ask(self, name: str, address: Address, words: str, stdin: bytes = b"") -> Answer:
        """Have a site carry out a request. Raises: SiteTrouble."""
        with self._warm(name):
            line = await self._line(name, address)
            turn = self._turns.setdefault(name, asyncio.Semaphore(SESSIONS_MAX))
            try:
                async with turn, asyncio.timeout(REQUEST_S):
                    return await _asked(line, words, stdin)
            except (OSError, asyncssh.Error, TimeoutError) as error:
                self._drop(name, line)
                raise SiteTrouble(f"{address.host}: {_why(error)}") from error

    async def read(self, name: str, address: Address, words: str) -> Answer:
        """Have a site tell what its readers want to know, over a line of their own: however many
        they are, they keep no request of the program's waiting. Raises: SiteTrouble.
        """
        return await self.ask(f"{name}{READERS}", address, words)

    async def follow(self, name: str, address: Address, words: str) -> AsyncGenerator[bytes, None]:
        """Yield nothing as soon as a request is under way, then its answer as it comes.

        The window of the connection is all that is kept for a reader that is slow.

        Raises: NotOver; SiteTrouble: also where the request ends with another code than 0.
        """
        with self._seat(name, address) as own:
            line = await self._line(own, address)
            try:
                async with line.create_process(words, encoding=None) as process:
                    yield b""
                    while part := await process.stdout.read(CHUNK_BYTES):
                        yield part
                    said = await _all(process.stderr)
                    await process.wait_closed()
                    code = process.returncode
            except (OSError, asyncssh.Error) as error:
                self._drop(own, line)
                raise SiteTrouble(f"{address.host}: {_why(error)}") from error
        if code == MORE:
            raise NotOver
        if code:
            raise SiteTrouble(f"{address.host}: {said.decode(errors='replace').strip()}")

    @contextmanager
    def _warm(self, name: str) -> Iterator[None]:
        """Keep a line while it is asked over, and as long after as it may be idle."""
        if (end := self._ends.pop(name, None)) is not None:
            end.cancel()
        self._asking[name] += 1
        try:
            yield
        finally:
            self._asking[name] -= 1
            if not self._asking[name]:
                loop = asyncio.get_running_loop()
                self._ends[name] = loop.call_later(self._idle_s, self._forget, name)

    @contextmanager
    def _seat(self, name: str, address: Address) -> Iterator[str]:
        """Have one of the sessions of a line for followers; the last who leaves closes the line."""
        seats = (f"{name}#{index}" for index in range(FOLLOWERS_MAX // SESSIONS_MAX))
        own = next((one for one in seats if self._followers[one] < SESSIONS_MAX), None)
        if own is None:
            raise SiteTrouble(f"{address.host}: {FOLLOWERS_MAX} outputs are followed already")
        self._followers[own] += 1
        try:
            yield own
        finally:
            self._followers[own] -= 1
            if not self._followers[own]:
                del self._followers[own]
                self._forget(own)

    async def close(self) -> None:
        for end in self._ends.values():
            end.cancel()
        self._ends.clear()
        lines = [line for _, line in self._open.values()]
        self._open.clear()
        for line in lines:
            line.abort()
        await asyncio.gather(*(line.wait_closed() for line in lines), return_exceptions=True)

    async def _line(self, name: str, address: Address) -> asyncssh.SSHClientConnection:
        async with self._locks.setdefault(name, asyncio.Lock()):
            known = self._open.get(name)
            if known is not None:
                if known[0] == address and not known[1].is_closed():
                    return known[1]
                self._drop(name, known[1])
            line = await _connected(address)
            self._open[name] = address, line
            log.info("a line is open", site=name, host=address.host)
            return line

    def _forget(self, name: str) -> None:
        """Close a line that nobody uses, and keep nothing of it: its site may be gone."""
        for kept in (self._ends, self._asking, self._turns, self._locks):
            kept.pop(name, None)
        if name in self._open:
            self._drop(name, self._open[name][1])

    def _drop(self, name: str, line: asyncssh.SSHClientConnection) -> None:
        if name in self._open and self._open[name][1] is line:
            del self._open[name]
        line.abort()


async def _connected(address: Address) -> asyncssh.SSHClientConnection:
    """Raises: SiteTrouble: also where the host shows another key than those that are pinned."""
    try:
        pinned = [asyncssh.import_public_key(one) for one in address.host_keys]
        key = asyncssh.import_private_key(address.private_key)
    except (asyncssh.KeyImportError, ValueError) as error:
        raise SiteTrouble(f"a key cannot be read: {error}") from error
    try:
        async with asyncio.timeout(CONNECT_S):
            return await asyncssh.connect(
                address.host,
                address.port,
                username=address.user,
                client_keys=[key],
                known_hosts=(pinned, [], []),
                # Nothing of this machine's own: no file of keys or settings, no agent.
                config=None,
                agent_path=None,
                preferred_auth="publickey",
                keepalive_interval=KEEPALIVE_S,
                keepalive_count_max=KEEPALIVES_MAX,
            )
    except asyncssh.HostKeyNotVerifiable as error:
        told = f"{address.host} does not have the key that is pinned in spec.slurm.hostKeys"
        raise SiteTrouble(f"{told}; nothing was sent: {error}") from error
    except (OSError, asyncssh.Error, TimeoutError) as error:
        raise SiteTrouble(f"{address.host}: {_why(error)}") from error


async def _asked(line: asyncssh.SSHClientConnection, words: str, stdin: bytes) -> Answer:
    async with line.create_process(words, encoding=None) as process:
        # A site may refuse a request before it has read all of it.
        try:
            process.stdin.write(stdin)
            process.stdin.write_eof()
        except (BrokenPipeError, ConnectionResetError):
            log.debug("the request was not read to its end", words=words)
        out, said = await asyncio.gather(_all(process.stdout), _all(process.stderr))
        await process.wait_closed()
        code = process.returncode
    if code is None:
        raise asyncssh.ConnectionLost("it did not say how the request ended")
    return Answer(code, out, said.decode(errors="replace").strip())


async def _all(stream: "asyncssh.SSHReader[bytes]") -> bytes:
    parts, length = [], 0
    while part := await stream.read(CHUNK_BYTES):
        parts.append(part)
        if (length := length + len(part)) > ANSWER_BYTES_MAX:
            raise asyncssh.ConnectionLost(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
    return b"".join(parts)


def _why(error: BaseException) -> str:
    return str(error) or f"no answer in time ({type(error).__name__})"
