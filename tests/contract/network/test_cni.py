"""What the CNI driver makes of plugins: Debian's, and those that fail, hang, lie and print junk."""

import asyncio
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from kubelet.network.driver import NetworkDriver, NetworkTrouble, NetworkWish, PodWishes, PortWish
from kubelet.network.namespace import fd_of
from tests.contract.network.cni_worlds import (
    BridgeWorld,
    ScriptedWorld,
    reason_without_plugins,
)
from tests.contract.network.test_network import a_node, everything, two_nodes
from tests.contract.network.worlds import NODES, reason_to_skip

pytestmark = pytest.mark.root

type Make = Callable[..., ScriptedWorld]

OWN: Mapping[str, object] = {"type": "own"}
# A plugin that wires nothing and says that the pod has an address.
SAYS = """echo '{{"cniVersion": "1.0.0", "ips": [{{"address": "{}"}}]}}'"""
# One that gives the pod's lo a second name and an address: all that eth0 needs to be believed.
WIRES = """
[ "$CNI_COMMAND" = ADD ] || exit 0
nsenter --net="$CNI_NETNS" ip link set lo name eth0
nsenter --net="$CNI_NETNS" ip addr add 10.244.1.77/32 dev eth0
nsenter --net="$CNI_NETNS" ip link set eth0 up
echo '{"cniVersion": "1.0.0", "ips": [{"address": "10.244.1.77/32"}]}'
"""


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[BridgeWorld]:
    if reason := reason_to_skip() or reason_without_plugins():
        pytest.skip(reason)
    made = BridgeWorld(tmp_path)
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Make]:
    if reason := reason_to_skip():
        pytest.skip(reason)
    made: list[ScriptedWorld] = []

    def make(*chain: Mapping[str, object]) -> ScriptedWorld:
        made.append(ScriptedWorld(tmp_path, chain or (OWN,)))
        return made[-1]

    try:
        yield make
    finally:
        for one in made:
            one.remove()


async def refusal(driver: NetworkDriver, uid: str, netns: str) -> str:
    with pytest.raises(NetworkTrouble) as caught:
        await driver.attach(uid, netns)
    return str(caught.value)


# Debian's plugins.


@pytest.mark.parametrize("version", ["0.4.0", "1.0.0"])
async def test_each_version_of_the_specification_wires_a_pod_and_checks_it(
    bridge: BridgeWorld, version: str
) -> None:
    bridge.version = version
    a = await a_node(bridge, "a")
    there = await a.attach("left", bridge.pod("left"))

    assert list(await a.mend()) == []
    record = json.loads((bridge.records("a") / "left.json").read_bytes())
    assert record["result"]["cniVersion"] == version
    assert record["result"]["ips"][0]["address"] == f"{there}/24"
    await a.detach("left")


async def test_portmap_leads_a_port_of_the_node_to_a_pod_until_it_is_detached(
    bridge: BridgeWorld,
) -> None:
    a = await a_node(bridge, "a")
    assert a.maps_ports
    wishes = PodWishes("default", "web", "c1", (PortWish("", 8088, "tcp", 80),))
    there = await a.attach("web", bridge.pod("web"), wishes)
    rules = bridge.stdout("a", "iptables-save -t nat")
    assert f"--dport 8088 -j DNAT --to-destination {there}:80" in rules

    await a.detach("web")
    assert "8088" not in bridge.stdout("a", "iptables-save -t nat")


async def test_what_a_plugin_was_asked_with_add_it_is_asked_with_del_by_another_kubelet(
    bridge: BridgeWorld,
) -> None:
    a = await a_node(bridge, "a")
    here = await a.attach("left", bridge.pod("left"))
    assert (bridge.data("a") / "pods" / str(here)).exists()

    again = await a_node(bridge, "a")
    await again.detach("left")
    assert not (bridge.data("a") / "pods" / str(here)).exists()
    assert list(bridge.records("a").glob("*.json")) == []


async def test_a_pod_whose_namespace_is_gone_is_detached_and_its_address_is_free(
    bridge: BridgeWorld,
) -> None:
    a = await a_node(bridge, "a")
    pod = bridge.pod("left")
    here = await a.attach("left", pod)
    bridge.lose_pod(pod)
    await a.detach("left")

    assert not (bridge.data("a") / "pods" / str(here)).exists()


