"""The address at which a node's resolver answers: one of its loopback, made by us, kept there."""

import socket
from ipaddress import IPv4Address

from cubernetes.host.command import Commands

DEVICE = "lo"


def is_here(address: str) -> bool:
    """Tell whether this machine has an address. It asks the kernel, without a process.

    The kernel sends to an address of its own from that same address; nothing is sent here. That a
    socket may be bound says little: with ip_nonlocal_bind it may be to any address.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 1))
        except OSError:
            return False
        return bool(probe.getsockname()[0] == address)


async def add(commands: Commands, address: str) -> None:
    """Give this machine an address. Repeatable. Raises: CommandFailed."""
    argv = ["ip", "address", "replace", f"{address}/32", "dev", DEVICE, "scope", "host"]
    await commands.run(argv)


async def remove(commands: Commands, address: str) -> None:
    """Take the address away, if it is link-local, as ours are. Raises: CommandFailed."""
    if IPv4Address(address).is_link_local and is_here(address):
        await commands.run(["ip", "address", "delete", f"{address}/32", "dev", DEVICE])
