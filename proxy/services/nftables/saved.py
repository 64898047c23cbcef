"""What the nftables backend serves, as a file holds it: ports with their endpoints. Pure."""

from collections.abc import Iterable
from typing import Any

import msgspec

from proxy.services.nftables.elements import PROTOCOLS
from proxy.services.served import Key, ServedPort


class SavedPorts(msgspec.Struct, frozen=True, kw_only=True, tag="nftables"):
    """All ports that were served. Addresses and networks are texts in a file."""

    ports: tuple[ServedPort, ...]


def encoded(ports: Iterable[ServedPort]) -> bytes:
    return msgspec.json.encode(SavedPorts(ports=tuple(ports)), enc_hook=str)


def decoded(content: bytes) -> dict[Key, list[ServedPort]]:
    """Return the ports by their service. Raises: ValueError, where it is something else."""
    found: dict[Key, list[ServedPort]] = {}
    for one in msgspec.json.decode(content, type=SavedPorts, dec_hook=_read).ports:
        if one.protocol not in PROTOCOLS:
            raise ValueError(f"protocol {one.protocol!r}")
        found.setdefault(one.key, []).append(one)
    return found


def _read(form: type, text: Any) -> Any:
    # A number would be an address, too.
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is no text")
    return form(text)
