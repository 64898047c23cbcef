"""A look at a network namespace: what its devices, tables and settings hold, in a millisecond.

Nothing here changes anything. The kernel answers from memory while it is asked: the thread that
looks steps over, reads, and steps back.
"""

import asyncio
import os
import socket
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress

from kubelet.network import dump
from kubelet.network.dump import Space
from kubelet.network.namespace import OWN, SYSCTLS, inside

READ_BYTES_MAX = 64 << 10  # twice what the kernel puts into one read of a dump
READ_COUNT_MAX = 10_000  # of one dump: far beyond what a node's tables need
# Groups of rtnetlink.h: links, neighbours, IPv4 addresses, IPv4 routes; and IPv4 settings.
NEWS_GROUPS = 0x1 | 0x4 | 0x10 | 0x40
NETCONF_GROUP = 24
NETLINK, ADD_MEMBERSHIP = 270, 1


def space_at(path: str, *, is_pod: bool = False) -> Space:
    """Return what the namespace at path holds; within a pod nothing forwards.

    Raises: OSError, where path is no network namespace (any more), or the kernel answers oddly.
    """
    with inside(path), _connection() as connection:
        links = [dump.link_in(one) for one in _dumped(connection, dump.LINKS)]
        found = [dump.route_in(one) for one in _dumped(connection, dump.ROUTES)]
        return Space(
            links={one.name: one for one in links},
            addresses=[dump.address_in(one) for one in _dumped(connection, dump.ADDRESSES)],
            routes=[one for one in found if one is not None],
            neighbours=_nears(connection, dump.NEIGHBOURS),
            entries=() if is_pod else _nears(connection, dump.ENTRIES),
        )


def addresses_here() -> list[str]:
    """Return the IPv4 addresses of this process's own network namespace, loopback left out."""
    found = space_at(OWN).addresses
    return sorted({str(one.ip) for _, one in found if not one.is_loopback})


def settings_at(path: str, names: Iterable[str]) -> Mapping[str, str]:
    """Return settings below /proc/sys/net of the namespace at path; what is not there is not told.

    Raises: OSError, where path is no network namespace (any more).
    """
    found = {}
    with inside(path):
        for name in names:
            # Hundreds of them in one look: a Path for each would be half of its cost.
            with suppress(FileNotFoundError), open(f"{SYSCTLS}/{name}", encoding="ascii") as file:
                found[name] = file.read().strip()
    return found


def _connection() -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    made.setblocking(False)
    return made


def _dumped(connection: socket.socket, question: dump.Question) -> list[bytes]:
    connection.send(dump.asked(question))
    found: list[bytes] = []
    for _ in range(READ_COUNT_MAX):
        try:
            some, is_last = dump.bodies(connection.recv(READ_BYTES_MAX))
        except dump.NotUnderstood as error:
            raise OSError(str(error)) from error
        found += some
        if is_last:
            return found
    raise OSError(f"a dump of more than {READ_COUNT_MAX} reads")


def _nears(connection: socket.socket, question: dump.Question) -> list[dump.Near]:
    found = (dump.near_in(one) for one in _dumped(connection, question))
    return [one for one in found if one is not None]


@contextmanager
def news_of(path: str) -> Generator[asyncio.Event, None, None]:
    """Yield an event that is set whenever the kernel tells of a change in a namespace.

    Links, addresses, routes, neighbours, settings. What changed is not read: the caller looks.
    """
    with inside(path):
        made = _connection()
    loop, came = asyncio.get_running_loop(), asyncio.Event()

    def drain() -> None:
        came.set()
        # What does not fit the buffer is an error of the socket, and news as well.
        with suppress(OSError):
            made.recv(READ_BYTES_MAX)

    with made:
        made.bind((0, NEWS_GROUPS))
        made.setsockopt(NETLINK, ADD_MEMBERSHIP, NETCONF_GROUP)
        loop.add_reader(made.fileno(), drain)
        try:
            yield came
        finally:
            loop.remove_reader(made.fileno())


def same_namespace(handle: int, path: str) -> bool:
    """Tell whether a handle of a namespace and a path mean the same one. Raises: OSError."""
    ours, theirs = os.fstat(handle), os.stat(path)
    return (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)
