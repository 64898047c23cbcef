"""Further interfaces of a pod, and its rates, by Debian's CNI plugins."""

import subprocess
from pathlib import Path

import pytest

from cubernetes.host.cni.conflist import conflist_of
from kubelet.network.driver import NetworkTrouble, NetworkWish, PodWishes
from tests.contract.network.cni_worlds import BridgeWorld
from tests.contract.network.test_cni import bridge
from tests.contract.network.test_network import a_node

__all__ = ["bridge"]

pytestmark = pytest.mark.root

EXAMPLE = Path(__file__).resolve().parents[3] / "examples/networks/storage.conflist"


def test_the_example_is_a_network_that_pods_may_ask_for() -> None:
    assert conflist_of(EXAMPLE.read_text(), is_shared=False).name == "storage"


def storage(world: BridgeWorld, node: str) -> dict[str, object]:
    """Return a plugin of a network of its own: a bridge, and addresses from a range of it."""
    ranges = [[{"subnet": "172.20.0.0/24"}]]
    ipam = {"type": "host-local", "ranges": ranges, "dataDir": str(world.data(node))}
    return {"type": "bridge", "bridge": "more0", "ipam": ipam, "capabilities": {"ips": True}}


async def test_a_pod_has_the_further_interfaces_that_it_asks_for_and_they_are_mended(
    bridge: BridgeWorld,
) -> None:
    bridge.offer("a", "storage", storage(bridge, "a"))
    bridge.open("a", storage=["shop"])
    a, pod = await a_node(bridge, "a"), bridge.pod("left")
    both = (NetworkWish("storage", "net1"), NetworkWish("storage", "data"))
    wishes = PodWishes(namespace="shop", networks=both)
    here = await a.attach("left", pod, wishes)

    first, *more = a.interfaces("left")
    assert (first.network, first.device, first.addresses) == ("pods", "eth0", (str(here),))
    assert first.is_default
    assert [(one.network, one.device, one.is_default) for one in more] == [
        ("storage", "net1", False),
        ("storage", "data", False),
    ]
    shown = _ip_in(pod, "-br", "-4", "addr")
    for one in more:
        assert f"{one.addresses[0]}/24" in shown
        assert one.mac in _ip_in(pod, "link", "show", one.device)
    assert list(await a.mend()) == []

    _ip_in(pod, "link", "del", "net1")
    (damage,) = await a.mend()
    assert "net1 of the pod" in damage.what
    assert damage.why == ""
    assert "net1" in _ip_in(pod, "-br", "link")
    assert a.interfaces("left")[0].addresses == (str(here),)
    assert list(await a.mend()) == []

    again = await a_node(bridge, "a")
    assert again.interfaces("left")[1].device == "net1"
    await again.detach("left")
    assert _ip_in(pod, "-br", "link").split()[0] == "lo"
    assert len(_ip_in(pod, "-br", "link").splitlines()) == 1
    assert not list((bridge.data("a") / "storage").glob("172.20.*"))
    await again.reset()
    assert "more0" not in bridge.shows("a", "-br", "link")


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (
            NetworkWish("nowhere", "net1"),
            r"nowhere: is of no \*.conflist in .*\(there: .*storage\)",
        ),
        (NetworkWish("spoilt", "net1"), "spoilt: .*spoilt.conflist: is no JSON object"),
        (NetworkWish("storage", "net1", mac="02:00:00:00:00:01"), "has the capability mac"),
        (NetworkWish("ranged", "net1"), "usePodCidr is for the cluster's own network"),
        (NetworkWish("broken", "net1"), "broken: the plugin absent is not on this node"),
    ],
)
async def test_a_further_interface_that_cannot_be_had_is_told_and_leaves_nothing(
    bridge: BridgeWorld, wish: NetworkWish, words: str
) -> None:
    bridge.offer("a", "storage", storage(bridge, "a"))
    bridge.offer("a", "broken", {"type": "absent"})
    bridge.offer("a", "ranged", {**storage(bridge, "a"), "subnet": "usePodCidr"})
    (bridge.networks("a") / "spoilt.conflist").write_text("{")
    bridge.open("a", **{one: ["*"] for one in ("nowhere", "spoilt", "storage", "ranged", "broken")})
    a, pod = await a_node(bridge, "a"), bridge.pod("left")

    with pytest.raises(NetworkTrouble, match=words):
        await a.attach("left", pod, PodWishes(networks=(wish,)))

    assert a.interfaces("left") == ()
    assert len(_ip_in(pod, "-br", "link").splitlines()) == 1
    await a.attach("left", pod)


async def test_a_network_of_the_node_is_closed_until_an_administrator_has_opened_it(
    bridge: BridgeWorld,
) -> None:
    bridge.offer("a", "storage", storage(bridge, "a"))
    a, pod = await a_node(bridge, "a"), bridge.pod("left")
    wishes = PodWishes(namespace="shop", networks=(NetworkWish("storage", "net1"),))

    async def refused(words: str) -> None:
        with pytest.raises(NetworkTrouble, match=words):
            await a.attach("left", pod, wishes)
        assert len(_ip_in(pod, "-br", "link").splitlines()) == 1

    closed = r"CNI network storage: is not open to namespace shop \(open to it: none\)"
    await refused(closed)
    bridge.open("a", storage=["bank"])
    await refused(closed)
    bridge.opened("a").write_text('{"opened": {}}')
    await refused("no further network is open: .*opened")
    bridge.open("a", storage=["bank", "shop"])
    await a.attach("left", pod, wishes)

    assert a.interfaces("left")[1].network == "storage"


async def test_a_rate_to_a_pod_is_kept_by_the_kernel(bridge: BridgeWorld) -> None:
    bridge.more = {"type": "bandwidth", "capabilities": {"bandwidth": True}}
    a = await a_node(bridge, "a")
    await a.attach("left", bridge.pod("left"), PodWishes(ingress_bits_s=8_000_000))

    device = bridge.host_end("a", "left")
    assert "tbf" in bridge.stdout("a", f"tc qdisc show dev {device}")
    assert "rate 8Mbit" in bridge.stdout("a", f"tc qdisc show dev {device}")


def _ip_in(pod: str, *words: str) -> str:
    argv = ["ip", "-n", Path(pod).name, *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout
