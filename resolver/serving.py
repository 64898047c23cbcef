"""Questions by UDP and TCP on one address, each answered at once or by the forwarder later."""

import asyncio
import socket
from contextlib import suppress

from cubernetes.host.log import Log
from resolver.answers.wire import MESSAGE_BYTES_MAX, Query, Refusal, Sections, built, parsed
from resolver.answers.zone import Zone
from resolver.counts import Counts
from resolver.forwarding.forwarder import Forwarder
from resolver.shares import Shares

log = Log(__name__)

BATCH_MAX = 64  # datagrams that are read before other work of the loop has its turn
DATAGRAM_BYTES_MAX = 4096  # a question has at most 255 bytes of name, and an OPT record
RECEIVE_BUFFER_BYTES = 1 << 20
CONNECTIONS_MAX = 128
IDLE_S = 10.0  # of a TCP connection between two questions
WRITE_S = 5.0


class Answers:
    """What is said to a question: at once, or after others were asked."""

    def __init__(self, zone: Zone, forwarder: Forwarder, counts: Counts) -> None:
        self.zone, self._forwarder, self._counts = zone, forwarder, counts

    def at_once(self, message: bytes, *, is_stream: bool) -> "bytes | Later | None":
        """Return an answer, or what it waits for; None where nothing is to be said."""
        query = parsed(message)
        if query is None:
            return None
        if isinstance(query, Refusal):
            return query.answer
        sections = self.zone.answer(query)
        if sections is not None and not sections.onwards:
            return built(query, sections, 0 if is_stream else query.size_bytes)
        if sections is None:
            kept = self._forwarder.kept(query, is_stream=is_stream)
            if kept is not None:
                return kept
        return Later(query, sections)

    async def later(self, later: "Later", source: str, *, is_stream: bool) -> bytes:
        """Return an answer that others are asked for. source: the client's address."""
        if later.alias is None:
            return await self._forwarder.answer(later.query, source, is_stream=is_stream)
        query, alias = later.query, later.alias
        return await self._forwarder.completed(query, alias, source, is_stream=is_stream)

    def sent(self, answer: bytes) -> None:
        self._counts.answered(answer)

    def unsent(self) -> None:
        self._counts.silent.inc()


class Later:
    """A question for others. alias: where a name of ours leads to theirs."""

    __slots__ = ("alias", "query")

    def __init__(self, query: Query, alias: Sections | None) -> None:
        self.query, self.alias = query, alias


class Datagrams:
    """The UDP side: a socket that is read in batches."""

    def __init__(self, own: socket.socket, answers: Answers) -> None:
        self._own, self._answers = own, answers
        self._waiting: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Answer until cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._own.fileno(), self._read)
        try:
            await loop.create_future()
        finally:
            loop.remove_reader(self._own.fileno())
            for task in self._waiting:
                task.cancel()

    def _read(self) -> None:
        for _ in range(BATCH_MAX):
            try:
                message, client = self._own.recvfrom(DATAGRAM_BYTES_MAX)
            except OSError:  # nothing more to read, or news of a client that is gone
                return
            answer = self._answers.at_once(message, is_stream=False)
            if isinstance(answer, Later):
                task = asyncio.create_task(self._follow(answer, client))
                self._waiting.add(task)
                task.add_done_callback(self._waiting.discard)
            else:
                self._send(answer, client)

    async def _follow(self, later: Later, client: tuple[str, int]) -> None:
        self._send(await self._answers.later(later, client[0], is_stream=False), client)

    def _send(self, answer: bytes | None, client: tuple[str, int]) -> None:
        if answer is None:
            self._answers.unsent()
            return
        try:
            self._own.sendto(answer, client)
        except OSError:
            # A client that is gone, or a full buffer: it asks again.
            self._answers.unsent()
        else:
            self._answers.sent(answer)


class Streams:
    """The TCP side: questions of one connection are answered in turn."""

    def __init__(self, own: socket.socket, answers: Answers) -> None:
        self._own, self._answers = own, answers
        self._shares = Shares(CONNECTIONS_MAX)

    async def run(self) -> None:
        """Answer until cancelled."""
        server = await asyncio.start_server(self._serve, sock=self._own)
        async with server:
            await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that has gone already has no name.
        source = (writer.get_extra_info("peername") or ("", 0))[0]
        if not self._shares.take(source):
            writer.close()
            return
        try:
            with suppress(asyncio.IncompleteReadError, TimeoutError, OSError):
                while await self._turn(reader, writer, source):
                    pass
        finally:
            self._shares.give_back(source)
            writer.close()

    async def _turn(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: str
    ) -> bool:
        """Answer one question; False where the connection is to end."""
        async with asyncio.timeout(IDLE_S):
            size_bytes = int.from_bytes(await reader.readexactly(2))
            message = await reader.readexactly(size_bytes)
        answer = self._answers.at_once(message, is_stream=True)
        if isinstance(answer, Later):
            answer = await self._answers.later(answer, source, is_stream=True)
        if answer is None:
            self._answers.unsent()
            return False
        writer.write(len(answer).to_bytes(2) + answer[:MESSAGE_BYTES_MAX])
        async with asyncio.timeout(WRITE_S):
            await writer.drain()
        self._answers.sent(answer)
        return True


def bound(address: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """Return a socket of this address. Raises: OSError: it is not ours, or is taken."""
    own = socket.socket(socket.AF_INET, kind)
    try:
        own.setblocking(False)
        if kind is socket.SOCK_STREAM:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        own.bind((address, port))
        if kind is socket.SOCK_STREAM:
            own.listen(CONNECTIONS_MAX)
    except OSError:
        own.close()
        raise
    return own
