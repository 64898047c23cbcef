"""The scheduler at moments that are seldom met: on virtual time, with writes that are held."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from apiserver.auth.authorize import SCHEDULER
from cubernetes.api.condition import condition_of
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.client.connect import ClientSettings
from cubernetes.client.rest import Client
from cubernetes.host.web.messages import Identity, Request, Response
from scheduler.run import run
from scheduler.settings import SchedulerSettings
from tests.given import a_container, a_node
from tests.simulation.loop import run_simulated
from tests.simulation.network import SimTransport
from tests.simulation.smallworld import SmallWorld, small_world

SETTINGS = SchedulerSettings(
    client=ClientSettings(servers=("https://nowhere:6443",), ca=""), retry_base_s=300.0, lease=""
)


class HeldTransport(SimTransport):
    """The scheduler's way to the server; a status that it writes waits until `goes` is set."""

    def __init__(self, world: SmallWorld) -> None:
        super().__init__(world.network, "scheduler", Identity(SCHEDULER))
        self.goes = asyncio.Event()
        self.waits = asyncio.Event()

    async def send(self, request: Request, *, deadline_s: float) -> Response:
        if request.path.endswith("/status"):
            self.waits.set()
            await self.goes.wait()
        return await super().send(request, deadline_s=deadline_s)


@asynccontextmanager
async def scheduled(world: SmallWorld) -> AsyncIterator[HeldTransport]:
    transport = HeldTransport(world)
    env = world.env("scheduler")
    program = asyncio.ensure_future(run(SETTINGS, env, Client(transport, env)))
    try:
        yield transport
    finally:
        program.cancel()
        await asyncio.wait([program])


async def add_node(user: Client, name: str, cpu: str) -> None:
    made = await user.create(Node(metadata=ObjectMeta(name=name)))
    await user.update_status(replaced(made, status=a_node(name, cpu=cpu).status))


async def node_of(user: Client, name: str) -> str:
    return (await user.get(Pod, name, "default")).spec.node_name


async def ask(user: Client, name: str, cpu: str) -> None:
    spec = PodSpec(containers=(a_container(cpu=cpu),))
    await user.create(Pod(metadata=ObjectMeta(name=name, namespace="default"), spec=spec))


def test_room_that_appears_while_no_node_is_being_written_is_seen() -> None:
    async def story() -> None:
        async with small_world() as world, scheduled(world) as transport:
            user = world.client()
            await add_node(user, "small", "1")
            await asyncio.sleep(2.0)
            await ask(user, "big", "2")
            await transport.waits.wait()
            await add_node(user, "large", "4")
            # It has surely been heard of; the refusal that is on its way knows nothing of it.
            await asyncio.sleep(5.0)
            transport.goes.set()
            await asyncio.sleep(5.0)

            assert await node_of(user, "big") == "large"

    run_simulated(story())


def test_room_that_appears_again_and_again_meanwhile_is_seen_as_well() -> None:
    async def story() -> None:
        async with small_world() as world, scheduled(world) as transport:
            user = world.client()
            await add_node(user, "small", "1")
            await asyncio.sleep(2.0)
            await ask(user, "first", "2")
            await transport.waits.wait()
            transport.goes.set()
            await asyncio.sleep(2.0)
            transport.goes.clear()
            transport.waits.clear()
            # Woken by a node that is no better, it says so; now comes the one that is.
            await add_node(user, "small-too", "1")
            await transport.waits.wait()
            await add_node(user, "large", "4")
            await asyncio.sleep(5.0)
            transport.goes.set()
            await asyncio.sleep(5.0)

            pod = await user.get(Pod, "first", "default")
            assert pod.spec.node_name == "large", condition_of(
                pod.status.conditions, "PodScheduled"
            )

    run_simulated(story())
