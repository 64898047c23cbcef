"""ConfigMaps, Secrets and claims of pods' volumes, each by its own watch: no node may read more.

A watch begins with the first pod of this node that names the object in a volume, and ends with the
last. What it brings is kept in memory alone.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.podspec.references import Named, claims_in, named_in_volumes
from cubernetes.api.core.secret import Secret
from cubernetes.api.meta import Object
from cubernetes.client.informer import Informer
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.log import Log

log = Log(__name__)

# Watches of one node; the API server allows a user 1,000, and a kubelet has a few others.
FOLLOWED_MAX = 900
# How long a pod's start waits for the first answer about what its volumes name.
SYNC_WAIT_S = 2.0

FOLLOWED_KINDS: Mapping[str, type[Object]] = {
    one.resource.kind: one for one in (ConfigMap, Secret, PersistentVolumeClaim)
}

type Key = tuple[str, Named]
type News = Callable[[str, Named], None]


class Followed:
    """One object, as its watch tells of it."""

    def __init__(self, client: Client, env: Env, key: Key, tell: News) -> None:
        namespace, named = key
        fields = f"metadata.name={named.name}"
        kind = FOLLOWED_KINDS[named.kind]
        self._informer: Informer[Object] = Informer(
            client, kind, env, namespace=namespace, fields=fields
        )
        self._informer.on_change(lambda _old, _new: tell(namespace, named))
        self.synced = self._informer.synced
        self._task: asyncio.Task[None] | None = None

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Follow it, until `end`."""
        if self._task is None:
            self._task = tasks.create_task(self._informer.run())

    def end(self) -> None:
        if self._task is not None:
            self._task.cancel()

    @property
    def object(self) -> Object | None:
        """Return the object as it is known; None where there is none."""
        found: list[Object] = [*self._informer.cache.list()]
        return found[0] if found else None


class FollowedObjects:
    """All that the volumes of this node's pods name. Run `run` beside the workers."""

    def __init__(self, client: Client, env: Env) -> None:
        self._client, self._env = client, env
        self._followed: dict[Key, Followed] = {}
        self._changed = asyncio.Event()
        self._callbacks: list[News] = []

    def on_news(self, callback: News) -> None:
        """Call back with the namespace and the name of each object that is new, other or gone."""
        self._callbacks.append(callback)

    def want(self, pods: Iterable[Pod]) -> None:
        """Follow what these pods' volumes name, and nothing else, as far as FOLLOWED_MAX allows."""
        wanted = {
            (one.metadata.namespace, named)
            for one in pods
            if not is_finished(one)
            for named in named_in_volumes(one.spec) | claims_in(one.spec)
        }
        kept = set(sorted(wanted)[:FOLLOWED_MAX])
        if len(kept) < len(wanted):
            log.warning("not every object is followed", named=len(wanted), limit=FOLLOWED_MAX)
        for key in [key for key in self._followed if key not in kept]:
            self._followed.pop(key).end()
        for key in sorted(kept - self._followed.keys()):
            self._followed[key] = self._new(key)
        self._changed.set()

    async def run(self) -> None:
        """Follow for ever what is wanted."""
        # What an earlier run followed has ended with it.
        self._followed = {key: self._new(key) for key in sorted(self._followed)}
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._changed.clear()
                for one in self._followed.values():
                    one.begin(tasks)
                await self._changed.wait()

    async def known(
        self, namespace: str, names: Iterable[Named]
    ) -> tuple[dict[Named, Object], frozenset[Named]]:
        """Return the objects that are there, and the names of which nothing is known yet.

        The first answer about a name is waited for, SYNC_WAIT_S in all.
        """
        wanted = sorted(names)
        try:
            async with asyncio.timeout(SYNC_WAIT_S):
                for named in wanted:
                    if (one := self._followed.get((namespace, named))) is not None:
                        await one.synced.wait()
        except TimeoutError:
            log.debug("not everything that volumes name is known", namespace=namespace)
        return self.known_now(namespace, wanted)

    def known_now(
        self, namespace: str, names: Iterable[Named]
    ) -> tuple[dict[Named, Object], frozenset[Named]]:
        """Return the same without waiting."""
        found: dict[Named, Object] = {}
        unknown: set[Named] = set()
        for named in names:
            one = self._followed.get((namespace, named))
            if one is None or not one.synced.is_set():
                unknown.add(named)
            elif one.object is not None:
                found[named] = one.object
        return found, frozenset(unknown)

    def _new(self, key: Key) -> Followed:
        return Followed(self._client, self._env, key, self._tell)

    def _tell(self, namespace: str, named: Named) -> None:
        for callback in self._callbacks:
            callback(namespace, named)
