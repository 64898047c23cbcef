"""How many pods a second are decided and bound: the real API server on the memory store.

    python bench/scheduler.py [--nodes 10 100 1000] [--pods 3000]

Everything runs in one process on one core: API server, store, watch streams, the scheduler and the
one who watches. A pod counts from the moment the scheduler starts to the watch that shows it bound.
Prints one JSON object.
"""

import argparse
import asyncio
import gc
import json
import logging
import platform
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import uvloop  # noqa: E402  the path must be there first

from apiserver.server import ApiServer  # noqa: E402
from apiserver.settings import Limits, Settings  # noqa: E402
from apiserver.storage.memory import MemoryStore  # noqa: E402
from cubernetes.api.http import Identity  # noqa: E402
from cubernetes.api.meta import ObjectMeta, replaced  # noqa: E402
from cubernetes.api.node import Node, NodeSpec  # noqa: E402
from cubernetes.api.pod import Pod  # noqa: E402
from cubernetes.client.connect import ClientSettings  # noqa: E402
from cubernetes.client.informer import Informer  # noqa: E402
from cubernetes.client.rest import Client  # noqa: E402
from cubernetes.host.env import Env  # noqa: E402
from scheduler.run import run as run_scheduler  # noqa: E402
from scheduler.settings import SchedulerSettings  # noqa: E402
from tests.direct import DirectTransport  # noqa: E402
from tests.given import a_node, a_pod  # noqa: E402

CREATORS = 32
DEADLINE_S = 300.0


async def measure(node_count: int, pod_count: int) -> dict[str, object]:
    """Return the figures of one cluster."""
    env = Env()
    server = ApiServer(
        MemoryStore(env), env, Settings(limits=Limits(events_max=4 * pod_count + 4 * node_count))
    )
    await server.start()
    client = Client(DirectTransport(server), env)
    await fill(client, node_count, pod_count)
    pods = Informer(client, Pod, env)
    bound_at: list[float] = []
    done = asyncio.Event()

    def changed(old: Pod | None, new: Pod | None) -> None:
        was_bound = old is not None and bool(old.spec.node_name)
        if new is not None and new.spec.node_name and not was_bound:
            bound_at.append(time.perf_counter())
            if len(bound_at) == pod_count:
                done.set()

    pods.on_change(changed)
    following = asyncio.create_task(pods.run())
    await pods.synced.wait()
    gc.collect()
    began = time.perf_counter()
    cpu_began_s = time.process_time()
    identity = Identity("system:scheduler")
    settings = SchedulerSettings(client=ClientSettings(servers=(), ca=""))
    scheduling = asyncio.create_task(
        run_scheduler(settings, env, Client(DirectTransport(server, identity), env))
    )
    async with asyncio.timeout(DEADLINE_S):
        await done.wait()
    cpu_s = time.process_time() - cpu_began_s
    counts = Counter(pod.spec.node_name for pod in pods.cache.list())
    for task in (scheduling, following):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await server.stop()
    span_s = bound_at[-1] - began
    return {
        "nodes": node_count,
        "pods": pod_count,
        "pods_per_s": round(pod_count / span_s, 1),
        "first_bind_s": round(bound_at[0] - began, 3),
        "seconds": round(span_s, 3),
        "cpu_ms_per_pod": round(cpu_s * 1000 / pod_count, 3),
        "spread": [min(counts.values()), max(counts.values())],
    }


async def fill(client: Client, node_count: int, pod_count: int) -> None:
    """Create ready nodes with room for everything, and pods that ask for a little."""
    room = str(max(110, 2 * pod_count // node_count))
    cpu = str(max(4, pod_count // node_count))

    async def make_node(number: int) -> None:
        made = await client.create(Node(metadata=ObjectMeta(name=f"n{number:04}"), spec=NodeSpec()))
        wanted = a_node(cpu=cpu, memory="64Gi", pods=room)
        await client.update_status(replaced(made, status=wanted.status))

    async def make_pod(number: int) -> None:
        pod = a_pod(f"p{number:05}", cpu="100m", memory="16Mi")
        meta = ObjectMeta(name=pod.metadata.name, namespace="default", labels=pod.metadata.labels)
        await client.create(replaced(pod, metadata=meta))

    for make, count in ((make_node, node_count), (make_pod, pod_count)):
        for begin in range(0, count, CREATORS):
            ends = range(begin, min(begin + CREATORS, count))
            await asyncio.gather(*(make(number) for number in ends))


def machine() -> dict[str, object]:
    """Return where and of what the figures are."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "commit": commit.stdout.strip(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cpu": model,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--pods", type=int, default=3000)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    runs = [uvloop.run(measure(count, options.pods)) for count in options.nodes]
    print(json.dumps({"bench": "scheduler", **machine(), "runs": runs}, indent=2))


if __name__ == "__main__":
    main()
