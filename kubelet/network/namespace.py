"""Netlink and sysctl of a network namespace, entered for an instant and left again.

A socket belongs to the namespace in which it was made, for good; so the one thread of the process
steps over, makes the socket, and steps back. No fork, no helper process: a few microseconds.

pyroute2 speaks netlink through the event loop's own datagram transport, which uvloop has for IP
alone; `_Connection` brings a transport that any loop can carry.
"""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from kubelet.network.rtnetlink import AsyncIPRoute, CoreDatagramProtocol

SYSCTLS = Path("/proc/sys/net")
OWN = "/proc/thread-self/ns/net"  # of this thread: stepping over moves it alone


MESSAGE_BYTES_MAX = 256 << 10  # beyond what the kernel ever sends at once


class _Transport(asyncio.DatagramTransport):
    """Reads a netlink socket whenever the loop says that it can be read."""

    def __init__(self, netlink: socket.socket, protocol: asyncio.DatagramProtocol) -> None:
        super().__init__()
        self._loop, self._netlink, self._protocol = asyncio.get_running_loop(), netlink, protocol
        self._handle = netlink.fileno()
        netlink.setblocking(False)
        protocol.connection_made(self)
        self._loop.add_reader(self._handle, self._read)

    def _read(self) -> None:
        try:
            message, sender = self._netlink.recvfrom(MESSAGE_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError as error:
            self._protocol.error_received(error)
        else:
            self._protocol.datagram_received(message, sender)

    def abort(self) -> None:
        self.close()

    def close(self) -> None:
        if self._handle >= 0:
            self._loop.remove_reader(self._handle)
            self._handle = -1
            self._loop.call_soon(self._protocol.connection_lost, None)


# pyroute2 is untyped, so mypy knows nothing of the class below it.
class _Connection(AsyncIPRoute):  # type: ignore[misc]
    """pyroute2's own connection, on our transport."""

    async def setup_endpoint(self) -> None:
        if getattr(self.local, "transport", None) is None:
            self.local.protocol = CoreDatagramProtocol(
                self.connection_lost, self.enqueue, self._error_event, self.status
            )
            self.local.transport = _Transport(self.socket, self.local.protocol)


@contextmanager
def fd_of(path: str) -> Generator[int, None, None]:
    """Yield a handle of the namespace at path, which names it to the kernel."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def inside(path: str) -> Generator[None, None, None]:
    """Be in another network namespace until the block ends. The block must not await.

    Raises: OSError, where path is no network namespace (any more).
    """
    if path == OWN:
        yield
        return
    with fd_of(OWN) as here:
        with fd_of(path) as there:
            os.setns(there, os.CLONE_NEWNET)
        try:
            yield
        finally:
            os.setns(here, os.CLONE_NEWNET)


@asynccontextmanager
async def netlink(path: str) -> AsyncGenerator[AsyncIPRoute, None]:
    """Yield a netlink connection to the namespace at path.

    Raises: OSError, where path is no network namespace (any more).
    """
    with inside(path):
        connection = _Connection()
        # The first look at it makes the socket, here and not after the step back.
        _ = connection.socket
    async with connection:
        yield connection


def set_sysctl(path: str, name: str, value: str) -> None:
    """Write a setting below /proc/sys/net of the namespace at path, where it differs.

    Raises: OSError.
    """
    with inside(path):
        file = SYSCTLS / name
        if file.read_text().strip() != value:
            file.write_text(value)
