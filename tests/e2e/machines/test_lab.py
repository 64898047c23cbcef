"""The lab keeps its word: machines boot, talk, break as told, and leave nothing behind."""

import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from cubernetes.host.clock import SystemClock
from cubernetes.host.command import CommandFailed, SystemCommands
from lab.host import engine
from lab.host.node import HOUSE, NodeTrouble
from lab.lab import Lab
from lab.state import Power, life_of
from lab.topology import BadTopology
from lab.wait import until
from tests.e2e.conftest import lab_name

pytestmark = [pytest.mark.lab, pytest.mark.root]

BUSYBOX = "cubernetes/busybox:1"
DEADLINE_S = 60.0
ADDRESS = "192.168.1.2"
BOOT = """\
#!/bin/sh
docker version > /dev/null || exit 9
echo up
[ -e /run/once ] || { touch /run/once; exit 1; }
"""


@pytest.fixture(scope="module")
def own_lab(boot_lab: Callable[[str, int], AbstractContextManager[Lab]]) -> Iterator[Lab]:
    """A lab that these tests may break: the tests of the product share another."""
    with boot_lab("own", 3) as booted:
        yield booted


@pytest.fixture
async def spare(own_lab: Lab) -> AsyncIterator[Lab]:
    """The module's lab, whole again after each test."""
    yield own_lab
    await own_lab.heal()
    for node in own_lab.nodes:
        if node.power() is Power.FROZEN:
            await own_lab.power(node.name, "thaw")
        await own_lab.power(node.name, "on")


async def pings(lab: Lab, source: str, target: str) -> bool:
    """Tell whether one of two pings is answered."""
    address = lab.node(target).address
    argv = ["busybox", "ping", "-c", "2", "-i", "0.2", "-W", "1", address]
    return (await lab.node(source).run(argv, check=False)).code == 0


async def test_a_machine_has_no_cable_before_its_address_and_its_way_out() -> None:
    """Without a local table, the kernel lets a socket be bound to any address."""
    asked = f"python -c 'from lab.host.init import has_cable; print(has_cable(\"{ADDRESS}\"))'"
    lines = (
        "link add eth0 type veth peer name eth1",
        "link set eth0 up",
        f"address add {ADDRESS}/24 dev eth0",
        "route add default via 192.168.1.1",
    )
    script = [asked, *(line for one in lines for line in (f"ip {one}", asked))]
    argv = ["unshare", "--net", "sh", "-ec", "\n".join(script).replace("python", sys.executable)]
    said = await SystemCommands().run(argv)
    assert said.stdout.decode().split() == ["False", "False", "False", "False", "True"]


async def test_docker_runs_our_images_in_every_node(spare: Lab) -> None:
    for node in spare.nodes:
        argv = ["docker", "run", "--rm", "--network", "none", BUSYBOX, "echo", node.name]
        assert (await node.run(argv)).stdout.split() == [node.name]


async def test_every_node_reaches_every_other_and_the_machine(spare: Lab) -> None:
    for source in spare.nodes:
        for target in spare.nodes:
            assert await pings(spare, source.name, target.name)
        gateway = str(spare.site.topology.gateway)
        await source.run(["busybox", "ping", "-c", "1", gateway])


async def test_a_node_sees_the_house_and_its_python_but_nothing_else_of_the_machine(
    spare: Lab, tmp_path: Path
) -> None:
    node = spare.node("n2")
    python = f"{HOUSE}/.venv/bin/python"

    said = await node.run([python, "-c", "import aiohttp, os; print(os.getpid() > 1)"])
    written = await node.run(["touch", f"{HOUSE}/written"], check=False)
    listed = await node.run(["ls", "-A", str(Path.home())])

    assert said.stdout == "True\n"
    assert "Read-only" in written.stderr
    assert not (node.root / str(tmp_path).lstrip("/")).exists()
    assert set(listed.stdout.split()) <= {".pyenv", ".cache", ".local", HOUSE.name}


async def test_input_output_and_exit_code_pass_through(spare: Lab) -> None:
    script = "cat; echo trouble >&2; exit 7"

    ended = await spare.node("n1").run(["sh", "-c", script], check=False, stdin="words")

    assert (ended.code, ended.stdout, ended.stderr) == (7, "words", "trouble\n")
    with pytest.raises(CommandFailed, match="ended with 7: trouble"):
        await spare.node("n1").run(["sh", "-c", script])


async def test_a_daemon_outlives_the_command_that_started_it(spare: Lab) -> None:
    node = spare.node("n1")
    script = "setsid sleep 300 </dev/null >/dev/null 2>&1 & echo $!"

    pid = int((await node.run(["sh", "-c", script])).stdout)

    status = (node.root / f"proc/{pid}/status").read_text()
    assert re.search(r"^PPid:\t1$", status, re.MULTILINE)
    await node.run(["kill", str(pid)])
    await until(
        lambda: not (node.root / f"proc/{pid}").exists(),
        SystemClock(),
        DEADLINE_S,
        lambda: "PID 1 did not bury the daemon",
    )


