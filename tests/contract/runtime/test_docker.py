"""What only a real Docker engine can show: the kernel's side of limits, namespaces and lies."""

import asyncio
import json
import os
import signal
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from cubernetes.host.env import Env
from kubelet.eviction.collection import has_one_name
from kubelet.runtime.cgroup import group_folders, hierarchies, oom_score_floor
from kubelet.runtime.docker import DockerRuntime
from kubelet.runtime.docker_words import container_name
from kubelet.runtime.driver import (
    Container,
    ContainerSpec,
    DeviceFile,
    Login,
    LogOptions,
    Mount,
    RuntimeDown,
    RuntimeTrouble,
    Security,
    State,
)
from tests.contract.network.worlds import RANGES, RealWorld
from tests.contract.runtime.tiny_registry import tiny_registry
from tests.contract.runtime.worlds import (
    MEMORY_BYTES,
    DockerWorld,
    a_container,
    a_running,
    a_sandbox,
    all_logs,
    ended,
    the,
    until,
)

pytestmark = [pytest.mark.docker, pytest.mark.root]


def groups(docker: DockerWorld, container_id: str = "") -> list[Path]:
    """Return the folders of the pod's cgroups, or of one container's in it."""
    parent = f"/{docker.engine.cgroup_root}/pod0a-1b/{container_id}"
    mounts = hierarchies(Path("/proc/mounts").read_text())
    return [Path(folder) for folder in group_folders(mounts, parent)]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def test_limits_reach_the_kernel(docker: DockerWorld, driver: DockerRuntime) -> None:
    sandbox = await driver.start_sandbox(a_sandbox())
    spec = replace(
        a_container(docker, "forever"),
        cpu_limit_milli=250,
        cpu_request_milli=500,
        memory_limit_bytes=MEMORY_BYTES,
    )
    made = await driver.start_container(spec, sandbox.id)

    def value(v1: str, v2: str) -> str:
        files = [folder / name for folder in groups(docker, made.id) for name in (v1, v2)]
        return next(file.read_text().strip() for file in files if file.exists())

    assert value("cpu.cfs_quota_us", "cpu.max") in {"25000", "25000 100000"}
    assert value("memory.limit_in_bytes", "memory.max") == str(MEMORY_BYTES)
    assert value("memory.memsw.limit_in_bytes", "memory.swap.max") in {str(MEMORY_BYTES), "0"}
    assert value("cpu.shares", "cpu.weight") in {"512", "20"}


async def test_a_container_opens_the_devices_that_it_was_given_and_makes_itself_no_others(
    docker: DockerWorld, driver: DockerRuntime, tmp_path: Path
) -> None:
    # The device that hands out loop devices: every lab has it, opening it does nothing, and it is
    # none of those that the engine gives every container.
    given, number = tmp_path / "given", os.stat("/dev/loop-control").st_rdev
    os.mknod(given, stat.S_IFCHR | 0o666, number)
    tries = f"""
        open_it() {{ if (: <>"$1") 2>/dev/null; then echo "$1" opens; else echo "$1" refused; fi; }}
        open_it {given}
        /bin/busybox mknod /made c {os.major(number)} {os.minor(number)} 2>/dev/null
        open_it /made
        sleep 1000
    """
    sandbox = await driver.start_sandbox(a_sandbox())
    spec = replace(a_container(docker, "forever"), command=("sh", "-c", tries))
    said = {}
    for name, devices in (("with", (DeviceFile(str(given), str(given)),)), ("without", ())):
        made = await driver.start_container(replace(spec, name=name, devices=devices), sandbox.id)

        async def has_tried(made: Container = made) -> str | None:
            text = (await all_logs(driver, made.id, LogOptions())).decode()
            return text if text.count("\n") == 2 else None

        said[name] = (await until(has_tried)).splitlines()
    # Given a device, a container may open it by any file; another has no way to it.
    assert said["with"][0] == f"{given} opens"
    assert said["without"] == [f"{given} refused", "/made refused"]


async def test_the_kernel_knows_whom_to_end_first(
    docker: DockerWorld, driver: DockerRuntime
) -> None:
    own = Path("/proc/self")
    status, score = (own / "status").read_text(), (own / "oom_score_adj").read_text()
    floor = oom_score_floor(status, score)
    sandbox = await driver.start_sandbox(replace(a_sandbox(), oom_score_adj=-998))
    spec = replace(a_container(docker, "forever"), oom_score_adj=1000)
    made = await driver.start_container(spec, sandbox.id)
    sure = replace(spec, name="sure", oom_score_adj=-997)
    guaranteed = await driver.start_container(sure, sandbox.id)

    def score_of(one: Container) -> int:
        return int(Path(f"/proc/{one.pid}/oom_score_adj").read_text())

    # Where the machine lacks the right to go below its own score, its pods start all the same.
    assert score_of(sandbox) == max(-998, floor)
    assert score_of(guaranteed) == max(-997, floor)
    assert score_of(made) == 1000


