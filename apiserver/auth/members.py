"""Who may be a node: a name, the certificates that it belongs to, what it must bear. Pure.

A name belongs to the certificates that were signed for it last. When its Node goes, they end with
it, whatever deleted it: the machine comes back by a token, or where an administrator makes the
Node again. What an administrator decided about a node that left by itself (its cordon, its taints,
the labels that it may not give itself) waits here, and is on the Node that it makes next.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

import msgspec

from apiserver.auth.authorize import (
    GATEWAY_PREFIX,
    GATEWAYS,
    NODE_PREFIX,
    NODES,
    PROXIES,
    PROXY_PREFIX,
    RESOLVER_PREFIX,
    RESOLVERS,
    RESTRICTED_LABELS,
)
from apiserver.storage.store import Entry
from cubernetes.api.core.node import ROLE_LABEL, Node, Taint, is_address
from cubernetes.api.meta import Object, replaced
from cubernetes.host.web.messages import Identity

# Labels that a node may not change: they are kept for it where it leaves and comes again.
KEPT_LABELS = (RESTRICTED_LABELS, ROLE_LABEL)


class Member(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the store keeps of a node's name.

    serials: of its certificates, those of one join or renewal together: the newest, and the ones
        that asked for them. None at all: every certificate of the name is good.
    addresses: those that the join, or an administrator, vouched for.
    network: in which the join vouched for others as well; empty: nowhere.
    token: the id of the token that it joined with.
    gone: its Node was taken away, by itself (left) or by somebody else (removed).
    unschedulable, labels, taints: what the Node must bear that a node makes which has left.
    """

    serials: tuple[tuple[str, ...], ...] = ()
    addresses: tuple[str, ...] = ()
    network: str = ""
    token: str = ""
    gone: Literal["", "left", "removed"] = ""
    unschedulable: bool = False
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    taints: tuple[Taint, ...] = ()


def member_in(entry: object) -> Member | None:
    return msgspec.json.decode(entry.value, type=Member) if isinstance(entry, Entry) else None


# The programs of a node that ask by certificates of its own.
OF_NODES = (
    (NODES, NODE_PREFIX),
    (PROXIES, PROXY_PREFIX),
    (GATEWAYS, GATEWAY_PREFIX),
    (RESOLVERS, RESOLVER_PREFIX),
)


def name_in(identity: Identity) -> str:
    """Return the node whose kubelet, proxy, gateway or resolver asks; empty for others."""
    for group, prefix in OF_NODES:
        if group in identity.groups and identity.user.startswith(prefix):
            return identity.user.removeprefix(prefix)
    return ""


def refusal_of(identity: Identity, member: Member | None) -> str:
    """Return why a certificate that names a node is good for nothing; empty where it is."""
    name = name_in(identity)
    if member is None or not name:
        return ""
    if member.gone:
        how = "has left the cluster" if member.gone == "left" else "was removed from the cluster"
        return f'node "{name}" {how}, it is no node of the cluster any more: {AGAIN}'
    if member.serials and not any(identity.serial in one for one in member.serials):
        return f'this certificate is not one that the name of node "{name}" belongs to: {AGAIN}'
    return ""


AGAIN = "let it join again, with a token that is made now (`cuberoot token create`)"


def is_taken(member: Member | None, node: Object | None) -> bool:
    """Whether a name belongs to somebody: by its certificates, or by a kubelet that has reported.

    A Node that an administrator has made beforehand waits for the machine that will be it.
    """
    if member is not None and member.gone:
        return False
    has_reported = isinstance(node, Node) and bool(node.status.conditions)
    return has_reported or (member is not None and bool(member.serials))


def joined(
    member: Member | None,
    serials: tuple[str, ...],
    addresses: tuple[str, ...],
    token: str,
    network: str = "",
) -> Member:
    """Return the member of a name that belongs to new certificates, and to no others."""
    known = member or Member()
    return msgspec.structs.replace(
        known,
        serials=(serials,),
        addresses=addresses,
        network=network,
        token=token,
        gone="",
    )


def renewed(member: Member, asking: str, serials: tuple[str, ...]) -> Member:
    """Return the member with certificates more: the answer that brings them may be lost.

    Of those before, only the ones that asked stay good: they are what the node has.
    """
    kept = tuple(one for one in member.serials if asking in one)
    # A name whose certificates are not known has others, such as its proxy's.
    return msgspec.structs.replace(member, serials=(*kept, serials) if kept else ())


def departed(member: Member | None, node: Node, *, by_itself: bool) -> Member:
    """Return what is left of a member whose Node goes."""
    known = member or Member()
    if not by_itself:
        return Member(
            serials=known.serials,
            addresses=known.addresses,
            network=known.network,
            gone="removed",
        )
    if known.gone == "removed":
        return known
    labels = {
        key: value for key, value in node.metadata.labels.items() if key.startswith(KEPT_LABELS)
    }
    return msgspec.structs.replace(
        known,
        gone="left",
        unschedulable=node.spec.unschedulable,
        labels=labels,
        taints=node.spec.taints,
    )


def vouched(member: Member | None, node: Node) -> Member:
    """Return the member of a Node that an administrator makes: as it is written, and welcome."""
    known = member or Member()
    addresses = tuple(one.address for one in node.status.addresses if is_address(one.address))
    return Member(
        serials=known.serials,
        addresses=addresses or known.addresses,
        network=known.network,
        token=known.token,
    )


def marked(node: Node, member: Member | None) -> Node:
    """Return the Node that a node makes, with what was decided about it when it left."""
    if member is None or not (member.unschedulable or member.labels or member.taints):
        return node
    own = {
        key: value for key, value in node.metadata.labels.items() if not key.startswith(KEPT_LABELS)
    }
    kept = {one.key for one in member.taints}
    taints = (*member.taints, *(one for one in node.spec.taints if one.key not in kept))
    unschedulable = node.spec.unschedulable or member.unschedulable
    return replaced(
        node,
        metadata=replaced(node.metadata, labels={**own, **member.labels}),
        spec=replaced(node.spec, unschedulable=unschedulable, taints=taints),
    )


def is_nodes(text: str, ranges: Iterable[str]) -> bool:
    """Whether an IPv4 address can be a machine's; ranges are those of services and pods."""
    address = IPv4Address(text)
    is_special = (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address.is_multicast
        or address.is_reserved
    )
    return not is_special and not any(address in IPv4Network(one) for one in ranges)


def added_addresses(old: Node | None, new: Node) -> Iterator[str]:
    """Yield the IP addresses that a Node states and did not state before."""
    before = set(old.status.addresses) if old is not None else set()
    for one in new.status.addresses:
        if one not in before and is_address(one.address):
            yield one.address


def has_left(address: str, member: Member, stated: Collection[str]) -> bool:
    """Whether a member has followed another address of its network; stated: its Node's addresses.

    The one that it joined with may be another machine's by now.
    """
    others = (one for one in stated if is_address(one))
    return bool(member.network) and address not in stated and any(others)


def address_refusal(
    address: str, member: Member | None, ranges: Iterable[str], holders: Mapping[str, str]
) -> str:
    """Return why a node may not state an address as its own; holders are those of addresses."""
    known, network = (member.addresses, member.network) if member is not None else ((), "")
    if address in known and not (network and address in holders):
        return ""
    is_within = bool(network) and IPv4Address(address) in IPv4Network(network)
    if known and not is_within:
        return f"it joined with {', '.join(known)}: with {address}, {AGAIN}"
    if not is_nodes(address, ranges):
        return f"{address} is no address of a node"
    if address in holders:
        return f"{address} belongs to {holders[address]}"
    return ""
