"""An old copy of the store replaces it under a running cluster: nobody lives in the future."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.core.service import Service
from cubernetes.api.errors import ApiError
from cubernetes.api.meta import replaced
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from lab.lab import Lab
from tests.e2e.cluster import CUBEROOT, PATIENCE_S, Cluster, ready_addresses, ready_nodes, until
from tests.e2e.conftest import finished
from tests.e2e.uses.test_serving import web

pytestmark = [pytest.mark.lab]

PKI = "/etc/cubernetes/pki"
KEYS = f"--cacert {PKI}/etcd-ca.crt --cert {PKI}/apiserver-etcd.crt --key {PKI}/apiserver-etcd.key"
SAVE = (
    f"rm -f /root/copy; etcdctl --endpoints https://127.0.0.1:2379 {KEYS} snapshot save /root/copy"
)
SUPERVISOR = f"{sys.executable} -m supervisor.supervisorctl -c /etc/cubernetes/supervisord.conf"
STATE = "/var/lib/cubernetes/etcd"
# What one is told to say, and what happens where one forgot it.
BUMPED = "--bump-revision 1000000 --mark-compacted"
BACK_S = 90.0


@pytest.fixture(scope="module")
def copied(boot_lab: Callable[[str, int], AbstractContextManager[Lab]]) -> Iterator[Cluster]:
    """A cluster of its own, of two nodes."""
    with boot_lab("old", 2) as lab:
        cluster = Cluster(lab)
        finished(cluster.make())
        yield cluster


async def restore(cluster: Cluster, options: str) -> None:
    """Put the copy in the place of etcd's state under everything that runs."""
    script = (
        f"set -e; {SUPERVISOR} stop etcd; rm -rf {STATE}; {restoring(cluster, options)}; "
        f"{SUPERVISOR} start etcd"
    )
    await cluster.run("n1", ["sh", "-c", script], deadline_s=60)


def restoring(cluster: Cluster, options: str) -> str:
    peer = f"https://{cluster.lab.node('n1').address}:2380"
    member = f"--name n1 --initial-cluster n1={peer} --initial-advertise-peer-urls {peer}"
    return f"etcdutl snapshot restore /root/copy --data-dir {STATE} {member} {options}"


async def names_of(client: Client) -> set[str]:
    """Return the names of ReplicaSets; nothing while nobody answers."""
    try:
        return {one.metadata.name for one in (await client.list(ReplicaSet, "default")).items}
    except (ApiError, TransportError):
        return set()


async def pods_on(cluster: Cluster) -> set[str]:
    """Return the names of the pods whose sandboxes run, by what Docker says on every node."""
    found: set[str] = set()
    for node in cluster.names:
        label = '{{.Label "cubernetes.io/pod-name"}}'
        ended = await cluster.run(node, ["docker", "ps", "--format", label])
        found |= {line for line in ended.stdout.split() if line}
    return found


async def made(client: Client, name: str) -> None:
    """Make a set of two with its service, and wait until it serves."""
    for one in web(name, 2):
        await client.create(one)
    await until(f"{name} serves", lambda: serves(client, name))


async def serves(client: Client, name: str) -> bool:
    return len(await ready_addresses(client, name)) == 2


@pytest.mark.parametrize("options", [BUMPED, ""], ids=["revision bumped", "revision forgotten"])
async def test_after_a_restore_what_came_later_is_gone_and_what_was_there_serves(
    copied: Cluster, options: str
) -> None:
    async with copied.client() as client:
        await made(client, "kept")
        await copied.run("n1", ["sh", "-c", SAVE])
        before = await pods_on(copied)
        await made(client, "ghost")

        await restore(copied, options)

        async def is_as_before() -> bool:
            if await names_of(client) != {"kept"} or len(await ready_nodes(client)) < 2:
                return False
            return await serves(client, "kept") and await pods_on(copied) == before

        await until("what came later is gone, from Docker too", is_as_before, BACK_S)
        service = await client.get(Service, "kept", "default")
        for node in copied.names:
            url = f"http://{service.spec.cluster_ip}/"
            assert await copied.curl(node, url, limit_s=PATIENCE_S), node
        await made(client, "fresh")
        for name in ("fresh", "kept"):
            for one in web(name, 2):
                await client.delete(type(one), name, "default")

        async def are_none_left() -> bool:
            return not await pods_on(copied)

        await until("no pod is left", are_none_left)


async def test_a_restore_of_a_moment_ago_is_noticed_too(copied: Cluster) -> None:
    """A single write came later: the restored store has its revision again at once."""
    async with copied.client() as client:
        await made(client, "kept")
        await copied.run("n1", ["sh", "-c", SAVE])
        _, service = web("kept", 2)
        ghost = replaced(service, metadata=replaced(service.metadata, name="ghost"))
        address = (await client.create(ghost)).spec.cluster_ip

        async def rules_lead_to_it() -> set[str]:
            """Return the nodes whose rules know the later service."""
            found = set()
            for node in copied.names:
                saved = await copied.run(node, ["iptables-save", "-t", "nat"])
                found |= {node} if f"{address}/32" in saved.stdout else set()
            return found

        async def is_everywhere() -> bool:
            return len(await rules_lead_to_it()) == 2

        await until("every node leads to the later service", is_everywhere)
        await restore(copied, "")

        async def is_nowhere() -> bool:
            return not await rules_lead_to_it()

        await until("no node leads to it any more", is_nowhere, BACK_S)
        assert "ghost" not in {
            one.metadata.name for one in (await client.list(Service, "default")).items
        }
        for one in web("kept", 2):
            await client.delete(type(one), "kept", "default")


async def test_a_control_plane_that_was_lost_is_made_again_from_its_backup(copied: Cluster) -> None:
    async with copied.client() as client:
        await made(client, "kept")
    keys = "tar czf /root/keys.tgz -C / etc/cubernetes"
    await copied.run("n1", ["sh", "-c", f"{SAVE}; {keys}"])
    await copied.run("n1", [*CUBEROOT, "reset", "--yes"], deadline_s=120)

    back = f"set -e; tar xzf /root/keys.tgz -C /; {restoring(copied, BUMPED)}"
    await copied.run("n1", ["sh", "-c", back], deadline_s=60)
    await copied.run("n1", [*CUBEROOT, "start"], deadline_s=120)

    async with copied.client() as client:

        async def is_back() -> bool:
            return len(await ready_nodes(client)) == 2 and await serves(client, "kept")

        await until("both nodes, and the service", is_back, BACK_S)
        service = await client.get(Service, "kept", "default")
        url = f"http://{service.spec.cluster_ip}/"

        async def answers_everywhere() -> bool:
            """Each of the two pods, from each node; one of them had to be made again."""
            heard = [await copied.answers(node, url, 20) for node in copied.names]
            return all(len(one) == 2 and "" not in one for one in heard)

        await until("both pods answer on both nodes", answers_everywhere, BACK_S)
    await copied.run("n1", [*CUBEROOT, "reset", "--yes"], deadline_s=120)
