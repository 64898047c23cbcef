"""What CHECK of CNI plugins says of a pod is damage, unless it said so right after ADD."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from kubelet.network.driver import NO_WISHES, Damage, NetworkDriver, PodWishes, PortWish
from tests.contract.network.cni_worlds import ScriptedWorld
from tests.contract.network.test_cni import Make, scripted
from tests.contract.network.test_network import a_node

__all__ = ["scripted"]

pytestmark = pytest.mark.root

OWN: Mapping[str, object] = {"type": "own", "capabilities": {"portMappings": True}}
WITH_PORT = PodWishes("default", "web", "c1", (PortWish("", 8088, "tcp", 80),))
# It wires pods of the names pod-1 to pod-9. CHECK runs the file of the pod's name where there is
# one; DEL removes that file as a rewired pod is whole, unless there is the file "always".
BODY = """
cd {folder}
case $CNI_COMMAND in
CHECK) [ ! -e "$CNI_CONTAINERID" ] || . "./$CNI_CONTAINERID"; exit 0;;
DEL) [ -e always ] || rm -f "$CNI_CONTAINERID"; exit 0;;
esac
here="10.244.1.${{CNI_CONTAINERID#pod-}}/32"
nsenter --net="$CNI_NETNS" ip link set lo name eth0
nsenter --net="$CNI_NETNS" ip addr flush dev eth0
nsenter --net="$CNI_NETNS" ip addr add "$here" dev eth0
nsenter --net="$CNI_NETNS" ip link set eth0 up
echo "{{\\"cniVersion\\": \\"1.0.0\\", \\"ips\\": [{{\\"address\\": \\"$here\\"}}]}}"
"""
REFUSES = """echo '{"code": 7, "msg": "no rule"}'; exit 1"""
TOLD = "CNI plugin own: CHECK: no rule (code 7)"
CANNOT_TELL = {
    "it ends by itself": "exit 3",
    "it hangs": "exec sleep 600",
}


def a_world(scripted: Make) -> ScriptedWorld:
    world = scripted(OWN)
    world.program("own", BODY.format(folder=world.programs))
    return world


def says(world: ScriptedWorld, uid: str, body: str = REFUSES) -> None:
    (world.programs / uid).write_text(body)


async def looked(driver: NetworkDriver, times: int = 3) -> Sequence[Damage]:
    return [one for _ in range(times) for one in await driver.mend()]


def as_an_older_kubelet_wrote_it(path: Path) -> None:
    record = json.loads(path.read_bytes())
    del record["refused"]
    path.write_text(json.dumps({**record, "said": TOLD}))


@pytest.mark.parametrize("is_older", [False, True])
async def test_damage_before_the_first_look_is_mended_also_where_an_older_kubelet_wired(
    scripted: Make, is_older: bool
) -> None:
    world = a_world(scripted)
    a, pod = await a_node(world, "a"), world.pod("pod-1")
    await a.attach("pod-1", pod)
    says(world, "pod-1")
    if is_older:
        as_an_older_kubelet_wrote_it(world.records("a") / "pod-1.json")
        a = await a_node(world, "a")
        await a.attach("pod-1", pod)

    assert await looked(a) == [Damage(TOLD, "pod-1")]
    assert world.calls("own")[:5] == ["ADD", "CHECK", "DEL", "ADD", "CHECK"]


async def test_what_is_refused_again_right_after_it_was_rewired_is_rewired_once(
    scripted: Make,
) -> None:
    world = a_world(scripted)
    (world.programs / "always").touch()
    a, pod = await a_node(world, "a"), world.pod("pod-1")
    await a.attach("pod-1", pod)
    says(world, "pod-1")

    assert await looked(a, 5) == [Damage(TOLD, "pod-1")]
    again = await a_node(world, "a")
    await again.attach("pod-1", pod)
    assert await looked(again) == []
    assert world.calls("own").count("ADD") == 2
    says(world, "pod-1", REFUSES.replace("rule", "cable"))
    (damage, *_) = await looked(again)
    assert damage.what == TOLD.replace("rule", "cable")


async def test_a_pod_with_a_port_that_is_refused_right_after_add_is_never_rewired(
    scripted: Make,
) -> None:
    world = a_world(scripted)
    says(world, "pod-1")
    a = await a_node(world, "a")
    await a.attach("pod-1", world.pod("pod-1"), WITH_PORT)

    assert await looked(a) == []
    assert world.calls("own") == ["ADD", "CHECK", *["CHECK"] * 3]
    # That pods with ports are refused is no reason to check others at once.
    await a.attach("pod-2", world.pod("pod-2"), NO_WISHES)
    assert world.calls("own")[5:] == ["ADD"]


async def test_a_plugin_that_refuses_every_pod_has_only_the_first_one_rewired(
    scripted: Make,
) -> None:
    world = a_world(scripted)
    (world.programs / "always").touch()
    a = await a_node(world, "a")
    for uid in ("pod-1", "pod-2"):
        says(world, uid)
        await a.attach(uid, world.pod(uid))
        found = await looked(a)
        assert found == ([Damage(TOLD, uid)] if uid == "pod-1" else [])


async def test_what_was_refused_at_first_is_damage_once_it_was_found_whole(
    scripted: Make,
) -> None:
    world = a_world(scripted)
    says(world, "pod-1")
    a = await a_node(world, "a")
    await a.attach("pod-1", world.pod("pod-1"), WITH_PORT)
    assert await looked(a, 1) == []
    says(world, "pod-1", "exit 0")
    assert await looked(a, 1) == []
    says(world, "pod-1")

    assert await looked(a, 1) == [Damage(TOLD, "pod-1")]


@pytest.mark.parametrize("what", CANNOT_TELL)
async def test_a_pod_that_cannot_be_checked_takes_no_turn_from_others(
    scripted: Make, what: str
) -> None:
    world = a_world(scripted)
    world.deadline_s = 3.0
    a = await a_node(world, "a")
    for uid in ("pod-1", "pod-2"):
        await a.attach(uid, world.pod(uid))
    says(world, "pod-1", CANNOT_TELL[what])
    assert await looked(a, 2) == []
    says(world, "pod-2")

    assert await looked(a, 2) == [Damage(TOLD, "pod-2")]
