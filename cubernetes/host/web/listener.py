"""Listening: connections are taken one by one, and counted before anything is done for them.

The loop's own server takes whatever comes, and tells of it when TLS is through. Here a connection
has its place, or none, from the moment that it is taken.
"""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable, Hashable
from typing import Any, Protocol

from cubernetes.host.log import Log
from cubernetes.host.web.doorstep import Doorstep, Room

BACKLOG = 1024
# So many are taken before the loop goes round: work that has begun is not kept waiting.
TAKEN_AT_ONCE_MAX = 32
# How long nobody is taken where the system has no descriptor left.
PAUSE_S = 1.0
# How long a client may take to say goodbye in TLS.
GOODBYE_S = 5.0
EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))

log = Log(__name__)


class Guest(Hashable, Protocol):
    """A connection's protocol, which can be told to end it."""

    def let_go(self) -> None: ...


class Listener[G: Guest]:
    """Takes connections for a factory of protocols, as far as there is room."""

    def __init__(
        self,
        factory: Callable[[], G],
        room: Room,
        tls: ssl.SSLContext | None,
        handshake_deadline_s: float,
    ) -> None:
        self._factory, self._tls = factory, tls
        self._handshake_deadline_s = handshake_deadline_s
        self.doorstep: Doorstep[G] = Doorstep(room)
        self._sockets: list[socket.socket] = []
        # Connections of which the protocol has not heard yet.
        self._opening: dict[G, asyncio.Task[None]] = {}
        self._pause: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        return int(self._sockets[0].getsockname()[1])

    async def open(self, host: str, port: int) -> None:
        """Listen. Raises: OSError: the address is taken, or none of ours."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, place in dict.fromkeys((one[0], one[4]) for one in found):
                made = socket.create_server(place[:2], family=family, backlog=BACKLOG)
                made.setblocking(False)
                self._sockets.append(made)
        except OSError as error:
            self.close()
            said = os.strerror(error.errno or 0).lower()
            raise OSError(error.errno, f"{host} port {port}: {said}") from error
        self._listen()

    def close(self) -> None:
        """Take nobody any more, and let those go who have not said anything yet. Repeatable."""
        if self._pause is not None:
            self._pause.cancel()
        for one in self._sockets:
            asyncio.get_running_loop().remove_reader(one)
            one.close()
        self._sockets.clear()
        for task in list(self._opening.values()):
            task.cancel()

    def known(self, guest: G) -> None:
        self.doorstep.known(guest)

    def left(self, guest: G) -> None:
        self.doorstep.left(guest)

    def _listen(self) -> None:
        for one in self._sockets:
            asyncio.get_running_loop().add_reader(one, self._take, one)

    def _take(self, listening: socket.socket) -> None:
        for _ in range(TAKEN_AT_ONCE_MAX):
            try:
                taken, place = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as trouble:
                if trouble.errno not in EXHAUSTED:
                    raise
                self._rest(trouble)
                return
            taken.setblocking(False)
            self._let_in(taken, str(place[0]))

    def _rest(self, trouble: OSError) -> None:
        """Nobody can be taken: a look at once would find the same, for ever."""
        log.warning("no connection can be taken for a moment", trouble=trouble)
        loop = asyncio.get_running_loop()
        for one in self._sockets:
            loop.remove_reader(one)
        self._pause = loop.call_later(PAUSE_S, self._listen)

    def _let_in(self, taken: socket.socket, address: str) -> None:
        guest = self._factory()
        gone = self.doorstep.came(guest, address, asyncio.get_running_loop().time())
        if gone is guest:
            taken.close()
            return
        if gone is not None:
            self._let_go(gone)
        task = asyncio.get_running_loop().create_task(self._opened(guest, taken))
        self._opening[guest] = task
        task.add_done_callback(lambda done: self._opened_or_not(done, guest, taken))

    def _let_go(self, guest: G) -> None:
        task = self._opening.get(guest)
        if task is not None:
            task.cancel()
        else:
            guest.let_go()

    async def _opened(self, guest: G, taken: socket.socket) -> None:
        """Make a connection of a socket; its protocol hears of it when TLS is through.

        Raises: OSError: the client left, was too slow, or shows what nobody here has signed.
        """
        options: dict[str, Any] = {}
        if self._tls is not None:
            options["ssl_handshake_timeout"] = self._handshake_deadline_s
            options["ssl_shutdown_timeout"] = GOODBYE_S
        loop: Any = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: guest, taken, ssl=self._tls, **options)

    def _opened_or_not(self, done: asyncio.Task[None], guest: G, taken: socket.socket) -> None:
        del self._opening[guest]
        why = None if done.cancelled() else done.exception()
        if why is None and not done.cancelled():
            return
        self.doorstep.left(guest)
        taken.close()
        if why is not None and not isinstance(why, OSError):
            log.bug("a connection failed", why)
