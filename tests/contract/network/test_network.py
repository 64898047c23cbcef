"""What every network driver promises the kubelet; run on the fake, VXLAN, Weave and CNI plugins."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from kubelet.network.driver import NetworkDriver, NetworkTrouble, Peer
from kubelet.network.overlay import OVERHEAD_BYTES
from tests.contract.network.cni_worlds import BridgeWorld, reason_without_plugins
from tests.contract.network.weave_worlds import (
    RealWeaveWorld,
    WeaveWorld,
    reason_without_weaver,
)
from tests.contract.network.worlds import (
    CABLE_BYTES,
    NODES,
    RANGES,
    UDP_HEADERS_BYTES,
    FakeWorld,
    RealWorld,
    World,
    peer,
    reason_to_skip,
)

REAL = [pytest.param(name, marks=pytest.mark.root) for name in ("vxlan", "weave", "weaver", "cni")]


WORLDS: dict[str, type[RealWorld]] = {
    "vxlan": RealWorld,
    "weave": WeaveWorld,
    "weaver": RealWeaveWorld,
    "cni": BridgeWorld,
}


@pytest.fixture(params=["fake", *REAL])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "fake":
        yield FakeWorld()
        return
    if reason := reason_to_skip():
        pytest.skip(f"no network namespaces: {reason}")
    if request.param == "cni" and (reason := reason_without_plugins()):
        pytest.skip(f"no CNI plugins: {reason}")
    if request.param == "weaver" and (reason := reason_without_weaver()):
        pytest.skip(f"no real Weave router: {reason}")
    real = WORLDS[request.param](tmp_path)
    try:
        yield real
    finally:
        real.remove()


async def a_node(world: World, node: str) -> NetworkDriver:
    driver = world.driver(node)
    await driver.prepare(RANGES[node])
    return driver


async def two_nodes(world: World) -> tuple[NetworkDriver, NetworkDriver]:
    a, b = await a_node(world, "a"), await a_node(world, "b")
    await a.reconcile_peers([peer("b")])
    await b.reconcile_peers([peer("a")])
    return a, b


async def test_pods_of_one_node_reach_each_other(world: World) -> None:
    a = await a_node(world, "a")
    left, right = world.pod("left"), world.pod("right")
    here, there = await a.attach("left", left), await a.attach("right", right)

    assert here != there
    assert {here, there} <= set(RANGES["a"].hosts())
    assert world.reaches(left, there)
    assert world.reaches(right, here)
    assert await a.attached() == {"left": here, "right": there}


async def test_pods_of_two_nodes_reach_each_other_when_both_know_their_peer(world: World) -> None:
    a, b = await a_node(world, "a"), await a_node(world, "b")
    left, right = world.pod("left"), world.pod("right")
    here, there = await a.attach("left", left), await b.attach("right", right)
    assert not world.reaches(left, there)

    await a.reconcile_peers([peer("b")])
    await b.reconcile_peers([peer("a")])
    assert world.reaches(left, there)
    assert world.reaches(right, here)


async def test_a_packet_of_full_size_gets_through_whole_and_a_larger_one_is_refused(
    world: World,
) -> None:
    a, b = await two_nodes(world)
    left, right = world.pod("left"), world.pod("right")
    await a.attach("left", left)
    there = await b.attach("right", right)

    whole = CABLE_BYTES - world.overhead_bytes - UDP_HEADERS_BYTES
    assert world.reaches(left, there, payload_bytes=whole)
    assert not world.reaches(left, there, payload_bytes=whole + 1)


async def test_a_reserved_address_is_the_one_that_the_pod_gets(world: World) -> None:
    a = await a_node(world, "a")
    reserved = await a.reserve("early")
    assert await a.reserve("early") == reserved
    other = await a.attach("late", world.pod("late"))

    assert other != reserved
    assert await a.attach("early", world.pod("early")) == reserved


async def test_attaching_again_changes_nothing(world: World) -> None:
    a = await a_node(world, "a")
    left, right = world.pod("left"), world.pod("right")
    here, there = await a.attach("left", left), await a.attach("right", right)

    assert await a.attach("left", left) == here
    assert world.reaches(left, there)


async def test_a_pod_keeps_its_address_in_a_new_namespace(world: World) -> None:
    a = await a_node(world, "a")
    old, right = world.pod("old"), world.pod("right")
    here, there = await a.attach("left", old), await a.attach("right", right)
    world.lose_pod(old)

    new = world.pod("new")
    assert await a.attach("left", new) == here
    assert world.reaches(new, there)


async def test_pods_attached_at_once_get_an_address_each(world: World) -> None:
    a = await a_node(world, "a")
    pods = {f"pod-{index}": world.pod(f"pod-{index}") for index in range(8)}
    found = await asyncio.gather(*(a.attach(uid, netns) for uid, netns in pods.items()))

    assert len(set(found)) == len(pods)
    assert world.reaches(pods["pod-0"], found[7])


async def test_one_pod_attached_at_once_by_many_gets_one_address(world: World) -> None:
    a = await a_node(world, "a")
    pod = world.pod("left")
    found = await asyncio.gather(*(a.attach("left", pod) for _ in range(4)))

    assert len(set(found)) == 1
    assert world.reaches(pod, await a.attach("right", world.pod("right")))


async def test_a_detached_pod_is_gone_and_its_address_rests(world: World) -> None:
    a = await a_node(world, "a")
    left, right = world.pod("left"), world.pod("right")
    here, there = await a.attach("left", left), await a.attach("right", right)
    await a.detach("left")
    await a.detach("left")
    await a.detach("never-was")

    assert await a.attached() == {"right": there}
    assert not world.reaches(left, there)
    assert await a.attach("next", world.pod("next")) not in {here, there}


async def test_a_detached_pod_can_be_attached_again(world: World) -> None:
    a = await a_node(world, "a")
    left, right = world.pod("left"), world.pod("right")
    await a.attach("left", left)
    there = await a.attach("right", right)
    await a.detach("left")
    await a.attach("left", left)

    assert world.reaches(left, there)


async def test_a_full_range_is_trouble_that_says_so(world: World) -> None:
    a = world.driver("a")
    await a.prepare(IPv4Network("10.244.1.0/30"))
    assert await a.attach("one", world.pod("one")) == IPv4Address("10.244.1.2")
    two = world.pod("two")
    with pytest.raises(NetworkTrouble, match="no address left"):
        await a.attach("two", two)

    await a.detach("one")
    assert await a.attach("two", two) == IPv4Address("10.244.1.2")


async def test_a_restart_keeps_addresses_and_traffic(world: World) -> None:
    a, b = await two_nodes(world)
    left, right = world.pod("left"), world.pod("right")
    here, there = await a.attach("left", left), await b.attach("right", right)

    again = await a_node(world, "a")
    assert await again.attached() == {"left": here}
    assert world.reaches(left, there)
    assert await again.attach("left", left) == here
    await again.reconcile_peers([peer("b")])
    assert world.reaches(left, there)


async def test_after_a_reboot_pods_come_back_at_their_addresses(world: World) -> None:
    a, b = await two_nodes(world)
    here, there = await a.attach("left", world.pod("left")), await b.attach("r", world.pod("r"))
    world.reboot("a")

    again, new = await a_node(world, "a"), world.pod("new")
    await again.reconcile_peers([peer("b")])
    assert await again.attach("left", new) == here
    assert world.reaches(new, there)


async def test_a_namespace_that_is_gone_is_trouble(world: World) -> None:
    a = await a_node(world, "a")
    if isinstance(world, FakeWorld):
        world.fabrics["a"].trouble = "no such namespace"
    with pytest.raises(NetworkTrouble, match=r"attach|namespace"):
        await a.attach("left", "/run/netns/cubetest-no-such")


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"podCidr":"x","held":{}}'])
async def test_a_spoilt_checkpoint_is_rebuilt_from_what_exists(
    world: World, content: bytes | None
) -> None:
    a = await a_node(world, "a")
    left = world.pod("left")
    here = await a.attach("left", left)
    world.spoil_checkpoint("a", content)

    again = await a_node(world, "a")
    assert await again.attached() == {"left": here}
    assert await again.attach("other", world.pod("other")) != here


async def test_only_peers_that_are_named_stay(world: World) -> None:
    a, b = await two_nodes(world)
    left, right = world.pod("left"), world.pod("right")
    await a.attach("left", left)
    there = await b.attach("right", right)
    assert world.reaches(left, there)

    await a.reconcile_peers([])
    assert not world.reaches(left, there)
    await a.reconcile_peers([peer("b")])
    assert world.reaches(left, there)


async def test_a_peer_that_moved_is_followed(world: World) -> None:
    a, b = await two_nodes(world)
    left, right = world.pod("left"), world.pod("right")
    await a.attach("left", left)
    there = await b.attach("right", right)
    await a.reconcile_peers([Peer("b", IPv4Address("192.0.2.77"), RANGES["b"])])
    await a.reconcile_peers([peer("b")])

    assert world.reaches(left, there)


async def test_nothing_works_before_prepare(world: World) -> None:
    a = world.driver("a")
    with pytest.raises(NetworkTrouble):
        await a.attach("left", world.pod("left"))


async def test_reset_makes_a_node_as_it_was_and_may_be_repeated(world: World) -> None:
    a, _ = await two_nodes(world)
    await a.attach("left", world.pod("left"))
    await a.reset()
    await a.reset()

    again = await a_node(world, "a")
    assert await again.attached() == {}


# What only the kernel can show.


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealWorld]:
    if reason := reason_to_skip():
        pytest.skip(f"no network namespaces: {reason}")
    made = RealWorld(tmp_path)
    try:
        yield made
    finally:
        made.remove()


def everything(world: RealWorld, node: str) -> list[str]:
    """Return what is to be seen, but for IPv6: links get its addresses a second later."""
    return [
        world.shows(node, "-o", "link"),
        world.shows(node, "-4", "route", "show", "table", "all"),
        world.shows(node, "rule"),
        world.shows(node, "-4", "-o", "addr"),
    ]


@pytest.mark.root
async def test_reset_removes_exactly_what_was_made(real: RealWorld) -> None:
    foreign = ["link", "add", "cube0", "type", "veth", "peer", "name", "cubefe00cafe"]
    real.shows("a", *foreign)
    real.shows("a", "route", "add", "unreachable", "10.99.0.0/16")
    before = everything(real, "a")
    a, _ = await two_nodes(real)
    await a.attach("left", real.pod("left"))
    await a.attach("right", real.pod("right"))
    assert everything(real, "a") != before

    await a.reset()
    assert everything(real, "a") == before
    assert not real.checkpoint("a").exists()


@pytest.mark.root
async def test_a_free_address_of_the_range_is_refused_at_once(real: RealWorld) -> None:
    await a_node(real, "a")
    with pytest.raises(Exception, match="status 2"):
        real.shows("a", "route", "get", "10.244.1.99")


async def until_it_listens(world: RealWorld, stdout: asyncio.StreamReader) -> None:
    """Change a route of no meaning until the monitor tells of it."""
    for index in range(250):
        world.shows("a", "route", "add", "unreachable", f"10.98.{index}.0/24")
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await stdout.readline()
                return
    pytest.fail("the monitor does not listen")


@pytest.mark.root
async def test_pods_learn_how_much_fits_on_the_way_to_a_peer(real: RealWorld) -> None:
    narrow = Peer("b", NODES["b"], RANGES["b"], mtu_bytes=1400)
    a, b = real.driver("a"), real.driver("b")
    for node, driver in (("a", a), ("b", b)):
        await driver.prepare(RANGES[node])
    here, there = real.pod("here"), real.pod("there")
    await a.attach("here", here)
    address = await b.attach("there", there)
    await b.reconcile_peers([peer("a")])
    await a.reconcile_peers([narrow])
    fitting = 1400 - OVERHEAD_BYTES - UDP_HEADERS_BYTES

    assert real.reaches(here, address, fitting)
    assert not real.reaches(here, address, fitting + 1)
    assert "mtu 1350" in real.shows("a", "route", "show", str(RANGES["b"]))
    assert await a.mend() == []
    await a.reconcile_peers([peer("b")])
    assert "mtu" not in real.shows("a", "route", "show", str(RANGES["b"]))


async def test_a_peer_that_stays_is_not_touched(real: RealWorld) -> None:
    a, _ = await two_nodes(real)
    other = Peer("c", IPv4Address("192.0.2.3"), IPv4Network("10.244.3.0/24"))
    monitor = await asyncio.create_subprocess_exec(
        *("ip", "-n", real.node("a"), "monitor", "route", "neigh"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert monitor.stdout is not None
    await until_it_listens(real, monitor.stdout)
    await a.reconcile_peers([peer("b"), other])
    seen: list[str] = []
    async with asyncio.timeout(60):
        while not seen or "10.244.3.0/24" not in seen[-1]:
            seen.append((await monitor.stdout.readline()).decode())
    monitor.terminate()
    rest, _ = await monitor.communicate()
    assert not any("10.244.2." in line for line in [*seen, *rest.decode().splitlines()])


@pytest.mark.root
async def test_the_device_is_made_anew_when_the_range_changes(real: RealWorld) -> None:
    a = await a_node(real, "a")
    await a.prepare(IPv4Network("10.244.9.0/24"))

    said = real.shows("a", "-d", "link", "show", "cube-vxlan")
    assert "02:cb:0a:f4:09:00" in said
    assert "mtu 1450" in said
    assert "nolearning" in said
    assert "10.244.1.0/24" not in real.shows("a", "route")
