"""What pods use: groups of both versions and both drivers, read from trees that tests write."""

import asyncio
import errno
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podstatus import ContainerState, ContainerStatus, StateRunning
from cubernetes.api.meta import replaced
from kubelet.measure.exposition import resource_text, summary_json
from kubelet.measure.keptfiles import KeptFiles
from kubelet.measure.measuring import Measuring
from kubelet.measure.snapshot import Snapshot, rates_of, snapshot_of
from kubelet.measure.tree import GROUPS_MAX, GroupReader
from kubelet.measure.usage import (
    V2_FILES,
    V2_POD_FILES,
    Hierarchies,
    PodGroup,
    Tree,
    Usage,
    container_id_of,
    hierarchies_of,
    machine_usage,
    usage_of,
)
from tests.given import a_running_pod
from tests.simulation.clock import AtOnce, sim_env
from tests.simulation.loop import run_simulated
from tsdb.steps import finished
from tsdb.wire.exposition import parse_exposition

UID = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
ID, PAUSE = "5d" * 32, "6e" * 32
T0 = datetime(2026, 11, 1, tzinfo=UTC)
CGROUPFS = (f"cubernetes/pod{UID}", "{}")
SYSTEMD = (
    f"cubernetes.slice/cubernetes-pod{UID.replace('-', '_')}.slice",
    "docker-{}.scope",
)
V1_ROWS = ("cpu,cpuacct", "memory", "pids")


def write(folder: Path, texts: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)


def v1_group(root: Path, group: str, cpu_ns: int, held: int) -> None:
    stat = f"cache 9\ninactive_file 7\ntotal_inactive_file {held // 4}\n"
    memory = {
        "memory.usage_in_bytes": f"{held}\n",
        "memory.stat": stat,
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    }
    throttled = "nr_periods 9\nnr_throttled 3\nthrottled_time 2500\n"
    write(root / "cpu,cpuacct" / group, {"cpuacct.usage": f"{cpu_ns}\n", "cpu.stat": throttled})
    write(root / "memory" / group, memory)
    write(root / "pids" / group, {"pids.current": "4\n"})


def v2_group(root: Path, group: str, cpu_ns: int, held: int) -> None:
    texts = {
        "cpu.stat": f"usage_usec {cpu_ns // 1000}\nuser_usec 1\nthrottled_usec 3\n",
        "memory.current": f"{held}\n",
        "memory.stat": f"anon 1\ninactive_file {held // 4}\n",
        "memory.events": "low 0\noom 2\noom_kill 2\n",
        "pids.current": "4\n",
    }
    write(root / group, texts)


def a_proc(folder: Path, root: Path, version: int) -> Path:
    """Write the files of /proc that a pass reads; some systemd hierarchy of v1 is always there."""
    rows = [f"tmpfs {root} tmpfs rw 0 0"]
    if version == 1:
        rows += [f"cgroup {root}/{one} cgroup rw,relatime,{one} 0 0" for one in V1_ROWS]
        rows += [f"cgroup2 {root}/unified cgroup2 rw 0 0"]
    else:
        rows += [f"cgroup2 {root} cgroup2 rw,nsdelegate 0 0"]
    proc = folder / "proc"
    stat = "cpu  100 0 50 1000 10 0 0 0 0 0\ncpu0 1 1 1 1 1 1 1 1\n"
    meminfo = "MemTotal:       1000 kB\nMemFree:  1 kB\nMemAvailable:    400 kB\n"
    write(proc, {"mounts": "\n".join(rows) + "\n", "stat": stat, "meminfo": meminfo})
    return proc


