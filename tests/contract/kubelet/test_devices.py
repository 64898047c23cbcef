"""A kubelet that gives devices, on the real API server and virtual time; killed anywhere."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

import pytest
from msgspec import structs

from cubernetes.api.core.event import Event
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import EnvVar, Resources
from cubernetes.api.meta import replaced
from cubernetes.api.quantities import Quantity
from cubernetes.host.settings import SettingsInvalid
from kubelet.devices.book import held_in
from kubelet.devices.driver import Device, DeviceSettings, DeviceTrouble, Discovery, StandInDevice
from kubelet.devices.fake import FakeGpus
from kubelet.devices.giving import Bench
from kubelet.runtime.driver import SANDBOX, Allotment, DeviceFile, State
from kubelet.runtime.fake import Behaviour
from tests.contract.kubelet.test_kubelet import World, a_world
from tests.given import a_container, a_pod
from tests.simulation.loop import run_simulated

GPU = "cubernetes.io/fake-gpu"


class Disk:
    """A record that outlives kubelets. trouble: no save succeeds, and that is why."""

    def __init__(self) -> None:
        self.content: bytes | None = None
        self.trouble = ""
        self.before: Callable[[], object] = lambda: None
        self.after: Callable[[], object] = lambda: None

    def load(self) -> bytes | None:
        return self.content

    def save(self, content: bytes) -> None:
        self.before()
        if self.trouble:
            raise OSError(self.trouble)
        self.content = content
        self.after()


class Rack:
    """What a test says of the devices; told: what the kubelet is to read next."""

    def __init__(self, *ids: str) -> None:
        self.disk = Disk()
        self.settings = DeviceSettings()
        self.invalid = ""
        self.put(*ids)

    def put(self, *ids: str, ill: str = "", shares: int = 0) -> None:
        fake = tuple(StandInDevice(id=one, trouble="is ill" if one == ill else "") for one in ids)
        self.settings = DeviceSettings(fake=fake, shares={GPU: shares} if shares else {})

    def read(self) -> DeviceSettings:
        if self.invalid:
            raise SettingsInvalid(self.invalid)
        return self.settings


@asynccontextmanager
async def a_node_with(*ids: str, **behaviours: Behaviour) -> AsyncIterator[tuple[World, Rack]]:
    async with a_world(**behaviours) as world:
        rack = Rack(*ids)
        world.machine.devices = Bench((FakeGpus(),), rack.disk, rack.read)
        await world.end()
        world.begin()
        await world.until(lambda: offered(world, str(len(ids)), str(len(ids))))
        yield world, rack


async def offered(world: World, total: str, usable: str, resource: str = GPU) -> bool:
    status = (await world.admin.get(Node, "n1")).status
    found = status.capacity.get(resource), status.allocatable.get(resource)
    return found == (Quantity(total), Quantity(usable))


def asking(name: str, count: int = 1, image: str = "web", resource: str = GPU) -> Pod:
    limits = Resources(limits={resource: Quantity(str(count))})
    env = (EnvVar(name="MINE", value="1"),)
    one = replaced(a_container(image=f"cubernetes/{image}:1"), resources=limits, env=env)
    return a_pod(name, containers=[one])


def held(world: World) -> Mapping[str, tuple[str, ...]]:
    """Return what running containers have, by their pods' names."""
    lives = world.machine.runtime.lives.values()
    runs = [one.container for one in lives if one.container.state is State.RUNNING]
    return {
        one.pod_name: ids
        for one in runs
        if one.name != SANDBOX
        for ids in held_in(one.held).values()
    }


async def told(world: World, reason: str) -> list[str]:
    events = (await world.admin.list(Event, "default")).items
    return [one.message for one in events if one.reason == reason]


async def run(world: World, *names: str) -> None:
    for name in names:
        await world.until(partial(world.is_phase, "Running", name))


async def gone(world: World, *names: str) -> None:
    for name in names:
        await world.admin.delete(Pod, name, "default")
        await world.until(partial(world.is_gone, name))


