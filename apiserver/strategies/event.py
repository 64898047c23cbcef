"""Events: a node reports as itself. Pure."""

from apiserver.auth.authorize import NO_BUSINESS, WRITE, Attempt
from apiserver.strategies.strategy import Strategy
from cubernetes.api.core.event import Event


class Events(Strategy[Event]):
    """Neither what an event says now nor what it said before may be another node's report."""

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
        hosts = {one.source.host for one in (old, new) if one is not None}
        return "" if hosts <= {"", node} else f'node "{node}" may not report as another'
