"""What happens in a pod's life on real nodes: hooks, names, gates, deadlines, mounts, its end."""

import json
import sys
from collections.abc import Iterator
from typing import Literal

import pytest

from cubernetes.api.coding import codec
from cubernetes.api.core.persistentvolume import PersistentVolume
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.core.pod import Pod, is_ready
from cubernetes.api.core.service import Service, ServicePort, ServiceSpec
from cubernetes.api.errors import Invalid, NotFound
from cubernetes.api.meta import ObjectMeta
from cubernetes.api.storage.storageclass import StorageClass
from cubernetes.client.rest import Client
from tests.e2e.cluster import Cluster, until
from tests.e2e.conftest import finished
from tests.e2e.pods import (
    SLEEP,
    STRESS,
    Tree,
    logs,
    made_namespace,
    pod,
    removed_namespace,
    shell,
    status_of,
    until_gone,
    until_phase,
)

pytestmark = [pytest.mark.lab]

TREE, AT_V = "/srv/life", [{"name": "v", "mountPath": "/v"}]
FURNISH = f"mkdir -p {TREE}/later {TREE}/hooks; echo outside > {TREE}/file"
ON_NODE = [{"name": "v", "hostPath": {"path": TREE}}]
STOPPED = "mkdir /www; touch /www/stop; httpd -f -v -p 8080 -h /www 2> /v/hooks/asked & "
HOOKS = {
    "main": {
        "postStart": {"exec": {"command": ["sh", "-c", "sleep 1; echo up > /v/hooks/post"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo down > /v/hooks/pre"]}},
    },
    "asked": {"preStop": {"httpGet": {"path": "/stop", "port": 8080}}},
    "slow": {"preStop": {"sleep": {"seconds": 2}}},
}
LIMITS = {"limits": {"memory": "64Mi"}}
MIB = {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}
VARIABLES: list[Tree] = [
    {"name": "MIB", "valueFrom": MIB},
    {"name": "BOTH", "value": "$(MIB) $$(MIB) $(NONE)"},
]
# Not hostname -f: a busybox without libraries asks nothing but the kernel.
NAMES = r"hostname; grep -o 'one\.[a-z.]*' /etc/hosts; cat /etc/resolv.conf; echo end; "
DNS = {"nameservers": ["192.0.2.53"], "searches": ["a.example"]}
# By their reclaim policies.
CLASSES: tuple[Literal["Retain"], Literal["Delete"]] = ("Retain", "Delete")


def see(propagation: str) -> Tree:
    script = f"until [ -e /v/later/file ]; do sleep 0.2; done; echo seen; {SLEEP}"
    mount = {**AT_V[0], "mountPropagation": propagation}
    return shell(script, volumeMounts=[mount])


def lives() -> list[Pod]:
    link = shell(f"ln -s {TREE} /v/link", "first", volumeMounts=AT_V)
    out = shell(SLEEP, volumeMounts=[{**AT_V[0], "subPath": "link"}])
    hooked = [
        shell((STOPPED if name == "asked" else "") + SLEEP, name, lifecycle=hook, volumeMounts=AT_V)
        for name, hook in HOOKS.items()
    ]
    told = {**shell("echo $0; echo $BOTH; exit 3", resources=LIMITS, env=VARIABLES)}
    stress = {"name": "main", "image": STRESS, "args": ["-memory", "100"], "resources": LIMITS}
    claimed = [
        {"name": one.lower(), "persistentVolumeClaim": {"claimName": one.lower()}}
        for one in CLASSES
    ]
    kept = [{"name": one.lower(), "mountPath": f"/{one.lower()}"} for one in CLASSES]
    write = shell("for v in retain delete; do echo data > /$v/file; done", volumeMounts=kept)
    gate = [{"conditionType": "example.com/warm"}]
    named = {"hostname": "one", "subdomain": "sub"}
    return [
        pod("hooked", hooked, volumes=ON_NODE, nodeName="n2", terminationGracePeriodSeconds=30),
        pod(
            "told",
            [
                {
                    **told,
                    "args": ["$$(MIB)-$(MIB)"],
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                }
            ],
            restartPolicy="Never",
        ),
        pod("linked", [out], initContainers=[link], volumes=[{"name": "v", "emptyDir": {}}]),
        pod("sees", [see("HostToContainer")], volumes=ON_NODE, nodeName="n2"),
        pod("blind", [see("None")], volumes=ON_NODE, nodeName="n2"),
        pod("gated", [shell(SLEEP)], readinessGates=gate),
        pod("late", [shell(SLEEP)], activeDeadlineSeconds=2),
        pod("named", [shell(NAMES + SLEEP)], **named, dnsConfig={"searches": ["b.example"]}),
        pod("full", [shell(NAMES + SLEEP)], **named, setHostnameAsFQDN=True),
        pod("apart", [shell(NAMES + SLEEP)], dnsPolicy="None", dnsConfig=DNS),
        pod("greedy", [stress], restartPolicy="Never"),
        pod("writer", [write], volumes=claimed, restartPolicy="Never"),
    ]


def a_class(policy: Literal["Retain", "Delete"]) -> StorageClass:
    return StorageClass(
        metadata=ObjectMeta(name=f"life-{policy.lower()}"),
        provisioner="cubernetes.io/local",
        volume_binding_mode="WaitForFirstConsumer",
        reclaim_policy=policy,
    )


def a_claim(policy: str) -> PersistentVolumeClaim:
    spec = {
        "storageClassName": f"life-{policy.lower()}",
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Mi"}},
    }
    tree = {"metadata": {"name": policy.lower(), "namespace": "zoo"}, "spec": spec}
    return codec.from_tree(PersistentVolumeClaim, tree).model


@pytest.fixture(scope="module", autouse=True)
def begun(cluster: Cluster) -> Iterator[None]:
    async def make() -> None:
        async with cluster.client() as client:
            await cluster.run("n2", ["sh", "-c", FURNISH])
            await made_namespace(client, "zoo")
            for policy in CLASSES:
                await client.create(a_class(policy))
                await client.create(a_claim(policy))
            ports = (ServicePort(port=80),)
            spec = ServiceSpec(cluster_ip="None", selector={"app": "named"}, ports=ports)
            await client.create(
                Service(metadata=ObjectMeta(name="sub", namespace="zoo"), spec=spec)
            )
            for one in lives():
                await client.create(one)

    async def unmake() -> None:
        async with cluster.client() as client:
            await removed_namespace(client, "zoo")
            for policy in CLASSES:
                await client.delete(StorageClass, f"life-{policy.lower()}", "")
            await cluster.run("n2", ["sh", "-c", f"umount {TREE}/later; rm -r {TREE}"])

    finished(make())
    yield
    finished(unmake())


async def lines_of(client: Client, name: str) -> list[str]:
    """Return what a container has told, up to its word that this is the end."""

    async def is_whole() -> bool:
        return (await logs(client, name)).endswith("end\n")

    await until(f"{name} has told all", is_whole)
    return (await logs(client, name)).splitlines()


async def test_variables_are_expanded_in_commands_and_each_other_and_as_they_stand(
    client: Client,
) -> None:
    one = await until_phase(client, "told", "Failed")
    last = status_of(one).state.terminated
    assert last is not None
    assert await logs(client, "told") == "$(MIB)-64\n64 $(MIB) $(NONE)\n"
    assert last.message == "$(MIB)-64\n64 $(MIB) $(NONE)\n"


async def test_a_pod_has_the_names_that_it_asks_for(client: Client) -> None:
    full = "one.sub.zoo.svc.cluster.local"
    named = await lines_of(client, "named")
    assert named[:2] == ["one", full]
    (search,) = (line for line in named if line.startswith("search "))
    assert {"zoo.svc.cluster.local", "b.example"} < set(search.split())
    assert (await lines_of(client, "full"))[:2] == [full, full]
    apart = await lines_of(client, "apart")
    assert {"nameserver 192.0.2.53", "search a.example"} < set(apart)
    assert not any("cluster.local" in line for line in apart)


async def test_a_gate_and_a_deadline_are_heeded(client: Client) -> None:
    gated = await until_phase(client, "gated", "Running")
    assert status_of(gated).ready
    assert not is_ready(gated)
    met = {"status": {"conditions": [{"type": "example.com/warm", "status": "True"}]}}
    await client.patch(Pod, "gated", "zoo", met, subresource="status")

    async def is_open() -> bool:
        return is_ready(await client.get(Pod, "gated", "zoo"))

    await until("the pod is ready", is_open)
    late = await until_phase(client, "late", "Failed")
    assert late.status.reason == "DeadlineExceeded"


async def test_no_link_leads_a_container_out_of_its_volume(client: Client) -> None:
    async def is_refused() -> bool:
        waiting = status_of(await client.get(Pod, "linked", "zoo")).state.waiting
        return waiting is not None and "leads out of the volume" in waiting.message

    await until("the link is refused", is_refused)


async def test_what_is_mounted_later_is_seen_by_who_asks_for_it(
    cluster: Cluster, client: Client
) -> None:
    for name in ("sees", "blind"):
        await until_phase(client, name, "Running")
    mount = f"mount -t tmpfs later {TREE}/later && touch {TREE}/later/file"
    await cluster.run("n2", ["sh", "-c", mount])

    async def has_seen() -> bool:
        return await logs(client, "sees") == "seen\n"

    await until("what was mounted is seen", has_seen)
    assert await logs(client, "blind") == ""


async def test_hooks_come_after_the_start_and_before_the_end_and_within_the_grace(
    cluster: Cluster, client: Client
) -> None:
    await until_phase(client, "hooked", "Running")

    async def left(name: str) -> str:
        return (await cluster.run("n2", ["cat", f"{TREE}/hooks/{name}"])).stdout

    assert await left("post") == "up\n"
    await client.delete(Pod, "hooked", "zoo")
    took_s = await until_gone(client, "hooked")
    assert await left("pre") == "down\n"
    assert "response:200" in await left("asked")
    assert took_s >= 1


async def test_how_a_container_died_is_told_when_its_pod_is_gone(
    cluster: Cluster, client: Client
) -> None:
    await until_phase(client, "greedy", "Failed")
    argv = [sys.executable, "-m", "cubectl", "post-mortem", "greedy", "-n", "zoo"]
    argv += ["--kubeconfig", "/etc/cubernetes/admin.conf"]
    words = ("the kernel ended it at its own memory limit of 64Mi", "a worker died")

    async def is_told() -> bool:
        told = (await cluster.run("n1", argv, check=False)).stdout
        return all(word in told for word in words)

    await until("it is told how the container ended", is_told)
    await client.delete(Pod, "greedy", "zoo")
    await until_gone(client, "greedy")
    await until("its node tells it", is_told)


async def test_a_volume_outlives_its_claim_where_its_class_says_so(
    cluster: Cluster, client: Client
) -> None:
    one = await until_phase(client, "writer", "Succeeded")
    names = {
        policy: (await client.get(PersistentVolumeClaim, policy.lower(), "zoo")).spec.volume_name
        for policy in CLASSES
    }
    more = {"spec": {"resources": {"requests": {"storage": "2Mi"}}}}
    with pytest.raises(Invalid, match=r"requests\.storage"):
        await client.patch(PersistentVolumeClaim, "delete", "zoo", more)
    volume = await client.get(PersistentVolume, names["Retain"], "")
    path = json.loads(codec.encode(volume))["spec"]["local"]["path"]
    await client.delete(Pod, "writer", "zoo")
    for policy in CLASSES:
        await client.delete(PersistentVolumeClaim, policy.lower(), "zoo")

    async def is_deleted() -> bool:
        try:
            await client.get(PersistentVolume, names["Delete"], "")
        except NotFound:
            return True
        return False

    async def is_released() -> bool:
        return (await client.get(PersistentVolume, names["Retain"], "")).status.phase == "Released"

    await until("one volume goes with its claim", is_deleted)
    await until("the other is released", is_released)
    node = one.spec.node_name
    assert (await cluster.run(node, ["cat", f"{path}/file"])).stdout == "data\n"
    gone = path.replace(names["Retain"], names["Delete"])
    assert (await cluster.run(node, ["ls", gone], check=False)).code != 0
    await client.delete(PersistentVolume, names["Retain"], "")
