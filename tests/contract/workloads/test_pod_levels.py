"""What a workload's controller tells where its namespace's Pod Security level refuses its pods."""

from collections.abc import AsyncIterator

import pytest

from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.core.event import Event
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import replaced
from cubernetes.client.rest import Client
from tests.contract.workloads.tended import a_tended_cluster
from tests.contract.workloads.test_controllers import until
from tests.given import a_deployment, a_meta

PLACE, LEVEL = "default", "pod-security.kubernetes.io/enforce"


async def _leave(_client: Client, _pod: Pod) -> None:
    """Nobody runs these pods."""


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with a_tended_cluster("n1", tend=_leave) as found:
        yield found


async def labelled(client: Client, level: str | None) -> None:
    await client.patch(Namespace, PLACE, "", {"metadata": {"labels": {LEVEL: level}}})


async def test_refused_pods_are_told_at_the_replica_set_and_made_once_they_may_be(
    client: Client,
) -> None:
    await labelled(client, "restricted")
    wanted = a_deployment(replicas=2)
    meta = a_meta("web", PLACE, labels=wanted.metadata.labels)
    await client.create(replaced(wanted, metadata=replaced(meta, resource_version="")))
    why = 'is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation'

    async def is_told() -> bool:
        conditions = (await client.get(Deployment, "web", PLACE)).status.conditions
        told = [one.message for one in conditions if one.type == "ReplicaFailure"]
        return bool(told) and why in told[0]

    await until(is_told)

    async def is_recorded() -> bool:
        events = (await client.list(Event, PLACE)).items
        told = [one for one in events if one.reason == "FailedCreate" and why in one.message]
        return [one.involved_object.kind for one in told[:1]] == ["ReplicaSet"]

    await until(is_recorded)
    assert (await client.list(Pod, PLACE)).items == ()
    await labelled(client, None)

    async def are_there() -> bool:
        return len((await client.list(Pod, PLACE)).items) == 2

    await until(are_there)
