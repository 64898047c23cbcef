"""Ports of loopback for servers that tests start in processes of their own."""

import contextlib
import os
import random
import socket

# Below the range that the kernel gives to clients' sockets: nobody else takes one in the meantime.
FIRST, LAST = 18_000, 32_000
TRIES_MAX = 200
# Each process draws others, whatever seed its tests set.
_rng = random.Random(os.urandom(8))


def free_port() -> int:
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return ports that are free now; all are held until the last is found.

    Raises: OSError: none was found.
    """
    with contextlib.ExitStack() as stack:
        return [_held(stack.enter_context(socket.socket())) for _ in range(count)]


def _held(own: socket.socket) -> int:
    for _ in range(TRIES_MAX):
        port = _rng.randrange(FIRST, LAST)
        with contextlib.suppress(OSError):
            own.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no free port from {FIRST} to {LAST} in {TRIES_MAX} tries")
