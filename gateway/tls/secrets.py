"""The Secrets that Ingresses name, each by a watch of its own: the gateway may read no other."""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from cubernetes.api.core.secret import TLS, Secret
from cubernetes.client.informer import Informer
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from gateway.roads.model import SecretRef
from gateway.tls.pairs import BadPair, pair_in

# Watches of one gateway; the Secrets beyond are told as not followed.
FOLLOWED_MAX = 1000


class Followed:
    """One Secret, and what its newest version means."""

    def __init__(self, client: Client, env: Env, ref: SecretRef, tell: Callable[[], None]) -> None:
        fields = f"metadata.name={ref.name}"
        self._informer = Informer(client, Secret, env, namespace=ref.namespace, fields=fields)
        self._informer.on_change(lambda _old, _new: tell())
        self._tell = tell
        self._read: tuple[Secret | None, bytes | str] | None = None

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Follow it, until `end`."""
        self._tasks = (
            tasks.create_task(self._informer.run()),
            tasks.create_task(self._tell_once_known()),
        )

    def end(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _tell_once_known(self) -> None:
        # A Secret that is not there is no change.
        await self._informer.synced.wait()
        self._tell()

    def pair(self) -> bytes | str | None:
        """Return the pair in PEM, or why there is none; None as long as nothing is known."""
        if not self._informer.synced.is_set():
            return None
        secret = next(iter(self._informer.cache.list()), None)
        if self._read is None or self._read[0] is not secret:
            self._read = secret, _pair(secret)
        return self._read[1]


class FollowedSecrets:
    """A watch a Secret, begun where one is named first, ended where none names it any more."""

    def __init__(self, client: Client, env: Env, on_change: Callable[[], None]) -> None:
        self._client, self._env, self._on_change = client, env, on_change
        self._followed: dict[SecretRef, Followed] = {}

    def follow(self, wanted: Iterable[SecretRef], tasks: asyncio.TaskGroup) -> None:
        """Follow these and no others, as far as FOLLOWED_MAX allows; nothing waits."""
        kept = set(sorted(set(wanted))[:FOLLOWED_MAX])
        for ref in [ref for ref in self._followed if ref not in kept]:
            self._followed.pop(ref).end()
        for ref in sorted(kept - self._followed.keys()):
            one = self._followed[ref] = Followed(self._client, self._env, ref, self._on_change)
            one.begin(tasks)

    def pairs(self, wanted: Iterable[SecretRef]) -> Mapping[SecretRef, bytes | str]:
        """Return a pair in PEM, or why there is none, for each Secret that is known by now."""
        found: dict[SecretRef, bytes | str] = {}
        for ref in wanted:
            if ref not in self._followed:
                found[ref] = f"more than {FOLLOWED_MAX} secrets are named, and it is not read"
            elif (pair := self._followed[ref].pair()) is not None:
                found[ref] = pair
        return found


def _pair(secret: Secret | None) -> bytes | str:
    if secret is None or secret.metadata.is_deleted:
        return "it is not there"
    if secret.type != TLS:
        return f"its type is {secret.type}, not {TLS}"
    try:
        return pair_in(secret.data)
    except BadPair as error:
        return str(error)
