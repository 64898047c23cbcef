"""A burst of pods: all are bound before the first of them is told of."""

import asyncio

from cubernetes.api.core.event import Event
from cubernetes.api.core.node import Node, NodeSpec
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.client.cache import revision_of
from cubernetes.client.connect import ClientSettings
from cubernetes.host.web.messages import Identity
from scheduler.run import run
from scheduler.settings import SchedulerSettings
from tests.given import a_node, a_pod
from tests.simulation.loop import run_simulated
from tests.simulation.smallworld import small_world

PODS = 100
SETTINGS = SchedulerSettings(client=ClientSettings(servers=(), ca=""), lease="")


def test_a_burst_is_bound_before_its_records_are_written() -> None:
    async def main() -> tuple[list[int], list[int]]:
        async with small_world() as world:
            user = world.client()
            made = await user.create(Node(metadata=ObjectMeta(name="n1"), spec=NodeSpec()))
            await user.update_status(replaced(made, status=a_node("n1", pods="200").status))
            for number in range(PODS):
                meta = ObjectMeta(name=f"p{number}", namespace="default")
                await user.create(Pod(metadata=meta, spec=replaced(a_pod().spec, node_name="")))
            identity = Identity("system:scheduler")
            scheduling = asyncio.ensure_future(
                run(SETTINGS, world.env("scheduler"), world.client("scheduler", identity))
            )
            await asyncio.sleep(30.0)
            scheduling.cancel()
            await asyncio.wait([scheduling])
            pods, events = await user.list(Pod, "default"), await user.list(Event, "default")
            assert all(one.spec.node_name for one in pods.items)
            return [revision_of(one) for one in pods.items], [revision_of(e) for e in events.items]

    bound, told = run_simulated(main())

    assert (len(bound), len(told)) == (PODS, PODS)
    assert max(bound) < min(told)
