"""The barrier: nothing is planned on before what was done is seen, or what may be done is known."""

import asyncio
from collections.abc import Sequence
from typing import cast

from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import Object, Ref
from cubernetes.client.informer import Informer
from cubernetes.client.rest import Client
from cubernetes.reconcile.barrier import Barrier
from tests.given import a_pod
from tests.simulation.clock import sim_env

POD = Ref("Pod", "default", "web-0")


class SlowServer:
    """Answers each question once it is told to."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Event] = []

    async def get(self, kind: type[Object], name: str, namespace: str) -> Pod:
        assert (kind, namespace, name) == (Pod, *POD[1:])
        self.asked.append(asyncio.Event())
        await self.asked[-1].wait()
        return a_pod(name)


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_an_answer_settles_only_what_was_in_doubt_when_it_was_asked_for() -> None:
    server = SlowServer()
    client = cast(Client, server)
    informer = Informer(client, Pod, sim_env("barrier"))
    informer.cache.revision = 1
    barrier = Barrier(client, {Pod: informer})
    barrier.doubted(Pod, POD)
    waiting = asyncio.create_task(barrier.clear(1.0))
    await turns()
    # A worker on another key has written the same object, and does not know what became of it.
    barrier.doubted(Pod, POD)
    counts: Sequence[int] = []
    for place in range(2):
        server.asked[place].set()
        await turns()
        counts = [*counts, len(server.asked)]

    assert await waiting
    assert counts == [2, 2]
