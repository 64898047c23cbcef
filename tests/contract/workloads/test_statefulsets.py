"""StatefulSets against the real API server, controllers and scheduler, and a tiny kubelet."""

from collections.abc import AsyncIterator

import pytest

from cubernetes.api.apps.controllerrevision import ControllerRevision
from cubernetes.api.apps.statefulset import StatefulSet
from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod, is_ready
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.errors import Invalid
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.api.notation.jsontext import Tree
from cubernetes.client.rest import Client
from tests.contract.workloads.tended import a_tended_cluster
from tests.contract.workloads.test_controllers import fresh, until
from tests.given import a_running_pod, a_service, a_statefulset


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with a_tended_cluster("n1", tend=_tend) as found:
        yield found


async def _tend(client: Client, pod: Pod) -> None:
    """Make a pod ready, under an address that tells its number."""
    if not is_ready(pod):
        address = f"10.244.1.{2 + int(pod.metadata.name.rpartition('-')[2])}"
        await client.update_status(replaced(pod, status=a_running_pod(ip=address).status))


def a_wish(**fields: object) -> StatefulSet:
    one = a_statefulset(**{"replicas": 3, **fields})  # type: ignore[arg-type]
    return replaced(one, metadata=ObjectMeta(name="web", namespace="default"))


def image(name: str) -> Tree:
    container = {"name": "main", "image": name, "imagePullPolicy": "IfNotPresent"}
    return {"spec": {"template": {"spec": {"containers": [container]}}}}


async def is_complete(client: Client) -> StatefulSet | None:
    one = await client.get(StatefulSet, "web", "default")
    status = one.status
    counts = (status.replicas, status.ready_replicas, status.updated_replicas)
    is_seen = status.observed_generation == one.metadata.generation
    is_whole = is_seen and status.current_revision == status.update_revision
    return one if is_whole and counts == (one.spec.replicas,) * 3 else None


async def images(client: Client) -> dict[str, str]:
    pods = (await client.list(Pod, "default")).items
    return {one.metadata.name: one.spec.containers[0].image for one in pods}


async def test_it_is_rolled_out_and_back_and_sized_by_the_controllers(client: Client) -> None:
    await client.create(a_wish(image="a"))
    await until(lambda: is_complete(client))
    assert await images(client) == {"web-0": "a", "web-1": "a", "web-2": "a"}

    await client.patch(StatefulSet, "web", "default", image("b"))
    await until(lambda: is_complete(client))
    assert set((await images(client)).values()) == {"b"}

    await client.scale(StatefulSet, "web", "default", 1)
    await until(lambda: is_complete(client))

    async def is_one() -> bool:
        return list(await images(client)) == ["web-0"]

    await until(is_one)


async def test_pods_have_names_behind_their_headless_service(client: Client) -> None:
    service = replaced(a_service(), spec=replaced(a_service().spec, cluster_ip="None"))
    await client.create(fresh(replaced(service, spec=replaced(service.spec, cluster_ips=()))))
    await client.create(a_wish())

    async def hosts() -> dict[str, str] | None:
        found = {
            endpoint.hostname: endpoint.addresses[0]
            for one in (await client.list(EndpointSlice, "default")).items
            for endpoint in one.endpoints
            if one.service_name == "web" and endpoint.conditions.ready
        }
        return found if len(found) == 3 else None

    found = await until(hosts)
    assert found == {f"web-{number}": f"10.244.1.{2 + number}" for number in range(3)}


async def test_a_recorded_revision_is_the_change_that_goes_back_to_it(client: Client) -> None:
    """As `kubectl rollout undo` does: the data of a revision is sent as a strategic merge patch."""
    await client.create(a_wish(image="a"))
    before = await until(lambda: is_complete(client))
    change = image("b")
    change["spec"]["template"]["metadata"] = {"annotations": {"team": "x"}}
    await client.patch(StatefulSet, "web", "default", change)
    await until(lambda: is_complete(client))

    (first, second) = sorted(
        (await client.list(ControllerRevision, "default")).items, key=lambda one: one.revision
    )
    assert (first.revision, second.revision) == (1, 2)
    data = codec.to_tree(first)["data"]
    assert data["spec"]["template"]["$patch"] == "replace"
    one = await client.get(StatefulSet, "web", "default")
    assert first.data is not None
    template = first.data.spec.template
    assert (template.metadata, template.spec) == (
        before.spec.template.metadata, before.spec.template.spec,
    )  # fmt: skip
    assert one.spec.template.metadata.annotations == {"team": "x"}


async def test_pods_and_revisions_go_with_their_set(client: Client) -> None:
    await client.create(a_wish())
    await until(lambda: is_complete(client))
    await client.delete(StatefulSet, "web", "default")

    async def is_empty() -> bool:
        pods = (await client.list(Pod)).items
        return not pods and not (await client.list(ControllerRevision)).items

    assert await until(is_empty)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"spec": {"serviceName": "other"}}, "serviceName"),
        ({"spec": {"podManagementPolicy": "Parallel"}}, "podManagementPolicy"),
        ({"spec": {"selector": {"matchLabels": {"app": "other"}}}}, "selector"),
        ({"spec": {"updateStrategy": {"type": "OnDelete"}}}, "updateStrategy"),
        ({"spec": {"volumeClaimTemplates": [{"metadata": {"name": "d"}}]}}, "volumeClaimTempl"),
        ({"spec": {"ordinals": {"start": -1}}}, "ordinals"),
    ],
)
async def test_what_kubernetes_refuses_is_refused_by_its_field(
    client: Client, change: Tree, where: str
) -> None:
    await client.create(a_wish())

    with pytest.raises(Invalid, match=where):
        await client.patch(StatefulSet, "web", "default", change)


async def test_a_name_after_which_no_pod_can_be_named_is_refused(client: Client) -> None:
    one = a_wish(replicas=11)
    long = replaced(one, metadata=replaced(one.metadata, name="w" * 61))

    with pytest.raises(Invalid, match="pods cannot be named after it"):
        await client.create(long)
