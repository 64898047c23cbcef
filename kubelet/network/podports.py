"""Connections to ports of pods, made inside a pod's network, where its localhost is."""

import asyncio
import os
import socket

from cubernetes.host.web.sockets import TcpStream
from kubelet.network.namespace import inside

CONNECT_DEADLINE_S = 10.0
LOOPBACKS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


async def connected(netns: str, port: int) -> TcpStream:
    """Connect to a port of localhost in the network namespace at a path, by IPv4, else by IPv6.

    Raises: OSError: why neither of them answers.
    """
    whys = []
    for family, host in LOOPBACKS:
        try:
            return await _connected_by(netns, family, host, port)
        except OSError as error:  # a TimeoutError is one
            whys.append(f"{host}: {_why(error)}")
    raise OSError("; ".join(whys))


async def connected_at(netns: str, address: str, port: int) -> TcpStream:
    """Connect to a pod's own address from inside its network: what listens there for others.

    Raises: OSError: why it does not answer.
    """
    try:
        return await _connected_by(netns, socket.AF_INET, address, port)
    except OSError as error:
        raise OSError(f"dial tcp {address}:{port}: connect: {_why(error)}") from error


def _why(error: OSError) -> str:
    """Return the system's word; a library may have put its own in place of it."""
    return os.strerror(error.errno).lower() if error.errno else "no answer in time"


async def _connected_by(netns: str, family: int, host: str, port: int) -> TcpStream:
    """Raises: OSError."""
    with inside(netns):
        plain = socket.socket(family, socket.SOCK_STREAM)
    try:
        plain.setblocking(False)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with asyncio.timeout(CONNECT_DEADLINE_S):
            loop = asyncio.get_running_loop()
            await loop.sock_connect(plain, (host, port))
            _, stream = await loop.create_connection(TcpStream, sock=plain)
    except BaseException:
        plain.close()
        raise
    return stream