async def test_leases_that_a_power_cut_emptied_hold_no_address(bridge: BridgeWorld) -> None:
    a = await a_node(bridge, "a")
    here, gone = [await a.attach(uid, bridge.pod(uid)) for uid in ("left", "gone")]
    await a.detach("gone")
    leases = bridge.data("a") / "pods"
    for address, left in ((here, b""), (gone, b"\0" * 42)):
        (leases / str(address)).write_bytes(left)
    bridge.reboot("a")

    with fd_of(str(leases / "lock")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(NetworkTrouble, match="host-local is at work in"):
            await a_node(bridge, "a")
    again = await a_node(bridge, "a")
    assert await again.attach("left", bridge.pod("anew")) == here
    assert sorted(one.name for one in leases.glob("10.*")) == [str(here)]
    assert (leases / str(here)).read_bytes().startswith(b"left")


async def test_a_record_that_a_power_cut_emptied_is_of_a_pod_that_is_asked_for_anew(
    bridge: BridgeWorld,
) -> None:
    a = await a_node(bridge, "a")
    here = await a.attach("left", bridge.pod("left"))
    (bridge.records("a") / "left.json").write_bytes(b"")
    bridge.reboot("a")

    again, pod = await a_node(bridge, "a"), bridge.pod("anew")
    assert await again.attach("left", pod) == here
    (bridge.records("a") / "left.json").write_bytes(b"")
    await bridge.driver("a").reset()
    assert not (bridge.data("a") / "pods" / str(here)).exists()


async def test_many_pods_at_once_are_wired_each_with_its_address(bridge: BridgeWorld) -> None:
    a = await a_node(bridge, "a")
    pods = {f"pod-{index}": bridge.pod(f"pod-{index}") for index in range(12)}
    found = await asyncio.gather(*(a.attach(uid, netns) for uid, netns in pods.items()))

    assert len(set(found)) == len(pods)
    assert bridge.reaches(pods["pod-0"], found[11])


async def test_a_bridge_that_was_removed_is_made_again_with_all_its_pods(
    bridge: BridgeWorld,
) -> None:
    a, b = await two_nodes(bridge)
    left = bridge.pod("left")
    await a.attach("left", left)
    there = await b.attach("right", bridge.pod("right"))
    bridge.does(bridge.node("a"), "ip link del cni0")
    assert not bridge.reaches(left, there)

    assert [(one.pod_uid, one.why) for one in await a.mend()] == [("left", "")]
    assert bridge.reaches(left, there)
    assert list(await a.mend()) == []


async def test_what_only_a_plugin_can_see_is_mended_by_its_check(bridge: BridgeWorld) -> None:
    a = await a_node(bridge, "a")
    wishes = PodWishes("default", "web", "c1", (PortWish("", 8088, "tcp", 80),))
    await a.attach("web", bridge.pod("web"), wishes)
    bridge.does(bridge.node("a"), "iptables -t nat -F CNI-HOSTPORT-DNAT")

    (damage,) = await a.mend()
    assert damage.what.startswith("CNI plugin portmap: CHECK:")
    assert not damage.why
    assert "8088" in bridge.stdout("a", "iptables-save -t nat")
    assert list(await a.mend()) == []


async def test_reset_leaves_no_device_no_route_and_no_record(bridge: BridgeWorld) -> None:
    before = everything(bridge, "a")
    a, _ = await two_nodes(bridge)
    await a.attach("left", bridge.pod("left"))
    await a.attach("right", bridge.pod("right"))

    await a.reset()
    assert everything(bridge, "a") == before
    assert not bridge.records("a").exists()
    assert not bridge.checkpoint("a").exists()
    assert [one.name for one in (bridge.data("a") / "pods").glob("10.*")] == []


async def test_a_bridge_of_somebody_else_stays_at_reset(bridge: BridgeWorld) -> None:
    bridge.shows("a", "link", "add", "cni0", "type", "bridge")
    a = await a_node(bridge, "a")
    await a.attach("left", bridge.pod("left"))
    await a.reset()

    assert "cni0" in bridge.shows("a", "-br", "link")


# Plugins that do not do what they should.


async def test_an_error_is_told_in_the_plugins_own_words(scripted: Make) -> None:
    world = scripted()
    world.program("own", """echo '{"code": 7, "msg": "no cable", "details": "slot 3"}'; exit 1""")
    a = await a_node(world, "a")

    said = await refusal(a, "left", world.pod("left"))
    assert said == "CNI plugin own: ADD: no cable; slot 3 (code 7)"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("echo '<html>'", "printed no CNI result"),
        ("true", "printed no CNI result"),
        ("echo '{}'", "printed a result of version ''"),
        ("""echo '{"cniVersion": "9.9.9"}'""", "printed a result of version '9.9.9'"),
        ("""echo '{"code": 11, "msg": "later"}'""", "later (code 11)"),
        ("echo oh no >&2; exit 3", "ended with 3: oh no"),
        ("kill -9 $$", "ended with"),
        (SAYS.format("10.1.2.3/24"), "none of the cluster's pods (10.244.0.0/16)"),
        (SAYS.format("not-an-address"), "printed no CNI result"),
        (SAYS.format("fd00::1/64"), "gave no IPv4 address"),
        (SAYS.format("10.244.1.9/24"), "eth0 was told to have 10.244.1.9, but it has none"),
    ],
)
async def test_what_is_no_good_answer_is_trouble_that_says_what_it_was(
    scripted: Make, body: str, words: str
) -> None:
    world = scripted()
    world.program("own", body)
    a = await a_node(world, "a")
    assert words in await refusal(a, "left", world.pod("left"))
    assert await a.attached() == {}


