"""Addresses on this node's interface: added and taken back, and told to the network by ARP.

An address of ours bears a label (`eth0:cube`), by which it is known again: also by `reset`, and
after this program has died. The kernel answers ARP for it as for any of its own.
"""

import json
import socket
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address
from typing import Any

from cubernetes.host.command import CommandFailed, Commands

LABEL = ":cube"
LABEL_CHARS_MAX = 15  # the kernel's IFNAMSIZ, less its end
DEADLINE_S = 5.0
MAC_BYTES = 6
BROADCAST, ETHERTYPE_ARP = b"\xff" * 6, b"\x08\x06"


class Interface:
    """The interface that has the node's own address."""

    def __init__(self, commands: Commands, node_address: str) -> None:
        self._commands, self._node_address = commands, node_address

    async def held(self) -> Mapping[str, str]:
        """Return the addresses of ours on this machine, each with its device."""
        return {address: device for device, address in ours_in(await shown(self._commands))}

    async def add(self, address: str) -> tuple[str, bytes]:
        """Add an address; return the device and its MAC. Raises: CommandFailed."""
        device, mac = device_of(await shown(self._commands), self._node_address)
        words = [f"{address}/32", "dev", device, "label", label_of(device)]
        await self._commands.run(["ip", "address", "replace", *words], deadline_s=DEADLINE_S)
        return device, mac

    async def remove(self, address: str, device: str) -> None:
        """Raises: CommandFailed."""
        await remove(self._commands, address, device)


async def shown(commands: Commands) -> list[dict[str, Any]]:
    """Return what `ip` tells of this machine's interfaces. Raises: CommandFailed."""
    # With `-4` it would keep the MACs to itself.
    done = await commands.run(["ip", "-json", "address", "show"], deadline_s=DEADLINE_S)
    listed: list[dict[str, Any]] = json.loads(done.stdout or b"[]")
    return listed


async def remove(commands: Commands, address: str, device: str) -> None:
    argv = ["ip", "address", "delete", f"{address}/32", "dev", device]
    await commands.run(argv, deadline_s=DEADLINE_S)


async def reset(commands: Commands) -> None:
    """Take every address of ours away. Raises: CommandFailed."""
    for device, address in ours_in(await shown(commands)):
        await remove(commands, address, device)


def ours_in(interfaces: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return (device, address) of every address that bears our label."""
    return [
        (str(one["ifname"]), str(entry["local"]))
        for one in interfaces
        for entry in one.get("addr_info", ())
        if str(entry.get("label", "")).endswith(LABEL)
    ]


def device_of(interfaces: Iterable[Mapping[str, Any]], node_address: str) -> tuple[str, bytes]:
    """Return the device that has the node's own address, and its MAC.

    Raises: CommandFailed: there is none.
    """
    for one in interfaces:
        if node_address in {entry.get("local") for entry in one.get("addr_info", ())}:
            mac = bytes.fromhex(str(one.get("address", "")).replace(":", ""))
            if len(mac) == MAC_BYTES:
                return str(one["ifname"]), mac
    why = f"no interface with a MAC has the address {node_address}"
    raise CommandFailed(["ip", "address"], None, why)


def label_of(device: str) -> str:
    return device[: LABEL_CHARS_MAX - len(LABEL)] + LABEL


def announcement(address: str, mac: bytes) -> bytes:
    """Return a gratuitous ARP request (RFC 5227): who had the address forgets it."""
    ip = IPv4Address(address).packed
    header = BROADCAST + mac + ETHERTYPE_ARP + b"\x00\x01\x08\x00\x06\x04\x00\x01"
    return header + mac + ip + b"\x00" * 6 + ip


def send(device: str, frame: bytes) -> None:
    """Raises: OSError."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as mouth:
        mouth.bind((device, 0))
        mouth.send(frame)
