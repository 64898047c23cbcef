"""What pods are made of on real nodes: limits, volumes, shared namespaces, ports; and a crowd."""

import asyncio
import shlex
from collections.abc import Iterator

import pytest

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.service import Service, ServicePort, ServiceSpec
from cubernetes.api.meta import ObjectMeta
from cubernetes.client.rest import Client
from cubernetes.host.command import SystemCommands
from tests.e2e.cluster import PATIENCE_S, Cluster, until
from tests.e2e.conftest import finished
from tests.e2e.pods import (
    SLEEP,
    STRESS,
    WEB,
    Tree,
    bounds_of,
    containers_of,
    cpu_ns_of,
    logs,
    made_namespace,
    pod,
    process_of,
    removed_namespace,
    shell,
    status_of,
    until_gone,
    until_phase,
)

pytestmark = [pytest.mark.lab]

CROWD = 20
HOST_PORT = 18090
NODE_PORT = 18091
SPAN_S = 3.0
NEIGHBOUR = f"hostname > /tmp/index.html; exec httpd -f -p {NODE_PORT} -h /tmp"
SERVE = "echo from one > /d/index.html; exec httpd -f -p 8080 -h /d"
ASK = "until wget -qO- http://127.0.0.1:8080/; do sleep 0.1; done; echo from two > /d/two; "
LAST = "cat /d/* > /d/told; grep elsewhere /etc/hosts > /dev/termination-log; exit 3"
# It tells in a while that it is asked to end.
BESIDE = "echo beside > /d/beside; trap 'sleep 1; cat /d/told; exit 0' TERM; sleep 1000 & wait"
# What stands on n2 for the volumes to be checked against.
FURNISH = "mkdir -p /srv/zoo/folder; echo here > /srv/zoo/file; rm -rf /srv/zoo/new*"


def mount(volume: str) -> Tree:
    return {"name": volume, "mountPath": f"/v/{volume}"}


def host_path(name: str, path: str, kind: str) -> Tree:
    return {"name": name, "hostPath": {"path": path, "type": kind}}


GOOD_PATHS = (
    host_path("folder", "/srv/zoo/folder", "Directory"),
    host_path("file", "/srv/zoo/file", "File"),
    host_path("new-folder", "/srv/zoo/new-folder", "DirectoryOrCreate"),
    host_path("new-file", "/srv/zoo/new-file", "FileOrCreate"),
    host_path("socket", "/run/docker.sock", "Socket"),
    host_path("device", "/dev/null", "CharDevice"),
    host_path("any", "/srv/zoo/new-any", ""),
)
BAD_PATHS = {
    "absent": host_path("v", "/srv/zoo/absent", "Directory"),
    "folder-as-file": host_path("v", "/srv/zoo/folder", "File"),
    "file-as-socket": host_path("v", "/srv/zoo/file", "Socket"),
    "char-as-block": host_path("v", "/dev/null", "BlockDevice"),
    "file-as-folder": host_path("v", "/srv/zoo/file", "DirectoryOrCreate"),
}


def zoo() -> list[Pod]:
    shared = [{"name": "d", "emptyDir": {}}]
    at_d = [{"name": "d", "mountPath": "/d"}]
    good = shell(
        "ls -F /v > /v/folder/seen; echo w >> /v/new-file; " + SLEEP,
        volumeMounts=[mount(str(one["name"])) for one in GOOD_PATHS],
    )
    port = [{"containerPort": 8080, "hostPort": HOST_PORT}]
    return [
        pod(
            "twins",
            [
                shell(SERVE, "one", volumeMounts=at_d),
                shell(ASK + SLEEP, "two", volumeMounts=at_d),
            ],
            volumes=shared,
            nodeName="n1",
        ),
        pod("furnished", [good], volumes=[*GOOD_PATHS], nodeName="n2"),
        *(
            pod(name, [shell(SLEEP, volumeMounts=[mount("v")])], volumes=[one], nodeName="n2")
            for name, one in BAD_PATHS.items()
        ),
        pod(
            "prepared",
            [shell(LAST, volumeMounts=at_d)],
            hostAliases=[{"ip": "192.0.2.9", "hostnames": ["elsewhere"]}],
            initContainers=[
                shell("sleep 1; echo first > /d/first", "first", volumeMounts=at_d),
                shell(
                    BESIDE,
                    "beside",
                    restartPolicy="Always",
                    startupProbe={"exec": {"command": ["ls", "/d/beside"]}, "periodSeconds": 1},
                    volumeMounts=at_d,
                ),
                shell("cat /d/* > /d/second", "second", volumeMounts=at_d),
            ],
            volumes=shared,
            restartPolicy="Never",
            terminationGracePeriodSeconds=30,
            nodeName="n1",
        ),
        pod(
            "neighbour",
            [shell(NEIGHBOUR, ports=[{"containerPort": NODE_PORT}])],
            hostNetwork=True,
            hostPID=True,
            hostIPC=True,
            nodeName="n1",
        ),
        pod("ported", [{"name": "main", "image": WEB, "ports": port}], nodeName="n3"),
    ]