@pytest.mark.parametrize("driver", [CGROUPFS, SYSTEMD], ids=["cgroupfs", "systemd"])
@pytest.mark.parametrize("version", [1, 2])
def test_both_versions_and_both_drivers_say_the_same(
    tmp_path: Path, version: int, driver: tuple[str, str]
) -> None:
    pod, child = driver
    root, group = tmp_path / "cgroup", {1: v1_group, 2: v2_group}[version]
    group(root, pod, 9_000_000, 4000)
    group(root, f"{pod}/{child.format(ID)}", 7_000_000, 3200)
    group(root, f"{pod}/{child.format(PAUSE)}", 1_000_000, 400)
    proc = a_proc(tmp_path, root, version)
    found = GroupReader(proc, "cubernetes").read({UID: [ID, "not there"], "another": [ID]})
    assert found.pods.keys() == {UID}
    whole = found.pods[UID]
    assert whole.usage.cpu_ns == 9_000_000
    assert whole.usage.working_set_bytes == 3000
    assert whole.containers.keys() == {ID}  # what keeps the pod's network is of no use to anybody
    throttled_ns = {1: 2500, 2: 3000}[version]
    assert whole.containers[ID] == Usage(7_000_000, 3200, 2400, 4, throttled_ns, 2)
    # The root group has no files of its own here: /proc tells of the machine.
    assert found.node.working_set_bytes == 600 * 1024
    assert found.node.cpu_ns is not None
    # The root's and the container's files, of the pod's three, and two of /proc: all are counted.
    assert found.file_count == {1: 6, 2: 5}[version] * 2 + 3 + 2


