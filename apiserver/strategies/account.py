"""Service accounts: a node asks for tokens of its pods' accounts, and nothing else. Pure."""

from apiserver.auth.authorize import Attempt
from apiserver.strategies.strategy import Strategy
from cubernetes.api.core.serviceaccount import ServiceAccount


class ServiceAccounts(Strategy[ServiceAccount]):
    """What a token that a node asks for is bound to is looked at by the subresource."""

    is_read_where_named = True
    # With it end its tokens, which are looked at in memory.
    is_deletion_awaited = True

    def access_refusal(
        self,
        node: str,  # noqa: ARG002
        attempt: Attempt,
        one: ServiceAccount | None,  # noqa: ARG002
        *,
        is_named: bool,
    ) -> str:
        if (attempt.verb, attempt.subresource) != ("create", "token"):
            return "a node may ask for tokens of its pods' accounts, nothing else"
        return "" if is_named else "no pod that is bound to this node runs as it"