@pytest.fixture(scope="module", autouse=True)
def animals(cluster: Cluster) -> Iterator[None]:
    async def make() -> None:
        async with cluster.client() as client:
            await cluster.run("n2", ["sh", "-c", FURNISH])
            await made_namespace(client, "zoo")
            for one in zoo():
                await client.create(one)

    async def unmake() -> None:
        async with cluster.client() as client:
            await removed_namespace(client, "zoo")
            await cluster.run("n2", ["rm", "-r", "/srv/zoo"])

    finished(make())
    yield
    finished(unmake())


async def test_init_containers_prepare_in_order_and_a_sidecar_ends_last(client: Client) -> None:
    one = await until_phase(client, "prepared", "Failed")

    assert await logs(client, "prepared", container="beside") == "beside\nfirst\nbeside\nfirst\n"
    ends = {each.name: each.state.terminated for each in one.status.init_container_statuses}
    last = status_of(one).state.terminated
    assert all(ends.values())
    assert last is not None
    assert last.message == "192.0.2.9\telsewhere\n"
    assert (last.exit_code, [each.exit_code for each in ends.values() if each]) == (3, [0, 0, 0])


async def test_two_containers_share_address_ipc_and_volume_but_not_their_processes(
    cluster: Cluster, client: Client
) -> None:
    one = await until_phase(client, "twins", "Running")

    async def has_heard() -> bool:
        return await logs(client, "twins", "two") == "from one\n"

    await until("one container hears the other over localhost", has_heard)
    spaces: dict[str, list[str]] = {}
    for name in ("one", "two"):
        (container,) = await containers_of(cluster, one, name)
        pid = await process_of(cluster, "n1", container)
        words = [f"readlink /proc/{pid}/ns/{kind}" for kind in ("net", "ipc", "pid", "mnt")]
        spaces[name] = (await cluster.run("n1", ["sh", "-c", ";".join(words)])).stdout.split()
    first, second = spaces["one"], spaces["two"]
    assert first[:2] == second[:2], "network and IPC"
    assert first[2] != second[2], "processes"
    assert first[3] != second[3], "files"


async def test_a_pod_in_the_nodes_namespaces_serves_at_the_nodes_address(
    cluster: Cluster, client: Client
) -> None:
    one = await until_phase(client, "neighbour", "Running")
    assert one.status.pod_ip == one.status.host_ip == cluster.lab.node("n1").address
    (container,) = await containers_of(cluster, one, "main")
    pid = await process_of(cluster, "n1", container)
    kinds = ("net", "pid", "ipc", "uts")
    for kind in kinds:
        argv = ["sh", "-c", f"readlink /proc/{pid}/ns/{kind} /proc/self/ns/{kind}"]
        first, second = (await cluster.run("n1", argv)).stdout.split()
        assert first == second, kind

    port = ServicePort(port=80, target_port=NODE_PORT)
    spec = ServiceSpec(selector={"app": "neighbour"}, ports=(port,))
    meta = ObjectMeta(name="neighbour", namespace="zoo")
    service = await client.create(Service(metadata=meta, spec=spec))
    url = f"http://{service.spec.cluster_ip}/"
    name = (await cluster.run("n1", ["hostname"])).stdout.strip()
    for node in cluster.names:

        async def reaches(node: str = node) -> bool:
            return await cluster.curl(node, url) == name

        await until(f"the node's own port answers to {node} by its service", reaches)
    ask = shell(f"until wget -qO- {url}; do sleep 0.2; done")
    await client.create(pod("asking", [ask], nodeName="n2", restartPolicy="Never"))
    await until_phase(client, "asking", "Succeeded")
    assert (await logs(client, "asking")).strip() == name


async def test_an_emptydir_goes_with_its_pod(cluster: Cluster, client: Client) -> None:
    one = await until_phase(client, "twins", "Running")
    folder = f"/var/lib/cubernetes/kubelet/volumes/{one.metadata.uid}"
    listed = (await cluster.run("n1", ["ls", f"{folder}/d"])).stdout.split()
    assert "index.html" in listed
    await client.delete(Pod, "twins", "zoo")
    await until_gone(client, "twins")
    assert (await cluster.run("n1", ["ls", folder], check=False)).code != 0


async def test_host_paths_of_every_type_are_mounted_where_they_are_what_they_should_be(
    cluster: Cluster, client: Client
) -> None:
    await until_phase(client, "furnished", "Running")

    async def has_written() -> str:
        return (await cluster.run("n2", ["cat", "/srv/zoo/new-file"], check=False)).stdout

    await until("the container has written", has_written)
    seen = (await cluster.run("n2", ["cat", "/srv/zoo/folder/seen"])).stdout.split()
    assert seen == ["any/", "device", "file", "folder/", "new-file", "new-folder/", "socket="]


