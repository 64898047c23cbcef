"""Where systemd is PID 1, a node's programs are its units, and keep the same promises.

Docker on n2 leaves its control groups to systemd as well; on n1 it makes them itself.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping

import pytest

from cubernetes.api.core.pod import Pod
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from lab.doctor import complaints
from lab.host.node import Ended
from tests.e2e.cluster import Cluster, ready_addresses, ready_nodes, ready_pods, steady_calls, until
from tests.e2e.conftest import BootLab, finished
from tests.e2e.machines.test_membership import Traces, asked, difference, joined, traces
from tests.e2e.pods import (
    STRESS,
    bounds_of,
    containers_of,
    pod,
    process_of,
    until_gone,
    until_out_of_memory,
    until_phase,
)
from tests.e2e.uses.test_serving import are_anew, created
from tests.e2e.uses.test_serving import containers_of as containers_of_all

pytestmark = [pytest.mark.lab]

PROGRAMS = {
    "n1": ("etcd", "apiserver", "scheduler", "controllers", "kubelet", "proxy"),
    "n2": ("kubelet", "proxy"),
}
REPLICAS = 4
GIVE_GROUPS_TO_SYSTEMD = """
sed -i s/native.cgroupdriver=cgroupfs/native.cgroupdriver=systemd/ /etc/docker/daemon.json
systemctl restart docker
"""


class Units(Cluster):
    """A cluster whose programs are systemd's units."""

    async def pids_of(self, node: str, *programs: str) -> dict[str, int]:
        units = [f"cube-{program}.service" for program in programs]
        told = await self.told(node, "MainPID", *units)
        return dict(zip(programs, map(int, told.split()), strict=True))

    async def told(self, node: str, name: str, *units: str) -> str:
        """Return a property of units, as systemd tells it: one line for each."""
        argv = ["systemctl", "show", f"--property={name}", "--value", *units]
        return "\n".join((await self.run(node, argv)).stdout.split())

    async def said(self, node: str, script: str) -> str:
        """Return what a script says on a node, whatever its exit code."""
        return (await self.run(node, ["sh", "-c", script], check=False)).stdout.strip()


@pytest.fixture(scope="module")
def machines(boot_lab: BootLab) -> Iterator[Units]:
    """Two machines with systemd that belong to no cluster."""
    missing = [
        f"{one.what} ({one.remedy})" for one in finished(complaints(Env().commands, "systemd"))
    ]
    if missing:
        pytest.skip(f"this machine cannot hold a lab with systemd: {'; '.join(missing)}")
    with boot_lab("sd", 2, init="systemd") as lab:
        units = Units(lab)
        finished(units.run("n2", ["sh", "-c", GIVE_GROUPS_TO_SYSTEMD]))
        yield units


@pytest.fixture(scope="module")
def before(machines: Units) -> Mapping[str, Traces]:
    """What each machine bore before its first init or join."""
    return {name: finished(traces(machines, name)) for name in machines.names}


@pytest.fixture(scope="module")
def made(machines: Units, before: Mapping[str, Traces]) -> Units:
    finished(machines.make())
    return machines


@pytest.fixture
async def client(made: Units) -> AsyncIterator[Client]:
    async with made.client() as one:
        yield one


@pytest.fixture(scope="module")
def served(made: Units) -> str:
    """The URL of a service with pods on both nodes; it is there for the rest of the module."""

    async def serve() -> str:
        async with made.client() as client:
            return f"http://{await created(client, 'web', REPLICAS)}/"

    return finished(serve())


async def serves_everywhere(cluster: Units, url: str) -> None:
    """Wait until a service answers on every node."""

    async def is_live() -> bool:
        return all([await cluster.curl(node, url) for node in cluster.names])

    await until(f"{url} answers on every node", is_live)


async def test_init_and_join_make_units_that_run_and_start_with_the_machine(made: Units) -> None:
    for node, programs in PROGRAMS.items():
        units = [f"cube-{program}.service" for program in programs]
        for name, wanted in (("ActiveState", "active"), ("UnitFileState", "enabled")):
            assert set((await made.told(node, name, *units)).split()) == {wanted}
        shown = await asked(made, node, "status")
        assert shown.code == 0, shown.stderr
        for program in programs:
            assert f"{program:<12} running" in shown.stdout
        assert not (made.lab.node(node).root / "etc/cubernetes/supervisord.conf").exists()


async def test_a_service_answers_on_both_nodes(made: Units, served: str, client: Client) -> None:
    await serves_everywhere(made, served)
    pods = {one.metadata.name for one in await ready_pods(client, "app=web")}
    for node in made.names:
        assert set(await made.answers(node, served, 60)) == pods