async def test_what_runs_in_a_node_is_counted_to_the_node(spare: Lab) -> None:
    node = spare.node("n2")

    groups = (await node.run(["cat", "/proc/self/cgroup"])).stdout.splitlines()

    assert {line.rsplit(":", 1)[1] for line in groups} <= {"/", "/init"}
    mine = node.group.members()
    assert node.pid in mine
    assert len(mine) >= 3


async def test_a_cut_is_between_two_and_mends(spare: Lab) -> None:
    await spare.cut("n1", "n2")

    assert not await pings(spare, "n1", "n2")
    assert await pings(spare, "n1", "n3")

    await spare.heal()
    assert await pings(spare, "n1", "n2")


async def test_a_cut_one_way_lets_the_other_way_pass(spare: Lab) -> None:
    here, there = spare.node("n1"), spare.node("n2")
    assert await pings(spare, "n1", "n2")
    await spare.cut("n2", "n1", one_way=True)

    # No answer comes back, yet what n1 sends does arrive: n2 counts it.
    before = await packets_received(spare, "n2")
    assert not await pings(spare, "n1", "n2")
    assert await packets_received(spare, "n2") > before
    assert here.address != there.address


async def packets_received(lab: Lab, name: str) -> int:
    argv = ["cat", "/sys/class/net/eth0/statistics/rx_packets"]
    return int((await lab.node(name).run(argv)).stdout)


async def test_an_isolated_node_sees_its_carrier_and_an_unplugged_one_does_not(spare: Lab) -> None:
    carrier = ["cat", "/sys/class/net/eth0/carrier"]
    node = spare.node("n3")

    await spare.isolate("n3")
    assert not await pings(spare, "n1", "n3")
    assert (await node.run(carrier)).stdout == "1\n"

    await spare.heal()
    await spare.unplug("n3")
    assert not await pings(spare, "n1", "n3")
    assert (await node.run(carrier)).stdout == "0\n"

    await spare.heal()
    assert await pings(spare, "n1", "n3")


async def test_some_loss_loses_some_and_total_loss_loses_all(spare: Lab) -> None:
    assert await pings(spare, "n1", "n2")
    await spare.loss("n2", 20)
    argv = ["busybox", "ping", "-q", "-i", "0.1", "-c", "30", "-W", "1", spare.node("n2").address]
    said = await spare.node("n1").run(argv, check=False)
    received = re.search(r"(\d+) packets received", said.stdout)

    # 64 of 100 pings come back: that none or all of 30 do happens once in 10**5 runs.
    assert received is not None
    assert 0 < int(received[1]) < 30

    await spare.loss("n2", 100)
    assert not await pings(spare, "n1", "n2")


async def test_a_power_cut_loses_what_was_not_synced_and_keeps_what_was(spare: Lab) -> None:
    node = spare.node("n2")
    script = "echo kept > /root/kept; sync /root/kept; sync /root; echo lost > /root/lost"
    await node.run(["sh", "-c", script])

    await spare.power("n2", "cut")
    assert node.power() is Power.OFF
    with pytest.raises(NodeTrouble, match="n2 is off"):
        await node.run(["true"])

    await spare.power("n2", "on")
    found = await node.run(["sh", "-c", "cat /root/kept; wc -c < /root/lost"], check=False)
    assert found.stdout.startswith("kept\n")
    assert found.stdout != "kept\n5\n"
    argv = ["docker", "run", "--rm", "--network", "none", BUSYBOX, "true"]
    await node.run(argv)


async def test_an_orderly_reboot_keeps_everything_but_the_memory(spare: Lab) -> None:
    node = spare.node("n3")
    await node.run(["sh", "-c", "echo disk > /root/file; echo memory > /run/file"])
    machine_id = (await node.run(["cat", "/etc/machine-id"])).stdout
    before = node.pid

    await spare.power("n3", "reboot")

    assert node.pid != before
    found = await node.run(["sh", "-c", "cat /root/file /run/file"], check=False)
    assert found.stdout == "disk\n"
    assert (await node.run(["cat", "/etc/machine-id"])).stdout == machine_id
    assert await pings(spare, "n1", "n3")


async def test_a_frozen_node_is_silent_but_not_dead(spare: Lab) -> None:
    node = spare.node("n2")
    await spare.power("n2", "freeze")

    assert node.power() is Power.FROZEN
    assert not await engine.is_ready(node.docker_socket)
    assert await pings(spare, "n1", "n2")

    await spare.power("n2", "thaw")
    assert await engine.is_ready(node.docker_socket)


