"""A container's variables from ConfigMaps, Secrets, services and its pod, on real nodes."""

import pytest

from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.secret import Secret
from cubernetes.api.core.service import Service, ServicePort, ServiceSpec
from cubernetes.api.meta import ObjectMeta
from cubernetes.client.rest import Client
from tests.e2e.cluster import Cluster, until
from tests.e2e.pods import (
    SLEEP,
    containers_of,
    logs,
    made_namespace,
    pod,
    records_of,
    removed_namespace,
    shell,
    status_of,
    until_gone,
    until_phase,
    until_waiting,
)

pytestmark = [pytest.mark.lab]

PRINT = f"env; echo end; {SLEEP}"
SOURCES = [
    {"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "shop", "key": "greeting"}}},
    {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "shop", "key": "password"}}},
    {
        "name": "DISCOUNT",
        "valueFrom": {"configMapKeyRef": {"name": "shop", "key": "none", "optional": True}},
    },
    {"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    {"name": "TITLE", "value": "$(GREETING) from $(ADDRESS)"},
]


async def variables(client: Client, name: str) -> dict[str, str]:
    """Return what a container printed as its environment."""

    async def is_whole() -> bool:
        return (await logs(client, name)).endswith("end\n")

    await until(f"{name} has printed its environment", is_whole)
    lines = (await logs(client, name)).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


async def test_a_container_has_the_variables_that_its_pod_names(client: Client) -> None:
    await made_namespace(client, "zoo")
    meta = ObjectMeta(name="shop", namespace="zoo")
    till = ServiceSpec(selector={"app": "till"}, ports=(ServicePort(port=80),))
    made = await client.create(
        Service(metadata=ObjectMeta(name="till", namespace="zoo"), spec=till)
    )
    await client.create(ConfigMap(metadata=meta, data={"greeting": "welcome", "currency": "EUR"}))
    await client.create(Secret(metadata=meta, string_data={"password": "battery staple"}))
    prefixed = [{"prefix": "SHOP_", "configMapRef": {"name": "shop"}}]

    await client.create(pod("told", [shell(PRINT, env=SOURCES, envFrom=prefixed)]))
    one = await until_phase(client, "told", "Running")
    found = await variables(client, "told")

    assert found["GREETING"] == found["SHOP_greeting"] == "welcome"
    assert found["PASSWORD"] == "battery staple"
    assert found["TITLE"] == f"welcome from {one.status.pod_ip}"
    assert "DISCOUNT" not in found
    assert found["TILL_SERVICE_HOST"] == made.spec.cluster_ip
    assert found["KUBERNETES_SERVICE_PORT"] == "443"

    async def are_recorded() -> bool:
        told = await records_of(client, "told")
        paths = {each.reason: each.involved_object.field_path for each in told}
        return paths.get("Started") == paths.get("Created") == "spec.containers{main}"

    await until("events tell of the container", are_recorded)

    await client.create(pod("alone", [shell(PRINT)], enableServiceLinks=False))
    await until_phase(client, "alone", "Running")
    found = await variables(client, "alone")
    assert "TILL_SERVICE_HOST" not in found
    assert "KUBERNETES_SERVICE_HOST" in found
    await removed_namespace(client, "zoo")


async def test_a_container_waits_for_the_secret_that_it_names(client: Client) -> None:
    await made_namespace(client, "zoo")
    wanted = {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "late", "key": "word"}}}
    await client.create(pod("waits", [shell(PRINT, env=[wanted])]))
    one = await until_waiting(client, "waits", "CreateContainerConfigError")
    waiting = status_of(one).state.waiting
    assert waiting is not None
    assert "late" in waiting.message

    meta = ObjectMeta(name="late", namespace="zoo")
    await client.create(Secret(metadata=meta, string_data={"word": "here"}))

    await until_phase(client, "waits", "Running", deadline_s=90)
    assert (await variables(client, "waits"))["PASSWORD"] == "here"
    await removed_namespace(client, "zoo")


async def test_a_device_of_a_node_is_given_to_one_pod_after_the_other(
    client: Client, cluster: Cluster
) -> None:
    await made_namespace(client, "zoo")
    node = cluster.names[-1]
    gpu = "example.com/gpu"
    status = {"status": {"capacity": {gpu: "1"}, "allocatable": {gpu: "1"}}}
    await client.patch(Node, node, "", status, subresource="status")
    device = {"requests": {gpu: "1"}, "limits": {gpu: "1"}}

    await client.create(pod("first", [shell(SLEEP, resources=device)]))
    one = await until_phase(client, "first", "Running")
    assert one.spec.node_name == node
    assert len(await containers_of(cluster, one, "main")) == 1
    await client.create(pod("second", [shell(SLEEP, resources=device)]))

    async def is_refused() -> bool:
        found = {each.reason: each.message for each in await records_of(client, "second")}
        return gpu in found.get("FailedScheduling", "")

    await until("the second pod is told that it lacks a device", is_refused)
    await client.delete(Pod, "first", "zoo")
    await until_gone(client, "first")
    two = await until_phase(client, "second", "Running")
    assert two.spec.node_name == node
    await removed_namespace(client, "zoo")
    gone = {"status": {"capacity": {gpu: None}, "allocatable": {gpu: None}}}
    await client.patch(Node, node, "", gone, subresource="status")
