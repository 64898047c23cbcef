"""Probes on real nodes: readiness leads callers, liveness ends a container, startup protects it."""

import pytest

from cubernetes.api.core.pod import Pod, is_ready
from cubernetes.api.core.service import Service, ServicePort, ServiceSpec
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.meta import ObjectMeta
from cubernetes.client.rest import Client
from tests.e2e.cluster import Cluster, until
from tests.e2e.pods import (
    SLEEP,
    containers_of,
    made_namespace,
    pod,
    removed_namespace,
    shell,
    status_of,
    until_recorded,
)

pytestmark = [pytest.mark.lab]

SERVE = f"mkdir /www; touch /www/ok /tmp/ok; httpd -p 8080 -h /www; {SLEEP}"
PORTS = [{"name": "http", "containerPort": 8080}]
# A probe that fails does so at once; one that a busy machine is slow with does not.
QUICK = {"periodSeconds": 1, "failureThreshold": 2, "timeoutSeconds": 30}
OK = {"httpGet": {"path": "/ok", "port": "http"}, **QUICK}
ALIVE = {"exec": {"command": ["cat", "/tmp/ok"]}, **QUICK, "terminationGracePeriodSeconds": 1}


async def is_led_to(client: Client, name: str) -> bool:
    slices = await client.list(EndpointSlice, "zoo", labels=f"kubernetes.io/service-name={name}")
    return any(one.conditions.ready for each in slices.items for one in each.endpoints)


async def run_in(cluster: Cluster, one: Pod, script: str) -> None:
    (container,) = await containers_of(cluster, one, "main")
    await cluster.run(one.spec.node_name, ["docker", "exec", container, "sh", "-c", script])


async def test_a_pod_is_led_to_while_it_says_so_and_ended_when_it_does_not_live(
    client: Client, cluster: Cluster
) -> None:
    await made_namespace(client, "zoo")
    spec = ServiceSpec(selector={"app": "shop"}, ports=(ServicePort(port=80, target_port="http"),))
    await client.create(Service(metadata=ObjectMeta(name="shop", namespace="zoo"), spec=spec))
    server = shell(SERVE, ports=PORTS, readinessProbe=OK, livenessProbe=ALIVE)
    await client.create(pod("shop", [server]))

    async def led() -> bool:
        return await is_led_to(client, "shop")

    async def is_let_go() -> bool:
        return not await is_led_to(client, "shop")

    async def is_again() -> bool:
        found = await client.get(Pod, "shop", "zoo")
        return status_of(found).restart_count == 1 and is_ready(found)

    await until("the service leads to the pod", led)
    one = await client.get(Pod, "shop", "zoo")
    await run_in(cluster, one, "rm /www/ok")
    await until("the service lets go of the pod", is_let_go)
    assert not status_of(await client.get(Pod, "shop", "zoo")).ready
    await run_in(cluster, one, "touch /www/ok")
    await until("the service leads to the pod again", led)
    assert status_of(await client.get(Pod, "shop", "zoo")).restart_count == 0

    await run_in(cluster, one, "rm /tmp/ok")
    await until("the container is started again", is_again)
    await until_recorded(
        client,
        "shop",
        "Readiness probe failed: HTTP probe failed with statuscode: 404",
        "Container main failed liveness probe, will be restarted",
        "Liveness probe failed: cat: can't open '/tmp/ok'",
    )
    await removed_namespace(client, "zoo")


async def test_a_slow_start_is_not_ended_by_its_liveness(client: Client) -> None:
    await made_namespace(client, "zoo")
    slow = f"sleep 6; touch /tmp/ok; mkdir /www; httpd -p 8080 -h /www; {SLEEP}"
    startup = {"tcpSocket": {"port": 8080}, **QUICK, "failureThreshold": 60}
    impatient = {**ALIVE, "failureThreshold": 1}
    await client.create(
        pod("slow", [shell(slow, ports=PORTS, startupProbe=startup, livenessProbe=impatient)])
    )

    async def has_started() -> bool:
        one = status_of(await client.get(Pod, "slow", "zoo"))
        return bool(one.started) and one.ready

    assert await until("the container has started", has_started) >= 4
    assert status_of(await client.get(Pod, "slow", "zoo")).restart_count == 0
    await removed_namespace(client, "zoo")
