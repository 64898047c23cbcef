"""What else must hold at the moment of a write, compared in the same transaction."""

from collections.abc import Callable
from typing import NamedTuple

from apiserver.state.items import Item
from apiserver.state.keys import key_of
from apiserver.state.statuses import absent
from apiserver.state.transact import Seen
from cubernetes.api.coordination.lease import Lease
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.node import Node
from cubernetes.api.errors import BadRequest, Conflict, Forbidden
from cubernetes.api.meta import Object
from cubernetes.api.names import is_label, is_subdomain
from cubernetes.host.web.messages import Request

FENCE_HEADER = "cubernetes-fence"


class Guard(NamedTuple):
    """A key that a write reads beside its own, and what must be true there."""

    key: str
    check: Callable[[Object | None], None]


def checked(guards: tuple[Guard, ...], seen: Seen) -> None:
    """Let every guard see what stands at its key.

    Raises: what the guards raise.
    """
    for guard in guards:
        found = seen[guard.key]
        guard.check(found.object if isinstance(found, Item) else None)


def namespace_guard(namespace: str) -> Guard:
    """The namespace exists and is not going: what is created in it would be forgotten."""

    def check(found: Object | None) -> None:
        if not isinstance(found, Namespace):
            raise absent(Namespace.resource, namespace)
        if found.metadata.is_deleted or found.status.phase == "Terminating":
            message = (
                "unable to create new content in namespace "
                f"{namespace} because it is being terminated"
            )
            raise Forbidden(message, kind="namespaces", name=namespace)

    return Guard(key_of(Namespace, "", namespace), check)


def node_guard(name: str) -> Guard:
    """The node exists."""

    def check(found: Object | None) -> None:
        if not isinstance(found, Node):
            raise absent(Node.resource, name)

    return Guard(key_of(Node, "", name), check)


def fence_guards(request: Request) -> tuple[Guard, ...]:
    """A leader states its lease and its number: once another leads, its writes are refused.

    Raises: BadRequest: the header is not `<namespace>/<lease>:<transitions>:<uid>`.
    """
    text = request.headers.get(FENCE_HEADER, "")
    if not text:
        return ()
    place, _, held = text.partition(":")
    number, _, uid = held.partition(":")
    namespace, _, name = place.partition("/")
    is_number = number.isascii() and number.isdigit() and len(number) <= 10
    if not is_label(namespace) or not is_subdomain(name) or not is_number or not uid:
        raise BadRequest("Cubernetes-Fence: must be <namespace>/<lease>:<leaseTransitions>:<uid>")

    def check(found: Object | None) -> None:
        stated = (uid, int(number))
        is_held = isinstance(found, Lease) and stated == (
            found.metadata.uid, found.spec.lease_transitions
        )  # fmt: skip
        if not is_held:
            message = f"the lease {place} is no longer held as number {number}"
            raise Conflict(message, kind="leases", name=name)

    return (Guard(key_of(Lease, namespace, name), check),)
