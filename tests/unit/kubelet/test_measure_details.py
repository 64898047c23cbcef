"""Network, block I/O, parts of memory and pressure: read from trees that tests write, and told."""

import json
from pathlib import Path

import pytest

from kubelet.measure.cadvisor import FAMILIES, cadvisor_text
from kubelet.measure.details import (
    Details,
    Interface,
    Pressure,
    Traffic,
    details_of,
    first_pid,
    interfaces_of,
    pressures_of,
)
from kubelet.measure.exposition import resource_text, summary_json
from kubelet.measure.measuring import Measuring
from kubelet.measure.snapshot import Snapshot, rates_of, snapshot_of
from kubelet.measure.tree import GroupReader
from kubelet.measure.usage import PodGroup, Tree, Usage
from tests.simulation.clock import sim_env
from tests.simulation.loop import run_simulated
from tests.unit.kubelet.test_measure import (
    CGROUPFS,
    ID,
    PAUSE,
    T0,
    UID,
    V1_ROWS,
    a_proc,
    a_source,
    a_tree,
    the_pod,
    v1_group,
    v2_group,
    write,
)
from tsdb.steps import finished
from tsdb.wire.exposition import parse_exposition

NET_DEV = """Inter-|   Receive      |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes packets errs drop
    lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0
  eth0: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0
"""
PSI = (
    "some avg10=1.50 avg60=0.50 avg300=0.10 total=4000\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=9\n"
)
ETH0 = Interface("eth0", Traffic(1000, 10, 1, 2), Traffic(2000, 20, 3, 4))
SOME = Pressure(4_000_000, 1.5, 0.5, 0.1)


def with_details(root: Path, group: str, version: int) -> None:
    """Add the files of the details to a group of a container."""
    folder = root / group
    if version == 2:
        more = {"io.stat": "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0\n8:16 rbytes=10 wios=1\n"}
        more |= {f"{one}.pressure": PSI for one in ("cpu", "memory", "io")}
        write(folder, more | {"cgroup.procs": "77\n", "cpu.stat": "user_usec 5\nsystem_usec 6\n"})
        return
    times = {"cpuacct.usage_user": "5000\n", "cpuacct.usage_sys": "6000\n"}
    write(root / "cpu,cpuacct" / group, times)
    write(root / "memory" / group, {"cgroup.procs": "77\n"})
    io = "8:0 Read 1\n8:0 Write 2\n8:0 Total 3\n8:16 Read 10\nTotal 13\n"
    count = "8:0 Read 3\n8:0 Write 4\n8:16 Write 1\n"
    files = {"blkio.throttle.io_service_bytes": io, "blkio.throttle.io_serviced": count}
    write(root / "blkio" / group, files)


def a_machine(tmp_path: Path, version: int) -> tuple[Path, Path]:
    root = tmp_path / "cgroup"
    proc = a_proc(tmp_path, root, version)
    if version == 1:
        with (proc / "mounts").open("a") as mounts:
            mounts.write(f"cgroup {root}/blkio cgroup rw,relatime,blkio 0 0\n")
    write(proc / "77" / "net", {"dev": NET_DEV})
    write(proc / "net", {"dev": NET_DEV.replace("1000", "5000")})
    write(proc / "pressure", dict.fromkeys(("cpu", "memory", "io"), PSI))
    return proc, root


@pytest.mark.parametrize("version", [1, 2])
def test_both_versions_tell_the_same_details(tmp_path: Path, version: int) -> None:
    proc, root = a_machine(tmp_path, version)
    pod, child = CGROUPFS
    group = {1: v1_group, 2: v2_group}[version]
    group(root, pod, 9_000_000, 4000)
    group(root, f"{pod}/{child.format(ID)}", 7_000_000, 3200)
    with_details(root, f"{pod}/{child.format(ID)}", version)

    found = GroupReader(proc, "cubernetes").read_details({UID: [ID]})

    assert found.pods[UID].network == [ETH0]
    assert found.network[0].received.bytes == 5000
    details = found.pods[UID].containers[ID].details
    assert details is not None
    assert (details.user_ns, details.system_ns) == (5000, 6000)
    assert (details.read_bytes, details.written_bytes) == (11, 2)
    assert (details.read_count, details.write_count) == (3, 5)
    # Of groups, version 1 knows no pressure; of the machine, /proc does.
    assert details.pressure.get(("io", "some")) == {1: None, 2: SOME}[version]
    assert found.node.details is not None
    assert found.node.details.pressure["cpu", "some"] == SOME


