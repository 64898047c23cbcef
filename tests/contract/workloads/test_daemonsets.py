"""DaemonSets against the real API server, controllers and scheduler, and a tiny kubelet."""

from collections.abc import AsyncIterator

import pytest

from cubernetes.api.apps.daemonset import DaemonSet
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import Invalid
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.api.notation.jsontext import Tree
from cubernetes.client.rest import Client
from tests.contract.workloads.tended import a_tended_cluster
from tests.contract.workloads.test_controllers import join, until
from tests.daemons import a_daemonset

NODES = ("n1", "n2", "n3")


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with a_tended_cluster(*NODES) as found:
        yield found


def a_wish(**fields: object) -> DaemonSet:
    one = a_daemonset(**fields)  # type: ignore[arg-type]
    return replaced(one, metadata=ObjectMeta(name="web", namespace="default"))


def image(name: str) -> Tree:
    container = {"name": "main", "image": name, "imagePullPolicy": "IfNotPresent"}
    return {"spec": {"template": {"spec": {"containers": [container]}}}}


async def is_complete(client: Client) -> DaemonSet | None:
    one = await client.get(DaemonSet, "web", "default")
    status = one.status
    counts = (status.updated_number_scheduled, status.number_available)
    is_seen = status.observed_generation == one.metadata.generation
    wanted = status.desired_number_scheduled
    return one if is_seen and wanted and counts == (wanted,) * 2 else None


async def where(client: Client) -> list[tuple[str, str]]:
    pods = (await client.list(Pod, "default")).items
    return sorted(
        (one.spec.node_name, one.spec.containers[0].image)
        for one in pods
        if not one.metadata.is_deleted
    )


async def test_the_scheduler_puts_one_on_each_node_and_updates_go_node_by_node(
    client: Client,
) -> None:
    await client.create(a_wish(image="a"))
    await until(lambda: is_complete(client))
    assert await where(client) == [(node, "a") for node in NODES]

    await client.patch(DaemonSet, "web", "default", image("b"))
    await until(lambda: is_complete(client))
    assert await where(client) == [(node, "b") for node in NODES]


async def test_a_cordoned_node_and_a_new_one_get_their_pods(client: Client) -> None:
    await client.patch(Node, "n2", "", {"spec": {"unschedulable": True}})
    await client.create(a_wish(image="a"))
    await until(lambda: is_complete(client))
    assert await where(client) == [(node, "a") for node in NODES]

    await join(client, "n4", cpu="64")

    async def is_there() -> bool:
        return await where(client) == [(node, "a") for node in (*NODES, "n4")]

    await until(is_there)


@pytest.mark.parametrize(
    ("strategy", "field"),
    [
        ({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}}, "maxUnavailable"),
        ({"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}, "maxSurge"),
        ({"rollingUpdate": {"maxUnavailable": "half"}}, "maxUnavailable"),
        ({"rollingUpdate": {"maxUnavailable": "101%"}}, "maxUnavailable"),
        ({"type": "OnDelete"}, "rollingUpdate"),
        ({"type": "Recreate"}, "type"),
    ],
)
async def test_what_kubernetes_refuses_is_refused_by_its_field(
    client: Client, strategy: Tree, field: str
) -> None:
    await client.create(a_wish())

    with pytest.raises(Invalid, match=field):
        await client.patch(DaemonSet, "web", "default", {"spec": {"updateStrategy": strategy}})