async def test_nothing_of_a_removed_pod_stays_in_the_cgroups(
    docker: DockerWorld, driver: DockerRuntime
) -> None:
    made = await a_running(docker, driver)
    assert any(folder.exists() for folder in groups(docker))
    sandbox = await driver.start_sandbox(a_sandbox())
    # The sandbox first: whichever goes last takes the groups with it.
    await driver.remove(sandbox.id)
    await driver.remove(made.id)
    assert not any(folder.exists() or folder.parent.exists() for folder in groups(docker))


async def test_a_pod_shares_its_network_names_and_files(
    docker: DockerWorld, driver: DockerRuntime, tmp_path: Path
) -> None:
    (tmp_path / "a:b").mkdir()
    sandbox = await driver.start_sandbox(
        replace(
            a_sandbox(),
            hostname="web-zero",
            dns_servers=["169.254.20.10"],
            dns_searches=["default.svc.cluster.local"],
            dns_options=["ndots:5"],
            extra_hosts={"db": "10.0.0.9"},
        )
    )
    say = "hostname; cat /etc/resolv.conf /etc/hosts; echo $A; cat /proc/self/status >/data/s"
    made = await driver.start_container(
        replace(
            a_container(docker, "forever"),
            command=("sh",),
            args=("-c", say),
            env={"A": "from env"},
            mounts=[Mount(str(tmp_path / "a:b"), "/data")],
        ),
        sandbox.id,
    )
    assert (await ended(driver, made.id)).exit_code == 0
    said = await all_logs(driver, made.id, LogOptions())
    for word in (b"web-zero", b"169.254.20.10", b"cluster.local", b"ndots:5", b"10.0.0.9\tdb"):
        assert word in said
    assert b"from env" in said
    assert "NoNewPrivs:\t1" in (tmp_path / "a:b" / "s").read_text()


async def test_a_container_leaves_its_last_message_in_a_file_of_the_node(
    docker: DockerWorld, driver: DockerRuntime, tmp_path: Path
) -> None:
    file = tmp_path / "message"
    file.touch()
    aliases = (("elsewhere", "192.0.2.9"), ("elsewhere", "192.0.2.1"))
    sandbox = await driver.start_sandbox(replace(a_sandbox(), host_aliases=aliases))
    made = await driver.start_container(
        replace(
            a_container(docker, "forever"),
            command=("sh",),
            args=("-c", "grep elsewhere /etc/hosts > /dev/termination-log"),
            mounts=[Mount(str(file), "/dev/termination-log")],
        ),
        sandbox.id,
    )

    assert (await ended(driver, made.id)).exit_code == 0
    assert file.read_text() == "192.0.2.9\telsewhere\n192.0.2.1\telsewhere\n"


async def test_what_tells_a_pod_names_is_gone_with_its_sandbox_whoever_removes_it(
    docker: DockerWorld, driver: DockerRuntime
) -> None:
    folder = docker.engine.folder / "kubelet/names"
    first = await driver.start_sandbox(a_sandbox())
    second = await driver.start_sandbox(replace(a_sandbox(), attempt=1))
    assert {one.name for one in folder.iterdir()} == {
        container_name(replace(a_sandbox(), attempt=attempt)) for attempt in (0, 1)
    }
    await driver.remove(first.id)
    assert [one.name for one in folder.iterdir()] == [
        container_name(replace(a_sandbox(), attempt=1))
    ]

    docker.engine.request("DELETE", f"/containers/{second.id}?force=1")
    later = docker.driver()
    try:
        await later.containers()
    finally:
        await later.close()
    assert list(folder.iterdir()) == []


async def test_what_cannot_be_removed_of_it_holds_up_neither_the_node_nor_the_pod(
    docker: DockerWorld, driver: DockerRuntime
) -> None:
    folder = docker.engine.folder / "kubelet/names"
    box = await driver.start_sandbox(a_sandbox())
    held, docker_env = folder / container_name(a_sandbox()), Env()
    later = docker.driver()
    # A folder that is a mount point: root is refused nothing else.
    await docker_env.commands.run(["mount", "-t", "tmpfs", "held", str(held)])
    try:
        await driver.remove(box.id)
        assert await later.containers() == []
        assert (await later.start_sandbox(replace(a_sandbox(), attempt=1))).pid
    finally:
        await docker_env.commands.run(["umount", str(held)])
        await later.close()


async def test_a_container_is_told_its_pods_names_also_by_an_engine_that_started_anew(
    docker: DockerWorld, driver: DockerRuntime, tmp_path: Path
) -> None:
    file = tmp_path / "own"
    file.write_text("mine\n")
    sandbox = await driver.start_sandbox(
        replace(a_sandbox(), hostname="web-zero", dns_servers=["169.254.20.10"])
    )
    docker.lose_runtime()
    await asyncio.to_thread(docker.return_runtime)

    later = docker.driver()
    try:
        say = "cat /etc/resolv.conf /etc/hosts /etc/hostname"
        grow = "head -c 1000000 /dev/zero >> /etc/hosts"
        own = replace(
            a_container(docker, "forever"),
            command=("sh", "-c", say),
            name="own",
            mounts=[Mount(str(file), "/etc/resolv.conf")],
        )
        spec = replace(own, command=("sh", "-c", f"{say}; {grow}"), name="main", mounts=[])
        sealed = replace(spec, name="sealed", security=Security(is_root_read_only=True))
        made = [await later.start_container(one, sandbox.id) for one in (own, sealed, spec)]
        codes = [(await ended(later, one.id)).exit_code for one in made]
        said = [await all_logs(later, one.id, LogOptions()) for one in made]
        assert await later.disk_bytes(sandbox.id) > 1_000_000 > await later.disk_bytes(made[2].id)
    finally:
        await later.close()
    assert [code == 0 for code in codes] == [True, False, True]
    for one in said:
        assert b"localhost" in one
        assert b"web-zero\n" in one
    assert [b"169.254.20.10" in one for one in said] == [False, True, True]
    assert b"mine" in said[0]


async def test_a_pods_own_namespace_has_its_loopback_up_and_no_ipv6(
    docker: DockerWorld, driver: DockerRuntime
) -> None:
    sandbox = await driver.start_sandbox(a_sandbox())
    ipv6 = "/proc/sys/net/ipv6/conf/default/disable_ipv6"
    files = ("/proc/net/fib_trie", *([ipv6] if Path(ipv6).exists() else []))
    spec = replace(a_container(docker, "forever"), command=("cat", *files))
    made = await driver.start_container(spec, sandbox.id)
    assert (await ended(driver, made.id)).exit_code == 0
    said = await all_logs(driver, made.id, LogOptions())
    # An address is local once its interface is up.
    assert b"127.0.0.1" in said
    assert said.endswith(b"\n1\n") == Path(ipv6).exists()
    assert Path(sandbox.netns).readlink() != Path("/proc/self/ns/net").readlink()


async def test_a_container_of_somebody_else_is_not_seen(
    docker: DockerWorld, driver: DockerRuntime
) -> None:
    body = json.dumps({"Image": "busybox:1", "Cmd": ["true"]}).encode()
    made = json.loads(docker.engine.request("POST", "/containers/create?name=not-ours", body))
    try:
        assert await driver.containers() == []
    finally:
        docker.engine.request("DELETE", f"/containers/{made['Id']}")


async def test_a_pod_gets_its_network_while_its_sandbox_runs(
    docker: DockerWorld, driver: DockerRuntime, tmp_path: Path
) -> None:
    """The two drivers together, as the kubelet uses them."""
    nodes = RealWorld(tmp_path)
    try:
        network = nodes.driver("a")
        await network.prepare(RANGES["a"])
        sandbox = await driver.start_sandbox(a_sandbox())
        address = await network.attach("0a-1b", sandbox.netns)
        spec = replace(a_container(docker, "forever"), command=("cat", "/proc/net/fib_trie"))
        made = await driver.start_container(spec, sandbox.id)
        assert (await ended(driver, made.id)).exit_code == 0
        assert str(address).encode() in await all_logs(driver, made.id, LogOptions())
        await network.reset()
    finally:
        nodes.remove()


async def test_a_pull_ends_with_the_image_here_until_it_is_removed(driver: DockerRuntime) -> None:
    async with tiny_registry() as registry:
        image = f"{registry}/hello:1"
        assert await driver.image_id(image) is None
        first, second = await asyncio.gather(driver.pull(image), driver.pull(image))
        assert first == second == await driver.image_id(image)
        assert await driver.pull(image) == first
    # By its tag and by the digest that the registry gave it.
    (local,) = [one for one in await driver.images() if one.id == first]
    assert image in local.names
    assert has_one_name(local.names)
    await driver.remove_image(local)
    assert await driver.image_id(image) is None
    await driver.remove_image(local)


async def test_a_registry_without_the_tag_is_quoted(driver: DockerRuntime) -> None:
    async with tiny_registry() as registry:
        with pytest.raises(RuntimeTrouble, match="manifest unknown") as trouble:
            await driver.pull(f"{registry}/hello:2")
    assert trouble.value.reason == "ErrImagePull"


