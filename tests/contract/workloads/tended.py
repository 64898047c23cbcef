"""A cluster in one process whose pods are tended in a few lines, for controllers of workloads."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from cubernetes.api.core.pod import Pod, is_ready
from cubernetes.api.errors import Conflict, NotFound
from cubernetes.api.meta import replaced
from cubernetes.client.rest import Client
from tests.contract.workloads.test_controllers import a_cluster, join
from tests.given import a_running_pod

type Tend = Callable[[Client, Pod], Awaitable[object]]


async def make_ready(client: Client, pod: Pod) -> None:
    if not is_ready(pod):
        status = a_running_pod(ip="10.244.1.2").status
        await client.update_status(replaced(pod, status=status))


@asynccontextmanager
async def a_tended_cluster(*nodes: str, tend: Tend = make_ready) -> AsyncIterator[Client]:
    """Run the control plane with these nodes; tend does what a kubelet does with a bound pod.

    A pod that is to go ends at once.
    """
    async with a_cluster() as client:
        for node in nodes:
            await join(client, node, cpu="64")
        kubelet = asyncio.create_task(_keep_house(client, tend))
        yield client
        assert not kubelet.done(), kubelet
        kubelet.cancel()
        await asyncio.wait([kubelet])


async def _keep_house(client: Client, tend: Tend) -> None:
    while True:
        for pod in (await client.list(Pod)).items:
            # It has gone or changed meanwhile: the next look tells.
            with suppress(NotFound, Conflict):
                meta = pod.metadata
                if meta.is_deleted:
                    await client.delete(Pod, meta.name, meta.namespace, uid=meta.uid, grace_s=0)
                elif pod.spec.node_name:
                    await tend(client, pod)
        await asyncio.sleep(0.02)
