"""Which address a service may have: a choice is refused with its reason, a free one is found.

Both end after at most one look at every address of the range (W1: the forerunner spun for ever once
an address was taken).
"""

from collections.abc import Container, Iterator
from ipaddress import IPv4Address, IPv4Network

# The lower part of the range is for addresses that people choose; it is given out last.
CHOSEN_BAND_MAX = 256


def refusal(address: str, network: IPv4Network, holder: str | None) -> str:
    """Return why a user may not have an address; empty where he may.

    holder is who has it already, None for nobody.
    """
    wanted = IPv4Address(address)
    if wanted not in network:
        return f"{address} is not in the service range {network}"
    if wanted == network.network_address:
        return f"{address} is the network address of the service range"
    if wanted == network.broadcast_address:
        return f"{address} is the broadcast address of the service range"
    return f"provided IP is already allocated: {address} belongs to {holder}" if holder else ""


def free_address(network: IPv4Network, taken: Container[str], fraction: float) -> str | None:
    """Return an address that is not taken, None where the range is full.

    fraction, a random number in [0, 1), says where in the range the search begins.
    """
    return next((address for address in _in_turn(network, fraction) if address not in taken), None)


def first_address(network: IPv4Network) -> str:
    """Return the API server's own."""
    return str(network.network_address + 1)


def _in_turn(network: IPv4Network, fraction: float) -> Iterator[str]:
    # Without the network's own address and the broadcast address.
    count = network.num_addresses - 2
    band = min(CHOSEN_BAND_MAX, count // 16)
    start = int((count - band) * fraction)
    for step in range(count - band):
        yield str(network[1 + band + (start + step) % (count - band)])
    for step in range(band):
        yield str(network[1 + step])
