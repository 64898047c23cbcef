"""How SPDY/3.1 is asked for and taken, for whatever is spoken over it. Pure."""

from collections.abc import Mapping

SPDY = "SPDY/3.1"
VERSION_HEADER = "X-Stream-Protocol-Version"


def asks_for_spdy(headers: Mapping[str, str]) -> bool:
    return headers.get("upgrade", "").lower() == SPDY.lower()


def offered(headers: Mapping[str, str]) -> list[str]:
    """Return the protocols that a client speaks; it may send the header once for each."""
    getall = getattr(headers, "getall", None)
    found = getall(VERSION_HEADER, []) if getall else [headers.get(VERSION_HEADER, "")]
    return [word.strip() for text in found for word in text.split(",")]


def switched_to(protocol: str) -> Mapping[str, str]:
    """Return the headers of the 101 by which a protocol is taken."""
    return {"Connection": "Upgrade", "Upgrade": SPDY, VERSION_HEADER: protocol}
