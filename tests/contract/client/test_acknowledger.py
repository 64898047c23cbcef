"""A road acknowledges on its Lease, however slow the API server is."""

import asyncio

from cubernetes.api.coordination.lease import Lease
from cubernetes.api.coordination.road import ROAD_NAMESPACE, applied_revision
from cubernetes.api.core.node import Node
from cubernetes.api.meta import ObjectMeta
from cubernetes.client.acknowledger import Acknowledger
from cubernetes.client.rest import Client
from tests.contract.client.test_lease import SlowServer
from tests.simulation.loop import run_simulated
from tests.simulation.smallworld import SmallWorld, small_world


async def _acknowledged_after_s(world: SmallWorld, revision: int) -> float:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    while True:
        lease = await world.client().get(Lease, "proxy-n1", ROAD_NAMESPACE)
        if applied_revision(lease) == revision:
            return loop.time() - began_s
        assert loop.time() - began_s < 60.0
        await asyncio.sleep(0.1)


def test_what_is_read_and_what_is_written_have_times_of_their_own() -> None:
    async def main() -> float:
        async with small_world() as world:
            await world.client().create(Node(metadata=ObjectMeta(name="n1")))
            transport = SlowServer(world, 1.2, 1.2)
            env = world.env("proxy")
            road = Acknowledger(Client(transport, env), env, "proxy", "n1")
            writing = asyncio.ensure_future(road.run())
            road.acknowledge(7)
            await asyncio.sleep(10.0)
            # The Lease is to be read again: nobody knows what became of this write.
            transport.lost_count = 1
            road.acknowledge(8)
            await asyncio.sleep(1.5)
            road.acknowledge(9)
            spent_s = await _acknowledged_after_s(world, 9)
            writing.cancel()
            await asyncio.wait([writing])
            return spent_s

    assert run_simulated(main()) < 10.0
