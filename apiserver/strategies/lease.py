"""Leases: the cluster lives by them, and a leader's writes are compared with its own. Pure."""

from functools import lru_cache

from apiserver.auth.authorize import CHANGE, LEADERS_NAMESPACE, Attempt
from apiserver.state.keys import key_of
from apiserver.state.preconditions import Precondition
from apiserver.strategies.strategy import Strategy
from cubernetes.api.bodies.envelopes import FENCE_HEADER
from cubernetes.api.coordination.lease import NODE_LEASE_NAMESPACE, Lease
from cubernetes.api.coordination.road import ROAD_NAMESPACE
from cubernetes.api.errors import BadRequest, Conflict
from cubernetes.api.meta import Object
from cubernetes.api.names import is_label, is_subdomain
from cubernetes.host.web.messages import Request

VITAL = (NODE_LEASE_NAMESPACE, LEADERS_NAMESPACE, ROAD_NAMESPACE)
LEADERS_MAX = 64  # whose headers are remembered
BYTES_MAX = 4096  # of a lease that is written while the store is nearly full


class Leases(Strategy[Lease]):
    """Nodes show by them that they live, leaders that they lead, roads whom they lead where."""

    def access_refusal(
        self,
        node: str,
        attempt: Attempt,
        one: Lease | None,  # noqa: ARG002
        *,
        is_named: bool,  # noqa: ARG002
    ) -> str:
        if attempt.namespace != NODE_LEASE_NAMESPACE:
            return f"a node's lease is in {NODE_LEASE_NAMESPACE}"
        if attempt.verb == "create":
            return ""
        if attempt.verb in CHANGE | {"get"}:
            return "" if attempt.name == node else "a node may use only its own lease"
        return "a node may not do that to leases"

    def node_refusal(self, node: str, subresource: str, old: Lease | None, new: Lease) -> str:  # noqa: ARG002
        is_own = new.metadata.name == node
        return "" if is_own else f'node "{node}" may keep only its own lease'

    def vital_bytes_max(self, namespace: str) -> int:
        return BYTES_MAX if namespace in VITAL else 0


def fences(request: Request) -> tuple[Precondition, ...]:
    """A leader states its lease and its number: once another leads, its writes are refused.

    Raises: BadRequest: the header is not `<namespace>/<lease>:<transitions>:<uid>`.
    """
    text = request.headers.get(FENCE_HEADER, "")
    return (_fence(text),) if text else ()


@lru_cache(maxsize=LEADERS_MAX)
def _fence(text: str) -> Precondition:
    """Return what a leader's header asks for: the same text is in all its writes.

    Raises: as fences does.
    """
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

    return Precondition(key_of(Lease, namespace, name), check)
