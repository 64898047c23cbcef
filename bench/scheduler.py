"""How many pods a second are decided and bound: the real API server on the memory store.

    python -m bench.scheduler [--nodes 10 100 1000] [--pods 3000] [--mixes basic affinity ...]

Everything runs in one process on one core: API server, store, watch streams, the scheduler and the
one who watches. A pod counts from the moment the scheduler starts to the watch that shows it bound.
What each mix is, schedulermixes.py tells.
"""

import argparse
import asyncio
import gc
import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar, NamedTuple, cast

import uvloop
from msgspec import field

from apiserver.server import ApiServer
from apiserver.settings import Limits, Settings
from apiserver.storage.memory import MemoryStore
from bench.ground.report import Figures, progress, show, spread
from bench.schedulermixes import HOST, LOW_COUNT, MIXES, ZONE, ZONES, Mix, make_class, nothing
from cubernetes.api.core.node import Node, NodeSpec
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import Model, ObjectMeta, replaced
from cubernetes.api.resource import Resource
from cubernetes.client.connect import ClientSettings
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.loaded import keep_loaded
from cubernetes.host.web.messages import Identity
from scheduler.run import run as run_scheduler
from scheduler.settings import SchedulerSettings
from tests.direct import DirectTransport
from tests.given import a_node

CREATORS = 32
DEADLINE_S = 300.0


class Run(NamedTuple):
    """The figures of one cluster's life; cpu is of all in it, not the scheduler's alone."""

    pods_per_s: float
    first_bind_s: float
    cpu_ms_per_pod: float
    pods_on_a_node: tuple[int, int]


class BoundTo(Model, forbid_unknown_fields=False):
    """The node of a pod, and nothing else of its spec."""

    node_name: str = ""


class SeenPod(Model, forbid_unknown_fields=False):
    """What the one who watches reads of a pod: another program would, and not in our time."""

    resource: ClassVar[Resource] = Pod.resource
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: BoundTo = field(default_factory=BoundTo)


class Seen:
    """Who watches until all pods that are measured are bound."""

    def __init__(self, client: Client, pod_count: int) -> None:
        self._client, self._pod_count = client, pod_count
        self.node_of: dict[str, str] = {}
        self.first_at = self.ended_at = 0.0
        self.begun, self.done = asyncio.Event(), asyncio.Event()

    async def follow(self) -> None:
        """Watch from now on."""
        listed = await self._client.list(Pod, limit=1)
        revision = listed.metadata.resource_version
        kind = cast(type[Pod], SeenPod)  # only its fields are asked for
        self.begun.set()
        async for change in self._client.watch(kind, revision=revision):
            if change.object is not None:
                self._note(change.object.metadata.name, change.object.spec.node_name)

    def _note(self, name: str, node: str) -> None:
        if not node or not name.startswith("p") or name in self.node_of:
            return
        self.node_of[name] = node
        self.ended_at = time.perf_counter()
        self.first_at = self.first_at or self.ended_at
        if len(self.node_of) == self._pod_count:
            self.done.set()


async def measure(mix: Mix, node_count: int, pod_count: int) -> Run:
    """Return the figures of one cluster."""
    env = Env()
    events_max = 8 * (pod_count + node_count * LOW_COUNT)
    server = ApiServer(MemoryStore(env), env, Settings(limits=Limits(events_max=events_max)))
    await server.start()
    client = Client(DirectTransport(server), env)
    await fill(client, mix, node_count, pod_count)
    seen = Seen(client, pod_count)
    following = asyncio.create_task(seen.follow())
    await seen.begun.wait()
    beside = asyncio.ensure_future(mix.beside(client, env))
    keep_loaded()  # as programs do at their start
    began = time.perf_counter()
    cpu_began_s = time.process_time()
    identity = Identity("system:scheduler")
    settings = SchedulerSettings(client=ClientSettings(servers=(), ca=""))
    scheduling = asyncio.create_task(
        run_scheduler(settings, env, Client(DirectTransport(server, identity), env), gc.freeze)
    )
    async with asyncio.timeout(DEADLINE_S):
        await seen.done.wait()
    cpu_s = time.process_time() - cpu_began_s
    counts = Counter(seen.node_of.values())
    assert not beside.done() or mix.beside is nothing, beside
    for task in (beside, scheduling, following):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await server.stop()
    span_s = seen.ended_at - began
    return Run(
        pods_per_s=pod_count / span_s,
        first_bind_s=seen.first_at - began,
        cpu_ms_per_pod=cpu_s * 1000 / pod_count,
        pods_on_a_node=(min(counts.values()), max(counts.values())),
    )


async def fill(client: Client, mix: Mix, node_count: int, pod_count: int) -> None:
    """Create ready nodes, the pods that are there before, and those that ask for a place."""
    room = "110" if mix.is_tight else str(max(110, 2 * pod_count // node_count))
    cpu = "4" if mix.is_tight else str(max(4, pod_count // node_count))
    await make_class(client)

    async def make_node(number: int) -> None:
        name = f"n{number:04}"
        labels = {ZONE: f"z{number % ZONES}", HOST: name}
        meta = ObjectMeta(name=name, labels=labels)
        made = await client.create(Node(metadata=meta, spec=NodeSpec()))
        wanted = a_node(cpu=cpu, memory="64Gi", pods=room)
        await client.update_status(replaced(made, status=wanted.status))
        for pod in mix.before(name):
            await client.create(pod)

    async def make_pod(number: int) -> None:
        await client.create(mix.pod(number, node_count))

    for make, count in ((make_node, node_count), (make_pod, pod_count)):
        for begin in range(0, count, CREATORS):
            ends = range(begin, min(begin + CREATORS, count))
            await asyncio.gather(*(make(number) for number in ends))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scheduler", description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--pods", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mixes", nargs="+", choices=list(MIXES), default=["basic"])
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    figures = {}
    for name in options.mixes:
        for count in options.nodes:
            progress(f"scheduler, {name}, {count} nodes")
            mix = MIXES[name]
            pod_count = min(options.pods, mix.pods_max(count))
            runs = [uvloop.run(measure(mix, count, pod_count)) for _ in range(options.rounds)]
            figures[f"{name}_nodes_{count}"] = {"pods": pod_count, **summed_up(runs)}
    parameters = {"pods": options.pods, "rounds": options.rounds, "store": "memory"}
    show("scheduler", parameters, figures)


def summed_up(runs: Sequence[Run]) -> Figures:
    return {
        "pods_per_s": spread([one.pods_per_s for one in runs]),
        "first_bind_s": spread([one.first_bind_s for one in runs], 3),
        "cpu_ms_per_pod": spread([one.cpu_ms_per_pod for one in runs], 3),
        # Of the last run: fewest and most pods on one node.
        "pods_on_a_node": runs[-1].pods_on_a_node,
    }


if __name__ == "__main__":
    main()
