"""ConfigMaps and Secrets: a node reads those that its pods name, one by one. Pure."""

from apiserver.auth.authorize import READ, Attempt
from apiserver.strategies.strategy import Strategy
from cubernetes.api.meta import Object

NOT_NAMED = "no pod that is bound to this node names it"


class Named[K: Object](Strategy[K]):
    """The strategy of kinds that pods name, and that nobody else has a reason to read."""

    is_read_where_named = True

    def access_refusal(
        self,
        node: str,  # noqa: ARG002
        attempt: Attempt,
        one: K | None,  # noqa: ARG002
        *,
        is_named: bool,
    ) -> str:
        if attempt.verb not in READ or attempt.subresource:
            return "a node may read what its pods name, nothing else"
        if not attempt.name or not attempt.namespace:
            how = "by name or with fieldSelector metadata.name=<name>"
            return f"a node must ask for one object, {how}"
        return "" if is_named else NOT_NAMED
