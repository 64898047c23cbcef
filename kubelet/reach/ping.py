"""Echo requests of any size, and the time that each answer takes. Raw sockets: needs root."""

import asyncio
import socket
import struct
from collections.abc import Generator
from contextlib import closing, contextmanager
from errno import EMSGSIZE
from ipaddress import IPv4Address

from cubernetes.host.clock import Clock

ECHO, ECHO_REPLY = 8, 0
HEADER = struct.Struct("!BBHHH")
IP_BYTES, HEADER_BYTES = 20, 8
READ_BYTES = 65536
# linux/in.h: never fragment, whatever the kernel believes of the way.
MTU_DISCOVER, PROBE, MTU = 10, 3, 14
ID_MAX = 0xFFFF


def checksum(content: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    padded = content + b"\0" * (len(content) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo(identity: int, sequence: int, packet_bytes: int) -> bytes:
    """Return an echo request that is a packet of so many bytes, its IP header counted."""
    body = b"c" * max(0, packet_bytes - IP_BYTES - HEADER_BYTES)
    bare = HEADER.pack(ECHO, 0, 0, identity, sequence) + body
    return HEADER.pack(ECHO, 0, checksum(bare), identity, sequence) + body


def is_answer(packet: bytes, identity: int, sequence: int, packet_bytes: int) -> bool:
    """Tell whether a packet, its IP header before it, answers that request whole."""
    start = (packet[0] & 0xF) * 4 if packet else 0
    if len(packet) < start + HEADER.size:
        return False
    kind, _, _, its, number = HEADER.unpack_from(packet, start)
    is_ours = (kind, its, number) == (ECHO_REPLY, identity, sequence)
    return is_ours and len(packet) - start + IP_BYTES >= packet_bytes


class Pinger:
    """Asks one address; made and used within one running loop."""

    def __init__(self, address: IPv4Address, clock: Clock, identity: int) -> None:
        self._address, self._clock, self._identity = address, clock, identity & ID_MAX
        self._sequence = 0

    def mtu_bytes(self) -> int:
        """Return what the kernel lets out to the address. Raises: OSError: there is no way."""
        with closing(self._socket()) as asked:
            return int(asked.getsockopt(socket.IPPROTO_IP, MTU))

    async def round_trip_s(self, packet_bytes: int, limit_s: float) -> float | None:
        """Return the time to the answer; None: none came in time, or the packet is too large.

        Raises: OSError: there is no way to the address.
        """
        self._sequence = (self._sequence + 1) & ID_MAX
        request = echo(self._identity, self._sequence, packet_bytes)
        with closing(self._socket()) as asked, _readable(asked) as came:
            begun_s = self._clock.monotonic()
            try:
                asked.send(request)
                async with asyncio.timeout(limit_s):
                    while not self._is_answered(asked, packet_bytes):
                        await came.wait()
                        came.clear()
            except TimeoutError:
                return None
            except OSError as error:
                # A router on the way says so, and the kernel knows from now on how much fits.
                if error.errno == EMSGSIZE:
                    return None
                raise
            return self._clock.monotonic() - begun_s

    def _is_answered(self, asked: socket.socket, packet_bytes: int) -> bool:
        while True:
            try:
                packet = asked.recv(READ_BYTES)
            except BlockingIOError:
                return False
            if is_answer(packet, self._identity, self._sequence, packet_bytes):
                return True

    def _socket(self) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        try:
            made.setblocking(False)
            made.setsockopt(socket.IPPROTO_IP, MTU_DISCOVER, PROBE)
            made.connect((str(self._address), 0))
        except OSError:
            made.close()
            raise
        return made


@contextmanager
def _readable(asked: socket.socket) -> Generator[asyncio.Event, None, None]:
    loop, came = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(asked.fileno(), came.set)
    try:
        yield came
    finally:
        loop.remove_reader(asked.fileno())
