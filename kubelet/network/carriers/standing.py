"""Which address this node has, and the card that has it; it may move within a network. Pure."""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from kubelet.network import facts
from kubelet.network.driver import NetworkTrouble
from kubelet.network.dump import Link, Space


@dataclass(slots=True)
class Standing:
    """address: as it is now. network: in which it may change; None: it stays as it is.

    home: the one that it began with. While it is there it is the node's: another one of the network
    may be shared by machines, and go to the next of them.
    """

    address: IPv4Address
    network: IPv4Network | None = None
    moved_to: IPv4Address | None = None  # what it has become since
    home: IPv4Address = field(init=False)

    def __post_init__(self) -> None:
        self.home = self.address

    def card_in(self, space: Space) -> Link:
        """Return the card that has the address, once it has followed where that was changed.

        Raises: NetworkTrouble: no card has it, and none has another one of the network.
        """
        found = facts.card_of(space, self.address)
        if self.address != self.home and (home := facts.card_of(space, self.home)) is not None:
            self.address = self.moved_to = self.home
            return home
        if found is None and self.network is not None:
            moved = _address_within(space, self.network)
            if moved is not None:
                self.address = self.moved_to = moved
                found = facts.card_of(space, moved)
        if found is None:
            raise NetworkTrouble(self._gone(space))
        return found

    def _gone(self, space: Space) -> str:
        others = ", ".join(str(one) for one in facts.cards_addresses(space)) or "none"
        within = f", nor another of {self.network}" if self.network is not None else ""
        return (
            f"no device has this node's address {self.address}{within} (others: {others}). "
            "Give it back; or, where it changed for good, run `cuberoot reset` here and join "
            "again by the new one"
        )


def _address_within(space: Space, network: IPv4Network) -> IPv4Address | None:
    """Return the first address of a whole network's, as the kernel lists them; /32s are lent.

    A device that is down reaches nobody.
    """
    cards = {one.index for one in space.links.values() if one.is_up and facts.is_card(one.name)}
    return next(
        (
            one.ip
            for index, one in space.addresses
            if one.ip in network and one.network.prefixlen < 32 and index in cards
        ),
        None,
    )