async def test_limits_hold_where_docker_leaves_control_groups_to_systemd(
    made: Units, client: Client
) -> None:
    limits = {"limits": {"cpu": "500m", "memory": "64Mi"}}
    busy = {"name": "main", "image": STRESS, "args": ["-cpu", "2"], "resources": limits}
    hog = {"name": "main", "image": STRESS, "args": ["-memory", "200"], "resources": limits}
    place = {"namespace": "default", "nodeName": "n2", "restartPolicy": "Never"}
    await asyncio.gather(
        *(client.create(pod(name, [one], **place)) for name, one in (("busy", busy), ("hog", hog)))
    )
    one = await until_phase(client, "busy", "Running", namespace="default")
    (container,) = await containers_of(made, one, "main")
    pid = await process_of(made, "n2", container)
    assert f"docker-{container}.scope" in await made.said("n2", f"cat /proc/{pid}/cgroup")
    # Reading its files again must not make systemd forget what Docker told it.
    await made.run("n2", ["systemctl", "daemon-reload"])
    bounds = await bounds_of(made, "n2", pid)
    assert (bounds.cores, bounds.memory_bytes) == (0.5, 64 << 20)
    await until_out_of_memory(client, "hog", "default")
    for name in ("busy", "hog"):
        await client.delete(Pod, name, "default", grace_s=0)
        await until_gone(client, name, namespace="default")
    gone = one.metadata.uid.replace("-", "_")
    look = (
        f"systemctl list-units --all --no-legend '*{gone}*'; find /sys/fs/cgroup -name '*{gone}*'"
    )

    async def is_clean() -> bool:
        return not await made.said("n2", look)

    await until("no slice and no group of the pod", is_clean)


@pytest.mark.parametrize("programs", [("kubelet", "apiserver"), ("etcd",)], ids=" and ".join)
async def test_what_is_killed_is_started_again_at_once_and_nobody_notices(
    made: Units, served: str, client: Client, programs: tuple[str, ...]
) -> None:
    containers = await containers_of_all(made)
    async with steady_calls(made, "n2", served) as calls:
        old = await made.kill("n1", *programs)
        spent_s = await until(f"{programs} again", lambda: are_anew(made, "n1", old))
        await until("both nodes Ready", lambda: are_ready(made, client))

    print(f"{programs} were started again after {spent_s:.2f} s")  # noqa: T201  a figure
    for program in programs:
        unit = f"cube-{program}.service"
        words = f"journalctl --no-pager --unit {unit} | grep -v apiserver.audit | tail -n 20"
        assert await made.told("n1", "NRestarts", unit) == "1", await made.said("n1", words)
    assert calls.failed_count == 0
    assert await containers_of_all(made) == containers


async def are_ready(cluster: Units, client: Client) -> bool:
    try:
        return await ready_nodes(client) == cluster.names
    except Exception:  # noqa: BLE001  the API itself may be what is coming back
        return False


async def test_pods_serve_while_all_programs_are_stopped_and_are_the_same_when_they_start(
    made: Units, served: str
) -> None:
    containers = await containers_of_all(made)

    async def on_both(verb: str) -> list[Ended]:
        return await asyncio.gather(*(asked(made, node, verb) for node in made.names))

    async with steady_calls(made, "n2", served) as calls:
        for _ in range(2):
            assert [one.code for one in await on_both("stop")] == [0, 0]
        for shown in await on_both("status"):
            assert shown.code == 1
            assert "kubelet is not running" in shown.stderr
        await serves_everywhere(made, served)
        assert await containers_of_all(made) == containers
        for node in made.names:
            started = await asked(made, node, "start")
            assert started.code == 0, started.stderr

        async def are_well() -> bool:
            return [one.code for one in await on_both("status")] == [0, 0]

        await until("both nodes say that all their programs run", are_well)
    assert calls.failed_count == 0
    assert await containers_of_all(made) == containers


async def test_a_reboot_and_a_power_cut_at_once_are_got_over_without_help(
    made: Units, served: str, client: Client
) -> None:
    # Stopped is not for ever: what the machine is for, it does again once it boots.
    assert (await asked(made, "n2", "stop")).code == 0

    async def cut() -> None:
        await made.lab.power("n2", "cut")
        await made.lab.power("n2", "on")

    await asyncio.gather(made.lab.power("n1", "reboot"), cut())
    await until("both nodes Ready", lambda: are_ready(made, client))

    async def all_run() -> bool:
        return len(await ready_addresses(client, "web")) == REPLICAS

    await until("all pods behind their service", all_run)
    await serves_everywhere(made, served)
    for node in made.names:
        assert (await asked(made, node, "status")).code == 0
        assert await made.said(node, "systemctl is-system-running") == "running"


async def test_reset_leaves_no_trace_and_nothing_that_systemd_remembers(
    made: Units, before: Mapping[str, Traces]
) -> None:
    """The last test of this module: it ends the cluster."""
    await joined(made)
    for node in ("n2", "n1"):
        ended = await asked(made, node, "reset", "--yes")
        assert ended.code == 0, ended.stderr
        assert difference(before[node], await traces(made, node)) == []
        for listing in ("list-units --all", "list-unit-files"):
            assert not await made.said(node, f"systemctl {listing} --no-legend 'cube*'"), node
        assert await made.said(node, "systemctl is-system-running") == "running"