def test_a_pass_ends_at_its_limit_and_says_so(tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    ids = [f"{index:064x}" for index in range(GROUPS_MAX + 5)]
    for one in ids:
        (root / CGROUPFS[0] / one).mkdir(parents=True)
    reader = GroupReader(a_proc(tmp_path, root, 2), "cubernetes")
    found = reader.read({UID: ids, "later": []})
    assert found.is_cut
    # The pod's own group counts: it was looked at once before it was known.
    assert len(found.pods[UID].containers) == GROUPS_MAX - 1


def test_a_machine_without_groups_has_no_pods(tmp_path: Path) -> None:
    proc = a_proc(tmp_path, tmp_path / "none", 2)
    (proc / "mounts").write_text("")
    found = GroupReader(proc, "cubernetes").read({UID: []})
    assert not found.pods
    assert found.node.working_set_bytes == 600 * 1024


def test_files_are_opened_once_and_read_at_every_pass(tmp_path: Path) -> None:
    root, pod = tmp_path / "cgroup", CGROUPFS[0]
    v2_group(root, pod, 9_000_000, 4000)
    v2_group(root, f"{pod}/{ID}", 7_000_000, 3200)
    files = KeptFiles()
    reader = GroupReader(a_proc(tmp_path, root, 2), "cubernetes", files)
    reader.read({UID: [ID]})
    kept = len(files)
    assert kept == len(V2_POD_FILES) + len(V2_FILES)
    v2_group(root, f"{pod}/{ID}", 8_000_000, 3600)
    again = reader.read({UID: [ID]})
    assert again.pods[UID].containers[ID].cpu_ns == 8_000_000
    # Who asks for details opens the others, and closes none of those that are kept.
    reader.read_details({UID: [ID]})
    assert len(files) == kept
    # What has ended is let go of, and with the pod all of it.
    reader.read({UID: []})
    assert len(files) == len(V2_POD_FILES)
    files.close()
    assert len(files) == 0


@pytest.mark.parametrize("version", [1, 2])
def test_a_node_is_told_of_by_the_same_files_whether_it_has_pods_or_none(
    tmp_path: Path, version: int
) -> None:
    root, group = tmp_path / "cgroup", {1: v1_group, 2: v2_group}[version]
    group(root, "", 5_000_000, 8000)
    group(root, CGROUPFS[0], 4_000_000, 4000)
    files = KeptFiles()
    reader = GroupReader(a_proc(tmp_path, root, version), "cubernetes", files)
    alone = reader.read({}).node
    kept = len(files)
    assert (alone.cpu_ns, alone.memory_bytes, alone.pid_count) == (5_000_000, 8000, 4)
    assert reader.read({UID: []}).node == alone
    assert len(files) > kept
    assert [reader.read({}).node for _ in range(2)] == [alone] * 2
    assert len(files) == kept
    wanted: list[dict[str, list[str]]] = [{}, {UID: []}, {}]
    detailed = [reader.read_details(one).node for one in wanted]
    assert detailed == [detailed[0]] * 3
    assert detailed[0].cpu_ns == 5_000_000
    files.close()


def test_after_the_last_pod_nothing_of_it_stays_open_also_where_the_root_tells_nothing(
    tmp_path: Path,
) -> None:
    root = tmp_path / "cgroup"
    v2_group(root, CGROUPFS[0], 4_000_000, 4000)
    files = KeptFiles()
    reader = GroupReader(a_proc(tmp_path, root, 2), "cubernetes", files)
    reader.read({UID: []})
    assert len(files) == len(V2_POD_FILES)
    reader.read({})
    assert len(files) == 0


def test_a_group_that_was_made_anew_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, systemd = tmp_path / "cgroup", SYSTEMD[0]
    v2_group(root, CGROUPFS[0], 9_000_000, 4000)
    reader = GroupReader(a_proc(tmp_path, root, 2), "cubernetes")
    assert reader.read({UID: []}).pods[UID].usage.cpu_ns == 9_000_000
    shutil.rmtree(root / CGROUPFS[0])
    v2_group(root, systemd, 1_000_000, 400)
    pread = os.pread

    def of_a_live_group(descriptor: int, *rest: int) -> bytes:
        if os.fstat(descriptor).st_nlink == 0:
            raise OSError(errno.ENODEV, "as the kernel says of a group that has ended")
        return pread(descriptor, *rest)

    monkeypatch.setattr(os, "pread", of_a_live_group)
    assert reader.read({UID: []}).pods[UID].usage.cpu_ns == 1_000_000
    shutil.rmtree(root / systemd)
    assert UID not in reader.read({UID: []}).pods


def test_beyond_the_most_that_are_kept_files_are_read_all_the_same(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_text(name)
    files = KeptFiles(files_max=2)
    for _ in range(2):
        assert [files.text(str(tmp_path / name)) for name in "abc"] == ["a", "b", "c"]
    assert files.text(str(tmp_path / "none")) == ""
    assert len(files) == 2
    assert files.end_pass(closes=True) == 7
    files.close()


def test_the_node_looks_by_itself_only_while_nobody_else_does() -> None:
    looks, read = a_source()

    async def story() -> None:
        env = sim_env("measure")
        measuring = Measuring(lambda: [the_pod()], read, env)
        task = asyncio.create_task(measuring.run())
        await env.clock.sleep(12)
        assert len(looks) == 3  # at 0, 5 and 10
        for _ in range(20):
            await measuring.look()
            await env.clock.sleep(1)
        assert len(looks) == 3 + 20
        await env.clock.sleep(6)
        assert len(looks) == 3 + 20 + 1
        task.cancel()
        await asyncio.wait([task])

    run_simulated(story())


def test_hybrid_hierarchies_count_by_version_one() -> None:
    rows = "c /v1/cpu cgroup rw,cpu,cpuacct 0 0\nc /v1/m cgroup rw,memory 0 0\nc /u cgroup2 rw 0 0"
    found = hierarchies_of(rows)
    assert (found.main, found.v2) == ("/v1/m", "")
    assert dict(found.files("/g"))["cpuacct.usage"] == "/v1/cpu/g/cpuacct.usage"
    assert hierarchies_of("c /u cgroup2 rw 0 0") == Hierarchies({}, "/u")


@pytest.mark.parametrize(
    "texts", [{}, {"cpu.stat": "usage_usec", "memory.current": "max"}, {"memory.stat": "a b\n\n"}]
)
def test_text_that_says_nothing_is_no_number(texts: dict[str, str]) -> None:
    assert usage_of(texts) == Usage()


def test_a_working_set_is_never_below_nothing() -> None:
    texts = {"memory.current": "5", "memory.stat": "inactive_file 9"}
    assert usage_of(texts).working_set_bytes == 0


def test_a_root_group_that_tells_is_believed() -> None:
    own = Usage(cpu_ns=5, working_set_bytes=6)
    told = machine_usage(own, "cpu 1 1 1 1 1 1 1 1", "MemTotal: 9 kB\nMemAvailable: 1 kB", 100)
    assert (told.cpu_ns, told.working_set_bytes) == (5, 6)
    assert machine_usage(Usage(), "", "", 100) == Usage()
    ticks = machine_usage(Usage(), "cpu  100 0 50 1000 10 0 0 0", "", 100)
    assert ticks.cpu_ns == 1_500_000_000


def test_an_id_is_read_from_either_spelling() -> None:
    assert container_id_of(ID) == container_id_of(f"docker-{ID}.scope") == ID


def the_pod() -> Pod:
    pod = a_running_pod("web-0")
    runs = ContainerStatus(
        name="main",
        container_id=f"docker://{ID}",
        state=ContainerState(running=StateRunning(started_at=T0)),
    )
    ended = ContainerStatus(name="old", container_id=f"docker://{PAUSE}")
    return replaced(pod, status=replaced(pod.status, container_statuses=(runs, ended)))


def a_tree(cpu_ns: int = 2 * 10**9, inner_ns: int | None = None) -> Tree:
    inner = Usage(cpu_ns if inner_ns is None else inner_ns, 3000, 2000, 4, 500, 0)
    group = PodGroup(Usage(cpu_ns, 10, 10), {ID: inner, PAUSE: Usage(7, 7, 7)})
    return Tree(Usage(9 * 10**9, None, 8000), {the_pod().metadata.uid: group})


def test_only_running_containers_of_the_status_have_names() -> None:
    moment = snapshot_of(a_tree(), [the_pod()], T0)
    (pod,) = moment.pods
    assert [one.name for one in pod.containers] == ["main"]
    # A group of version 1 may count less than what is in it.
    assert pod.usage.working_set_bytes == 2000
    assert snapshot_of(Tree(), [the_pod()], T0).pods == []


def test_an_init_container_that_runs_is_told_as_others_are() -> None:
    pod = the_pod()
    moved = replaced(
        pod,
        status=replaced(
            pod.status,
            init_container_statuses=pod.status.container_statuses,
            container_statuses=(),
        ),
    )

    assert snapshot_of(a_tree(), [moved], T0) == snapshot_of(a_tree(), [pod], T0)


def test_a_speed_is_since_the_oldest_moment_that_knows_it() -> None:
    moments = [
        snapshot_of(Tree(Usage(cpu_ns=0)), [the_pod()], T0),
        snapshot_of(a_tree(10**9), [the_pod()], T0 + timedelta(seconds=5)),
        snapshot_of(a_tree(4 * 10**9), [the_pod()], T0 + timedelta(seconds=10)),
    ]
    rates = rates_of(moments)
    assert rates.cpu_ns[ID] == 600_000_000
    assert rates.cpu_ns[None] == 900_000_000
    assert rates.window_s == 10


def test_no_speed_follows_from_a_counter_that_went_back_or_from_no_time() -> None:
    later = snapshot_of(a_tree(5), [the_pod()], T0 + timedelta(seconds=9))
    assert ID not in rates_of([snapshot_of(a_tree(), [the_pod()], T0), later]).cpu_ns
    assert rates_of([snapshot_of(a_tree(), [the_pod()], later.at), later]).cpu_ns == {}
    assert rates_of([]).cpu_ns == {}


def test_the_text_is_read_by_our_own_store() -> None:
    moment = snapshot_of(a_tree(), [the_pod()], T0)
    read = finished(parse_exposition(resource_text(moment), 1000))
    assert len(read.series) == len(set(read.series)) == 11
    assert read.times.count(None) == 1  # that of the error, which is of the answer


def test_names_are_those_of_kubernetes() -> None:
    text = resource_text(snapshot_of(a_tree(), [the_pod()], T0))
    stamp = int(T0.timestamp() * 1000)
    labels = 'container="main",namespace="default",pod="web-0"'
    assert f"container_cpu_usage_seconds_total{{{labels}}} 2 {stamp}\n" in text
    assert f"container_memory_working_set_bytes{{{labels}}} 2000 {stamp}\n" in text
    pod = 'namespace="default",pod="web-0"'
    assert f"pod_memory_working_set_bytes{{{pod}}} 2000 {stamp}\n" in text
    assert f"node_cpu_usage_seconds_total 9 {stamp}\n" in text
    assert "resource_scrape_error 0\n" in text
    assert "resource_scrape_error 1\n" in resource_text(Snapshot(T0, Usage()), is_whole=False)


def test_the_summary_leaves_out_what_is_not_known() -> None:
    moment = snapshot_of(a_tree(), [the_pod()], T0)
    told = summary_json("n1", moment, rates_of([moment])).decode()
    assert '"usageCoreNanoSeconds":2000000000' in told
    assert "usageNanoCores" not in told
    assert '"workingSetBytes":8000' in told


def a_source() -> tuple[list[int], Callable[[Mapping[str, Sequence[str]]], Tree]]:
    """Return a list of the looks that were taken, and what takes them: a second of work each."""
    looks = list[int]()

    def read(wanted: Mapping[str, Sequence[str]]) -> Tree:
        looks.append(len(wanted))
        return a_tree(10**9 * len(looks))

    return looks, read


def test_clients_share_a_look_while_it_is_fresh() -> None:
    looks, read = a_source()

    async def story() -> None:
        env = sim_env("measure")
        measuring = Measuring(lambda: [the_pod()], read, env)
        async with asyncio.TaskGroup() as group:
            first, second = (group.create_task(measuring.look()) for _ in range(2))
        assert first.result() is second.result()
        await env.clock.sleep(2)
        moment, rates = await measuring.speeds()
        assert moment is not first.result()
        assert looks == [1, 1]
        assert rates.cpu_ns[ID] == 500_000_000

    run_simulated(story())


def test_looks_are_forgotten_beyond_the_window() -> None:
    async def story() -> None:
        env = sim_env("measure")
        measuring = Measuring(lambda: [the_pod()], a_source()[1], env)
        for _ in range(40):
            await measuring.look()
            await env.clock.sleep(5)
        _, rates = await measuring.speeds()
        assert rates.window_s == 15

    run_simulated(story())


def test_what_a_container_held_of_memory_is_kept_for_a_minute() -> None:
    async def story() -> None:
        env = sim_env("measure")
        measuring = Measuring(lambda: [the_pod()], a_source()[1], env)
        for _ in range(40):
            moment = await measuring.look()
            await env.clock.sleep(5)
        held = measuring.memory_of(ID)
        assert [(moment.at - at).total_seconds() for at, _ in held] == list(range(60, -1, -5))
        (now,) = (one.usage.working_set_bytes for one in moment.pods[0].containers)
        assert held[-1] == (moment.at, now)
        assert measuring.memory_of("another") == []

    run_simulated(story())


def test_a_kernel_that_hangs_is_told_and_asked_again() -> None:
    async def story() -> None:
        env = sim_env("measure")
        assert isinstance(env.blocking, AtOnce)
        env.blocking.hanging.add(("measure", "pods"))
        measuring = Measuring(lambda: [the_pod()], a_source()[1], env)
        with pytest.raises(OSError, match="no end"):
            await measuring.look()
        env.blocking.hanging.clear()
        assert (await measuring.look()).pods

    run_simulated(story())


def test_shuffled_pods_are_told_in_one_order() -> None:
    pods = [a_running_pod(f"web-{index}") for index in range(5)]
    tree = Tree(pods={pod.metadata.uid: PodGroup(Usage(1)) for pod in pods})
    moments = [snapshot_of(tree, order, T0) for order in (pods, pods[::-1])]
    assert resource_text(moments[0]) == resource_text(moments[1])
