"""Nodes that are removed or leave, on real machines; and a store that somebody filled."""

import json
from collections.abc import AsyncIterator

import pytest

from cubernetes.api.core.node import Node, is_ready
from cubernetes.api.errors import ApiError, Forbidden
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from tests.e2e.cluster import CUBEROOT, JOIN_WORDS, Cluster, until
from tests.e2e.podlife.test_security import as_who

pytestmark = [pytest.mark.lab]

TIER = "node-restriction.kubernetes.io/tier"
CLUSTER_FILE = "etc/cubernetes/cluster.json"
SMALL_BYTES = 16 << 20
# A writer that is not ours fills the store; 1 MB at a time, until it is refused.
FILL = """
cd /etc/cubernetes/pki
head -c 1000000 /dev/urandom > /run/piece
for i in $(seq 60); do
  etcdctl --endpoints https://127.0.0.1:2379 --cacert etcd-ca.crt --cert apiserver-etcd.crt \\
      --key apiserver-etcd.key put /foreign < /run/piece 2>&1 | grep exceeded && break
done
rm /run/piece
"""


async def ready(client: Client, name: str) -> bool:
    listed = (await client.list(Node)).items
    return any(one.metadata.name == name and is_ready(one) for one in listed)


@pytest.fixture
async def n3(cluster: Cluster, client: Client) -> AsyncIterator[str]:
    """A node to take away; it is a node again afterwards."""
    yield "n3"
    if not await ready(client, "n3"):
        await cluster.run("n3", [*CUBEROOT, "reset", "--yes"], deadline_s=120, check=False)
        await cluster.join("n3", await cluster.new_token("--node", "n3"))


async def test_a_removed_node_is_refused_until_it_joins_again(
    cluster: Cluster, client: Client, n3: str
) -> None:
    old = await cluster.new_token("--uses", "many")
    await client.delete(Node, n3)
    for who in ("kubelet", "proxy"):
        async with as_who(cluster, who, n3) as removed:
            with pytest.raises(Forbidden, match="was removed from the cluster"):
                await removed.list(Node)
    # Its kubelet goes on asking, and does not come back by itself.
    assert n3 not in [one.metadata.name for one in (await client.list(Node)).items]

    await cluster.run(n3, [*CUBEROOT, "reset", "--yes"], deadline_s=120)
    form = JOIN_WORDS.search(old)
    assert form
    argv = [*CUBEROOT, "join", form[1], "--token", form[2], "--ca-hash", form[3]]
    told = await cluster.run(n3, argv, check=False, deadline_s=60)
    assert "was removed from the cluster" in told.stderr
    await cluster.join(n3, await cluster.new_token())
    assert await ready(client, n3)


async def test_a_cordon_is_there_again_after_a_node_has_left_and_joined(
    cluster: Cluster, client: Client, n3: str
) -> None:
    decided = {"metadata": {"labels": {TIER: "low"}}, "spec": {"unschedulable": True}}
    await client.patch(Node, n3, "", decided)
    async with as_who(cluster, "kubelet", n3) as own:
        await own.delete(Node, n3)
        with pytest.raises(Forbidden, match="has left the cluster"):
            await own.list(Node)
    await cluster.run(n3, [*CUBEROOT, "reset", "--yes"], deadline_s=120)
    await cluster.join(n3, await cluster.new_token())

    node = await client.get(Node, n3)
    assert node.spec.unschedulable
    assert node.metadata.labels[TIER] == "low"
    undone = {"metadata": {"labels": {TIER: None}}, "spec": {"unschedulable": None}}
    await client.patch(Node, n3, "", undone)


async def test_a_control_plane_that_was_removed_comes_back_by_start(
    cluster: Cluster, client: Client
) -> None:
    await client.delete(Node, "n1")
    ended = await cluster.run("n1", [*CUBEROOT, "start"], deadline_s=120)
    assert "n1 is Ready" in ended.stdout


async def test_a_cluster_survives_a_full_store(cluster: Cluster) -> None:
    """Somebody else fills it: leases are taken again before any node is given up."""
    path = cluster.lab.node("n1").root / CLUSTER_FILE
    before = path.read_text()
    small = {**json.loads(before), "store_quota_bytes": SMALL_BYTES}
    path.write_text(json.dumps(small))
    try:
        await restarted(cluster)
        said = await cluster.run("n1", ["bash", "-c", FILL], deadline_s=120)
        # The refusal itself: the API server may make room, and end the alarm, a moment later.
        assert "database space exceeded" in said.stdout, said.stdout + said.stderr
        async with cluster.client() as client:

            async def takes() -> bool:
                try:
                    change = {"metadata": {"annotations": {"e2e": "yes"}}}
                    await client.patch(Node, "n2", "", change)
                except (ApiError, TransportError):
                    return False
                return True

            await until("writes are taken again", takes)
            for name in cluster.names:
                assert await ready(client, name), name
    finally:
        path.write_text(before)
        await restarted(cluster)


async def restarted(cluster: Cluster) -> None:
    for verb in ("stop", "start"):
        await cluster.run("n1", [*CUBEROOT, verb], deadline_s=120)
