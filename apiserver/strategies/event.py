"""Events: a node reports as itself, and so does its gateway. Pure."""

from apiserver.auth.authorize import NO_BUSINESS, WRITE, Attempt
from apiserver.strategies.strategy import Strategy
from cubernetes.api.core.event import Event

GATEWAY = "gateway"  # the component that gateways report as


class Events(Strategy[Event]):
    """Neither what an event says now nor what it said before may be another's report."""

    def access_refusal(
        self,
        node: str,  # noqa: ARG002
        attempt: Attempt,
        one: Event | None,  # noqa: ARG002
        *,
        is_named: bool,  # noqa: ARG002
    ) -> str:
        return "" if attempt.verb in WRITE and not attempt.subresource else NO_BUSINESS

    def node_refusal(self, node: str, subresource: str, old: Event | None, new: Event) -> str:  # noqa: ARG002
        is_own = all(one.hosts == {node} for one in (old, new) if one is not None)
        return "" if is_own else f'node "{node}" may not report as another'

    def gateway_refusal(self, node: str, old: Event | None, new: Event) -> str:
        said = [(one.components, one.hosts) for one in (old, new) if one is not None]
        is_own = all(one == (frozenset({GATEWAY}), frozenset({node})) for one in said)
        return "" if is_own else f'the gateway of node "{node}" may report only as itself'
