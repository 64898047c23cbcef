"""Which connections are kept: so many in all, so many unknown ones, so many of an address. Pure.

A connection is unknown until its certificate has been verified. Unknown ones push each other out,
the oldest first: silence gains no room, and a client that sends its certificate at once gets in
even from the address of an attacker. A burst of new connections is no attack yet: over the limit of
an address, those go that have been silent for PATIENCE_S. Where all addresses together have too
many, the address with the most of them loses its oldest, however young.
"""

from collections.abc import Hashable
from typing import NamedTuple

# What a handshake may take on a busy machine, among hundreds of others.
PATIENCE_S = 5.0


class Room(NamedTuple):
    """How many connections there may be: all, those of unknown ones, and those of one address."""

    all_max: int
    unknown_max: int
    unknown_of_address_max: int


class Doorstep[Guest: Hashable]:
    """The connections that are kept. One that is told to close is no longer counted."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._address: dict[Guest, str] = {}
        # By address, the oldest first, each with when it came.
        self._unknown: dict[str, dict[Guest, float]] = {}
        self._unknown_count = 0

    @property
    def count(self) -> int:
        return len(self._address)

    @property
    def unknown_count(self) -> int:
        return self._unknown_count

    def came(self, guest: Guest, address: str, now_s: float) -> Guest | None:
        """Let somebody in; return who must go for it, which may be the one who came."""
        self._address[guest] = address
        own = self._unknown.setdefault(address, {})
        own[guest] = now_s
        self._unknown_count += 1
        gone = None
        oldest, oldest_at = next(iter(own.items()))
        is_silent = now_s - oldest_at >= PATIENCE_S
        if is_silent and len(own) > self._room.unknown_of_address_max:
            gone = oldest
        elif self._unknown_count > self._room.unknown_max:
            # As many addresses as unknown ones at the most: their number has its limit.
            greediest = max(self._unknown, key=lambda one: len(self._unknown[one]))
            gone = next(iter(self._unknown[greediest]))
        elif len(self._address) > self._room.all_max:
            gone = guest
        if gone is not None:
            self.left(gone)
        return gone

    def known(self, guest: Guest) -> None:
        """Somebody has shown who he is: he stays until he leaves."""
        if (address := self._address.get(guest)) is not None:
            self._take_out(guest, address)

    def left(self, guest: Guest) -> None:
        """Forget a connection; to forget it twice is allowed."""
        address = self._address.pop(guest, None)
        if address is not None:
            self._take_out(guest, address)

    def _take_out(self, guest: Guest, address: str) -> None:
        own = self._unknown.get(address, {})
        if guest in own:
            del own[guest]
            self._unknown_count -= 1
            if not own:
                del self._unknown[address]
