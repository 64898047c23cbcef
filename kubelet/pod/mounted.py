"""Reads the claims and volumes of one pod, and says where on this node their files are."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from cubernetes.api.core.node import Node
from cubernetes.api.core.persistentvolume import PersistentVolume
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.references import Named
from cubernetes.api.core.podspec.volumes.volume import claims_of
from cubernetes.api.errors import ApiError, NotFound
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from kubelet.files.places import NONE_CLAIMED, Claimed, NodeFolder, Waits, claim_problem, place_of
from kubelet.objects.view import PodObjects
from kubelet.pod.volumes import VolumeTrouble

READ_DEADLINE_S = 10.0


class ClaimReader:
    """Claims are followed; a volume is read when a container starts, and its place remembered."""

    def __init__(
        self, client: Client, objects: PodObjects, own_node: Callable[[], Node | None]
    ) -> None:
        self._client, self._objects, self._own_node = client, objects, own_node
        self._here: Sequence[Pod] = ()
        # Where volumes were found, by uid of the claim: a container starts again in an outage.
        self._known: dict[str, NodeFolder] = {}

    def want(self, pods: Iterable[Pod]) -> None:
        """Take the complete list of this node's pods."""
        self._here = [one for one in pods if claims_of(one.spec.volumes)]
        if not self._here:
            self._known.clear()

    async def claimed(self, pod: Pod) -> Claimed:
        """Return where the volumes of a pod's claims are.

        Raises: VolumeTrouble: one is not bound yet, or is not to be had here.
        """
        names = claims_of(pod.spec.volumes)
        if not names:
            return NONE_CLAIMED
        objects, unknown = await self._objects.claims_of(pod)
        places: dict[str, NodeFolder] = {}
        for name in names:
            named = Named(PersistentVolumeClaim.resource.kind, name)
            if named in unknown:
                raise VolumeTrouble(f'persistentvolumeclaim "{name}" has not been read yet')
            claim = objects.get(named)
            found = claim if isinstance(claim, PersistentVolumeClaim) else None
            why = claim_problem(name, found, pod, self._here)
            if why or found is None:
                raise VolumeTrouble(why)
            places[name] = await self._place(found)
        return places

    async def _place(self, claim: PersistentVolumeClaim) -> NodeFolder:
        uid, name = claim.metadata.uid, claim.spec.volume_name
        try:
            async with asyncio.timeout(READ_DEADLINE_S):
                volume = await self._client.get(PersistentVolume, name)
            place = place_of(claim, volume, self._own_node())
        except Waits as error:
            raise VolumeTrouble(str(error)) from error
        except NotFound as error:
            raise VolumeTrouble(f'persistentvolume "{name}" not found') from error
        except (ApiError, TransportError, TimeoutError) as error:
            if uid in self._known:
                return self._known[uid]
            raise VolumeTrouble(f'persistentvolume "{name}" not read: {error}') from error
        self._known[uid] = place
        return place
