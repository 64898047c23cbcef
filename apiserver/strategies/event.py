"""Events: a node reports as itself. Pure."""

from apiserver.strategies.strategy import Strategy
from cubernetes.api.core.event import Event


class Events(Strategy[Event]):
    """Neither what an event says now nor what it said before may be another node's report."""

    def node_refusal(self, node: str, subresource: str, old: Event | None, new: Event) -> str:  # noqa: ARG002
        hosts = {one.source.host for one in (old, new) if one is not None}
        return "" if hosts <= {"", node} else f'node "{node}" may not report as another'