async def test_a_plugin_that_hangs_is_killed_at_its_deadline_and_others_are_wired_meanwhile(
    scripted: Make,
) -> None:
    world = scripted()
    world.deadline_s = 3.0
    world.program("own", f'case "$CNI_CONTAINERID" in stuck) exec sleep 600;; esac\n{WIRES}')
    a = await a_node(world, "a")
    stuck = asyncio.create_task(refusal(a, "stuck", world.pod("stuck")))
    assert await a.attach("left", world.pod("left")) == IPv4Address("10.244.1.77")

    assert "was killed: no end after 3.0 s" in await stuck


async def test_a_failed_add_is_taken_back_and_a_second_one_begins_by_del(scripted: Make) -> None:
    world = scripted(OWN, {"type": "second"})
    world.program("own", WIRES)
    world.program(
        "second", '[ $CNI_COMMAND = DEL ] || { echo \'{"code": 5, "msg": "no"}\'; exit 1; }'
    )
    a, pod = await a_node(world, "a"), world.pod("left")
    await refusal(a, "left", pod)
    assert world.calls("own") == ["ADD", "DEL"]
    assert world.calls("second") == ["ADD", "DEL"]

    await refusal(a, "left", pod)
    assert world.calls("own") == ["ADD", "DEL", "DEL", "ADD", "DEL"]


async def test_a_chain_is_undone_from_its_end(scripted: Make) -> None:
    world = scripted(OWN, {"type": "second"})
    seen = world.programs / "seen"
    world.program("own", f'echo "own $CNI_COMMAND" >> {seen}\n{WIRES}')
    again = """echo "$asked" | sed 's/.*"prevResult":\\({.*}\\)}$/\\1/'"""
    world.program("second", f'echo "second $CNI_COMMAND" >> {seen}\n{again}')
    a = await a_node(world, "a")
    await a.attach("left", world.pod("left"))
    await a.detach("left")

    assert seen.read_text().splitlines() == ["own ADD", "second ADD", "second DEL", "own DEL"]


async def test_another_namespace_by_the_same_path_is_not_named_to_a_plugin(scripted: Make) -> None:
    world = scripted()
    seen = world.programs / "seen"
    world.program("own", f'echo "$CNI_COMMAND <$CNI_NETNS>" >> {seen}\n{WIRES}')
    a, pod = await a_node(world, "a"), world.pod("left")
    await a.attach("left", pod)
    with fd_of(pod):  # its number is not given to the next one while it is open
        world.lose_pod(pod)
        assert world.pod("left") == pod
        await a.detach("left")

    assert seen.read_text().splitlines() == [f"ADD <{pod}>", "DEL <>"]


async def test_a_kubelet_that_ended_in_the_middle_of_add_begins_by_del(
    scripted: Make,
) -> None:
    world = scripted()
    began = world.programs / "began"
    os.mkfifo(began)
    world.program("own", f"[ $CNI_COMMAND = DEL ] || {{ echo > {began}; exec sleep 600; }}")
    a, pod = await a_node(world, "a"), world.pod("left")
    adding = asyncio.create_task(a.attach("left", pod))
    async with asyncio.timeout(60):
        await asyncio.to_thread(began.read_text)
    adding.cancel()
    await asyncio.wait([adding])

    world.program("own", WIRES)
    again = await a_node(world, "a")
    await again.attach("left", pod)
    assert world.calls("own") == ["ADD", "DEL", "ADD"]


async def test_a_pod_that_cannot_be_detached_is_told_and_tried_again(scripted: Make) -> None:
    world = scripted()
    world.program("own", WIRES)
    a = await a_node(world, "a")
    await a.attach("left", world.pod("left"))
    world.program("own", """echo '{"code": 7, "msg": "busy"}'; exit 1""")
    with pytest.raises(NetworkTrouble, match="CNI plugin own: DEL: busy"):
        await a.detach("left")
    assert "left" in await a.attached()

    world.program("own", "true")
    await a.detach("left")
    assert await a.attached() == {}


async def test_an_address_that_another_pod_has_is_refused(scripted: Make) -> None:
    world = scripted()
    world.program("own", WIRES)
    a = await a_node(world, "a")
    await a.attach("left", world.pod("left"))

    said = await refusal(a, "right", world.pod("right"))
    assert "10.244.1.77, which the pod left has" in said


