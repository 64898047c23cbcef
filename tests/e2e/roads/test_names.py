"""Names on real nodes: from pods and from the nodes themselves, also without a control plane."""

from datetime import UTC, datetime
from functools import partial

import pytest

from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.service import Service, ServicePort, ServiceSpec
from cubernetes.api.meta import ObjectMeta
from cubernetes.client.rest import Client
from tests.e2e.cluster import CUBEROOT, Cluster, until
from tests.e2e.pods import SLEEP, logs, made_namespace, pod, removed_namespace, shell, until_phase
from tests.e2e.uses.test_serving import all_heard

pytestmark = [pytest.mark.lab]

ASK = "cat /etc/resolv.conf; nslookup till; nslookup till.zoo.svc.cluster.local; echo end"
# A question for till.zoo.svc.cluster.local, type A, by no other program than the node's own Python.
NODE_ASKS = """
import socket
labels = b"".join(bytes([len(one)]) + one for one in b"till.zoo.svc.cluster.local".split(b"."))
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
own.settimeout(5)
head = b"\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0"
own.sendto(head + labels + b"\\0\\0\\1\\0\\1", ("169.254.20.10", 53))
print(".".join(str(byte) for byte in own.recv(512)[-4:]))
"""


async def test_w29_a_service_is_found_by_name_from_pods_and_nodes(
    cluster: Cluster, client: Client
) -> None:
    await made_namespace(client, "zoo")
    till = ServiceSpec(selector={"app": "till"}, ports=(ServicePort(port=80),))
    made = await client.create(
        Service(metadata=ObjectMeta(name="till", namespace="zoo"), spec=till)
    )
    address = made.spec.cluster_ip
    await client.create(pod("asker", [shell(f"{ASK}; {SLEEP}")]))
    await until_phase(client, "asker", "Running")

    async def has_asked() -> bool:
        return (await logs(client, "asker")).endswith("end\n")

    await until("the pod has asked", has_asked)
    told = await logs(client, "asker")
    assert "search zoo.svc.cluster.local svc.cluster.local cluster.local" in told
    assert "nameserver 169.254.20.10" in told
    assert told.count(f"Address: {address}") == 2

    for node in cluster.names:

        async def is_found(node: str = node) -> bool:
            # Each node's resolver hears of a service for itself.
            said = await cluster.run(node, ["python3", "-c", NODE_ASKS], check=False)
            return said.stdout.strip() == address

        await until(f"{node} finds the service", is_found)

    # One that is killed answers again as soon as it is begun anew.
    await cluster.kill("n3", "resolver")
    await until("n3's next resolver finds the service", partial(is_found, "n3"))

    # So does one that is begun while the API server is away: by what was kept of the names.
    await cluster.run("n1", [*CUBEROOT, "stop"])
    try:
        await cluster.kill("n3", "resolver")
        await until("n3's resolver finds the service by itself", partial(is_found, "n3"))
        await until("n2 finds it as before", partial(is_found, "n2"))
    finally:
        since = datetime.now(UTC)
        await cluster.run("n1", [*CUBEROOT, "start"])
        await until("all nodes ready", lambda: all_heard(cluster, client, since), 90)

    # An administrator says one more name, to the node's own programs as well.
    config = ConfigMap(
        metadata=ObjectMeta(name="resolver", namespace="kube-system"),
        data={"hosts": "192.0.2.9 db.example"},
    )
    await client.create(config)

    async def is_named() -> bool:
        ended = await cluster.run("n2", ["getent", "hosts", "db.example"], check=False)
        return ended.stdout.split()[:1] == ["192.0.2.9"]

    await until("the name is there on n2", is_named)
    await client.delete(ConfigMap, "resolver", "kube-system")
    await removed_namespace(client, "zoo")
