"""Stand-ins: jobs run as pods, on CPUs, and everything that they say says so.

A submission is a pod of its key's name: that it runs at most once is what names are for.
"""

from collections.abc import Callable
from pathlib import Path

from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.errors import AlreadyExists, ApiError, Invalid, NotFound
from cubernetes.api.gpu.gpujob import GpuJob
from cubernetes.api.gpu.gpusite import GpuSite
from cubernetes.api.meta import Object
from cubernetes.client.cache import revision_of
from cubernetes.client.informer import Informer
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from gpu.driver import JobRefused, Observation, Report, SiteTrouble
from gpu.sites.standinpods import (
    CANCELLED,
    KEY_LABEL,
    SITE_LABEL,
    STAND_IN,
    devices_of,
    files_for,
    name_of,
    observation_of,
    pod_for,
)

SEEN_S = 10.0  # for a write to come back by the watch
HERE = Path(__file__).parent
# What a stand-in gives to every job: how it is run, and the glue between CUDA and a CPU.
CUBE = ("run.sh", "cube_cuda.h")


class StandIns:
    """Every site of the type standin: they differ by the label of their pods."""

    def __init__(self, client: Client, env: Env, image: str) -> None:
        self._client, self._image = client, image
        self._pods = Informer(client, Pod, env, labels=KEY_LABEL)
        self._cube = {name: (HERE / name).read_text() for name in CUBE}

    def on_change(self, wake: Callable[[], None]) -> None:
        self._pods.on_change(lambda _old, _new: wake())

    async def run(self) -> None:
        await self._pods.run()

    async def observe(self, site: GpuSite) -> Report:
        if not self._pods.synced.is_set():
            raise SiteTrouble("its pods are not known yet")
        told = f"{STAND_IN}: {site.spec.stand_in.gpus} pretended GPUs, all of them CPUs"
        return Report(devices_of(site), self._jobs(site, STAND_IN), told)

    def _jobs(self, site: GpuSite, says: str) -> dict[str, Observation]:
        return {
            pod.metadata.labels[KEY_LABEL]: observation_of(pod, says)
            for pod in self._pods.cache.list()
            if pod.metadata.labels.get(SITE_LABEL) == site.metadata.name
        }

    async def submit(self, site: GpuSite, job: GpuJob, key: str) -> None:
        try:
            await self._make(files_for(job, key, self._cube), job)
            made = await self._make(pod_for(job, site, key, self._image, self._cube), job)
        except Invalid as error:
            raise JobRefused(error.message) from error
        except (ApiError, TransportError) as error:
            raise SiteTrouble(str(error)) from error
        await self._pods.at_least(revision_of(made), SEEN_S)

    async def _make[O: Object](self, one: O, job: GpuJob) -> O:
        try:
            return await self._client.create(one)
        except AlreadyExists:
            meta = one.metadata
            found = await self._client.get(type(one), meta.name, meta.namespace)
            if found.parent_uid != job.metadata.uid:
                raise JobRefused(f"{found.ref} exists, and belongs to something else") from None
            return found

    async def cancel(self, site: GpuSite, job: GpuJob, key: str) -> None:  # noqa: ARG002
        """End a pod and keep it, with its output; one that has not begun goes."""
        namespace, name = job.metadata.namespace, name_of(key)
        change = {
            "metadata": {"annotations": {CANCELLED: "true"}},
            "spec": {"activeDeadlineSeconds": 1},
        }
        try:
            pod = await self._client.get(Pod, name, namespace)
            if is_finished(pod):
                return
            pod = await self._client.patch(Pod, name, namespace, change)
            if pod.status.start_time is None:
                await self._client.delete(Pod, name, namespace, uid=pod.metadata.uid)
        except NotFound:
            return
        except (ApiError, TransportError) as error:
            raise SiteTrouble(str(error)) from error

    async def remove(self, site: GpuSite, job: GpuJob, key: str) -> None:  # noqa: ARG002
        name, namespace = name_of(key), job.metadata.namespace
        kinds: tuple[type[Object], ...] = (Pod, ConfigMap)
        for kind in kinds:
            try:
                await self._client.delete(kind, name, namespace)
            except NotFound:
                continue
            except (ApiError, TransportError) as error:
                raise SiteTrouble(str(error)) from error
        await self._pods.until(lambda: self._is_going(name, namespace), SEEN_S)

    def _is_going(self, name: str, namespace: str) -> bool:
        pod = self._pods.cache.get(name, namespace)
        return pod is None or pod.metadata.is_deleted
