"""Which pod holds which address of the node's range: a value, changed by making a new one."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network

import msgspec

# The range's own address is the overlay device's, the first after it is kept for the node.
RESERVED_AT_START = 2
RESERVED_AT_END = 1  # the broadcast address


class NoAddressLeft(Exception):
    """Every address of the range is held."""


class CheckpointInvalid(Exception):
    """The text is no record of addresses; it says why."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of one range that pods hold, and the one that was given last."""

    pod_cidr: IPv4Network
    held: Mapping[str, IPv4Address] = field(default_factory=dict)  # pod uid -> address
    last: IPv4Address | None = None


def taken(addresses: Addresses, pod_uid: str) -> tuple[Addresses, IPv4Address]:
    """Give the pod an address: the one it holds, else the next free one after the last given.

    Going round, a freed address rests as long as can be: a late packet to it reaches no
    pod rather than another one.

    Raises: NoAddressLeft.
    """
    if pod_uid in addresses.held:
        return addresses, addresses.held[pod_uid]
    first, count = _room(addresses.pod_cidr)
    used = set(addresses.held.values())
    start = 0 if addresses.last is None else int(addresses.last) + 1 - first
    for step in range(count):
        candidate = IPv4Address(first + (start + step) % count)
        if candidate not in used:
            held = {**addresses.held, pod_uid: candidate}
            return replace(addresses, held=held, last=candidate), candidate
    raise NoAddressLeft(f"all {count} addresses of {addresses.pod_cidr} are held")


def freed(addresses: Addresses, pod_uid: str) -> Addresses:
    """Take the pod's address back; a pod without one is nothing."""
    held = {uid: address for uid, address in addresses.held.items() if uid != pod_uid}
    return replace(addresses, held=held)


def adopted(addresses: Addresses, found: Mapping[str, IPv4Address]) -> Addresses:
    """Add what pods are found to use, where the record knows neither the pod nor the address."""
    held, used = dict(addresses.held), set(addresses.held.values())
    for uid, address in sorted(found.items()):
        if uid not in held and address not in used and is_usable(addresses.pod_cidr, address):
            held[uid] = address
            used.add(address)
    return replace(addresses, held=held)


def is_usable(pod_cidr: IPv4Network, address: IPv4Address) -> bool:
    """True where a pod may have that address."""
    first, count = _room(pod_cidr)
    return first <= int(address) < first + count


def _room(pod_cidr: IPv4Network) -> tuple[int, int]:
    first = int(pod_cidr.network_address) + RESERVED_AT_START
    return first, max(0, int(pod_cidr.broadcast_address) + 1 - RESERVED_AT_END - first)


class _Record(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    pod_cidr: str
    held: dict[str, str]
    last: str | None = None


def checkpoint(addresses: Addresses) -> bytes:
    """Return the record as JSON, the same for the same value."""
    held = {uid: str(address) for uid, address in sorted(addresses.held.items())}
    last = None if addresses.last is None else str(addresses.last)
    return msgspec.json.encode(_Record(str(addresses.pod_cidr), held, last))


def from_checkpoint(content: bytes) -> Addresses:
    """Return what `checkpoint` recorded.

    Raises: CheckpointInvalid, also where two pods hold one address or one is out of range.
    """
    try:
        record = msgspec.json.decode(content, type=_Record)
        pod_cidr = IPv4Network(record.pod_cidr)
        held = {uid: IPv4Address(address) for uid, address in record.held.items()}
        last = None if record.last is None else IPv4Address(record.last)
    except ValueError as error:  # msgspec's errors are ValueErrors too
        raise CheckpointInvalid(str(error)) from error
    if len(set(held.values())) != len(held):
        raise CheckpointInvalid("two pods hold one address")
    if not all(is_usable(pod_cidr, address) for address in held.values()):
        raise CheckpointInvalid("an address is out of the range")
    if last is not None and not is_usable(pod_cidr, last):
        raise CheckpointInvalid("the last address given is out of the range")
    return Addresses(pod_cidr, held, last)
