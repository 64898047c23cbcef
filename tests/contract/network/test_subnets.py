"""Nodes of two subnets with a router between: pods of both reach each other, by every driver."""

import asyncio
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from cubernetes.host.env import Env
from kubelet.network.driver import Peer
from kubelet.reach.reach import Reach
from tests.contract.network.cni_worlds import BridgeWorld, reason_without_plugins
from tests.contract.network.test_reach import PORT, Overlay, as_a_process_of
from tests.contract.network.weave_worlds import WeaveWorld
from tests.contract.network.worlds import (
    CABLE_BYTES,
    NODES,
    RANGES,
    ROUTER,
    UDP_HEADERS_BYTES,
    RealWorld,
    reason_to_skip,
)

pytestmark = pytest.mark.root

NARROW_BYTES = 1400


class BehindRouter(RealWorld):
    """b is in a subnet of its own; `near` and `far` are the router's ends of the cables."""

    addresses = {"a": NODES["a"], "b": IPv4Address("198.51.100.2")}

    def _join(self, left: str, right: str) -> None:
        router = self._namespace(ROUTER)
        for node, end, name in ((left, "near", "a"), (right, "far", "b")):
            way = IPv4Network(f"{self.addresses[name]}/24", strict=False)[254]
            self.cable((node, "eth0", self.addresses[name]), (router, end, way))
            self.does(node, f"ip route add default via {way}")
        self.does(router, "sysctl -qw net.ipv4.ip_forward=1")

    def narrow(self) -> None:
        """Let less through the far cable than the near one."""
        for namespace, device in ((self.node(ROUTER), "far"), (self.node("b"), "eth0")):
            self.does(namespace, f"ip link set {device} mtu {NARROW_BYTES}")

    def peer(self, node: str, mtu_bytes: int = 0) -> Peer:
        return Peer(node, self.addresses[node], RANGES[node], mtu_bytes)


class WeaveBehindRouter(BehindRouter, WeaveWorld):
    """The stand-in's routers."""


class PluginsBehindRouter(BehindRouter, BridgeWorld):
    """Debian's plugins."""


WORLDS: dict[str, type[BehindRouter]] = {
    "vxlan": BehindRouter,
    "weave": WeaveBehindRouter,
    "cni": PluginsBehindRouter,
}


@pytest.fixture(params=list(WORLDS))
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BehindRouter]:
    if reason := reason_to_skip():
        pytest.skip(f"no network namespaces: {reason}")
    if request.param == "cni" and (reason := reason_without_plugins()):
        pytest.skip(f"no CNI plugins: {reason}")
    made = WORLDS[request.param](tmp_path)
    try:
        yield made
    finally:
        made.remove()


async def test_pods_of_two_subnets_reach_each_other_with_what_fits_on_the_way(
    world: BehindRouter,
) -> None:
    a, b = world.driver("a"), world.driver("b")
    for node, driver, other in (("a", a, "b"), ("b", b, "a")):
        await driver.prepare(RANGES[node])
        await driver.reconcile_peers([world.peer(other)])
    left, right = world.pod("left"), world.pod("right")
    here, there = await a.attach("left", left), await b.attach("right", right)
    most = CABLE_BYTES - world.overhead_bytes - UDP_HEADERS_BYTES
    assert world.reaches(left, there, most)
    assert world.reaches(right, here, most)

    world.narrow()

    async def fitting() -> int:
        return await Reach(Env(), list, PORT, Overlay()).node_mtu(world.peer("b"))

    found = await asyncio.to_thread(as_a_process_of, world, "a", fitting)
    assert found == NARROW_BYTES
    await a.reconcile_peers([world.peer("b", found)])
    most = NARROW_BYTES - world.overhead_bytes - UDP_HEADERS_BYTES
    assert world.reaches(left, there, most)
    assert not world.reaches(left, there, most + 1)
