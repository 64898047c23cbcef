"""Whether a role that is bound to a client allows what the fixed roles do not."""

from apiserver.auth.authorize import OWN_GROUP, Attempt, acting_node
from apiserver.auth.rbac import is_allowed, is_path_allowed
from apiserver.backend import Backend
from cubernetes.host.web.messages import Identity

# What the authorizer calls by a word, and Kubernetes by its path.
PATHS = frozenset({"metrics"})


async def is_granted(backend: Backend, identity: Identity, attempt: Attempt, path: str) -> bool:
    """Whether a bound role allows an attempt; what was just bound is waited for.

    A node has what its kinds let it do, and no roles.
    """
    if acting_node(identity):
        return False
    if is_granted_now(backend, identity, attempt, path):
        return True
    await backend.caught_up()
    return is_granted_now(backend, identity, attempt, path)


def is_granted_now(backend: Backend, identity: Identity, attempt: Attempt, path: str = "") -> bool:
    """Return the same of what memory shows."""
    if attempt.group == OWN_GROUP and attempt.resource in PATHS:
        return is_path_allowed(backend, identity, attempt.verb, path)
    return not acting_node(identity) and is_allowed(backend, identity, attempt)
