"""Who asks, where no client certificate says it: a bootstrap token."""

from apiserver.backend import Backend
from cubernetes.api.http import Identity, Request


class Authenticator:
    """Knows callers by the bearer tokens that the store keeps."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def identity_of(self, request: Request) -> Identity | None:
        """Return who shows a token; None where nobody does, or it is not good."""
        return None
