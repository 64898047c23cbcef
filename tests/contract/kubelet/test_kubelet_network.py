"""A kubelet whose network is damaged behind its back: mended, told, or out of service."""

from functools import partial
from ipaddress import IPv4Address, IPv4Network

from cubernetes.api.condition import condition_of
from cubernetes.api.core.event import Event
from cubernetes.api.core.node import Node, is_ready
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.pod import is_ready as is_pod_ready
from cubernetes.api.meta import replaced
from kubelet.mending import LASTING_S, LOOK_S, Lasting, lasting_after
from kubelet.network.driver import Damage, Interface
from kubelet.network.ipam import Addresses
from kubelet.pod.decisions.networks import STATUS
from kubelet.runtime.driver import SANDBOX, State
from tests.contract.kubelet.test_kubelet import IMAGE, World, a_world
from tests.given import a_container, a_pod
from tests.simulation.loop import run_simulated

LONG_S = 600.0
MENDED_S = 5.0  # what a user is promised
NOTICED_S = LASTING_S + 2 * LOOK_S + 2.0


async def is_serving(world: World, name: str = "web") -> bool:
    return is_pod_ready(await world.pod(name))


async def is_out(world: World, name: str = "web") -> bool:
    return not await is_serving(world, name)


async def told_of(world: World, name: str) -> dict[str, str]:
    """Return the reasons and messages of the events about an object."""
    events = await world.admin.list(Event)
    return {one.reason: one.message for one in events.items if one.involved_object.name == name}


async def a_serving_pod(world: World, name: str = "web") -> str:
    await world.make(a_pod(name, containers=[a_container(image=IMAGE)]))
    await world.until(partial(is_serving, world, name))
    return (await world.pod(name)).metadata.uid


async def mended_event(world: World, name: str = "web") -> bool:
    return "NetworkMended" in await told_of(world, name)


def test_a_pod_whose_address_is_forgotten_is_wired_again() -> None:
    """It was ready without one for ever: its node was removed, and given another range."""

    async def story() -> None:
        async with a_world() as world:
            uid = await a_serving_pod(world)
            world.machine.fabric.addresses = Addresses(IPv4Network("10.244.1.0/24"))
            # What is heard of a pod again, as after a node's return, has it looked at.
            label = {"metadata": {"labels": {"heard": "again"}}}
            await world.admin.patch(Pod, "web", "default", label)

            async def has_one() -> bool:
                held = world.machine.fabric.addresses
                return held is not None and uid in held.held

            await world.until(has_one)

    run_simulated(story(), "network")


def test_a_wire_that_is_cut_is_mended_in_time_and_told_while_the_pod_serves() -> None:
    async def story() -> None:
        async with a_world() as world:
            uid = await a_serving_pod(world)
            world.machine.fabric.cut_off(uid)

            async def is_whole() -> bool:
                assert await is_serving(world)
                return uid not in world.machine.fabric.cut

            assert await world.until(is_whole) < MENDED_S
            await world.until(partial(mended_event, world))
            assert "the pair" in (await told_of(world, "web"))["NetworkMended"]

    run_simulated(story(), "network")


def test_a_node_whose_address_changes_says_so_and_its_pods_serve_on() -> None:
    async def story() -> None:
        async with a_world() as world:
            await a_serving_pod(world)
            world.machine.fabric.moved_to = IPv4Address("10.0.0.77")
            world.machine.fabric.news.set()

            async def is_told() -> bool:
                assert await is_serving(world)
                (node,) = (await world.admin.list(Node)).items
                return node.address == "10.0.0.77"

            assert await world.until(is_told) < MENDED_S

            async def is_in_the_pods_status() -> bool:
                return (await world.pod("web")).status.host_ip == "10.0.0.77"

            await world.until(is_in_the_pods_status)

    run_simulated(story(), "network")


