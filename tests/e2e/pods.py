"""Pods for the end-to-end tests: short to write, quick to end, and what a test asks of them."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from cubernetes.api.coding import codec
from cubernetes.api.core.event import Event
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podstatus import ContainerStatus
from cubernetes.api.errors import NotFound
from cubernetes.api.meta import ObjectMeta
from cubernetes.client.rest import Client
from lab.host.cgroup import Hierarchy, hierarchies
from tests.e2e.cluster import PATIENCE_S, Cluster, until

BUSYBOX, STRESS, WEB = "cubernetes/busybox:1", "cubernetes/stress:1", "cubernetes/web:1"
SLEEP = "trap 'exit 0' TERM; sleep 100000 & wait"
STUBBORN = "trap '' TERM; while :; do sleep 1; done"

type Tree = Mapping[str, object]


def shell(script: str, name: str = "main", **fields: object) -> Tree:
    """Return a container that runs a script."""
    return {"name": name, "image": BUSYBOX, "command": ["sh", "-c", script], **fields}


def pod(name: str, containers: Iterable[Tree], *, namespace: str = "zoo", **spec: object) -> Pod:
    """Return a pod; spec: fields in the API's spelling. It has a second of grace unless told."""
    tree = {
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [*containers], **spec},
    }
    return codec.from_tree(Pod, tree).model


# A pod that a full node takes all the same.
BEARS_FULL_DISK = ({"key": "node.kubernetes.io/disk-pressure", "operator": "Exists"},)


async def until_untainted(client: Client) -> None:
    """Wait until every node takes any pod."""

    async def none_is_tainted() -> bool:
        return not any(one.spec.taints for one in (await client.list(Node)).items)

    await until("no node is short of anything", none_is_tainted)


async def made_namespace(client: Client, name: str) -> None:
    await client.create(Namespace(metadata=ObjectMeta(name=name)))


async def removed_namespace(client: Client, name: str) -> None:
    """Delete a namespace with all that is in it; return when the name is free."""
    await client.delete(Namespace, name)

    async def is_gone() -> bool:
        return not (await client.list(Namespace, fields=f"metadata.name={name}")).items

    await until(f"namespace {name} and all that was in it is gone", is_gone)


async def found(client: Client, name: str, namespace: str = "zoo") -> Pod | None:
    try:
        return await client.get(Pod, name, namespace)
    except NotFound:
        return None


def status_of(one: Pod, container: str = "main") -> ContainerStatus:
    """Return a container's status; an empty one while there is none."""
    of_name = [each for each in one.status.container_statuses if each.name == container]
    return of_name[0] if of_name else ContainerStatus(name=container)


async def until_phase(
    client: Client, name: str, phase: str, deadline_s: float = PATIENCE_S, namespace: str = "zoo"
) -> Pod:
    """Wait until the pod's phase is the one asked for; return the pod as it was seen so."""

    seen: list[Pod | None] = []

    async def is_there() -> bool:
        seen[:] = [await found(client, name, namespace)]
        return seen[0] is not None and seen[0].status.phase == phase

    await until(f"{name} is {phase}", is_there, deadline_s)
    assert seen[0] is not None
    return seen[0]


async def until_out_of_memory(client: Client, name: str, namespace: str = "zoo") -> None:
    """Wait until a failed pod's container is told as ended by the kernel for its memory.

    The engine may tell so a moment after it told the end.
    """

    async def is_told() -> bool:
        ended = status_of(await client.get(Pod, name, namespace)).state.terminated
        return ended is not None and ended.reason == "OOMKilled"

    await until_phase(client, name, "Failed", namespace=namespace)
    await until(f"{name} is told as OOMKilled", is_told)


async def until_waiting(
    client: Client, name: str, reason: str, container: str = "main", deadline_s: float = PATIENCE_S
) -> Pod:
    """Wait until a container waits for a reason; return the pod as it was seen so."""
    reasons: list[str] = []
    pods: list[Pod] = []

    async def is_there() -> bool:
        pods[:] = [await client.get(Pod, name, "zoo")]
        waiting = status_of(pods[0], container).state.waiting
        if waiting is not None and waiting.reason not in reasons:
            reasons.append(waiting.reason)
        return waiting is not None and waiting.reason == reason

    try:
        await until(f"{name}/{container} waits: {reason}", is_there, deadline_s)
    except AssertionError as error:
        raise AssertionError(f"{error}; reasons seen: {reasons}") from error
    return pods[0]