@pytest.mark.parametrize("version", [1, 2])
def test_a_pass_for_autoscalers_reads_no_details(tmp_path: Path, version: int) -> None:
    proc, root = a_machine(tmp_path, version)
    {1: v1_group, 2: v2_group}[version](root, CGROUPFS[0], 9, 9)
    found = GroupReader(proc, "cubernetes").read({UID: []})
    assert found.pods[UID].usage.details is None
    assert found.node.details is None
    assert (found.pods[UID].network, found.network) == ((), ())
    assert found.file_count == {1: 6 + len(V1_ROWS) - 3, 2: 5}[version] + 3 + 2


@pytest.mark.parametrize("text", ["", "some", "some avg10=x avg60=1 avg300=1 total=1", "\n\n= ="])
def test_pressure_of_no_known_form_is_not_known(text: str) -> None:
    assert pressures_of({"cpu": text}) == {}


def test_what_is_no_interface_is_left_out() -> None:
    assert interfaces_of("") == []
    assert interfaces_of("eth0: 1 2 3\nx: a b c d e f g h i j k l\n" + NET_DEV) == [ETH0]
    assert details_of({}) == Details()


def test_a_process_of_another_namespace_is_of_no_use() -> None:
    assert first_pid("0\n0\n12\n13\n") == 12
    assert first_pid("0\n") is None
    assert first_pid("") is None


def detailed() -> Snapshot:
    details = Details(
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, {("cpu", "some"): SOME, ("io", "full"): SOME}
    )
    inner = Usage(2 * 10**9, 3000, 2000, 4, 500, 0, details)
    group = PodGroup(
        Usage(2 * 10**9, 10, 10, details=details), {ID: inner, PAUSE: Usage(7)}, [ETH0]
    )
    tree = Tree(Usage(9, details=details), {the_pod().metadata.uid: group}, network=[ETH0])
    return snapshot_of(tree, [the_pod()], T0, is_detailed=True)


def test_names_are_those_that_dashboards_know() -> None:
    text = cadvisor_text(detailed())
    read = finished(parse_exposition(text, 1000))
    assert len(read.series) == len(set(read.series))
    stamp, uid = int(T0.timestamp() * 1000), the_pod().metadata.uid
    of_container = f'container="main",id="/pod{uid}/{ID}",image="",name="{ID}"'
    names = 'namespace="default",pod="web-0"'
    assert f"container_memory_rss{{{of_container},{names}}} 5 {stamp}\n" in text
    assert f"container_fs_writes_bytes_total{{{of_container},{names}}} 9 {stamp}\n" in text
    of_pod = f'id="/pod{uid}",{names}'
    received = f'container_network_receive_bytes_total{{interface="eth0",{of_pod}}} 1000 {stamp}\n'
    assert received in text
    dropped = "container_network_transmit_packets_dropped_total"
    assert f'{dropped}{{interface="eth0",id="/"}} 4 {stamp}\n' in text
    waiting = "container_pressure_cpu_waiting_seconds_total"
    assert f"{waiting}{{{of_pod}}} 0.004 {stamp}\n" in text
    assert f'container_cpu_usage_seconds_total{{id="/"}} 9e-09 {stamp}\n' in text
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


def test_what_is_not_known_is_not_told_as_nothing() -> None:
    text = cadvisor_text(snapshot_of(a_tree(), [the_pod()], T0))
    assert "container_memory_working_set_bytes" in text
    assert not any(word in text for word in ("network", "pressure", "_fs_", "rss"))


def test_the_text_for_autoscalers_has_no_details() -> None:
    assert "network" not in resource_text(detailed())


def test_the_summary_has_network_processes_and_pressure() -> None:
    moment = detailed()
    told = json.loads(summary_json("n1", moment, rates_of([moment])))
    (pod,) = told["pods"]
    assert pod["network"]["name"] == "eth0"
    assert (pod["network"]["rxBytes"], pod["network"]["txErrors"]) == (1000, 3)
    assert pod["network"]["interfaces"][0]["txBytes"] == 2000
    assert pod["process_stats"] == {"process_count": 4}
    assert pod["cpu"]["psi"]["some"] == {
        "total": 4_000_000,
        "avg10": 1.5,
        "avg60": 0.5,
        "avg300": 0.1,
    }
    assert pod["io"]["psi"]["full"]["total"] == 4_000_000
    assert pod["containers"][0]["memory"]["rssBytes"] == 5
    assert told["node"]["network"]["rxBytes"] == 1000


def test_details_are_read_for_those_who_ask_and_serve_all() -> None:
    plain, detailed_looks = a_source()[1], list[int]()

    def read_details(uids: object) -> Tree:
        detailed_looks.append(1)
        return a_tree()

    async def story() -> None:
        measuring = Measuring(lambda: [the_pod()], plain, sim_env("measure"), read_details)
        assert not (await measuring.look()).is_detailed
        assert detailed_looks == []
        moment = await measuring.look(is_detailed=True)
        assert moment.is_detailed
        # Fresh as it is, it answers the others too.
        assert await measuring.look() is moment
        assert detailed_looks == [1]

    run_simulated(story())
