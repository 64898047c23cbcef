"""A pool of addresses: which there are, in one text. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, summarize_address_range

POOL_MAX = 65_536  # addresses: one look at each must not take long
RULE = "must be IPv4 networks, addresses or ranges with commas between them, such as 192.0.2.240/28"


@dataclass(frozen=True, slots=True)
class Pool:
    """Ranges of addresses, each from its first to its last."""

    ranges: tuple[tuple[IPv4Address, IPv4Address], ...] = ()

    def __iter__(self) -> Iterator[IPv4Address]:
        for first, last in self.ranges:
            for number in range(int(first), int(last) + 1):
                yield IPv4Address(number)

    def __contains__(self, address: IPv4Address) -> bool:
        return any(first <= address <= last for first, last in self.ranges)

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def overlaps(self, network: IPv4Network) -> bool:
        return any(
            part.overlaps(network)
            for first, last in self.ranges
            for part in summarize_address_range(first, last)
        )


def pool_of(text: str) -> Pool:
    """Read `192.0.2.240/28, 192.0.2.8-192.0.2.12, 192.0.2.20`; empty is an empty pool.

    Raises: ValueError.
    """
    ranges = tuple(_range_of(part.strip()) for part in text.split(",")) if text.strip() else ()
    if sum(int(last) - int(first) + 1 for first, last in ranges) > POOL_MAX:
        raise ValueError(f"must hold at most {POOL_MAX} addresses")
    return Pool(ranges)


def _range_of(text: str) -> tuple[IPv4Address, IPv4Address]:
    try:
        if "/" in text:
            network = IPv4Network(text)
            return network.network_address, network.broadcast_address
        first, _, last = text.partition("-")
        ends = IPv4Address(first.strip()), IPv4Address((last or first).strip())
    except (AddressValueError, ValueError) as error:
        raise ValueError(f"{RULE}, not {text[:40]!r}") from error
    if ends[0] > ends[1]:
        raise ValueError(f"{RULE}; {text[:40]!r} ends before it begins")
    return ends