def test_the_interfaces_of_a_pod_that_has_several_are_told_among_its_notes() -> None:
    async def story() -> None:
        async with a_world() as world:
            uid = await a_serving_pod(world)
            assert STATUS not in (await world.pod("web")).metadata.annotations
            world.machine.fabric.interfaces[uid] = (
                Interface("pods", "eth0", ("10.244.0.2",), is_default=True),
                Interface("storage", "net1", ("172.20.0.2",)),
            )
            label = {"metadata": {"labels": {"heard": "again"}, "annotations": {"kept": "yes"}}}
            await world.admin.patch(Pod, "web", "default", label)

            async def is_told() -> bool:
                notes = (await world.pod("web")).metadata.annotations
                return "172.20.0.2" in notes.get(STATUS, "") and notes["kept"] == "yes"

            await world.until(is_told)

    run_simulated(story(), "network")


def test_a_pod_in_the_nodes_network_has_its_address_and_no_wire() -> None:
    async def story() -> None:
        async with a_world() as world:
            shared = a_pod("web", containers=[a_container(image=IMAGE)])
            await world.make(replaced(shared, spec=replaced(shared.spec, host_network=True)))
            await a_serving_pod(world, "other")
            await world.until(partial(is_serving, world))
            one, machine = await world.pod(), world.machine
            address = machine.address
            assert (one.status.pod_ip, one.status.host_ip) == (address, address)
            uid = one.metadata.uid

            # Neither its start nor an end of the kubelet takes an address of the pod range.
            await world.end()
            world.begin()
            machine.fabric.lost = "the node's address is lost"
            await world.until(partial(is_out, world, "other"), NOTICED_S)
            assert await is_serving(world)
            assert machine.fabric.addresses is not None
            assert uid not in machine.fabric.addresses.held

            await world.admin.delete(Pod, "web", "default")
            await world.until(world.is_gone)

    run_simulated(story(), "network")


def test_without_any_news_damage_is_found_by_looking() -> None:
    async def story() -> None:
        async with a_world() as world:
            uid = await a_serving_pod(world)
            world.machine.fabric.cut.add(uid)

            async def is_whole() -> bool:
                return uid not in world.machine.fabric.cut

            assert await world.until(is_whole) < MENDED_S

    run_simulated(story(), "network")


def test_a_pod_that_cannot_be_mended_is_not_ready_until_it_can() -> None:
    async def story() -> None:
        async with a_world() as world:
            uid = await a_serving_pod(world)
            await a_serving_pod(world, "other")
            world.machine.fabric.cut_off(uid, for_good=True)
            await world.until(partial(is_out, world), NOTICED_S)

            ready = condition_of((await world.pod()).status.conditions, "Ready")
            assert ready is not None
            assert (ready.reason, ready.message) == ("NetworkNotReady", "it may not be made")
            assert await is_serving(world, "other")
            assert is_ready(await world.admin.get(Node, "n1"))
            assert "it may not be made" in (await told_of(world, "web"))["NetworkNotMended"]

            world.machine.fabric.beyond_repair.clear()
            await world.until(partial(is_serving, world), NOTICED_S)

    run_simulated(story(), "network")


def test_a_node_that_cannot_be_mended_says_why_and_serves_no_pod() -> None:
    remedy = "no device has this node's address 10.0.1.1"

    async def story() -> None:
        async with a_world() as world:
            await a_serving_pod(world)
            world.machine.fabric.lost = remedy
            world.machine.fabric.news.set()
            await world.until(partial(is_out, world), NOTICED_S)

            async def says_why() -> bool:
                conditions = (await world.admin.get(Node, "n1")).status.conditions
                ready = condition_of(conditions, "Ready")
                return ready is not None and ready.status == "False" and remedy in ready.message

            await world.until(says_why, NOTICED_S)
            assert remedy in (await told_of(world, "n1"))["NetworkNotMended"]

            world.machine.fabric.lost = ""
            await world.until(partial(is_serving, world), NOTICED_S)

            async def is_well() -> bool:
                return is_ready(await world.admin.get(Node, "n1"))

            await world.until(is_well, NOTICED_S)

    run_simulated(story(), "network")


