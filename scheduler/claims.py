"""The claims, volumes and classes that the scheduler follows, and the pods that wait for them."""

from asyncio import TaskGroup
from collections.abc import Callable, Iterable, Iterator

from cubernetes.api.core.persistentvolume import PersistentVolume
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.volumes.volume import claims_of
from cubernetes.api.errors import NotFound
from cubernetes.api.meta import Object, Ref, replaced
from cubernetes.api.storage.storageclass import StorageClass
from cubernetes.api.storagewords import SELECTED_NODE
from cubernetes.client.cache import Cache, Key, key_of
from cubernetes.client.informer import Informer
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.scheduling.claims import NONE, Late, Needs, needs_of
from cubernetes.scheduling.snapshot import Snapshot


class ClaimBook:
    """What pods' claims ask for, from memory; `ask` is called with pods to be decided on again."""

    def __init__(
        self,
        client: Client,
        env: Env,
        pods: Cache[Pod],
        snapshot: Snapshot,
        ask: Callable[[Key], None],
    ) -> None:
        self._client, self._pods, self._snapshot, self._ask = client, pods, snapshot, ask
        self._claims = Informer(client, PersistentVolumeClaim, env)
        self._volumes = Informer(client, PersistentVolume, env)
        self._classes = Informer(client, StorageClass, env)
        self._waiting: dict[Ref, set[Key]] = {}
        self._about: dict[Key, frozenset[Ref]] = {}

    def begin(self, tasks: TaskGroup) -> None:
        self._claims.on_change(self._claim_changed)
        self._volumes.on_change(self._volume_changed)
        self._classes.on_change(self._class_changed)
        for one in (self._claims, self._volumes, self._classes):
            tasks.create_task(one.run())

    async def synced(self) -> None:
        for one in (self._claims, self._volumes, self._classes):
            await one.synced.wait()

    def needs_of(self, pod: Pod) -> Needs:
        """Return what a pod's claims ask for, and remember that it wants to hear of them."""
        if not claims_of(pod.spec.volumes):
            return NONE
        needs, key = needs_of(pod, self), key_of(pod)
        self.forget(key)
        self._about[key] = needs.about
        for ref in needs.about:
            self._waiting.setdefault(ref, set()).add(key)
        return needs

    def forget(self, key: Key) -> None:
        """A pod waits for nothing any more."""
        for ref in self._about.pop(key, ()):
            waiting = self._waiting[ref]
            waiting.discard(key)
            if not waiting:
                del self._waiting[ref]

    def freed(self, pod: Pod) -> None:
        """A pod uses its volumes no longer: one that may only be used by one waits, perhaps."""
        for name in claims_of(pod.spec.volumes):
            self._tell(Ref(PersistentVolumeClaim.resource.kind, pod.metadata.namespace, name))

    async def select(self, namespace: str, claims: Iterable[Late], node: str) -> None:
        """Write into claims on which node their volumes are to be."""
        for one in claims:
            change = {"metadata": {"uid": one.uid, "annotations": {SELECTED_NODE: node}}}
            try:
                await self._client.patch(PersistentVolumeClaim, one.name, namespace, change)
            except NotFound:
                # It is gone: the watch says so, and the pod is decided on again.
                continue

    # What `needs_of` reads

    def claim(self, name: str, namespace: str) -> PersistentVolumeClaim | None:
        return self._claims.cache.get(name, namespace)

    def volume(self, name: str) -> PersistentVolume | None:
        return self._volumes.cache.get(name)

    def volumes(self) -> Iterable[PersistentVolume]:
        return self._volumes.cache.list()

    def storage_class(self, name: str) -> StorageClass | None:
        return self._classes.cache.get(name) if name else None

    def pods(self, namespace: str) -> Iterator[Pod]:
        for pod in self._pods.list(namespace):
            sent_to = self._snapshot.assumed(pod.metadata.uid)
            yield replaced(pod, spec=replaced(pod.spec, node_name=sent_to)) if sent_to else pod

    # Observe

    def _claim_changed(self, old: Object | None, new: Object | None) -> None:
        one = new or old
        if one is not None:
            self._tell(one.ref)

    def _volume_changed(self, old: PersistentVolume | None, new: PersistentVolume | None) -> None:
        one = new or old
        if one is None:
            return
        self._tell(one.ref)
        is_free = new is not None and new.spec.claim_ref is None
        was_free = old is not None and old.spec.claim_ref is None
        if is_free and not was_free:
            # The pods that found none of its class.
            self._tell(Ref(StorageClass.resource.kind, "", one.spec.storage_class_name))

    def _class_changed(self, old: Object | None, new: Object | None) -> None:
        one = new or old
        if one is not None:
            self._tell(one.ref)

    def _tell(self, ref: Ref) -> None:
        for key in sorted(self._waiting.get(ref, ())):
            self._ask(key)