async def test_a_frozen_node_can_be_cut(spare: Lab) -> None:
    await spare.power("n2", "freeze")
    await spare.power("n2", "cut")

    assert spare.node("n2").power() is Power.OFF


async def test_a_full_disk_refuses_and_recovers(spare: Lab) -> None:
    node = spare.node("n1")
    spare.fill_disk("n1")

    full = await node.run(["dd", "if=/dev/zero", "of=/root/big", "bs=1M", "count=1"], check=False)
    assert "No space left" in full.stderr

    spare.free_disk("n1")
    await node.run(["dd", "if=/dev/zero", "of=/root/big", "bs=1M", "count=1"])
    await node.run(["rm", "/root/big"])


async def test_a_killed_dockerd_returns_and_its_containers_never_noticed(spare: Lab) -> None:
    node = spare.node("n1")
    argv = ["docker", "run", "-d", "--name", "stays", "--network", "none", "cubernetes/pause:1"]
    await node.run(argv)
    pid_of = ["docker", "inspect", "-f", "{{.State.Pid}}", "stays"]
    before = (await node.run(pid_of)).stdout

    # `pidof` alone would also find the dockerd of nobody else: a node sees its own processes.
    await node.run(["sh", "-c", "kill -9 $(pidof dockerd)"])
    await until(
        lambda: engine.is_ready(node.docker_socket),
        SystemClock(),
        DEADLINE_S,
        lambda: "dockerd did not come back",
    )

    assert (await node.run(pid_of)).stdout == before
    await node.run(["docker", "rm", "-f", "stays"])


async def test_the_boot_program_runs_after_docker_and_again_when_it_fails(spare: Lab) -> None:
    node = spare.node("n3")
    install = "mkdir -p /etc/cubernetes; cat > /etc/cubernetes/boot; chmod +x /etc/cubernetes/boot"
    await node.run(["sh", "-c", install], stdin=BOOT)

    await spare.power("n3", "reboot")

    log = node.root / "var/log/cubernetes-boot.log"
    await until(
        lambda: log.exists() and log.read_text() == "up\nup\n",
        SystemClock(),
        DEADLINE_S,
        lambda: "the boot program did not run twice",
    )
    await node.run(["rm", "-r", "/etc/cubernetes"])


async def test_up_again_keeps_running_nodes_and_starts_the_others(
    spare: Lab, small_images: Path
) -> None:
    before = {node.name: node.pid for node in spare.nodes}
    await spare.power("n2", "cut")

    name = spare.state.name
    again = await Lab.up(name, node_count=3, images=small_images)

    after = {node.name: node.pid for node in again.nodes}
    assert {key: after[key] for key in ("n1", "n3")} == {key: before[key] for key in ("n1", "n3")}
    assert after["n2"] != before["n2"]
    with pytest.raises(BadTopology, match="is up with 3 nodes"):
        await Lab.up(name, node_count=2, images=small_images)


async def test_up_again_lays_a_cable_that_is_missing(spare: Lab, small_images: Path) -> None:
    await spare.switch.unplug("n2")
    assert not await pings(spare, "n1", "n2")

    await Lab.up(spare.state.name, node_count=3, images=small_images)

    assert await pings(spare, "n1", "n2")


async def test_down_leaves_nothing(small_images: Path) -> None:
    name = lab_name("end")
    before = await traces(name)

    lab = await Lab.up(name, node_count=1, images=small_images)
    await lab.node("n1").run(["docker", "run", "-d", "--network", "none", BUSYBOX, "sleep", "300"])
    members = lab.node("n1").group.members()
    assert await traces(name) != before
    await lab.down()

    assert await traces(name) == before
    assert [pid for pid in sorted(members) if life_of(pid) is not None] == []


async def traces(name: str) -> dict[str, list[str]]:
    """Return every place of the machine where a lab called name could leave something."""
    commands = SystemCommands()
    found = {}
    for argv in (["ip", "-o", "link"], ["ip", "netns"], ["losetup", "-a"], ["ip", "route"]):
        said = (await commands.run(argv)).stdout.decode()
        found[" ".join(argv)] = [line for line in said.splitlines() if name in line]
    return found | files_named(name)


def files_named(name: str) -> dict[str, list[str]]:
    """Return the mounts, control groups and files of a lab called name."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return {
        "mounts": [line for line in mounts if name in line],
        # A walk bears that groups of other labs go meanwhile.
        "groups": [path for path, _, _ in os.walk("/sys/fs/cgroup") if name in Path(path).name],
        "files": [str(path) for path in Path("/var/lib/cuberoot-lab").glob(name)],
    }
