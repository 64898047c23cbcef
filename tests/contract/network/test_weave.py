"""What differs where a Weave router carries: its bridge is its own, and it can be away or wrong."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from kubelet.network.driver import NetworkTrouble
from kubelet.network.overlay import host_end
from tests.contract.network.test_mending import Scene, a_scene
from tests.contract.network.test_network import a_node, everything, two_nodes
from tests.contract.network.weave_worlds import WeaveWorld
from tests.contract.network.worlds import NODES, RANGES, peer, reason_to_skip

pytestmark = pytest.mark.root


@pytest.fixture
def weave(tmp_path: Path) -> Iterator[WeaveWorld]:
    if reason := reason_to_skip():
        pytest.skip(f"no network namespaces: {reason}")
    made = WeaveWorld(tmp_path)
    try:
        yield made
    finally:
        made.remove()


async def test_reset_takes_ours_off_the_bridge_and_leaves_the_bridge(weave: WeaveWorld) -> None:
    weave.shows("a", "addr", "add", "10.32.0.1/12", "dev", "weave")
    before = everything(weave, "a")
    a, _ = await two_nodes(weave)
    await a.attach("left", weave.pod("left"))
    assert everything(weave, "a") != before

    await a.reset()
    assert everything(weave, "a") == before
    assert weave.shows("a", "neigh", "show", "dev", "weave", "nud", "permanent") == ""


DAMAGES: dict[str, Sequence[str]] = {
    "all our routes flushed": ("ip route flush proto 203",),
    "the way to a peer's bridge led astray": (
        "ip neigh replace 10.244.2.0 dev weave lladdr 02:00:00:00:00:01 nud permanent",
    ),
    "neighbours flushed": ("ip neigh flush dev weave nud permanent",),
    "forwarding of the bridge switched off": ("sysctl -qw net.ipv4.conf.weave.forwarding=0",),
    "the wire removed": (f"ip link del {host_end('left')}",),
}


@pytest.mark.parametrize("what", DAMAGES)
async def test_damage_is_mended_and_told(weave: WeaveWorld, what: str) -> None:
    scene = await a_scene(weave)
    for command in DAMAGES[what]:
        weave.does(weave.node("a"), command)

    damages = await scene.a.mend()
    assert damages
    assert [one for one in damages if one.why] == []
    assert weave.reaches(scene.left, scene.there)
    assert list(await scene.a.mend()) == []


async def test_a_router_that_began_again_is_told_its_peers(weave: WeaveWorld) -> None:
    scene = await a_scene(weave)
    weave.stop_router("a")
    assert "the Weave router does not answer" in await why(scene)

    weave.start_router("a")
    assert "the addresses that the Weave router connects to" in [
        one.what for one in await scene.a.mend()
    ]
    assert list(await scene.a.mend()) == []
    assert weave.reaches(scene.left, scene.there)


async def why(scene: Scene) -> str:
    return "; ".join(one.why for one in await scene.a.mend() if not one.pod_uid)


async def test_a_bridge_that_is_gone_or_anothers_is_trouble_that_says_so(weave: WeaveWorld) -> None:
    scene = await a_scene(weave)
    weave.does(weave.node("a"), "ip link set weave address 02:00:00:00:00:09")
    assert "is of another Weave router: its name is 02:00:00:00:00:09" in await why(scene)

    weave.does(weave.node("a"), "ip link del weave")
    assert "the Weave router has made no bridge weave yet" in await why(scene)
    with pytest.raises(NetworkTrouble, match="has made no bridge"):
        await weave.driver("a").prepare(RANGES["a"])


async def test_a_node_without_a_router_is_not_prepared(weave: WeaveWorld) -> None:
    weave.stop_router("a")
    with pytest.raises(NetworkTrouble, match="the Weave router does not answer"):
        await weave.driver("a").prepare(RANGES["a"])


async def test_what_the_router_says_of_a_lost_peer_is_told(weave: WeaveWorld) -> None:
    scene = await a_scene(weave)
    assert await scene.a.told_of(peer("b")) == ""

    weave.stop_router("b")
    weave.start_router("b", password="another password")
    weave.wait(
        "a knows of the password",
        lambda: "decrypt" in (weave.router_says("a", "/status/connections") or ""),
    )
    assert await scene.a.told_of(peer("b")) == "Weave: failed Unable to decrypt TCP msg"


async def test_the_router_connects_to_exactly_the_peers_that_are_named(weave: WeaveWorld) -> None:
    a = await a_node(weave, "a")
    await a.reconcile_peers([peer("b")])
    assert weave.router_says("a", "/status/targets") == f"{NODES['b']}\n"
    await a.reconcile_peers([])
    assert weave.router_says("a", "/status/targets") == ""
