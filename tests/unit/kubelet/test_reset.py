"""Taking away what the kubelet made: what stands in the way is named, and the rest is done."""

from collections.abc import Awaitable, Callable
from ipaddress import IPv4Network

from cubernetes.host.env import Env
from kubelet.pod.decisions import specs
from kubelet.reset import take_away
from kubelet.run import Machine
from kubelet.settings import KubeletSettings
from tests.contract.kubelet.test_kubelet import settings_of
from tests.given import a_pod
from tests.simulation.clock import sim_env
from tests.simulation.loop import run_simulated
from tests.simulation.machines import SimMachine

RANGE = IPv4Network("10.244.1.0/24")
# A simulated machine has no iptables: so this is what is left at least.
NO_RULES = "port rules: iptables"


def on_a_node_with_pods(story: Callable[[SimMachine, Machine, Env], Awaitable[None]]) -> None:
    async def told() -> None:
        env = sim_env("reset")
        machine = SimMachine("n1", 1, "reset", 0.0)
        drivers = machine.drivers(env)
        await drivers.network.prepare(RANGE)
        settings: KubeletSettings = settings_of(machine)
        for name in ("a", "b", "c"):
            pod = a_pod(name)
            await drivers.volumes.prepare(pod)
            spec = specs.sandbox_spec(pod, 0, "10.244.1.9", settings)
            box = await drivers.runtime.start_sandbox(spec)
            await drivers.network.attach(pod.metadata.uid, box.netns)
        await story(machine, drivers, env)
        machine.runtime.close()

    run_simulated(told(), limit_s=600)


def test_everything_is_taken_away() -> None:
    async def story(machine: SimMachine, drivers: Machine, env: Env) -> None:
        machine.folders.names.add("pvc-1")
        (left,) = await take_away(drivers, env)
        assert left.startswith(NO_RULES)
        assert machine.folders.names == set()
        assert (machine.runtime.lives, machine.disk.volumes) == ({}, {})
        assert machine.fabric.addresses is None

    on_a_node_with_pods(story)


def test_a_runtime_that_hangs_is_named_and_the_network_goes_all_the_same() -> None:
    async def story(machine: SimMachine, drivers: Machine, env: Env) -> None:
        machine.runtime.is_hung = True
        containers, volumes, rules = await take_away(drivers, env)
        assert containers.startswith("containers: ")
        assert volumes == "volumes: they stay as long as containers do"
        assert rules.startswith(NO_RULES)
        assert len(machine.disk.volumes) == 3
        assert machine.fabric.addresses is None

        machine.runtime.is_hung = False
        assert len(await take_away(drivers, env)) == 1
        assert (machine.runtime.lives, machine.disk.volumes) == ({}, {})

    on_a_node_with_pods(story)


def test_a_runtime_that_goes_down_half_way_is_asked_no_more() -> None:
    async def story(machine: SimMachine, drivers: Machine, env: Env) -> None:
        machine.runtime.lost_reply_count = 2
        left = await take_away(drivers, env)
        assert any("pod default/" in one or one.startswith("containers: ") for one in left)
        assert left[-1].startswith(NO_RULES)

    on_a_node_with_pods(story)


def test_a_volume_that_cannot_be_removed_is_named_and_keeps_nothing_else() -> None:
    async def story(machine: SimMachine, drivers: Machine, env: Env) -> None:
        machine.disk.trouble = "volumes not removed: /volumes/data: it is busy"
        left = await take_away(drivers, env)
        assert left[:3] == [machine.disk.trouble] * 3
        assert machine.runtime.lives == {}
        assert machine.fabric.addresses is None

    on_a_node_with_pods(story)