async def until_gone(
    client: Client, name: str, deadline_s: float = PATIENCE_S, namespace: str = "zoo"
) -> float:
    """Wait until the pod is no more; return after how many seconds."""

    async def is_gone() -> bool:
        return await found(client, name, namespace) is None

    return await until(f"{name} is gone", is_gone, deadline_s)


async def logs(client: Client, name: str, container: str = "", **how: object) -> str:
    """Return what a container wrote; how: as Client.log takes it."""
    text = b""
    options: Mapping[str, object] = how
    async for piece in client.log(name, "zoo", container=container, **options):  # type: ignore[arg-type]
        text += piece
    return text.decode()


async def records_of(client: Client, name: str, namespace: str = "zoo") -> list[Event]:
    """Return the Events about a pod."""
    fields = f"involvedObject.name={name}"
    return list((await client.list(Event, namespace, fields=fields)).items)


async def until_recorded(client: Client, name: str, *words: str, namespace: str = "zoo") -> None:
    """Wait until the messages of Events about a pod have all these words.

    An Event is written beside what it tells of, and may come after it.
    """
    told: list[str] = []

    async def are_told() -> bool:
        told[:] = [one.message for one in await records_of(client, name, namespace)]
        return all(any(word in message for message in told) for word in words)

    try:
        await until(f"events of {name} tell {words}", are_told)
    except AssertionError as error:
        raise AssertionError(f"{error}; told: {told}") from error


async def containers_of(cluster: Cluster, one: Pod, name: str = "") -> list[str]:
    """Return the ids of the containers that run for a pod (all, or those of a name)."""
    argv = ["docker", "ps", "-q", "--no-trunc"]
    argv += ["--filter", f"label=cubernetes.io/pod-uid={one.metadata.uid}"]
    if name:
        argv += ["--filter", f"label=cubernetes.io/container={name}"]
    return (await cluster.run(one.spec.node_name, argv)).stdout.split()


async def process_of(cluster: Cluster, node: str, container_id: str) -> int:
    """Return a container's first process, as its node counts."""
    argv = ["docker", "inspect", "-f", "{{.State.Pid}}", container_id]
    return int((await cluster.run(node, argv)).stdout)


class Bounds(NamedTuple):
    """What the kernel lets a control group have."""

    cores: float
    memory_bytes: int
    process_count: int


async def bounds_of(cluster: Cluster, node: str, pid: int) -> Bounds:
    """Return the bounds of a process's control group; a bound that is missing is a ValueError."""
    trees = hierarchies()
    if trees[0].version == 2:
        names = ["cpu.max", "memory.max", "pids.max"]
    else:
        names = ["cpu.cfs_quota_us", "cpu.cfs_period_us", "memory.limit_in_bytes", "pids.max"]
    files = " ".join(group_file(trees, pid, name) for name in names)
    # Both versions tell the same four numbers, in one line of the first file or in two files.
    words = (await cluster.run(node, ["sh", "-c", f"cat {files}"])).stdout.split()
    quota_us, period_us, memory_bytes, process_count = map(int, words)
    return Bounds(quota_us / period_us, memory_bytes, process_count)


def cpu_ns_of(pid: int) -> str:
    """Return a shell command that tells the time of all cores that a process's group has used."""
    trees = hierarchies()
    if trees[0].version == 2:
        return f"sed -n 's/^usage_usec \\(.*\\)/\\1000/p' {group_file(trees, pid, 'cpu.stat')}"
    return f"cat {group_file(trees, pid, 'cpuacct.usage')}"


def group_file(trees: Iterable[Hierarchy], pid: int, name: str) -> str:
    """Return, as a shell word, a file of a process's control group, named `<controller>.*`."""
    controller = name.partition(".")[0]
    (tree,) = (one for one in trees if one.version == 2 or controller in one.words)
    own = f"$(sed -n 's/^[0-9]*:{','.join(tree.words)}://p' /proc/{pid}/cgroup)"
    return f"{tree.at}{own}/{name}"
