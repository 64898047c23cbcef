"""Volumes made from ConfigMaps, Secrets and the pod, on real nodes: files, modes and changes."""

import math

import pytest

from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.secret import Secret
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.client.rest import Client
from tests.e2e.cluster import Cluster, until
from tests.e2e.pods import (
    SLEEP,
    logs,
    made_namespace,
    pod,
    removed_namespace,
    shell,
    status_of,
    until_phase,
    until_waiting,
)

pytestmark = [pytest.mark.lab]

# Told once: modes, owners, where a write fails, what is mounted; then whenever the text changes.
SCRIPT = f"""
stat -L -c '%a %u %n' /login/word /all/deep/word /all/labels
touch /conf/x 2>&1 || echo read-only
grep -o ' /login tmpfs' /proc/mounts
echo "limit: $(cat /all/limit)"
echo "room: $(cat /all/room)"
was=
while :; do
  now=$(cat /conf/text)
  [ "$now" = "$was" ] || {{ echo "text: $now"; was=$now; }}
  sleep 0.1
done & {SLEEP}
"""
LIMIT = {"containerName": "main", "resource": "limits.memory", "divisor": "1Mi"}
CORES = {"containerName": "main", "resource": "limits.cpu"}
VOLUMES = [
    {"name": "conf", "configMap": {"name": "shop"}},
    {"name": "login", "secret": {"secretName": "shop", "defaultMode": 0o400}},
    {
        "name": "all",
        "projected": {
            "sources": [
                {"secret": {"name": "shop", "items": [{"key": "word", "path": "deep/word"}]}},
                {
                    "downwardAPI": {
                        "items": [
                            {
                                "path": "labels",
                                "mode": 0o444,
                                "fieldRef": {"fieldPath": "metadata.labels"},
                            },
                            {"path": "limit", "resourceFieldRef": LIMIT},
                            {"path": "room", "resourceFieldRef": CORES},
                        ]
                    }
                },
            ]
        },
    },
]
MOUNTS = [{"name": one["name"], "mountPath": f"/{one['name']}"} for one in VOLUMES]


async def test_files_of_a_running_pod_follow_what_they_are_made_from(
    client: Client, cluster: Cluster
) -> None:
    await made_namespace(client, "zoo")
    meta = ObjectMeta(name="shop", namespace="zoo")
    await client.create(Secret(metadata=meta, string_data={"word": "battery staple"}))
    main = shell(SCRIPT, volumeMounts=MOUNTS, resources={"limits": {"memory": "48Mi"}})
    await client.create(pod("files", [main], volumes=VOLUMES))
    one = await until_waiting(client, "files", "ContainerCreating")
    config = await client.create(ConfigMap(metadata=meta, data={"text": "one"}))
    one = await until_phase(client, "files", "Running")

    async def wrote(line: str) -> bool:
        return line in (await logs(client, "files")).splitlines()

    await until("the container reads its files", lambda: wrote("text: one"))
    await client.update(replaced(config, data={"text": "two"}))
    await until("the change is seen", lambda: wrote("text: two"))
    lines = (await logs(client, "files")).splitlines()
    assert {"400 0 /login/word", "644 0 /all/deep/word", "444 0 /all/labels"} < set(lines)
    node = await client.get(Node, one.spec.node_name)
    cores = math.ceil(node.status.allocatable["cpu"].amount)
    assert {"read-only", " /login tmpfs", "limit: 48", f"room: {cores}"} < set(lines)

    kept = f"/var/lib/cubernetes/kubelet/volumes/{one.metadata.uid}"
    ended = await cluster.run(one.spec.node_name, ["cat", "/proc/mounts"])
    assert kept in ended.stdout
    await removed_namespace(client, "zoo")
    ended = await cluster.run(one.spec.node_name, ["cat", "/proc/mounts"])
    assert kept not in ended.stdout


