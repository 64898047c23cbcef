"""Quotas and limit ranges against the real API server and controllers, by many clients at once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.coding import codec
from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.event import Event
from cubernetes.api.core.limitrange import LimitRange
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podstatus import PodStatus
from cubernetes.api.core.resourcequota import ResourceQuota
from cubernetes.api.core.service import Service
from cubernetes.api.errors import Forbidden
from cubernetes.api.meta import Object, ObjectMeta, replaced
from cubernetes.client.rest import Client
from tests.contract.workloads.tended import a_tended_cluster
from tests.contract.workloads.test_controllers import until
from tests.given import a_deployment
from tests.unit.api.core.test_quota import a_quota, a_range, pod_of
from tests.volumes import a_claim

PLACE = "default"


async def _leave(_client: Client, _pod: Pod) -> None:
    """Nobody runs these pods."""


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with a_tended_cluster("n1", tend=_leave) as found:
        yield found


async def used(client: Client) -> dict[str, str]:
    quota = await client.get(ResourceQuota, "q", PLACE)
    return {name: str(amount) for name, amount in quota.status.used.items()}


async def made_quota(client: Client, **hard: str) -> None:
    named = {name.replace("__", "/").replace("_", "."): amount for name, amount in hard.items()}
    await client.create(a_quota(hard=named))

    async def is_counted() -> bool:
        return (await used(client)).keys() == named.keys()

    await until(is_counted)


def a_map(name: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace=PLACE))


async def tried(client: Client, one: Object) -> str:
    """Create an object; return why it was refused, empty where it was not."""
    try:
        await client.create(one)
    except Forbidden as error:
        return error.message
    return ""


async def test_no_quota_is_exceeded_by_a_hundred_at_once(client: Client) -> None:
    await made_quota(client, count__configmaps="7")
    names = [f"m{index}" for index in range(100)]
    told = await asyncio.gather(*(tried(client, a_map(name)) for name in names))

    there = {one.metadata.name for one in (await client.list(ConfigMap, PLACE)).items}
    refused = [why for why in told if why]
    assert len(there) == 7
    assert len(refused) == 93
    assert all(
        "is forbidden: exceeded quota: q, requested: count/configmaps=1, "
        "used: count/configmaps=7, limited: count/configmaps=7" in why
        for why in refused
    )
    assert await used(client) == {"count/configmaps": "7"}

    # What goes gives back, and no more than that.
    for name in sorted(there)[:3]:
        await client.delete(ConfigMap, name, PLACE)

    async def is_given_back() -> bool:
        return await used(client) == {"count/configmaps": "4"}

    await until(is_given_back)
    again = await asyncio.gather(*(tried(client, a_map(f"n{index}")) for index in range(20)))
    assert again.count("") == 3
    assert len((await client.list(ConfigMap, PLACE)).items) == 7


def asking(name: str, cpu: str) -> Pod:
    pod = pod_of({"resources": {"requests": {"cpu": cpu}}} if cpu else {})
    return replaced(pod, metadata=replaced(pod.metadata, name=name), status=PodStatus())


async def test_pods_count_by_what_they_request_until_they_end(client: Client) -> None:
    await made_quota(client, requests_cpu="1", pods="9")
    assert await tried(client, asking("open", "")) == (
        'pods "open" is forbidden: failed quota: q: must specify requests.cpu for: c0'
    )
    assert await tried(client, asking("one", "600m")) == ""
    assert await tried(client, asking("two", "600m")) == (
        'pods "two" is forbidden: exceeded quota: q, requested: requests.cpu=600m, '
        "used: requests.cpu=600m, limited: requests.cpu=1"
    )
    one = await client.get(Pod, "one", PLACE)
    await client.update_status(replaced(one, status=PodStatus(phase="Succeeded")))

    async def has_ended() -> bool:
        return await used(client) == {"requests.cpu": "0", "pods": "0"}

    await until(has_ended)
    assert await tried(client, asking("two", "600m")) == ""


async def test_a_service_is_charged_for_what_a_change_adds(client: Client) -> None:
    await made_quota(client, services_nodeports="1", services="2")
    tree: Any = {"metadata": {"name": "s", "namespace": PLACE}, "spec": {"ports": [{"port": 80}]}}
    await client.create(codec.from_tree(Service, tree).model)
    await client.patch(Service, "s", PLACE, {"spec": {"type": "NodePort"}})
    assert (await used(client))["services.nodeports"] == "1"
    ports = [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]
    with pytest.raises(Forbidden, match=r"exceeded quota: q, requested: services\.nodeports=1"):
        await client.patch(Service, "s", PLACE, {"spec": {"ports": ports}})
    await client.patch(Service, "s", PLACE, {"spec": {"type": "ClusterIP"}})

    async def is_given_back() -> bool:
        return (await used(client))["services.nodeports"] == "0"

    await until(is_given_back)


async def test_what_was_there_before_a_quota_counts(client: Client) -> None:
    await client.create(a_map("before"))
    await made_quota(client, configmaps="2", secrets="5")
    assert await used(client) == {"configmaps": "1", "secrets": "0"}


async def test_a_limit_range_gives_what_a_quota_asks_for(client: Client) -> None:
    await made_quota(client, limits_cpu="1")
    assert "must specify limits.cpu" in await tried(client, asking("bare", ""))
    item = {"type": "Container", "default": {"cpu": "700m"}, "max": {"cpu": "900m"}}
    await client.create(a_range(item))

    async def is_known() -> bool:
        return bool((await client.list(LimitRange, PLACE)).items)

    await until(is_known)
    assert await tried(client, asking("bare", "")) == ""
    pod = await client.get(Pod, "bare", PLACE)
    assert str(pod.spec.containers[0].resources.limits["cpu"]) == "700m"
    assert await tried(client, asking("small", "1m")) == (
        'pods "small" is forbidden: exceeded quota: q, requested: limits.cpu=700m, '
        "used: limits.cpu=700m, limited: limits.cpu=1"
    )
    stated = pod_of({"resources": {"limits": {"cpu": "1"}}})
    assert await tried(client, replaced(stated, status=PodStatus())) == (
        'pods "p" is forbidden: [maximum cpu usage per Container is 900m, but limit is 1, '
        "maximum cpu usage per Container is 900m, but request is 1]"
    )


def claiming(name: str, **facts: Any) -> PersistentVolumeClaim:
    meta = ObjectMeta(name=name, namespace=PLACE)
    return replaced(a_claim(**facts), metadata=meta)


async def test_claims_are_bounded_in_all_by_class_and_each_by_itself(client: Client) -> None:
    fast = "fast.storageclass.storage.k8s.io/requests.storage"
    await client.create(a_quota(hard={"requests.storage": "3Gi", fast: "1Gi"}))

    async def is_counted() -> bool:
        return await used(client) == {"requests.storage": "0", fast: "0"}

    await until(is_counted)
    assert await tried(client, claiming("a", size="1Gi", storage_class="fast")) == ""
    assert await tried(client, claiming("b", size="1Gi", storage_class="fast")) == (
        f'persistentvolumeclaims "b" is forbidden: exceeded quota: q, requested: {fast}=1Gi, '
        f"used: {fast}=1Gi, limited: {fast}=1Gi"
    )
    assert await tried(client, claiming("b", size="2Gi")) == ""
    assert "requested: requests.storage=1, " in await tried(client, claiming("c", size="1"))
    await client.delete(PersistentVolumeClaim, "b", PLACE)

    async def is_given_back() -> bool:
        return await used(client) == {"requests.storage": "1Gi", fast: "1Gi"}

    await until(is_given_back)
    await client.create(a_range({"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}))

    async def is_known() -> bool:
        return bool((await client.list(LimitRange, PLACE)).items)

    await until(is_known)
    assert await tried(client, claiming("d", size="2Gi")) == (
        'persistentvolumeclaims "d" is forbidden: '
        "maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"
    )


async def test_a_deployment_says_that_a_quota_keeps_its_pods_away(client: Client) -> None:
    await made_quota(client, pods="2")
    wanted = a_deployment(replicas=3)
    meta = ObjectMeta(name="web", namespace=PLACE, labels=wanted.metadata.labels)
    await client.create(replaced(wanted, metadata=meta))

    async def failure() -> str:
        conditions = (await client.get(Deployment, "web", PLACE)).status.conditions
        return next((one.message for one in conditions if one.type == "ReplicaFailure"), "")

    async def is_told() -> bool:
        return "is forbidden: exceeded quota: q, requested: pods=1" in await failure()

    await until(is_told)

    async def is_recorded() -> bool:
        events = (await client.list(Event, PLACE)).items
        kinds = [one.involved_object.kind for one in events if one.reason == "FailedCreate"]
        return kinds[:1] == ["ReplicaSet"]

    await until(is_recorded)
    await client.patch(ResourceQuota, "q", PLACE, {"spec": {"hard": {"pods": "3"}}})

    async def is_over() -> bool:
        pods = (await client.list(Pod, PLACE)).items
        return len(pods) == 3 and not await failure()

    await until(is_over)