def test_two_pods_have_different_devices_and_a_third_is_refused_in_kubernetes_words() -> None:
    async def story() -> None:
        async with a_node_with("a", "b") as (world, _):
            for name in ("p1", "p2"):
                await world.make(asking(name))
                await run(world, name)
            assert held(world) == {"p1": ("a",), "p2": ("b",)}
            lives = world.machine.runtime.lives.values()
            envs = {one.container.pod_name: one.env for one in lives if one.container.held}
            assert envs["p1"]["CUBE_DEVICES"] == f"{GPU}=a"
            assert envs["p1"]["MINE"] == "1"

            await world.make(asking("p3"))
            await world.until(lambda: world.is_phase("Failed", "p3"))
            refused = (await world.pod("p3")).status
            assert refused.reason == "UnexpectedAdmissionError"
            assert refused.message == (
                "Pod was rejected: Allocate failed due to requested number of devices unavailable "
                f"for {GPU}. Requested: 1, Available: 0, which is unexpected"
            )
            await gone(world, "p1")
            await world.make(asking("p4"))
            await run(world, "p4")
            assert held(world) == {"p4": ("a",), "p2": ("b",)}

    run_simulated(story())


@pytest.mark.parametrize("killed_ms", range(0, 400, 37))
def test_a_kubelet_that_is_killed_at_any_moment_gives_nothing_twice_and_loses_nothing(
    killed_ms: int,
) -> None:
    async def story() -> None:
        async with a_node_with("a", "b") as (world, rack):
            for name in ("p1", "p2"):
                await world.make(asking(name))
            await world.env.clock.sleep(killed_ms / 1000)
            await world.end()
            recorded = rack.disk.content or b""
            assert all(ids[0].encode() in recorded for ids in held(world).values())
            before = held(world)
            world.begin()
            await run(world, "p1", "p2")
            assert sorted(held(world).values()) == [("a",), ("b",)]
            assert before.items() <= held(world).items()
            await gone(world, "p1", "p2")
            await world.make(asking("both", 2))
            await run(world, "both")
            assert held(world) == {"both": ("a", "b")}

    run_simulated(story())


@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize("at", [1, 2])
def test_a_kubelet_that_is_killed_around_a_save_goes_on_from_what_is_on_the_disk(
    at: int, is_written: bool
) -> None:
    async def story() -> None:
        async with a_node_with("a", "b") as (world, rack):
            saves = 0

            def kill() -> None:
                nonlocal saves
                saves += 1
                if saves == at:
                    assert world._kubelet is not None
                    world._kubelet.cancel()
                    if not is_written:
                        raise OSError("the power is cut")

            setattr(rack.disk, "after" if is_written else "before", kill)
            for name in ("p1", "p2"):
                await world.make(asking(name))
            await world.env.clock.sleep(1)
            await world.end()
            assert saves >= at
            world.begin()
            await run(world, "p1", "p2")
            assert sorted(held(world).values()) == [("a",), ("b",)]

    run_simulated(story())


@pytest.mark.parametrize("left", [None, b"torn"])
def test_a_lost_record_gives_nothing_twice_for_what_runs_says_what_it_has(
    left: bytes | None,
) -> None:
    async def story() -> None:
        async with a_node_with("a", "b") as (world, rack):
            await world.make(asking("p1"))
            await run(world, "p1")
            await world.end()
            rack.disk.content = left
            world.begin()
            await world.make(asking("p2"))
            await run(world, "p2")
            assert held(world) == {"p1": ("a",), "p2": ("b",)}

    run_simulated(story())


def test_a_device_whose_pod_was_forced_out_of_the_api_is_given_once_its_container_is_gone() -> None:
    async def story() -> None:
        async with a_node_with("a", deaf=Behaviour(ignores_term=True)) as (world, _):
            world.machine.runtime.images.add("cubernetes/deaf:1")
            await world.make(asking("p1", image="deaf"))
            await run(world, "p1")
            await world.admin.delete(Pod, "p1", "default", grace_s=0)
            await world.make(asking("p2"))
            await world.env.clock.sleep(0.5)
            assert held(world) == {"p1": ("a",)}
            await run(world, "p2")
            assert held(world) == {"p2": ("a",)}

    run_simulated(story())


