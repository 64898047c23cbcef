"""How soon a pod runs: `sudo python -m bench.pods`, on a lab of three real nodes.

From before the POST is sent until a watch says that the pod is Running: API server, scheduler,
kubelet and Docker are in it. Pods have one busybox container, its image present, a network of
their own, and all go to one node that nothing else uses. Takes about a minute.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing

from bench.ground.labcluster import cluster_up
from bench.ground.report import Figures, percentiles, progress, show, spread
from cubernetes.api.coding import codec
from cubernetes.api.core.node import HOSTNAME_LABEL
from cubernetes.api.core.pod import Pod
from cubernetes.client.rest import Client
from cubernetes.client.watching import Change

SINGLE_RUNS = 20
BATCH_RUNS = 5
BATCH_PODS = 20
NODE = "n3"
IMAGE = "cubernetes/busybox:1"
DEADLINE_S = 60.0
WATCH_S = 1800


class Sightings:
    """When a watch first showed each pod bound to its node, running, and gone."""

    def __init__(self) -> None:
        self.at: dict[str, dict[str, float]] = {"bound": {}, "running": {}, "gone": {}}
        self._changed = asyncio.Event()

    async def follow(self, client: Client) -> None:
        revision = (await client.list(Pod, "default")).metadata.resource_version
        watch = client.watch(Pod, "default", revision=revision, timeout_s=WATCH_S)
        async with aclosing(watch) as changes:
            async for change in changes:
                self._saw(change)

    async def all_are(self, stage: str, names: Sequence[str]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not self.at[stage].keys() >= set(names):
                self._changed.clear()
                await self._changed.wait()

    def _saw(self, change: Change[Pod]) -> None:
        pod, now = change.object, time.monotonic()
        if pod is None:
            return
        holds = {
            "bound": bool(pod.spec.node_name),
            "running": pod.status.phase == "Running",
            "gone": change.type == "DELETED",
        }
        for stage in (stage for stage, is_so in holds.items() if is_so):
            self.at[stage].setdefault(pod.metadata.name, now)
        self._changed.set()


class Run:
    """Pods that were created at once: when each was where, in ms from before the first POST."""

    def __init__(self, sightings: Sightings, names: Sequence[str], begun: float) -> None:
        self.bound_ms = [(sightings.at["bound"][name] - begun) * 1000 for name in names]
        self.running_ms = [(sightings.at["running"][name] - begun) * 1000 for name in names]


async def run(client: Client, sightings: Sightings, names: Sequence[str]) -> Run:
    """Start pods and remove them again."""
    begun = time.monotonic()
    await asyncio.gather(*(client.create(a_pod(name)) for name in names))
    await sightings.all_are("running", names)
    await asyncio.gather(*(client.delete(Pod, name, "default", grace_s=1) for name in names))
    await sightings.all_are("gone", names)
    return Run(sightings, names, begun)


def a_pod(name: str) -> Pod:
    container = {"name": "main", "image": IMAGE, "command": ["sleep", "3600"]}
    spec = {"containers": [container], "nodeSelector": {HOSTNAME_LABEL: NODE}}
    meta = {"name": name, "namespace": "default"}
    return codec.from_tree(Pod, {"metadata": meta, "spec": spec}).model


async def measured(client: Client) -> Figures:
    sightings = Sightings()
    following = asyncio.create_task(sightings.follow(client))
    try:
        # The first pod of a node pays for what later ones find: it is not counted.
        await run(client, sightings, ["warm-up"])
        progress("pods, one by one")
        single = [await run(client, sightings, [f"one-{i}"]) for i in range(SINGLE_RUNS)]
        progress(f"pods, {BATCH_PODS} at once")
        batches = [
            await run(client, sightings, [f"of-{turn}-{i}" for i in range(BATCH_PODS)])
            for turn in range(BATCH_RUNS)
        ]
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    return {
        "pods_1": told(single),
        f"pods_{BATCH_PODS}": {
            **told(batches),
            "all_running_s": spread([max(one.running_ms) / 1000 for one in batches], 2),
        },
    }


def told(runs: Sequence[Run]) -> Figures:
    return {
        "bound_ms": percentiles([each for one in runs for each in one.bound_ms], 1),
        "running_ms": percentiles([each for one in runs for each in one.running_ms], 1),
    }


async def figures() -> Figures:
    async with cluster_up() as cluster, cluster.client() as client:
        return await measured(client)


def main() -> None:
    parameters = {"nodes": 3, "single_runs": SINGLE_RUNS, "batch_runs": BATCH_RUNS, "image": IMAGE}
    show("pods", parameters, asyncio.run(figures()))


if __name__ == "__main__":
    main()
