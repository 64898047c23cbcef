"""How pods end, and what is told when something stands in the way; on virtual time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from apiserver.server import ApiServer
from cubernetes.api.coding import codec
from cubernetes.api.coordination.lease import NODE_LEASE_NAMESPACE, Lease
from cubernetes.api.core.event import Event
from cubernetes.api.core.node import Node, is_ready
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import replaced
from cubernetes.client.rest import Client
from cubernetes.host.blocking import Key
from cubernetes.host.web.messages import Identity, Request, Response
from kubelet.run import Kubelet
from kubelet.runtime.fake import Behaviour
from tests.contract.kubelet.test_kubelet import KUBELET, World, a_world, lived, settings_of
from tests.direct import DirectTransport
from tests.given import a_container, a_pod
from tests.simulation.clock import AtOnce

LONG_S = 60.0


async def told_of(world: World, reason: str) -> list[str]:
    events = (await world.admin.list(Event, "default")).items
    return [one.message for one in events if one.reason == reason]


def held_by(world: World, uid: str) -> list[str]:
    """Return what the machine still keeps for a pod."""
    addresses = world.machine.fabric.addresses
    is_addressed = addresses is not None and uid in addresses.held
    kept = {"address": is_addressed, "volumes": uid in world.machine.disk.volumes}
    return [name for name, is_kept in kept.items() if is_kept]


@pytest.mark.parametrize("obstacle", ["address", "volumes"])
def test_a_pod_stays_in_the_api_until_its_address_and_volumes_are_free(obstacle: str) -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(a_pod("web"))
            await world.until(lambda: world.is_phase("Running"))
            uid = (await world.pod()).metadata.uid
            assert held_by(world, uid) == ["address", "volumes"]
            if obstacle == "address":
                world.machine.fabric.trouble = "netlink: device or resource busy"
            else:
                world.machine.disk.trouble = "volumes not removed: /volumes/data: it is busy"
            await world.admin.delete(Pod, "web", "default")

            await world.env.clock.sleep(LONG_S * 2)
            assert (await world.pod()).metadata.is_deleted
            assert obstacle in held_by(world, uid)
            told = await told_of(world, "FailedKillPod")
            assert [one for one in told if "busy" in one], told

            world.machine.fabric.trouble = world.machine.disk.trouble = ""
            await world.until(world.is_gone)
            assert held_by(world, uid) == []

    lived(story)


def test_a_pod_whose_sandbox_never_was_gives_its_address_back_before_it_leaves_the_api() -> None:
    async def story() -> None:
        async with a_world() as world:
            world.machine.runtime.images.clear()
            await world.make(a_pod("web"))
            uid = (await world.pod()).metadata.uid

            async def is_addressed() -> bool:
                return "address" in held_by(world, uid)

            await world.until(is_addressed)
            await world.admin.delete(Pod, "web", "default")
            await world.until(world.is_gone)
            assert held_by(world, uid) == []

    lived(story)


def test_what_keeps_one_pod_from_ending_keeps_no_other() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(a_pod("stuck"))
            await world.until(lambda: world.is_phase("Running", "stuck"))
            world.machine.disk.trouble = "volumes not removed: /volumes/data: no end after 10 s"
            await world.admin.delete(Pod, "stuck", "default")
            await world.env.clock.sleep(LONG_S)

            await world.make(a_pod("web"))
            assert await world.until(lambda: world.is_phase("Running")) < 5

    lived(story)


class Replacing(DirectTransport):
    """Before it is written that the pod runs, it is gone and another has its name."""

    def __init__(self, server: ApiServer, replace_pod: Callable[[], Awaitable[None]]) -> None:
        super().__init__(server, Identity("system:node:n1", ("system:nodes",)))
        self._replace_pod = replace_pod
        self.is_replaced = False
        self.answered: list[tuple[int, Pod]] = []  # each status that was written, and the code

    async def open(self, request: Request, *, deadline_s: float) -> Response:
        if request.method != "PUT" or not request.path.endswith("/pods/web/status"):
            return await super().open(request, deadline_s=deadline_s)
        pod = codec.decode(Pod, request.body)
        if pod.status.phase == "Running" and not self.is_replaced:
            self.is_replaced = True
            await self._replace_pod()
        response = await super().open(request, deadline_s=deadline_s)
        self.answered.append((response.status, pod))
        return response


def test_after_a_conflict_the_status_goes_to_no_other_pod_of_the_name() -> None:
    async def story() -> None:
        missing = Behaviour(pull_error="manifest unknown")
        async with a_world(missing=missing) as world:
            await world.end()

            async def replace_pod() -> None:
                await world.admin.delete(Pod, "web", "default", grace_s=0)
                # One that never runs: a status that says so is its predecessor's.
                pod = a_pod("web")
                containers = (a_container("main", "cubernetes/missing:1"),)
                await world.make(replaced(pod, spec=replaced(pod.spec, containers=containers)))

            transport = Replacing(world.server, replace_pod)
            client = Client(transport, world.env)
            machine = world.machine.drivers(world.env)
            kubelet = Kubelet(settings_of(world.machine), world.env, client, machine)
            running = asyncio.ensure_future(kubelet.run())
            try:
                await world.make(a_pod("web"))
                before = (await world.pod()).metadata.uid

                async def is_told() -> bool:
                    return bool(await told_of(world, "Failed"))

                await world.until(is_told)
            finally:
                running.cancel()
                await asyncio.wait([running])
            codes = [code for code, pod in transport.answered if pod.status.phase == "Running"]
            assert codes == [409]
            after = await world.pod()
            assert after.metadata.uid != before
            assert after.status.phase == "Pending"

    lived(story)


HANGING: dict[str, Key] = {
    "checkpoint of pods": ("checkpoint", "pods"),
    "checkpoint of the node": ("checkpoint", "node"),
    "facts of the machine": ("machine", "facts"),
}


@pytest.mark.parametrize("call", HANGING)
def test_a_call_that_hangs_keeps_neither_the_lease_nor_the_node_nor_pods(call: str) -> None:
    async def story() -> None:
        async with a_world() as world:
            blocking = world.env.blocking
            assert isinstance(blocking, AtOnce)
            blocking.hanging.add(HANGING[call])
            await world.make(a_pod("web"))
            assert await world.until(lambda: world.is_phase("Running")) < 5

            await world.env.clock.sleep(LONG_S)
            lease = await world.admin.get(Lease, "n1", NODE_LEASE_NAMESPACE)
            assert lease.spec.renew_time is not None
            silence_s = (world.env.clock.now() - lease.spec.renew_time).total_seconds()
            assert silence_s < 5
            assert is_ready(await world.admin.get(Node, "n1"))

            blocking.hanging.clear()
            await world.env.clock.sleep(LONG_S)
            assert [one.metadata.name for one in world.machine.disk.pods] == ["web"]

    lived(story)


class SlowTransport(DirectTransport):
    """Each call takes so long."""

    span_s = 0.0

    async def open(self, request: Request, *, deadline_s: float) -> Response:
        await asyncio.sleep(self.span_s)
        return await super().open(request, deadline_s=deadline_s)


def test_a_node_that_was_not_answered_once_is_heard_again_however_slow_its_calls_are() -> None:
    """To read its Lease and to write it takes longer than one of the two may."""

    async def story() -> None:
        async with a_world() as world:
            await world.end()
            transport = SlowTransport(world.server, KUBELET)
            world.begin(transport)
            await world.env.clock.sleep(LONG_S)
            transport.span_s = 9.0
            await world.env.clock.sleep(LONG_S)
            transport.span_s = 3.5
            await world.env.clock.sleep(LONG_S)
            for _ in range(30):
                await world.env.clock.sleep(1.0)
                lease = await world.admin.get(Lease, "n1", NODE_LEASE_NAMESPACE)
                assert lease.spec.renew_time is not None
                silence_s = (world.env.clock.now() - lease.spec.renew_time).total_seconds()
                assert silence_s < 10

    lived(story)


def test_the_end_of_each_container_is_told_with_its_field_in_the_words_of_kubernetes() -> None:
    async def story() -> None:
        async with a_world() as world:
            containers = (a_container("main"), a_container("side"))
            await world.make(a_pod("web", containers=containers))
            await world.until(lambda: world.is_phase("Running"))
            await world.admin.delete(Pod, "web", "default")

            async def ends_are_told() -> bool:
                listed = (await world.admin.list(Event, "default")).items
                told = [one for one in listed if one.reason == "Killing"]
                return {(one.involved_object.field_path, one.message) for one in told} == {
                    ("spec.containers{main}", "Stopping container main"),
                    ("spec.containers{side}", "Stopping container side"),
                }

            await world.until(ends_are_told)

    lived(story)
