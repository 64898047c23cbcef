"""Packets by hand: what a pod with raw sockets, or a stranger, could put on a wire."""

import socket
import struct
from contextlib import closing
from ipaddress import IPv4Address

from kubelet.network.carriers.vxlan import VNI
from kubelet.network.namespace import inside
from kubelet.network.overlay import PORT

UDP = 17


def udp(source: IPv4Address, to: IPv4Address, port: int, payload: bytes) -> bytes:
    """Return an IPv4 packet that claims to come from source; no checksum of UDP, as is allowed."""
    body = struct.pack("!HHHH", 4000, port, 8 + len(payload), 0) + payload
    head = [0x45, 0, 20 + len(body), 7, 0, 64, UDP, 0, source.packed, to.packed]
    whole = struct.pack("!BBHHHBBH4s4s", *head)
    head[7] = checksum(whole)
    return struct.pack("!BBHHHBBH4s4s", *head) + body


def checksum(content: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(content) // 2}H", content))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def wrapped(mac: str, packet: bytes) -> bytes:
    """Return what the overlay sends: a VXLAN header, a frame to a node's device, the packet."""
    header = struct.pack("!II", 0x08 << 24, VNI << 8)
    frame = bytes.fromhex(mac.replace(":", "")) + bytes.fromhex("020000000066") + b"\x08\x00"
    return header + frame + packet


def send_raw(path: str, packet: bytes, to: IPv4Address) -> None:
    """Send an IPv4 packet as it is from a namespace."""
    with inside(path):
        mouth = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with closing(mouth):
        mouth.sendto(packet, (str(to), 0))


def send_udp(
    path: str, payload: bytes, to: IPv4Address, *, port: int = PORT, source: str = ""
) -> None:
    """Send a datagram from a namespace, from an address that it has."""
    with inside(path):
        mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with closing(mouth):
        mouth.bind((source, 0))
        mouth.sendto(payload, (str(to), port))


class Ear:
    """Hears datagrams in a namespace."""

    def __init__(self, path: str, port: int = 7001) -> None:
        with inside(path):
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("0.0.0.0", port))
        self.port = port

    def hears(self, payload: bytes, limit_s: float) -> bool:
        """Tell whether a payload comes in time; others before it are passed over."""
        self._socket.settimeout(limit_s)
        try:
            while True:
                if self._socket.recv(65536) == payload:
                    return True
        except TimeoutError:
            return False

    def close(self) -> None:
        self._socket.close()
