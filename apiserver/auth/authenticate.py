"""Who asks, where no client certificate says it: a bootstrap token."""

import msgspec

from apiserver.auth.authorize import BOOTSTRAP_PREFIX, BOOTSTRAPPERS
from apiserver.auth.tokens import Failures, Kept, Shown, is_good, shown_in
from apiserver.backend import Backend
from apiserver.keys import TOKENS
from cubernetes.api.errors import TooManyRequests
from cubernetes.api.http import Identity, Request


class Authenticator:
    """Knows callers by the bearer tokens that the store keeps."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._failures = Failures(backend.settings.limits.token_failures_max)

    async def identity_of(self, request: Request) -> Identity | None:
        """Return who shows a token; None where nobody does, or it is not good.

        Raises: TooManyRequests: too many wrong tokens in this minute, from wherever.
        """
        header = request.headers.get("authorization", "")
        if not header:
            return None
        clock = self._backend.env.clock
        if self._failures.is_over(clock.monotonic()):
            raise TooManyRequests("too many wrong tokens, wait a minute", retry_after_s=60)
        shown = shown_in(header)
        kept = await self._kept(shown) if shown is not None else None
        if shown is None or kept is None or not is_good(kept, shown.secret, clock.now()):
            self._failures.add(clock.monotonic())
            return None
        return Identity(f"{BOOTSTRAP_PREFIX}{kept.id}", (BOOTSTRAPPERS,))

    async def _kept(self, shown: Shown) -> Kept | None:
        # From the store: a token may have been made, or revoked, at another server just now.
        entry = await self._backend.transactions.entry(TOKENS + shown.id)
        return msgspec.json.decode(entry.value, type=Kept) if entry is not None else None