async def test_a_registry_with_a_login_gives_its_images_to_who_has_it_and_to_nobody_else(
    driver: DockerRuntime,
) -> None:
    told: list[str] = []
    async with tiny_registry(login=("ann", "pass-word-1")) as registry:
        image = f"{registry}/guarded:1"
        for login in (None, Login("ann", "pass-word-2")):
            with pytest.raises(RuntimeTrouble) as trouble:
                await driver.pull(image, login)
            assert trouble.value.reason == "ErrImagePull"
            assert "pass-word" not in f"{trouble.value}{trouble.value.__cause__}"
        pulled = await driver.pull(image, Login("ann", "pass-word-1"), told.append)
        assert pulled == await driver.image_id(image)
    assert told[-1] == "100%, 1 of 1 layers unpacked"


async def test_a_pull_that_gets_nowhere_is_given_up(docker: DockerWorld) -> None:
    folder, run = docker.engine.folder / "kubelet", docker.engine.folder / "run"
    driver = DockerRuntime(Env(), docker.engine.socket, folder, run, pull_silence_s=1.0)
    async with tiny_registry() as registry, asyncio.timeout(60):
        with pytest.raises(RuntimeTrouble, match="no progress") as trouble:
            await driver.pull(f"{registry}/stuck:1")
    await driver.close()
    assert trouble.value.reason == "ErrImagePull"


async def test_a_name_that_another_holds_is_not_taken_from_him(
    docker: DockerWorld, driver: DockerRuntime
) -> None:
    name = container_name(a_sandbox())
    body = json.dumps({"Image": "busybox:1", "Cmd": ["true"]}).encode()
    made = json.loads(docker.engine.request("POST", f"/containers/create?name={name}", body))
    try:
        with pytest.raises(RuntimeTrouble, match="already in use") as trouble:
            await driver.start_sandbox(a_sandbox())
        assert trouble.value.reason == "CreatePodSandboxError"
    finally:
        docker.engine.request("DELETE", f"/containers/{made['Id']}")


async def test_a_half_made_container_is_finished(
    docker: DockerWorld, driver: DockerRuntime
) -> None:
    sandbox = await driver.start_sandbox(a_sandbox())
    spec = a_container(docker, "is-deaf")
    half = await half_made(docker, spec, sandbox.id)
    found = await driver.start_container(spec, sandbox.id)
    assert found.id == half
    assert found.state is State.RUNNING


async def test_a_half_made_container_of_a_sandbox_that_is_gone_makes_way(
    docker: DockerWorld,
    driver: DockerRuntime,
) -> None:
    old = await driver.start_sandbox(a_sandbox())
    spec = a_container(docker, "is-deaf")
    half = await half_made(docker, spec, old.id)
    await driver.remove(old.id)
    new = await driver.start_sandbox(a_sandbox())
    found = await driver.start_container(spec, new.id)
    assert found.id != half
    assert found.state is State.RUNNING


async def half_made(docker: DockerWorld, spec: ContainerSpec, sandbox_id: str) -> str:
    """Create the container as a kubelet does that dies before it starts it; return its id."""
    gone = docker.driver()
    try:
        return await gone.make_container(spec, sandbox_id)
    finally:
        await gone.close()


async def test_a_container_is_not_believed_to_run_when_its_process_is_gone(
    docker: DockerWorld, driver: DockerRuntime
) -> None:
    """A shim that dies while containerd is down leaves the engine saying "running" for good."""
    made = await a_running(docker, driver)
    for pid in (docker.engine.containerd_pid, parent_of(made.pid), made.pid):
        os.kill(pid, signal.SIGKILL)

    found = await ended(driver, made.id, limit_s=60)
    assert (found.exit_code, found.signal) == (137, 9)
    said = json.loads(docker.engine.request("GET", f"/containers/{made.id}/json"))
    assert said["State"]["Status"] == "running"

    async def started_again() -> Container | None:
        spec = replace(a_container(docker, "forever"), attempt=1)
        try:
            sandbox = await driver.start_sandbox(a_sandbox())
            return await driver.start_container(spec, sandbox.id)
        except RuntimeDown:  # until the engine has a containerd again
            return None

    assert (await until(started_again, limit_s=60)).state is State.RUNNING
    # The engine looks twice, ten seconds each, for what it believes in.
    await driver.remove(made.id)
    assert await the(driver, made.id) is None


def are_stopped(pid: int) -> bool:
    """Return whether every thread of a process stands still."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return all((one / "stat").read_text().rpartition(")")[2].split()[0] == "T" for one in threads)


async def test_an_engine_that_hangs_is_down_not_silent(
    docker: DockerWorld, driver: DockerRuntime
) -> None:
    await driver.version()
    os.kill(docker.engine.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(60):
            # Its threads stop one after the other, and one of them may still answer.
            while not are_stopped(docker.engine.pid):  # noqa: ASYNC110  the kernel tells nobody
                await asyncio.sleep(0.01)
            with pytest.raises(RuntimeDown):
                await driver.containers()
    finally:
        os.kill(docker.engine.pid, signal.SIGCONT)
