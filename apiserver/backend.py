"""What every verb works with: the mirror, transactions, the environment and the settings."""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, cast

from apiserver.fairness.places import Places
from apiserver.fairness.sessions import Sessions
from apiserver.proxying.exchange import Answer, Asked, Target
from apiserver.settings import Settings
from apiserver.state.keys import key_of, prefix_of
from apiserver.state.mirror import Mirror
from apiserver.state.room import Room
from apiserver.state.transact import Transactions
from apiserver.state.watching import WatchRegistry
from apiserver.storage.store import Entry, Store
from cubernetes.api.core.node import Node
from cubernetes.api.meta import Object
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Upgrade
from cubernetes.reconcile.readings import SampleStore


class KubeletLogs(Protocol):
    """The way to containers: the kubelet of the node where a pod runs."""

    async def open(self, node: Node, path: str, query: str) -> AsyncIterator[bytes]:
        """Ask a kubelet for a log; the answer is its text as it comes.

        Raises: ApiError: what the kubelet refused, or that it cannot be reached.
        """
        ...

    async def upgrade(
        self, node: Node, path: str, query: str, headers: Mapping[str, str]
    ) -> Upgrade:
        """Ask a kubelet to switch protocols, with the client's headers that ask for it.

        Raises: ApiError: what the kubelet refused, or that it cannot be reached.
        """
        ...

    async def exchange(self, target: Target, asked: Asked) -> Answer:
        """Ask a port of a pod, or a kubelet itself, whatever a client asks.

        Raises: Unreached: nothing was sent. ApiError: there is no answer.
        """
        ...


class JobOutputs(Protocol):
    """The way to what GPU jobs have written at sites outside of the cluster."""

    async def open(self, path: str, query: str) -> AsyncIterator[bytes]:
        """Ask the program of GPU jobs for an output; the answer is its text as it comes.

        Raises: ApiError: what it refused, or that it cannot be reached.
        """
        ...


class Signer(Protocol):
    """The cluster's certificate authority, as far as a join needs it."""

    @property
    def ca_pem(self) -> str: ...

    def sign(
        self, node: str, addresses: tuple[str, ...], use: str, request: str
    ) -> tuple[str, str]:
        """Return the certificate for one use (kubelet, kubelet-serving, proxy) of a node.

        As PEM, and its serial number in upper-case hexadecimal.

        Raises: Invalid: the request asks for more than that.
        """
        ...


class TokenKeys(Protocol):
    """The cluster's keys for tokens of service accounts."""

    def sign(self, claims: bytes) -> str:
        """Return the token that says this."""
        ...

    def claims_in(self, token: str) -> bytes | None:
        """Return what a token says that one of the keys signed; None for every other."""
        ...


@dataclass(frozen=True, slots=True)
class Backend:
    store: Store
    mirror: Mirror
    transactions: Transactions
    watchers: WatchRegistry
    env: Env
    settings: Settings
    room: Room
    sessions: Sessions
    # Requests that are handed on to pods, services and nodes.
    proxied: Places
    logs: KubeletLogs | None = None
    signer: Signer | None = None
    # The store of samples; None where this server was told of none.
    samples: SampleStore | None = None
    accounts: TokenKeys | None = None
    jobs: JobOutputs | None = None

    # What a strategy may ask for (strategies.strategy.Cluster).

    @property
    def plain(self) -> Mapping[str, Entry]:
        """What the store keeps under keys that are no object's."""
        return self.mirror.plain

    def objects(self, kind: type[Object]) -> Iterator[Object]:
        return (item.object for item in self.mirror.cache_of(kind).items.values())

    def within(self, kind: type[Object], namespace: str) -> Iterator[Object]:
        cache = self.mirror.cache_of(kind)
        return (item.object for item in cache.under(prefix_of(kind, namespace)))

    def find[K: Object](self, kind: type[K], name: str, namespace: str = "") -> K | None:
        item = self.mirror.cache_of(kind).items.get(key_of(kind, namespace, name))
        return cast(K, item.object) if item is not None else None

    def fraction(self) -> float:
        return self.env.rng.fraction()

    async def caught_up(self) -> int:
        """Wait until the mirror is as new as the store is now; return its revision.

        Raises: ServiceUnavailable, Timeout.
        """
        return await self.mirror.caught_up(self.settings.limits.freshness_deadline_s)
