"""Nodes and their names: what is written of a member beside its Node, in one transaction."""

from collections.abc import Iterator

import msgspec

from apiserver.auth.authorize import MASTERS, node_of
from apiserver.auth.members import (
    Member,
    added_addresses,
    address_refusal,
    departed,
    marked,
    member_in,
    name_in,
    refusal_of,
    vouched,
)
from apiserver.backend import Backend
from apiserver.call import Call
from apiserver.state.keys import MEMBERS
from apiserver.state.transact import Seen
from apiserver.storage.store import Op, Put
from cubernetes.api.core.node import Node
from cubernetes.api.errors import Forbidden
from cubernetes.api.meta import Object
from cubernetes.host.web.messages import Identity

API_SERVER = "the API server"


def member_key(name: str) -> str:
    return MEMBERS + name


def acting_node(identity: Identity) -> str:
    """Return the node that acts as itself; empty for everybody else, administrators included."""
    return "" if MASTERS in identity.groups else node_of(identity)


def member_of(backend: Backend, name: str) -> Member | None:
    """Return the member of a name, as memory has it."""
    return member_in(backend.mirror.plain.get(member_key(name)))


def is_unwelcome(backend: Backend, identity: Identity) -> bool:
    """Whether it is the identity of a node that is none any more."""
    if MASTERS in identity.groups or not (name := name_in(identity)):
        return False
    return bool(refusal_of(identity, member_of(backend, name)))


async def check_member(backend: Backend, identity: Identity) -> None:
    """Refuse the certificate of a node that is none any more, or that its name does not belong to.

    Raises: Forbidden.
    """
    if not is_unwelcome(backend, identity):
        return
    # The certificate may have been signed a moment ago: memory must be as new as the store.
    await backend.mirror.caught_up(backend.settings.limits.freshness_deadline_s)
    name = name_in(identity)
    if why := refusal_of(identity, member_of(backend, name)):
        raise Forbidden(why, kind="nodes", name=name)


def keys_beside(call: Call, name: str) -> tuple[str, ...]:
    """Return what else a write of an object reads: the member, where it is a Node."""
    return (member_key(name),) if call.kind is Node else ()


def created(backend: Backend, call: Call, new: Object, seen: Seen) -> tuple[Object, tuple[Op, ...]]:
    """Return what is written where an object is created, and what is written beside it.

    Raises: Forbidden: it is the Node of a node that is not welcome, or that claims what is others'.
    """
    if not isinstance(new, Node):
        return new, ()
    key = member_key(new.metadata.name)
    member = member_in(seen[key])
    if not acting_node(call.identity):
        after = vouched(member, new)
        return new, () if after == (member or Member()) else (put(key, after),)
    if why := refusal_of(call.identity, member):
        raise Forbidden(why, kind="nodes", name=new.metadata.name)
    check_addresses(backend, call, None, new, seen)
    return marked(new, member), ()


def deleted(call: Call, one: Object, seen: Seen) -> tuple[Op, ...]:
    """Return what is written beside the deletion of an object."""
    if not isinstance(one, Node):
        return ()
    key = member_key(one.metadata.name)
    member = member_in(seen[key])
    is_own = acting_node(call.identity) == one.metadata.name
    after = departed(member, one, by_itself=is_own)
    return () if after == member else (put(key, after),)


def check_addresses(
    backend: Backend, call: Call, old: Object | None, new: Object, seen: Seen
) -> None:
    """Refuse addresses that a node states and nobody has vouched for, or that are others'.

    Raises: Forbidden.
    """
    if not isinstance(new, Node) or not acting_node(call.identity):
        return
    name = new.metadata.name
    added = list(added_addresses(old if isinstance(old, Node) else None, new))
    if not added:
        return
    member = member_in(seen[member_key(name)])
    settings = backend.settings
    ranges = (settings.service_range, settings.pod_range)
    holders = holders_of(backend, name)
    for address in added:
        if why := address_refusal(address, member, ranges, holders):
            raise Forbidden(f'node "{name}": {why}', kind="nodes", name=name)


def holders_of(backend: Backend, but: str) -> dict[str, str]:
    """Return whose the known addresses are, those of one node left out."""
    return {address: who for address, who in _held(backend) if who != f"the node {but}"}


def _held(backend: Backend) -> Iterator[tuple[str, str]]:
    for address in backend.settings.advertise_addresses:
        yield address, API_SERVER
    for item in backend.mirror.kinds[Node].items.values():
        node = item.object
        if isinstance(node, Node):
            for one in node.status.addresses:
                yield one.address, f"the node {node.metadata.name}"
    for key, entry in backend.mirror.plain.items():
        member = member_in(entry) if key.startswith(MEMBERS) else None
        if member is not None and not member.gone:
            for address in member.addresses:
                yield address, f"the node {key.removeprefix(MEMBERS)}"


async def until_known(backend: Backend, revision: int) -> None:
    """Wait until this server goes by a member as it was written.

    Raises: Timeout: it is written, and memory does not show it yet.
    """
    await backend.mirror.reach(revision, backend.settings.limits.freshness_deadline_s)


def put(key: str, member: Member) -> Put:
    """Return what writes a member."""
    return Put(key, msgspec.json.encode(member))