async def test_a_pod_finds_who_it_is_and_the_api_server_knows_it(
    client: Client, cluster: Cluster
) -> None:
    await made_namespace(client, "zoo")
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    script = f"cat {folder}/namespace; echo; wc -l {folder}/token {folder}/ca.crt; env; {SLEEP}"
    await client.create(pod("asks", [shell(script)]))
    one = await until_phase(client, "asks", "Running")

    async def has_told() -> bool:
        return "KUBERNETES_SERVICE_PORT" in await logs(client, "asks")

    await until("the container has told what it finds", has_told)
    told = dict(line.split("=", 1) for line in (await logs(client, "asks")).split() if "=" in line)
    assert (await logs(client, "asks")).startswith("zoo\n")
    server = f"https://{told['KUBERNETES_SERVICE_HOST']}:{told['KUBERNETES_SERVICE_PORT']}"
    kept = f"/var/lib/cubernetes/kubelet/volumes/{one.metadata.uid}/{one.spec.volumes[-1].name}"
    ask = 'curl -s -w "%{http_code}" --cacert $0/ca.crt -H "Authorization: Bearer $(cat $0/token)"'

    async def answer(path: str) -> str:
        asked = ["sh", "-c", f"{ask} {server}{path}", kept]
        return (await cluster.run(one.spec.node_name, asked)).stdout

    assert (await answer("/apis")).endswith("200")
    refused = await answer("/api/v1/namespaces/zoo/secrets")
    assert 'User \\"system:serviceaccount:zoo:default\\" cannot list' in refused
    await client.delete(Pod, "asks", "zoo", grace_s=0)
    await removed_namespace(client, "zoo")

    async def is_gone() -> bool:  # a name is free at once; its node takes the rest away then
        return (await cluster.run(one.spec.node_name, ["ls", kept], check=False)).stdout == ""

    await until("the pod's files are gone", is_gone)


async def test_a_careful_pod_runs_as_it_says_and_one_that_would_be_root_does_not(
    client: Client,
) -> None:
    await made_namespace(client, "zoo")
    volumes = [{"name": "data", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]
    mount = {"name": "data", "mountPath": "/data", "subPathExpr": "$(POD)"}
    name = {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    script = f"""
    id -u; id -g; id -G
    touch /x 2>/dev/null || echo root is read-only
    echo one > /data/file && stat -c '%U:%g %n' /data/file
    dd if=/dev/zero of=/data/big bs=1M count=2 2>/dev/null || echo full
    echo end; {SLEEP}
    """
    own = {"readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    careful = shell(script, securityContext=own, volumeMounts=[mount], env=[name])
    rights = {"runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 3000, "fsGroup": 2000}
    await client.create(pod("careful", [careful], volumes=volumes, securityContext=rights))
    await client.create(pod("root", [shell(SLEEP)], securityContext={"runAsNonRoot": True}))
    await until_phase(client, "careful", "Running")

    async def is_whole() -> bool:
        return (await logs(client, "careful")).endswith("end\n")

    await until("careful has told who it is", is_whole)
    lines = (await logs(client, "careful")).splitlines()
    assert lines[:2] == ["1000", "3000"]
    assert "2000" in lines[2].split()
    assert "root is read-only" in lines
    assert [one for one in lines if one.endswith(":2000 /data/file")]
    assert "full" in lines

    waits = await until_waiting(client, "root", "CreateContainerConfigError")
    waiting = status_of(waits).state.waiting
    assert waiting is not None
    assert "runAsNonRoot and image will run as root" in waiting.message
    await removed_namespace(client, "zoo")


async def test_who_holds_more_of_the_disk_than_it_may_is_evicted_and_gives_it_back(
    client: Client, cluster: Cluster
) -> None:
    await made_namespace(client, "zoo")
    script = f"dd if=/dev/zero of=$0/big bs=1M count=3; {SLEEP}"
    cache = {"name": "cache", "emptyDir": {"sizeLimit": "1Mi"}}
    mount = {"name": "cache", "mountPath": "/cache"}
    bound = {"limits": {"ephemeral-storage": "1Mi"}}
    volume = {**shell(script, volumeMounts=[mount]), "args": ["/cache"]}
    layer = {**shell(script, resources=bound), "args": ["/tmp"]}
    await client.create(pod("greedy", [volume], volumes=[cache]))
    await client.create(pod("fat", [layer]))
    greedy = await until_phase(client, "greedy", "Failed")
    fat = await until_phase(client, "fat", "Failed")
    said = 'Usage of EmptyDir volume "cache" exceeds the limit "1Mi". '
    assert (greedy.status.reason, greedy.status.message) == ("Evicted", said)
    said = "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. "
    assert (fat.status.reason, fat.status.message) == ("Evicted", said)
    kept = f"/var/lib/cubernetes/kubelet/volumes/{greedy.metadata.uid}"

    async def is_freed() -> bool:
        node = greedy.spec.node_name
        return (await cluster.run(node, ["ls", kept], check=False)).stdout == ""

    await until("what it wrote is removed", is_freed)
    await removed_namespace(client, "zoo")
