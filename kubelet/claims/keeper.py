"""Makes the folders of volumes on this node's disk, and removes those that are to go."""

import asyncio

from cubernetes.api.core.persistentvolume import PersistentVolume
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.errors import ApiError, NotFound
from cubernetes.api.meta import Object, ObjectMeta
from cubernetes.api.storagewords import FOLDER, FOLDER_FINALIZER, MADE, SIZE_NOTE
from cubernetes.client.informer import Informer
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.timing.backoff import backoff_s, jittered_s
from cubernetes.host.timing.waiting import wait_until
from cubernetes.reconcile.plan import Record
from cubernetes.reconcile.records import EventRecorder
from kubelet.claims.folders import Folders
from kubelet.claims.plan import NO_LIMIT, Work, path_problem, work_for
from kubelet.pod.volumes import VolumeTrouble

log = Log(__name__)

RETRY_MAX_S = 30.0


class LocalVolumes:
    """The volumes of one node. What fails is told once, and tried again with a growing pause."""

    def __init__(
        self,
        client: Client,
        env: Env,
        node: str,
        root: str,
        folders: Folders,
        recorder: EventRecorder,
    ) -> None:
        self._client, self._env, self._node, self._root = client, env, node, root
        self._folders, self._recorder = folders, recorder
        self._volumes = Informer(client, PersistentVolume, env, fields=f"spec.nodeName={node}")
        self._volumes.on_change(self._on_change)
        self._changed = asyncio.Event()
        self._failure_count = 0

    async def run(self) -> None:
        """Follow the volumes of this node for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._volumes.run())
            tasks.create_task(self._keep())

    async def _keep(self) -> None:
        await self._volumes.synced.wait()
        while True:
            self._changed.clear()
            # One that fails holds up no other.
            failures = [one for one in self._volumes.cache.list() if not await self._is_right(one)]
            self._failure_count = self._failure_count + 1 if failures else 0
            pause_s = None
            if failures:
                pause_s = backoff_s(self._failure_count, limit_s=RETRY_MAX_S)
                pause_s = jittered_s(pause_s, self._env.rng.fraction())
            await wait_until(self._changed, pause_s)

    async def _is_right(self, volume: PersistentVolume) -> bool:
        """Do what a volume needs here; False where it has failed."""
        work = work_for(volume, self._node)
        if work is None:
            return True
        try:
            await self._do(work, volume)
        except VolumeTrouble as error:
            is_making = work is Work.MAKE
            reason = "ProvisioningFailed" if is_making else "VolumeFailedDelete"
            about = _claim_of(volume) if is_making else volume
            self._recorder.record(Record(about, reason, str(error), "Warning"))
            log.warning("volume not made or removed", volume=volume.metadata.name, why=error)
            return False
        except (ApiError, TransportError) as error:
            log.debug("volume not told of", volume=volume.metadata.name, why=error)
            return isinstance(error, NotFound)
        return True

    async def _do(self, work: Work, volume: PersistentVolume) -> None:
        if why := path_problem(volume, self._root):
            raise VolumeTrouble(why)
        if work is Work.MAKE:
            await self._make(volume)
        else:
            await self._remove(volume)

    async def _make(self, volume: PersistentVolume) -> None:
        await self._folders.make(volume.metadata.name)
        notes = {FOLDER: MADE, SIZE_NOTE: NO_LIMIT}
        await self._patch(volume, {"annotations": notes})
        log.info("volume made", volume=volume.metadata.name)

    async def _remove(self, volume: PersistentVolume) -> None:
        await self._folders.remove(volume.metadata.name)
        left = [one for one in volume.metadata.finalizers if one != FOLDER_FINALIZER]
        await self._patch(volume, {"finalizers": left or None})
        log.info("volume removed", volume=volume.metadata.name)

    async def _patch(self, volume: PersistentVolume, change: dict[str, object]) -> None:
        """Write what is new, only into the volume as it was seen."""
        meta = volume.metadata
        seen = {"uid": meta.uid, "resourceVersion": meta.resource_version}
        await self._client.patch(PersistentVolume, meta.name, "", {"metadata": {**seen, **change}})

    def _on_change(self, _old: Object | None, _new: Object | None) -> None:
        self._changed.set()


def _claim_of(volume: PersistentVolume) -> Object:
    """Return the claim that a volume is made for, as far as events name it."""
    ref = volume.spec.claim_ref
    if ref is None:
        return volume
    meta = ObjectMeta(name=ref.name, namespace=ref.namespace, uid=ref.uid)
    return PersistentVolumeClaim(metadata=meta)
