"""Devices of our own nodes: jobs are pods; the scheduler places them, the kubelet gives devices.

Which device a pod gets is the kubelet's choice: how many each node offers is all that counts here.
"""

import asyncio
from collections.abc import Iterable

from cubernetes.api.core.node import Node, is_ready
from cubernetes.api.gpu.gpujob import GpuJob
from cubernetes.api.gpu.gpusite import GpuSite, Local
from cubernetes.client.informer import Informer
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from gpu.driver import JobRefused, Report, SiteTrouble
from gpu.sites.standin import StandIns

MODEL_LABEL = "gpu.cubernetes.io/model"


class LocalSites(StandIns):
    """Every site of the type local: pods as those of stand-ins, which ask for devices."""

    def __init__(self, client: Client, env: Env) -> None:
        super().__init__(client, env, "")
        self._nodes = Informer(client, Node, env)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(super().run())
            tasks.create_task(self._nodes.run())

    async def observe(self, site: GpuSite) -> Report:
        if not (self._pods.synced.is_set() and self._nodes.synced.is_set()):
            raise SiteTrouble("its nodes and pods are not known yet")
        local = _local(site)
        devices = devices_on(self._nodes.cache.list(), local)
        told = f"{len(devices)} {local.resource} on ready nodes"
        return Report(devices, self._jobs(site, ""), told)

    async def submit(self, site: GpuSite, job: GpuJob, key: str) -> None:
        local, gpus = _local(site), job.spec.resources.gpus
        nodes = [one for one in self._nodes.cache.list() if is_chosen(one, local)]
        most = max((count_of(one, local) for one in nodes), default=0)
        if gpus > most:
            raise JobRefused(
                f"no node has {gpus} {local.resource}: a job runs on one, at most {most}"
            )
        await super().submit(site, job, key)


def _local(site: GpuSite) -> Local:
    if site.spec.local is None:
        raise SiteTrouble("spec.local does not say which devices")
    return site.spec.local


def devices_on(nodes: Iterable[Node], local: Local) -> dict[str, str]:
    """Return the devices of ready nodes, each with its type."""
    return {
        f"{node.metadata.name}/{index}": type_of(node, local)
        for node in nodes
        if is_chosen(node, local) and is_ready(node)
        for index in range(count_of(node, local))
    }


def is_chosen(node: Node, local: Local) -> bool:
    labels = node.metadata.labels
    return all(labels.get(key) == value for key, value in local.node_selector.items())


def count_of(node: Node, local: Local) -> int:
    amount = node.status.allocatable.get(local.resource)
    return amount.whole if amount is not None else 0


def type_of(node: Node, local: Local) -> str:
    """Return the model of a node's GPUs; of other devices, the last part of their name."""
    model = node.metadata.labels.get(MODEL_LABEL, "")
    is_gpu = local.resource.startswith("nvidia.com/")
    return (model if is_gpu and model else local.resource.rpartition("/")[2]).lower()
