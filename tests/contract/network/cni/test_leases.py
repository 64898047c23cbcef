"""What is left of addresses after a power cut, where further networks have a part in it."""

import fcntl
import os
from pathlib import Path

import pytest

from kubelet.network.cni.records import More, Record, Records
from kubelet.network.driver import NetworkWish, PodWishes
from tests.contract.network.cni_worlds import BridgeWorld
from tests.contract.network.test_cni import bridge
from tests.contract.network.test_more_networks import storage
from tests.contract.network.test_network import a_node

__all__ = ["bridge"]

MORE = More(device="net1", config={"name": "storage", "plugins": []})


@pytest.mark.root
async def test_a_further_network_that_is_wedged_keeps_no_node_from_its_own(
    bridge: BridgeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    bridge.offer("a", "storage", storage(bridge, "a"))
    bridge.open("a", storage=["shop"])
    a = await a_node(bridge, "a")
    wishes = PodWishes(namespace="shop", networks=(NetworkWish("storage", "net1"),))
    await a.attach("left", bridge.pod("left"), wishes)
    (lease,) = (bridge.data("a") / "storage").glob("172.20.*")
    lease.write_bytes(b"")

    with (lease.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        again = await a_node(bridge, "a")
    assert "empty leases stay" in caplog.text
    assert await again.attach("right", bridge.pod("right"))
    assert lease.exists()


@pytest.mark.parametrize(("more", "is_synced"), [((MORE,), True), ((), False)])
def test_an_answer_is_on_the_disk_where_nothing_else_tells_of_its_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[More, ...], is_synced: bool
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    answered = Record(uid="left", netns="", place=(1, 2), config={}, address="10.0.0.2", more=more)
    Records(tmp_path / "records").save_record(answered)
    assert bool(synced) == is_synced
