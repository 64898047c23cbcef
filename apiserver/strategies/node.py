"""Nodes: what is written of a member beside its Node, and what a node may say of itself. Pure."""

from collections.abc import Iterator

import msgspec

from apiserver.auth.authorize import CHANGE, READ, RESTRICTED_LABELS, Attempt, acting_node
from apiserver.auth.members import (
    Member,
    added_addresses,
    address_refusal,
    departed,
    has_left,
    marked,
    member_in,
    refusal_of,
    vouched,
)
from apiserver.state.items import Seen
from apiserver.state.keys import MEMBERS, key_of
from apiserver.state.preconditions import Precondition
from apiserver.state.statuses import absent
from apiserver.storage.store import Op, Put
from apiserver.strategies.strategy import Cluster, Strategy
from cubernetes.api.core.node import ROLE_LABEL, Node
from cubernetes.api.errors import Forbidden
from cubernetes.api.meta import Object
from cubernetes.host.web.messages import Identity

API_SERVER = "the API server"


class Nodes(Strategy[Node]):
    """A node's name is a member: what its certificates and addresses are stands beside the Node."""

    # Its certificates end with a Node, at every server that has answered.
    is_deletion_awaited = True

    def prepared(self, new: Node) -> Node:
        """Its kubelet registers it with what it has found: the status stays."""
        return new

    def keys_beside(self, name: str, new: Node | None = None) -> tuple[str, ...]:  # noqa: ARG002
        return (member_key(name),)

    def creation(
        self, cluster: Cluster, identity: Identity, new: Node, seen: Seen
    ) -> tuple[Node, tuple[Op, ...]]:
        """Refuse a node that is not welcome; an administrator vouches for what he creates."""
        key = member_key(new.metadata.name)
        member = member_in(seen[key])
        if not acting_node(identity):
            after = vouched(member, new)
            return new, () if after == (member or Member()) else (put(key, after),)
        if why := refusal_of(identity, member):
            raise Forbidden(why, kind="nodes", name=new.metadata.name)
        _check_addresses(cluster, None, new, member)
        return marked(new, member), ()

    def check_change(
        self, cluster: Cluster, identity: Identity, old: Node, new: Node, seen: Seen
    ) -> None:
        if acting_node(identity):
            _check_addresses(cluster, old, new, member_in(seen[member_key(new.metadata.name)]))

    def deletion(self, identity: Identity, one: Node, seen: Seen) -> tuple[Op, ...]:
        key = member_key(one.metadata.name)
        member = member_in(seen[key])
        is_own = acting_node(identity) == one.metadata.name
        after = departed(member, one, by_itself=is_own)
        return () if after == member else (put(key, after),)

    def access_refusal(
        self,
        node: str,
        attempt: Attempt,
        one: Node | None,  # noqa: ARG002
        *,
        is_named: bool,  # noqa: ARG002
    ) -> str:
        """The cluster's shape is no secret among its members; each changes only itself."""
        is_own = attempt.name == node
        if attempt.verb in READ | {"create"} and not attempt.subresource:
            # The name of one that is created is in the body: `node_refusal` looks at it.
            return ""
        if attempt.verb in CHANGE and attempt.subresource in ("", "status"):
            return "" if is_own else "a node may change only itself"
        if attempt.verb == "delete" and not attempt.subresource:
            # So that a machine can leave its cluster (`cuberoot reset`) with what it has.
            return "" if is_own else "a node may remove only itself"
        return "a node may not do that to nodes"

    def node_refusal(self, node: str, subresource: str, old: Node | None, new: Node) -> str:
        return "" if subresource else _fields_refusal(node, old, new)


def member_key(name: str) -> str:
    return MEMBERS + name


def put(key: str, member: Member) -> Put:
    """Return what writes a member."""
    return Put(key, msgspec.json.encode(member))


def node_exists(name: str) -> Precondition:
    """The node exists."""

    def check(found: Object | None) -> None:
        if not isinstance(found, Node):
            raise absent(Node.resource, name)

    return Precondition(key_of(Node, "", name), check)


def holders_of(cluster: Cluster, but: str) -> dict[str, str]:
    """Return whose the known addresses are, those of one node left out."""
    return {address: who for address, who in _held(cluster) if who != f"the node {but}"}


def _check_addresses(cluster: Cluster, old: Node | None, new: Node, member: Member | None) -> None:
    """Refuse addresses that a node states and nobody has vouched for, or that are others'.

    Raises: Forbidden.
    """
    name = new.metadata.name
    added = list(added_addresses(old, new))
    if not added:
        return
    settings = cluster.settings
    ranges = (settings.service_range, settings.pod_range)
    holders = holders_of(cluster, name)
    for address in added:
        if why := address_refusal(address, member, ranges, holders):
            raise Forbidden(f'node "{name}": {why}', kind="nodes", name=name)


def _held(cluster: Cluster) -> Iterator[tuple[str, str]]:
    for address in cluster.settings.advertise_addresses:
        yield address, API_SERVER
    stated = {
        node.metadata.name: {one.address for one in node.status.addresses}
        for node in cluster.objects(Node)
        if isinstance(node, Node)
    }
    for name, addresses in stated.items():
        yield from ((one, f"the node {name}") for one in addresses)
    for key, entry in cluster.plain.items():
        member = member_in(entry) if key.startswith(MEMBERS) else None
        if member is None or member.gone:
            continue
        name = key.removeprefix(MEMBERS)
        own = stated.get(name, set())
        kept = (one for one in member.addresses if not has_left(one, member, own))
        yield from ((one, f"the node {name}") for one in kept)


def _fields_refusal(node: str, old: Node | None, new: Node) -> str:
    if new.metadata.name != node:
        return f'node "{node}" may register only itself'
    before, after = old.metadata.labels if old else {}, new.metadata.labels
    for key in sorted(before.keys() | after.keys()):
        # Its roles a node states when it registers; afterwards they are not its to change.
        is_role = key.startswith(ROLE_LABEL) and old is not None
        if (is_role or key.startswith(RESTRICTED_LABELS)) and before.get(key) != after.get(key):
            return f'node "{node}" may not give itself the label {key}, nor take it away'
    if new.spec.pod_cidr and (old is None or new.spec.pod_cidr != old.spec.pod_cidr):
        return f'node "{node}" may not choose its pod network'
    if old is not None and new.spec != old.spec:
        return f'node "{node}" may not change its spec'
    return ""
