"""Authentication of clients without a certificate: by bootstrap token, or a service account's."""

import msgspec

from apiserver.auth.accounts import token_in
from apiserver.auth.authorize import BOOTSTRAP_PREFIX, BOOTSTRAPPERS
from apiserver.auth.tokens import Failures, Shown, TokenRecord, is_good, shown_in
from apiserver.backend import Backend
from apiserver.enrolment.accounts import claims_of
from apiserver.state.keys import TOKENS
from apiserver.storage.store import Entry
from cubernetes.api.errors import TooManyRequests
from cubernetes.host.web.messages import Identity, Request


class Authenticator:
    """Knows callers by the bearer tokens that the store keeps, or that the cluster has signed."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._failures = Failures(backend.settings.limits.token_failures_max)

    async def identity_of(self, request: Request) -> Identity | None:
        """Return who shows a token; None where nobody does, or it is not good.

        The token is looked at first: however many wrong ones come, a good one is good. What many
        wrong ones cost those who send them is our question to the store.

        Raises: TooManyRequests: too many wrong tokens in this minute, of this id or from there.
        """
        header = request.headers.get("authorization", "")
        if not header:
            return None
        if token := token_in(header):
            # Guessing signatures costs the store nothing: nobody's are counted.
            issuer = self._backend.settings.account_issuer
            found = await claims_of(self._backend, token, (issuer,))
            return None if isinstance(found, str) else found.account.identity
        shown = shown_in(header)
        if shown is not None and self._is_good(self._mirrored(shown), shown):
            return _joiner(shown)
        now_s = self._backend.env.clock.monotonic()
        sources = [f"from {request.address}", *([f"of {shown.id}"] if shown is not None else [])]
        if any(self._failures.is_over(one, now_s) for one in sources):
            raise TooManyRequests("too many wrong tokens, wait a minute", retry_after_s=60)
        if shown is not None and self._is_good(await self._stored(shown), shown):
            return _joiner(shown)
        for one in sources:
            self._failures.add(one, now_s)
        return None

    def _is_good(self, entry: Entry | None, shown: Shown) -> bool:
        if entry is None:
            return False
        kept = msgspec.json.decode(entry.value, type=TokenRecord)
        return is_good(kept, shown.secret, self._backend.env.clock.now())

    def _mirrored(self, shown: Shown) -> Entry | None:
        return self._backend.mirror.plain.get(TOKENS + shown.id)

    async def _stored(self, shown: Shown) -> Entry | None:
        # A token may have been made at another server just now.
        return await self._backend.transactions.entry(TOKENS + shown.id)


def _joiner(shown: Shown) -> Identity:
    return Identity(f"{BOOTSTRAP_PREFIX}{shown.id}", (BOOTSTRAPPERS,))