async def test_a_host_path_that_is_something_else_is_told_and_never_mounted(
    cluster: Cluster, client: Client
) -> None:
    for name, volume in BAD_PATHS.items():
        source = volume["hostPath"]
        assert isinstance(source, dict)
        path = str(source["path"])

        async def is_told(name: str = name, path: str = path) -> bool:
            waiting = status_of(await client.get(Pod, name, "zoo")).state.waiting
            if waiting is None or waiting.reason != "ContainerCreating":
                return False
            return path in waiting.message

        await until(f"{name} is told that {path} is something else", is_told)
        one = await client.get(Pod, name, "zoo")
        assert await containers_of(cluster, one, "main") == []


async def test_a_host_port_is_reached_from_everywhere_and_only_while_its_pod_lives(
    cluster: Cluster, client: Client
) -> None:
    await until_phase(client, "ported", "Running")
    url = f"http://{cluster.lab.node('n3').address}:{HOST_PORT}/"

    async def answers(node: str) -> bool:
        return (await cluster.curl(node, url)).startswith("ported ")

    for node in cluster.names:

        async def reaches(node: str = node) -> bool:
            return await answers(node)

        await until(f"the port answers to {node}", reaches)
    argv = ["curl", "--silent", "--max-time", f"{PATIENCE_S:g}", url]
    from_host = await SystemCommands().run(argv, deadline_s=2 * PATIENCE_S)
    assert from_host.stdout.startswith(b"ported ")
    wish = pod(
        "clash",
        [
            {
                "name": "main",
                "image": WEB,
                "ports": [{"containerPort": 8080, "hostPort": HOST_PORT}],
            }
        ],
        nodeSelector={"kubernetes.io/hostname": "n3"},
    )
    await client.create(wish)  # waits: the port is taken
    await client.delete(Pod, "ported", "zoo")
    await until_gone(client, "ported")
    await until_phase(client, "clash", "Running")

    async def is_other() -> bool:
        return (await cluster.curl("n1", url)).startswith("clash ")

    await until("the port leads to the pod that waited for it", is_other)
    await client.delete(Pod, "clash", "zoo")
    await until_gone(client, "clash")

    async def is_closed() -> bool:
        return not await cluster.curl("n1", url)

    await until("the port is closed", is_closed)


async def test_two_workers_with_a_limit_of_one_core_use_one(
    cluster: Cluster, client: Client
) -> None:
    limits = {"limits": {"cpu": "1", "memory": "64Mi"}}
    worker = {"name": "main", "image": STRESS, "args": ["-cpu", "2"], "resources": limits}
    await client.create(pod("busy", [worker], nodeName="n2"))
    one = await until_phase(client, "busy", "Running")
    (container,) = await containers_of(cluster, one, "main")
    pid = await process_of(cluster, "n2", container)
    used = cpu_ns_of(pid)
    # The clock is read outside of the two looks: a pause between them makes the span longer.
    script = f"date +%s%N; {used}; sleep {SPAN_S}; {used}; date +%s%N"
    lines = (await cluster.run("n2", ["sh", "-c", script])).stdout.split()
    # Fails where there is no bound on processes either: a fork bomb must not reach the node.
    bounds = await bounds_of(cluster, "n2", pid)
    await client.delete(Pod, "busy", "zoo", grace_s=0)
    usage_ns, span_ns = int(lines[2]) - int(lines[1]), int(lines[3]) - int(lines[0])
    cores = usage_ns / span_ns
    print(f"two workers use {cores:.2f} cores")  # noqa: T201  a figure
    assert cores < 1.1
    # A busy machine may leave them less than a core, so the bound itself is looked at as well.
    assert (bounds.cores, bounds.memory_bytes) == (1.0, 64 << 20)


async def test_many_pods_start_on_one_node(cluster: Cluster, client: Client) -> None:
    names = [f"crowd-{index}" for index in range(CROWD)]
    loop = asyncio.get_running_loop()
    begun = loop.time()
    spent: dict[str, float] = {}

    async def watch_one(name: str) -> None:
        await client.create(pod(name, [{"name": "main", "image": WEB}], nodeName="n3"))

    await asyncio.gather(*(watch_one(name) for name in names))

    async def all_run() -> bool:
        for one in (await client.list(Pod, "zoo", fields="status.phase=Running")).items:
            spent.setdefault(one.metadata.name, loop.time() - begun)
        return set(names) <= spent.keys()

    await until(f"{CROWD} pods on one node", all_run)
    times = sorted(spent[name] for name in names)
    print(f"{CROWD} pods: p50 {times[CROWD // 2]:.1f} s, last {times[-1]:.1f} s")  # noqa: T201
    addresses = {
        one.status.pod_ip
        for one in (await client.list(Pod, "zoo", fields="spec.nodeName=n3")).items
        if one.metadata.name in names
    }
    assert len(addresses) == CROWD
    for address in shlex.split(" ".join(sorted(addresses)[:2])):
        assert await cluster.curl("n1", f"http://{address}:8080/", limit_s=PATIENCE_S)
