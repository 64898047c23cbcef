"""A kubelet on the real API server, over a fake runtime and network, on virtual time."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Literal

import pytest

from apiserver.server import ApiServer
from apiserver.settings import Settings
from apiserver.storage.memory import MemoryStore
from cubernetes.api.condition import condition_of
from cubernetes.api.core.event import Event
from cubernetes.api.core.node import Node, is_ready
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import ContainerPort
from cubernetes.api.core.podstatus import ContainerStatus
from cubernetes.api.errors import NotFound
from cubernetes.api.meta import replaced
from cubernetes.client.connect import ClientSettings
from cubernetes.client.rest import Client
from cubernetes.client.transport import Transport
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Identity
from kubelet.pod.decisions import specs
from kubelet.run import Kubelet
from kubelet.runtime.driver import SANDBOX, State
from kubelet.runtime.fake import Behaviour, FakeRuntime
from kubelet.settings import KubeletSettings
from tests.counted import counted
from tests.direct import DirectTransport
from tests.given import a_container, a_pod
from tests.simulation.clock import sim_env
from tests.simulation.loop import run_simulated
from tests.simulation.machines import SimMachine

type PullPolicy = Literal["Always", "IfNotPresent", "Never"]
IMAGE = "cubernetes/web:1"
KUBELET = Identity("system:node:n1", ("system:nodes",))


def settings_of(machine: SimMachine) -> KubeletSettings:
    client = ClientSettings(servers=("https://10.0.0.1:6443",), ca="")
    return KubeletSettings(
        node_name="n1", address=machine.address, client=client, ports_in_use=("6443/TCP",)
    )


class World:
    """One API server, one node, and its kubelet, which may end and begin again."""

    def __init__(self, env: Env, server: ApiServer, machine: SimMachine) -> None:
        self.env, self.server, self.machine = env, server, machine
        self.admin = Client(DirectTransport(server), env)
        self._kubelet: asyncio.Task[None] | None = None

    def begin(self, transport: Transport | None = None) -> None:
        client = Client(transport or DirectTransport(self.server, KUBELET), self.env)
        settings = settings_of(self.machine)
        kubelet = Kubelet(settings, self.env, client, self.machine.drivers(self.env))
        self._kubelet = asyncio.ensure_future(kubelet.run())

    async def end(self) -> None:
        """End the kubelet as a crash does: containers go on."""
        if self._kubelet is not None:
            self._kubelet.cancel()
            await asyncio.wait([self._kubelet])

    async def until(self, look: Callable[[], Awaitable[object]], limit_s: float = 120) -> float:
        """Wait on virtual time; return after how many seconds it was so."""
        begun = self.env.clock.monotonic()
        while not await look():
            assert self.env.clock.monotonic() - begun < limit_s, "it did not come true"
            await self.env.clock.sleep(0.05)
        return self.env.clock.monotonic() - begun

    async def pod(self, name: str = "web") -> Pod:
        return await self.admin.get(Pod, name, "default")

    async def container(self, name: str = "web") -> ContainerStatus:
        return (await self.pod(name)).status.container_statuses[0]

    async def make(self, pod: Pod) -> None:
        fresh = replaced(pod.metadata, uid="", resource_version="", creation_timestamp=None)
        bound = replaced(pod.spec, node_name="n1")
        await self.admin.create(replaced(pod, metadata=fresh, spec=bound))

    async def is_phase(self, phase: str, name: str = "web") -> bool:
        return (await self.pod(name)).status.phase == phase

    async def is_gone(self, name: str = "web") -> bool:
        try:
            await self.pod(name)
        except NotFound:
            return True
        return False


@asynccontextmanager
async def a_world(**behaviours: Behaviour) -> AsyncIterator[World]:
    env = sim_env("kubelet")
    server = ApiServer(MemoryStore(env), env, Settings())
    await server.start()
    machine = SimMachine("n1", 1, "kubelet", 0.0)
    machine.runtime.images.add(IMAGE)
    machine.runtime.behaviours |= {f"cubernetes/{name}:1": one for name, one in behaviours.items()}
    world = World(env, server, machine)
    world.begin()
    try:
        await world.until(lambda: _registered(world))
        await world.admin.patch(Node, "n1", "", {"spec": {"podCIDR": "10.244.1.0/24"}})
        await world.until(lambda: _ready(world))
        yield world
    finally:
        await world.end()
        machine.runtime.close()
        await server.stop()


async def _registered(world: World) -> bool:
    return bool((await world.admin.list(Node)).items)


async def _ready(world: World) -> bool:
    return is_ready(await world.admin.get(Node, "n1"))


def lived(main: Callable[[], Awaitable[None]]) -> None:
    """Run a story on virtual time."""

    async def told() -> None:
        await main()

    run_simulated(told(), limit_s=7200)


def test_a_pod_runs_and_is_told_with_its_address() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(a_pod("web"))
            await world.until(lambda: world.is_phase("Running"))
            pod = await world.pod()
            assert pod.status.pod_ip.startswith("10.244.1.")
            assert pod.status.host_ip == world.machine.address
            assert len(world.machine.running()) == 2

    lived(story)


def test_how_long_a_pod_took_to_run_and_why_one_does_not_is_counted() -> None:
    async def story() -> None:
        async with a_world(missing=Behaviour(pull_error="manifest unknown")) as world:
            lost = a_pod("lost")
            containers = (a_container("main", "cubernetes/missing:1"),)
            await world.make(a_pod("web"))
            await world.make(replaced(lost, spec=replaced(lost.spec, containers=containers)))
            spent_s = await world.until(lambda: world.is_phase("Running"))

            async def is_counted() -> bool:
                troubles = 'cube_kubelet_troubles_total{reason="ErrImagePull"}'
                return counted(world.env.metrics).get(troubles) == 1

            await world.until(is_counted)
            told = counted(world.env.metrics)
            assert told["cube_kubelet_pods"] == 2
            assert told["cube_kubelet_pod_start_seconds_count"] == 1
            assert 0 < told["cube_kubelet_pod_start_seconds_sum"] <= spent_s
            assert told['cube_kubelet_step_seconds_count{step="StartSandbox"}'] == 2

    lived(story)


def test_a_deleted_pod_is_stopped_before_it_leaves_the_api() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(a_pod("web"))
            await world.until(lambda: world.is_phase("Running"))
            await world.admin.delete(Pod, "web", "default")
            await world.until(world.is_gone)
            assert world.machine.running() == []
            assert world.machine.runtime.lives == {}

    lived(story)


def test_w52_a_container_that_ignores_term_is_killed_at_its_grace_and_holds_up_nobody() -> None:
    async def story() -> None:
        async with a_world(web=Behaviour(ignores_term=True)) as world:
            await world.make(a_pod("stubborn"))
            await world.until(lambda: world.is_phase("Running", "stubborn"))
            await world.admin.delete(Pod, "stubborn", "default")
            await world.make(a_pod("quick"))
            spent_s = await world.until(lambda: world.is_phase("Running", "quick"))
            assert spent_s < 5
            gone_s = await world.until(lambda: world.is_gone("stubborn"))
            assert 20 < spent_s + gone_s < 35

    lived(story)


def test_less_grace_granted_meanwhile_ends_a_stubborn_container_sooner() -> None:
    async def story() -> None:
        async with a_world(web=Behaviour(ignores_term=True)) as world:
            await world.make(a_pod("web"))
            await world.until(lambda: world.is_phase("Running"))
            await world.admin.delete(Pod, "web", "default")
            await world.env.clock.sleep(2)
            await world.admin.delete(Pod, "web", "default", grace_s=0)

            async def is_free() -> bool:
                return not world.machine.running()

            assert await world.until(is_free) < 6

    lived(story)


def test_a_kubelet_that_begins_again_finds_its_pods_and_touches_nothing() -> None:
    async def story() -> None:
        async with a_world() as world:
            for number in range(10):
                await world.make(a_pod(f"web-{number}"))
            for number in range(10):
                await world.until(partial(world.is_phase, "Running", f"web-{number}"))
            before = sorted(world.machine.runtime.lives)
            await world.end()
            world.begin()
            await world.env.clock.sleep(60)
            assert sorted(world.machine.runtime.lives) == before
            assert len(world.machine.running()) == 20

    lived(story)


def test_w10_what_happened_while_the_kubelet_was_down_is_acted_on() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(a_pod("goes"))
            await world.until(lambda: world.is_phase("Running", "goes"))
            await world.end()
            await world.make(a_pod("comes"))
            await world.admin.delete(Pod, "goes", "default", grace_s=0)
            world.begin()
            await world.until(lambda: world.is_phase("Running", "comes"))

            async def is_clean() -> bool:
                return len(world.machine.running()) == 2

            await world.until(is_clean)

    lived(story)


def test_w22_a_container_that_keeps_failing_is_restarted_ever_more_slowly() -> None:
    async def story() -> None:
        async with a_world(web=Behaviour(exits_after_s=1, exit_code=3)) as world:
            await world.make(a_pod("web"))

            async def is_looping() -> bool:
                waiting = (await world.container()).state.waiting
                return waiting is not None and waiting.reason == "CrashLoopBackOff"

            await world.until(lambda: world.is_phase("Running"))
            await world.until(is_looping)
            await world.env.clock.sleep(600)
            one = await world.container()
            # 0+1+2+4+8+16+32+60+... seconds of waiting: about 15 in ten minutes, not 600.
            assert 8 <= one.restart_count <= 18
            assert one.last_state.terminated is not None
            assert one.last_state.terminated.exit_code == 3
            told = {event.reason for event in (await world.admin.list(Event, "default")).items}
            assert {"Started", "BackOff"} <= told

    lived(story)


def test_events_say_of_which_container_they_are_in_the_words_of_kubernetes() -> None:
    async def story() -> None:
        async with a_world() as world:
            containers = (a_container("main", IMAGE), a_container("side", "cubernetes/side:1"))
            await world.make(a_pod("web", containers=containers))
            await world.until(lambda: world.is_phase("Running"))
            found: set[tuple[str, str, str]] = set()

            async def are_told() -> bool:
                for one in (await world.admin.list(Event, "default")).items:
                    # How long a pull took is the clock's word.
                    message = re.sub(r"[\d.]+s", "Ns", one.message)
                    found.add((one.involved_object.field_path, one.reason, message))
                return len([one for one in found if one[1] == "Started"]) == 2

            await world.until(are_told)
            main, side = "spec.containers{main}", "spec.containers{side}"
            pulled = 'Successfully pulled image "cubernetes/side:1" in Ns (Ns including waiting)'
            assert {one for one in found if one[0]} == {
                (main, "Pulled", f'Container image "{IMAGE}" already present on machine'),
                (main, "Created", "Created container main"),
                (main, "Started", "Started container main"),
                (side, "Pulling", 'Pulling image "cubernetes/side:1"'),
                (side, "Pulled", pulled),
                (side, "Created", "Created container side"),
                (side, "Started", "Started container side"),
            }

    lived(story)


@pytest.mark.parametrize(
    ("policy", "image", "reasons"),
    [
        ("IfNotPresent", IMAGE, ["Pulled"]),
        ("Always", IMAGE, ["Pulling", "Pulled"]),
        ("IfNotPresent", "cubernetes/far:1", ["Pulling", "Pulled"]),
        ("Never", IMAGE, ["Pulled"]),
        ("Never", "cubernetes/far:1", []),
    ],
)
def test_an_image_is_pulled_when_the_policy_says_so(
    policy: PullPolicy, image: str, reasons: list[str]
) -> None:
    async def story() -> None:
        async with a_world() as world:
            one = replaced(a_container("main", image), image_pull_policy=policy)
            await world.make(a_pod("web", containers=(one,)))

            async def is_decided() -> bool:
                told = (await world.pod()).status
                waits = [each.state.waiting for each in told.container_statuses]
                is_refused = any(each and each.reason == "ErrImageNeverPull" for each in waits)
                return is_refused or told.phase == "Running"

            await world.until(is_decided)
            assert await world.is_phase("Running") is bool(reasons)
            await world.env.clock.sleep(10)  # of the simulated clock: until events are written
            events = (await world.admin.list(Event, "default")).items
            told = [each for each in events if each.reason in ("Pulling", "Pulled")]
            assert {each.reason for each in told} == set(reasons)

    lived(story)


def test_w21_an_image_that_cannot_be_had_is_told_while_its_sibling_runs() -> None:
    async def story() -> None:
        missing = Behaviour(pull_error="manifest unknown")
        async with a_world(missing=missing) as world:
            pod = a_pod("web")
            containers = (a_container("good"), a_container("bad", "cubernetes/missing:1"))
            await world.make(replaced(pod, spec=replaced(pod.spec, containers=containers)))

            async def is_told() -> bool:
                statuses = (await world.pod()).status.container_statuses
                waits = [one.state.waiting for one in statuses if one.name == "bad"]
                return any(one and one.reason == "ImagePullBackOff" for one in waits)

            await world.until(is_told)
            pod = await world.pod()
            by_name = {one.name: one for one in pod.status.container_statuses}
            assert by_name["good"].ready
            waiting = by_name["bad"].state.waiting
            assert waiting is not None
            assert "manifest unknown" in waiting.message
            ready = condition_of(pod.status.conditions, "Ready")
            assert ready is not None
            assert ready.status == "False"

    lived(story)


def test_w4_a_dead_sandbox_is_remade_with_its_pod_at_the_same_address() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(a_pod("web"))
            await world.until(lambda: world.is_phase("Running"))
            before = (await world.pod()).status.pod_ip
            box = next(
                one.container.id
                for one in world.machine.runtime.lives.values()
                if one.container.name == SANDBOX and one.container.state is State.RUNNING
            )
            world.machine.runtime.end(box, 137)

            async def is_remade() -> bool:
                pod = await world.pod()
                return pod.status.container_statuses[0].restart_count == 1 and bool(
                    pod.status.container_statuses[0].ready
                )

            await world.until(is_remade)
            assert (await world.pod()).status.pod_ip == before

    lived(story)


def test_a_runtime_that_is_down_makes_the_node_not_ready_and_kills_nobody() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(a_pod("web"))
            await world.until(lambda: world.is_phase("Running"))
            world.machine.runtime.is_down = True
            world.machine.runtime.break_streams()

            async def is_told() -> bool:
                return not await _ready(world)

            await world.until(is_told, 30)
            assert (await world.container()).ready
            world.machine.runtime.is_down = False
            await world.until(lambda: _ready(world), 30)
            assert (await world.container()).restart_count == 0
            assert len(world.machine.running()) == 2

    lived(story)


def test_containers_that_nobody_wants_are_taken_away() -> None:
    async def story() -> None:
        async with a_world() as world:
            runtime = FakeRuntime(world.machine.runtime)
            await world.make(a_pod("web"))
            await world.until(lambda: world.is_phase("Running"))
            stray = a_pod("stray", uid="uid-of-another-life")
            settings = settings_of(world.machine)
            await runtime.start_sandbox(specs.sandbox_spec(stray, 0, "10.244.1.99", settings))

            async def is_clean() -> bool:
                return {uid for uid, _ in world.machine.running()} == {
                    (await world.pod()).metadata.uid
                }

            await world.until(is_clean)

    lived(story)


def test_a_pod_for_which_there_is_no_room_has_failed_and_others_go_on() -> None:
    """The node has 3.9 cores for pods; 2 of them are taken."""

    async def story() -> None:
        async with a_world() as world:
            await world.make(a_pod("first", cpu="2"))
            await world.until(lambda: world.is_phase("Running", "first"))
            await world.make(a_pod("second", cpu="2"))
            await world.until(lambda: world.is_phase("Failed", "second"))
            refused = (await world.pod("second")).status
            assert refused.reason == "OutOfcpu"
            assert refused.message == (
                "Pod was rejected: Node didn't have enough resource: cpu, "
                "requested: 2000, used: 2000, capacity: 3900"
            )
            await world.make(a_pod("third", cpu="1900m"))
            await world.until(lambda: world.is_phase("Running", "third"))

            # A kubelet that begins again leaves it at that, and so does one with more room.
            await world.admin.delete(Pod, "first", "default", grace_s=0)
            await world.until(lambda: world.is_gone("first"))
            await world.end()
            world.begin()
            await world.env.clock.sleep(60)
            assert await world.is_phase("Failed", "second")
            assert await world.is_phase("Running", "third")
            assert (await world.pod("second")).status.reason == "OutOfcpu"
            uid = (await world.pod("second")).metadata.uid
            assert uid not in {found for found, _ in world.machine.running()}

            await world.admin.delete(Pod, "second", "default")
            await world.until(lambda: world.is_gone("second"))

    lived(story)


def test_a_pod_that_wants_a_port_of_the_node_itself_has_failed() -> None:
    async def story() -> None:
        async with a_world() as world:
            node = await world.admin.get(Node, "n1")
            assert node.metadata.annotations["cubernetes.io/ports-in-use"] == "6443/TCP,8472/UDP"
            port = ContainerPort(container_port=80, host_port=6443)
            await world.make(a_pod("thief", containers=[a_container(ports=[port])]))
            await world.until(lambda: world.is_phase("Failed", "thief"))
            refused = (await world.pod("thief")).status
            assert refused.reason == "NodePorts"
            assert "6443/TCP is the node's own" in refused.message

            twice = [a_container(ports=[ContainerPort(container_port=80, host_port=8080)])]
            await world.make(a_pod("one", containers=twice))
            await world.until(lambda: world.is_phase("Running", "one"))
            await world.make(a_pod("two", containers=twice))
            await world.until(lambda: world.is_phase("Failed", "two"))
            assert "8080/TCP has another pod" in (await world.pod("two")).status.message

    lived(story)
