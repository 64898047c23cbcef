"""The Secrets that roads name, each by a watch of its own: the gateway may read no other."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Set

from cubernetes.api.core.secret import TLS, Secret
from cubernetes.client.informer import Informer
from cubernetes.client.rest import Client
from cubernetes.host.command import CommandFailed
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.supervise import supervised
from cubernetes.host.timing.waiting import wait_until
from gateway.roads.model import SecretRef
from gateway.tls.checker import checked
from gateway.tls.pairs import BadPair, authorities_in

log = Log(__name__)

# Watches of one gateway; the Secrets beyond are told as not followed.
FOLLOWED_MAX = 1000
# A check that had no end is begun again after so long.
RETRY_S = 10.0


class Followed:
    """One Secret, and what its newest version means."""

    def __init__(
        self,
        client: Client,
        env: Env,
        ref: SecretRef,
        tell: Callable[[], None],
        turn: asyncio.Lock,
        judge: "Judge",
    ) -> None:
        fields = f"metadata.name={ref.name}"
        self._informer = Informer(client, Secret, env, namespace=ref.namespace, fields=fields)
        self._changed = asyncio.Event()
        self._informer.on_change(lambda _old, _new: self._changed.set())
        self._env, self._ref, self._tell, self._turn = env, ref, tell, turn
        self._judge = judge
        self._pair: bytes | str | None = None
        self.is_known = asyncio.Event()

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Follow it, until `end`."""
        check = supervised("secret", self._check, self._env)
        self._tasks = (tasks.create_task(self._informer.run()), tasks.create_task(check))

    def end(self) -> None:
        for task in self._tasks:
            task.cancel()

    def pair(self) -> bytes | str | None:
        """Return the pair in PEM, or why there is none; None as long as nothing is known.

        While a newer version is looked at, it is what the one before meant.
        """
        return self._pair

    async def _check(self) -> None:
        """Look at each version; that there is no Secret is one, which no change tells of."""
        await self._informer.synced.wait()
        while True:
            self._changed.clear()
            secret = next(iter(self._informer.cache.list()), None)
            try:
                async with self._turn:
                    self._pair = await self._judge(secret, self._env)
            except CommandFailed as error:
                log.warning("a certificate's key cannot be checked", secret=self._ref, why=error)
                await self._env.clock.sleep(RETRY_S)
                continue
            self.is_known.set()
            self._tell()
            await self._changed.wait()


class FollowedSecrets:
    """A watch a Secret, begun where one is named first, ended where none names it any more."""

    def __init__(
        self, client: Client, env: Env, on_change: Callable[[], None], judge: "Judge"
    ) -> None:
        self._client, self._env, self._on_change = client, env, on_change
        self._judge = judge
        self._followed: dict[SecretRef, Followed] = {}
        # One pair is looked at after the other: the roads' requests need the machine.
        self._turn = asyncio.Lock()

    def follow(self, wanted: Iterable[SecretRef], tasks: asyncio.TaskGroup) -> list[Followed]:
        """Follow these and no others, as far as FOLLOWED_MAX allows; return those begun now."""
        kept = kept_among(set(wanted), self._followed.keys())
        for ref in [ref for ref in self._followed if ref not in kept]:
            self._followed.pop(ref).end()
        begun = []
        for ref in sorted(kept - self._followed.keys()):
            one = Followed(self._client, self._env, ref, self._on_change, self._turn, self._judge)
            self._followed[ref] = one
            one.begin(tasks)
            begun.append(one)
        return begun

    async def follow_until_known(
        self, wanted: Iterable[SecretRef], tasks: asyncio.TaskGroup, limit_s: float
    ) -> None:
        """Follow these and no others, and give those begun now so many seconds to be read."""
        until_s = self._env.clock.monotonic() + limit_s
        for one in self.follow(wanted, tasks):
            await wait_until(one.is_known, max(0.0, until_s - self._env.clock.monotonic()))

    def pairs(self, wanted: Iterable[SecretRef]) -> Mapping[SecretRef, bytes | str | None]:
        """Return a pair in PEM, or why there is none, for each Secret that is known by now.

        None stands for a Secret that is not read: of it nothing can be said.
        """
        found: dict[SecretRef, bytes | str | None] = {}
        for ref in wanted:
            if ref not in self._followed:
                found[ref] = None
            elif (pair := self._followed[ref].pair()) is not None:
                found[ref] = pair
        return found


def kept_among(wanted: Set[SecretRef], followed: Set[SecretRef]) -> Set[SecretRef]:
    """Return which Secrets are followed: first those that are already, then in order."""
    kept = sorted(wanted & followed)[:FOLLOWED_MAX]
    return {*kept, *sorted(wanted - followed)[: FOLLOWED_MAX - len(kept)]}


# What a Secret, or that there is none, means: what is to be served of it, or why nothing is.
type Judge = Callable[[Secret | None, Env], Awaitable[bytes | str]]


async def pair_of(secret: Secret | None, env: Env) -> bytes | str:
    """Return the certificate and the key of a Secret, in PEM. Raises: CommandFailed."""
    if secret is None or secret.metadata.is_deleted:
        return "it is not there"
    if secret.type != TLS:
        return f"its type is {secret.type}, not {TLS}"
    return await checked(secret.data, env)


async def authorities_of(secret: Secret | None, _env: Env) -> bytes | str:
    """Return the certificates of a Secret's authorities, in PEM."""
    if secret is None or secret.metadata.is_deleted:
        return "it is not there"
    try:
        return authorities_in(secret.data)
    except BadPair as error:
        return str(error)