def test_what_has_ended_frees_its_device_though_its_pod_is_kept() -> None:
    async def story() -> None:
        async with a_node_with("a", brief=Behaviour(exits_after_s=1)) as (world, _):
            world.machine.runtime.images.add("cubernetes/brief:1")
            once = asking("p1", image="brief")
            await world.make(replaced(once, spec=replaced(once.spec, restart_policy="Never")))
            await world.until(lambda: world.is_phase("Succeeded", "p1"))
            await world.make(asking("p2"))
            await run(world, "p2")
            assert held(world) == {"p2": ("a",)}

    run_simulated(story())


def test_a_sick_device_leaves_the_offer_with_an_event_and_comes_back() -> None:
    async def story() -> None:
        async with a_node_with("a", "b") as (world, rack):
            await world.make(asking("p1"))
            await run(world, "p1")
            rack.put("a", "b", ill="b")
            await world.until(lambda: offered(world, "2", "1"))
            told_of = [f"device b of {GPU} cannot be used: is ill"]
            assert await told(world, "DeviceUnusable") == told_of
            await world.make(asking("p2"))
            await world.until(lambda: world.is_phase("Failed", "p2"))
            assert held(world) == {"p1": ("a",)}

            rack.put("a")
            await world.until(lambda: offered(world, "1", "1"))
            rack.put()
            await world.until(lambda: offered(world, "0", "0"))
            # Also by a kubelet that has not seen them.
            await world.end()
            world.begin()
            await world.env.clock.sleep(10)
            assert await offered(world, "0", "0")
            assert held(world) == {"p1": ("a",)}
            rack.put("a", "b")
            await world.until(lambda: offered(world, "2", "2"))

    run_simulated(story())


def test_a_container_whose_device_is_gone_begins_again_with_another_or_waits_for_it() -> None:
    async def story() -> None:
        async with a_node_with("a", "b") as (world, rack):
            await world.make(asking("p1"))
            await run(world, "p1")
            assert held(world) == {"p1": ("a",)}
            rack.put("b")
            await world.until(lambda: offered(world, "1", "1"))
            end_of(world, "p1")
            await world.until(lambda: has(world, {"p1": ("b",)}))
            rack.put("b", ill="b")
            await world.until(lambda: offered(world, "1", "0"))
            end_of(world, "p1")
            await world.until(lambda: waits(world, "p1", "DevicesUnavailable"))
            rack.put("b")
            await world.until(lambda: has(world, {"p1": ("b",)}))

    run_simulated(story())


def end_of(world: World, name: str) -> None:
    lives = world.machine.runtime.lives.values()
    for one in [each.container for each in lives if each.container.pod_name == name]:
        if one.name != SANDBOX and one.state is State.RUNNING:
            world.machine.runtime.end(one.id, 1)


async def has(world: World, wanted: Mapping[str, tuple[str, ...]]) -> bool:
    return held(world) == wanted


async def waits(world: World, name: str, reason: str) -> bool:
    waiting = (await world.container(name)).state.waiting
    return waiting is not None and waiting.reason == reason


def test_shares_of_a_device_are_another_resource() -> None:
    async def story() -> None:
        async with a_node_with("a") as (world, rack):
            rack.put("a", shares=2)
            shared = f"{GPU}.shared"
            await world.until(lambda: offered(world, "2", "2", shared))
            assert await offered(world, "0", "0")
            for name in ("p1", "p2"):
                await world.make(asking(name, resource=shared))
                await run(world, name)
            assert held(world) == {"p1": ("a::0",), "p2": ("a::1",)}
            lives = world.machine.runtime.lives.values()
            assert {one.env["CUBE_DEVICES"] for one in lives if one.container.held} == {
                f"{shared}=a"
            }

    run_simulated(story())


