"""Deployments against the real API server, controllers and scheduler, and a tiny kubelet."""

from collections.abc import AsyncIterator

import pytest

from cubernetes.api.apps.deployment import Deployment, DeploymentCondition
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.apps.revisions import READ_CONTENT
from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.event import Event
from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import Invalid
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.api.notation.jsontext import Tree
from cubernetes.client.rest import Client
from tests.contract.workloads.tended import a_tended_cluster, make_ready
from tests.contract.workloads.test_controllers import until
from tests.given import a_deployment


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with a_tended_cluster("n1", tend=_tend) as found:
        yield found


async def _tend(client: Client, pod: Pod) -> None:
    """Make a pod ready, unless it is of the image `bad`."""
    if _image(pod) != "bad":
        await make_ready(client, pod)


def _image(one: Pod | Deployment) -> str:
    spec = one.spec.template.spec if isinstance(one, Deployment) else one.spec
    return spec.containers[0].image


def a_wish(**fields: object) -> Deployment:
    one = a_deployment(**{"replicas": 3, **fields})  # type: ignore[arg-type]
    meta = ObjectMeta(name="web", namespace="default", annotations=one.metadata.annotations)
    return replaced(one, metadata=meta)


async def change(client: Client, tree: Tree) -> Deployment:
    return await client.patch(Deployment, "web", "default", tree)


def image(name: str) -> Tree:
    container = {"name": "main", "image": name, "imagePullPolicy": "IfNotPresent"}
    return {"spec": {"template": {"spec": {"containers": [container]}}}}


async def is_complete(client: Client) -> Deployment | None:
    one = await client.get(Deployment, "web", "default")
    is_seen = one.status.observed_generation == one.metadata.generation
    counts = (one.status.replicas, one.status.updated_replicas, one.status.available_replicas)
    return one if is_seen and counts == (one.spec.replicas,) * 3 else None


def progress(one: Deployment) -> DeploymentCondition:
    return next(each for each in one.status.conditions if each.type == "Progressing")


async def sets(client: Client) -> list[ReplicaSet]:
    listed = (await client.list(ReplicaSet, "default")).items
    key = "deployment.kubernetes.io/revision"
    return sorted(listed, key=lambda one: int(one.metadata.annotations[key]))


async def until_recorded(client: Client, reason: str) -> None:
    async def is_recorded() -> bool:
        events = (await client.list(Event, "default")).items
        return any(one.reason == reason for one in events)

    await until(is_recorded)


async def test_a_template_is_rolled_out_and_back_by_the_controllers(client: Client) -> None:
    await client.create(a_wish(image="a"))
    await until(lambda: is_complete(client))
    await change(client, image("b"))
    await until(lambda: is_complete(client))
    assert [one.spec.replicas for one in await sets(client)] == [0, 3]

    await change(client, image("a"))
    done = await until(lambda: is_complete(client))

    found = await sets(client)
    assert [one.spec.replicas for one in found] == [0, 3]
    assert done.metadata.annotations["deployment.kubernetes.io/revision"] == "3"
    assert progress(done).reason == "NewReplicaSetAvailable"
    await until_recorded(client, "ScalingReplicaSet")


async def test_its_pods_are_exchanged_when_a_key_that_they_read_changes(client: Client) -> None:
    settings = ConfigMap(
        metadata=ObjectMeta(name="settings", namespace="default"), data={"a": "1", "b": "1"}
    )
    await client.create(settings)
    origin = {"configMapKeyRef": {"name": "settings", "key": "a"}}
    container = {"name": "main", "image": "a", "env": [{"name": "A", "valueFrom": origin}]}
    await client.create(a_wish(annotations={"cubernetes.io/restart-on-change": "true"}))
    await change(client, {"spec": {"template": {"spec": {"containers": [container]}}}})

    async def is_noted() -> Deployment | None:
        one = await is_complete(client)
        return one if one is not None and READ_CONTENT in one.metadata.annotations else None

    before = (await until(is_noted)).metadata.annotations
    for key in ("b", "a"):
        await client.patch(ConfigMap, "settings", "default", {"data": {key: "2"}})

    async def is_exchanged() -> Deployment | None:
        one = await is_complete(client)
        stamp = one.spec.template.metadata.annotations.get(READ_CONTENT) if one else None
        return one if stamp not in (None, before[READ_CONTENT]) else None

    after = (await until(is_exchanged)).metadata.annotations
    key = "deployment.kubernetes.io/revision"
    assert int(after[key]) == int(before[key]) + 1
    await until_recorded(client, "RestartedOnChange")


async def test_its_scale_is_an_object_of_its_own(client: Client) -> None:
    await client.create(a_wish(replicas=1))
    await until(lambda: is_complete(client))

    await client.scale(Deployment, "web", "default", 4)
    await until(lambda: is_complete(client))

    assert len((await client.list(Pod, "default")).items) == 4


async def test_pods_go_with_their_deployment(client: Client) -> None:
    await client.create(a_wish())
    await until(lambda: is_complete(client))
    await client.delete(Deployment, "web", "default")

    async def is_empty() -> bool:
        return not (await client.list(Pod)).items and not (await client.list(ReplicaSet)).items

    assert await until(is_empty)


async def test_a_deployment_that_left_its_sets_behind_finds_them_again(client: Client) -> None:
    await client.create(a_wish())
    await until(lambda: is_complete(client))
    pods = {one.metadata.uid for one in (await client.list(Pod)).items}
    await client.delete(Deployment, "web", "default", propagation="Orphan")

    async def is_gone() -> bool:
        return not (await client.list(Deployment)).items

    assert await until(is_gone)
    await client.create(a_wish())
    await until(lambda: is_complete(client))

    assert {one.metadata.uid for one in (await client.list(Pod)).items} == pods


async def test_a_failed_rollout_goes_back_by_itself(client: Client) -> None:
    asked = {"cubernetes.io/auto-rollback": "true"}
    await client.create(a_wish(image="a", annotations=asked, progress_deadline_seconds=3))
    await until(lambda: is_complete(client))
    await change(client, image("bad"))

    async def is_back() -> Deployment | None:
        one = await is_complete(client)
        return one if one is not None and _image(one) == "a" else None

    back = await until(is_back)
    assert back.metadata.annotations["deployment.kubernetes.io/revision"] == "3"


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        ({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}}, "Unavailable"),
        ({"strategy": {"rollingUpdate": {"maxSurge": "25"}}}, "maxSurge"),
        ({"strategy": {"rollingUpdate": {"maxUnavailable": "101%"}}}, "maxUnavailable"),
        ({"strategy": {"type": "Recreate"}}, "rollingUpdate"),
        ({"minReadySeconds": 600}, "progressDeadlineSeconds"),
        ({"selector": {"matchLabels": {"app": "other"}}}, "selector"),
    ],
)
async def test_what_kubernetes_refuses_is_refused_by_its_field(
    client: Client, spec: Tree, where: str
) -> None:
    await client.create(a_wish())

    with pytest.raises(Invalid, match=where):
        await change(client, {"spec": spec})