def test_what_happened_while_the_kubelet_was_away_is_mended_when_it_is_back() -> None:
    async def story() -> None:
        async with a_world() as world:
            uid = await a_serving_pod(world)
            await world.end()
            world.machine.fabric.cut_off(uid)
            world.begin()

            async def is_whole() -> bool:
                return uid not in world.machine.fabric.cut

            await world.until(is_whole)
            assert await is_serving(world)

    run_simulated(story(), "network")


def test_one_bad_look_puts_nobody_out_of_service() -> None:
    bad = [Damage("the pair", "uid-1", why="busy")]
    once = lasting_after(Lasting(), bad, 10.0)
    assert once.trouble_of("uid-1", 10.0 + LASTING_S - 0.1) == ""
    assert once.trouble_of("uid-1", 10.0 + LASTING_S) == "busy"

    still = lasting_after(once, bad, 12.0)
    assert still.since_s == once.since_s
    assert lasting_after(still, [Damage("the pair", "uid-1")], 13.0) == Lasting()
    assert lasting_after(still, [], 13.0) == Lasting()


def test_a_kubelet_that_begins_again_expects_its_pods_before_it_has_looked_at_any() -> None:
    async def story() -> None:
        async with a_world() as world:
            uids = sorted([await a_serving_pod(world), await a_serving_pod(world, "other")])
            await world.end()
            world.machine.runtime.is_down = True
            told = world.machine.host_ports.told
            told.clear()
            world.begin()

            await world.env.clock.sleep(30.0)
            # The runtime does not answer: no pod has been seen, so no port may be closed.
            assert told == []

            world.machine.runtime.is_down = False

            async def are_seen() -> bool:
                return all(("seen", uid) in told for uid in uids)

            await world.until(are_seen)
            assert told[0] == ("expect", *uids)
            for uid in uids:
                assert told.index(("lead", uid)) < told.index(("seen", uid))

    run_simulated(story(), "network")


def test_no_sandbox_runs_at_an_address_of_which_a_crash_would_leave_no_record() -> None:
    async def story() -> None:
        async with a_world() as world:
            machine = world.machine
            machine.fabric.record_s = LONG_S
            await world.make(a_pod("lost", containers=[a_container(image=IMAGE)]))

            def sandboxes() -> dict[str, State]:
                lives = machine.runtime.lives.values()
                found = [one.container for one in lives if one.container.name == SANDBOX]
                return {one.pod_name: one.state for one in found}

            async def is_made() -> bool:
                return sandboxes() == {"lost": State.CREATED}

            await world.until(is_made)
            held = machine.fabric.addresses
            assert held is not None
            (early,) = held.held.values()

            # Nothing on the disk knows of that address: another pod gets it in the next life.
            await world.end()
            machine.fabric.record_s = 0.0
            await world.admin.delete(Pod, "lost", "default", grace_s=0)
            await world.make(a_pod("web", containers=[a_container(image=IMAGE)]))
            world.begin()
            await world.until(lambda: world.is_phase("Running"))
            assert (await world.pod()).status.pod_ip == str(early)

            async def is_alone() -> bool:
                return sandboxes() == {"web": State.RUNNING}

            await world.until(is_alone)

    run_simulated(story(), "network", limit_s=7200)


def test_sandboxes_do_not_pile_up_while_no_address_can_be_recorded() -> None:
    async def story() -> None:
        async with a_world() as world:
            machine = world.machine
            machine.fabric.record_trouble = "record addresses: no space left on device"
            await world.make(a_pod("web"))
            await world.env.clock.sleep(600)
            assert len(machine.runtime.lives) <= 1
            assert machine.running() == []

            machine.fabric.record_trouble = ""
            await world.until(lambda: world.is_phase("Running"))
            assert {one.container.attempt for one in machine.runtime.lives.values()} == {0}

    run_simulated(story(), "network", limit_s=7200)