def test_settings_that_are_wrong_change_nothing_and_are_told() -> None:
    async def story() -> None:
        async with a_node_with("a") as (world, rack):
            rack.invalid = "devices.json: Object contains unknown field `gpus`"
            await world.env.clock.sleep(5)
            assert await offered(world, "1", "1")
            assert await told(world, "DevicesNotRead") == [f"settings: {rack.invalid}"]
            rack.invalid = ""
            rack.settings = DeviceSettings(shares={"example.com/x": 2})
            await world.env.clock.sleep(5)
            assert await offered(world, "1", "1")
            assert set(await told(world, "DevicesNotRead")) == {
                "settings: devices.json: Object contains unknown field `gpus`",
                f"settings: shares: 'example.com/x' is not one of {GPU}",
            }

    run_simulated(story())


def test_a_disk_that_takes_nothing_starts_no_container_with_a_device() -> None:
    async def story() -> None:
        async with a_node_with("a") as (world, rack):
            rack.disk.trouble = "No space left on device"
            await world.make(asking("p1"))
            await world.env.clock.sleep(5)
            assert held(world) == {}
            rack.disk.trouble = ""
            await run(world, "p1")
            assert held(world) == {"p1": ("a",)}

    run_simulated(story())


class Flaky(FakeGpus):
    """A kind that cannot be read while there is trouble, and says what a Node may say of it."""

    def __init__(self) -> None:
        self.trouble = ""

    def discover(self, settings: DeviceSettings) -> Discovery:
        if self.trouble:
            raise DeviceTrouble(self.trouble)
        return Discovery([Device("a")], {"gpu.cubernetes.io/model": "Paper"})


def test_a_kind_that_cannot_be_read_offers_nothing_until_it_can() -> None:
    async def story() -> None:
        async with a_node_with("a") as (world, rack):
            flaky = Flaky()
            world.machine.devices = Bench((flaky,), rack.disk, rack.read)
            await world.end()
            world.begin()
            await world.until(lambda: labelled(world, "Paper"))
            flaky.trouble = "NVML: Unknown Error"
            await world.until(lambda: offered(world, "1", "0"))
            assert await told(world, "DevicesNotRead") == [f"{GPU}: NVML: Unknown Error"]
            flaky.trouble = ""
            await world.until(lambda: offered(world, "1", "1"))
            assert await told(world, "DeviceUsable") == [f"device a of {GPU} can be used again"]

    run_simulated(story())


async def labelled(world: World, model: str) -> bool:
    node = await world.admin.get(Node, "n1")
    return node.metadata.labels.get("gpu.cubernetes.io/model") == model


class Door:
    """Plug-ins that have registered, on paper."""

    def __init__(self) -> None:
        self.kinds: tuple[Flaky, ...] = ()
        self.is_open = False

    async def open(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False


class Nic(Flaky):
    resource = "example.com/nic"

    async def allotted(self, ids: Sequence[str]) -> Allotment:
        return Allotment((DeviceFile("/dev/nic7", "/dev/nic"),), env={"NIC": ids[0]})


def test_plug_ins_register_where_they_may_and_say_what_a_container_gets() -> None:
    async def story() -> None:
        async with a_node_with("a") as (world, rack):
            door, nic = Door(), Nic()
            world.machine.devices = Bench((FakeGpus(),), rack.disk, rack.read, lambda _: door)
            await world.end()
            world.begin()
            await world.env.clock.sleep(5)
            assert not door.is_open
            rack.settings = structs.replace(rack.settings, plugins=True)
            door.kinds = (nic,)
            await world.until(lambda: offered(world, "1", "1", nic.resource))
            await world.make(asking("p1", resource=nic.resource))
            await run(world, "p1")
            assert held(world) == {"p1": ("a",)}
            lives = world.machine.runtime.lives.values()
            (env,) = [one.env for one in lives if one.container.held]
            assert (env["NIC"], env["CUBE_DEVICES"]) == ("a", f"{nic.resource}=a")

            # A kubelet that begins knows none of its devices until it registers again.
            door.kinds = ()
            await world.until(lambda: offered(world, "0", "0", nic.resource))
            end_of(world, "p1")
            await world.until(lambda: waits(world, "p1", "DevicesUnavailable"))
            door.kinds = (nic,)
            await world.until(lambda: has(world, {"p1": ("a",)}))

            rack.settings = structs.replace(rack.settings, plugins=False)
            await world.until(lambda: offered(world, "0", "0", nic.resource))
            assert not door.is_open

    run_simulated(story())
