"""A watch misses nothing, whatever dies between it and the disk."""

import asyncio

import pytest

from cubernetes.api.coordination.lease import Lease
from cubernetes.api.errors import AlreadyExists, ApiError, NotFound
from cubernetes.api.meta import ObjectMeta
from cubernetes.client.informer import Informer
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from tests.e2e.cluster import Cluster, until

pytestmark = [pytest.mark.lab]

COUNT = 60
LABELS = {"watched": "closely"}


async def written(client: Client, name: str) -> None:
    """Make an object, however often it takes; what may have happened is looked at again."""
    lease = Lease(metadata=ObjectMeta(name=name, namespace="default", labels=LABELS))
    while True:
        try:
            await client.create(lease)
        except AlreadyExists:
            return
        except (ApiError, TransportError):
            await asyncio.sleep(0.1)
        else:
            return


@pytest.mark.parametrize("victim", ["etcd", "apiserver"])
async def test_no_event_is_lost_or_told_twice_while_the_store_or_the_server_dies(
    cluster: Cluster, victim: str
) -> None:
    heard: list[str] = []
    async with cluster.client() as client:
        informer = Informer(client, Lease, Env(), namespace="default", labels="watched=closely")
        informer.on_change(lambda old, new: heard.append(told(old, new)))
        following = asyncio.ensure_future(informer.run())
        await informer.synced.wait()
        try:
            for number in range(COUNT):
                await written(client, f"w-{number:03}")
                if number in (15, 40):
                    await cluster.kill("n1", victim)

            async def has_heard_all() -> bool:
                return len(heard) >= COUNT

            await until("every event heard", has_heard_all)
            assert heard == [f"+w-{number:03}" for number in range(COUNT)]
        finally:
            following.cancel()
            await asyncio.wait([following])
            await client.delete_collection(Lease, "default", labels="watched=closely")
    with pytest.raises(NotFound):
        async with cluster.client() as client:
            await client.get(Lease, "w-000", "default")


def told(old: Lease | None, new: Lease | None) -> str:
    one = new or old
    assert one is not None
    return ("+" if old is None else "-" if new is None else "~") + one.metadata.name