async def test_a_plugin_that_gives_another_address_than_was_asked_for_is_refused(
    scripted: Make,
) -> None:
    world = scripted({"type": "own", "subnet": "usePodCidr"})
    world.program("own", WIRES)
    a = await a_node(world, "a")

    said = await refusal(a, "left", world.pod("left"))
    assert "gave 10.244.1.77, and 10.244.1.2 was asked for" in said


async def test_a_missing_program_is_named_with_the_folders(scripted: Make) -> None:
    world = scripted({"type": "no-such"})
    a = await a_node(world, "a")
    said = await refusal(a, "left", world.pod("left"))
    assert said.startswith("CNI plugin no-such: ADD: is not in ")
    assert str(world.programs) in said


async def test_a_plugin_is_told_the_pod_and_what_it_declares(scripted: Make) -> None:
    able: Sequence[str] = ("bandwidth", "portMappings")
    world = scripted({"type": "own", "capabilities": dict.fromkeys(able, True)}, {"type": "second"})
    world.program("own", f'echo "args $CNI_ARGS $CNI_IFNAME" >> {world.programs}/seen\n{WIRES}')
    world.program(
        "second",
        '[ $CNI_COMMAND = ADD ] && printf %s "$asked" | sed \'s/.*"prevResult":\\({.*}\\)}$/\\1/\'',
    )
    a = await a_node(world, "a")
    port = PortWish("192.0.2.1", 8088, "udp", 53)
    await a.attach("u1", world.pod("left"), PodWishes("shop", "web", "c9", (port,), 1_000_000))

    seen = (world.programs / "seen").read_text()
    assert "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web" in seen
    assert "K8S_POD_INFRA_CONTAINER_ID=c9;K8S_POD_UID=u1 eth0" in seen
    (asked,) = world.asked("own", "ADD")
    assert asked["runtimeConfig"] == {
        "bandwidth": {"ingressRate": 1_000_000, "ingressBurst": 2**31 - 1},
        "portMappings": [
            {"hostPort": 8088, "containerPort": 53, "protocol": "udp", "hostIP": "192.0.2.1"}
        ],
    }
    (then,) = world.asked("second", "ADD")
    assert "runtimeConfig" not in then
    assert then["prevResult"]["ips"] == [{"address": "10.244.1.77/32"}]  # type: ignore[index]


async def test_gc_is_offered_what_pods_there_are_where_the_specification_has_it(
    scripted: Make,
) -> None:
    world = scripted()
    world.version = "1.1.0"
    world.program("own", WIRES)
    a = await a_node(world, "a")
    await a.attach("left", world.pod("left"))
    await a_node(world, "a")

    first, second = (one["cni.dev/valid-attachments"] for one in world.asked("own", "GC"))
    assert first == []
    assert second == [{"containerID": "left", "ifname": "eth0"}]


async def test_gc_is_told_of_what_a_pod_has_more_in_the_network_itself(scripted: Make) -> None:
    world = scripted()
    world.version = "1.1.0"
    more = """[ "$CNI_IFNAME" = eth0 ] || { echo '{"cniVersion": "1.0.0"}'; exit 0; }"""
    world.program("own", more + WIRES)
    world.offer("a", "pods", OWN)
    world.offer("a", "others", OWN)
    world.open("a", pods=["*"], others=["*"])
    a = await a_node(world, "a")
    two = (NetworkWish("pods", "net1"), NetworkWish("others", "net2"))
    await a.attach("left", world.pod("left"), PodWishes(networks=two))
    await a_node(world, "a")

    *_, last = (one["cni.dev/valid-attachments"] for one in world.asked("own", "GC"))
    assert last == [
        {"containerID": "left", "ifname": "eth0"},
        {"containerID": "left", "ifname": "net1"},
    ]


async def test_a_configuration_that_gives_its_own_addresses_needs_no_peers(scripted: Make) -> None:
    world = scripted()
    world.program("own", WIRES)
    a, _ = await two_nodes(world)
    assert await a.reserve("left") is None
    await a.attach("left", world.pod("left"))

    assert "cube-vxlan" not in world.shows("a", "-br", "link")
    assert await a.attached() == {"left": IPv4Address("10.244.1.77")}
    assert NODES["a"] not in (await a.attached()).values()


async def test_a_node_follows_its_address_where_the_plugins_carry(scripted: Make) -> None:
    world = scripted()
    world.within = IPv4Network("192.0.2.0/24")
    world.program("own", WIRES)
    a, _ = await two_nodes(world)
    world.does(world.node("a"), "ip addr del 192.0.2.1/24 dev eth0")
    assert "no device has this node's address 192.0.2.1" in (await a.mend())[0].why
    world.does(world.node("a"), "ip addr add 192.0.2.50/24 dev eth0")

    assert list(await a.mend()) == []
    assert a.moved_to == IPv4Address("192.0.2.50")
