"""Claims, volumes and the pods that mount them: API server, controllers, scheduler, two disks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from itertools import count

import pytest

from cubernetes.api.condition import condition_of
from cubernetes.api.core.event import Event
from cubernetes.api.core.node import HOSTNAME_LABEL, Node
from cubernetes.api.core.persistentvolume import PersistentVolume
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import ApiError, Invalid
from cubernetes.api.meta import Object, ObjectMeta, replaced
from cubernetes.api.storage.storageclass import StorageClass
from cubernetes.api.storagewords import CLAIM_PROTECTION, LOCAL_FOLDERS, VOLUME_PROTECTION
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.reconcile.records import EventRecorder
from cuberoot.apply import DEFAULT_CLASS, add_default_class
from kubelet.claims.keeper import LocalVolumes
from tests.contract.workloads.tended import a_tended_cluster
from tests.contract.workloads.test_controllers import until
from tests.given import a_pod, a_statefulset
from tests.simulation.machines import FakeFolders
from tests.volumes import a_claim, a_class, a_volume, with_claims

NODES = ("n1", "n2", "n3")
type Disks = Mapping[str, FakeFolders]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with a_tended_cluster(*NODES) as found:
        for name in NODES:
            await found.patch(Node, name, "", {"metadata": {"labels": {HOSTNAME_LABEL: name}}})
        yield found


@pytest.fixture
async def disks(client: Client) -> AsyncIterator[Disks]:
    """Run what keeps the folders of each node."""
    env, found = Env(), {name: FakeFolders() for name in NODES}
    recorder = EventRecorder(client, env, "kubelet")
    keepers = [
        asyncio.create_task(LocalVolumes(client, env, name, LOCAL_FOLDERS, folders, recorder).run())
        for name, folders in found.items()
    ]
    recording = asyncio.create_task(recorder.run())
    yield found
    for one in (*keepers, recording):
        assert not one.done(), one
        one.cancel()
    await asyncio.wait([*keepers, recording])


def sent[O: Object](one: O) -> O:
    """Return what a person would send."""
    meta = one.metadata
    mine = ObjectMeta(
        name=meta.name, namespace=meta.namespace, labels=meta.labels, annotations=meta.annotations
    )
    return replaced(one, metadata=mine)


async def the_claim(client: Client, name: str = "data") -> PersistentVolumeClaim:
    return await client.get(PersistentVolumeClaim, name, "default")


async def is_bound(client: Client, name: str = "data") -> PersistentVolumeClaim | None:
    found = await the_claim(client, name)
    return found if found.status.phase == "Bound" else None


async def node_of(client: Client, name: str) -> str:
    """Return the node of a pod; empty as long as it has none, or is not there."""
    pods = (await client.list(Pod, "default")).items
    return next((pod.spec.node_name for pod in pods if pod.metadata.name == name), "")


def placed(client: Client, name: str) -> Callable[[], Awaitable[str]]:
    return lambda: node_of(client, name)


async def message_of(client: Client, name: str) -> str:
    """Return why a pod has no node."""
    pod = await client.get(Pod, name, "default")
    found = condition_of(pod.status.conditions, "PodScheduled")
    return found.message if found is not None and found.status == "False" else ""


async def until_told(client: Client, name: str, words: str) -> None:
    """Wait until a pod says why it has no node: the scheduler hears of nodes and claims in turn."""

    async def is_told() -> bool:
        return words in await message_of(client, name)

    await until(is_told)


async def is_decided(client: Client, name: str) -> bool:
    return bool(await node_of(client, name) or await message_of(client, name))


async def no_more(client: Client, kind: type[Object]) -> bool:
    return not (await client.list(kind)).items


async def test_a_volume_is_made_where_its_first_pod_goes_and_later_pods_follow(
    client: Client, disks: Disks
) -> None:
    await client.create(sent(a_class()))
    await client.create(sent(a_claim(storage_class="local")))
    await client.create(sent(with_claims(a_pod("first"), "data")))
    node = await until(placed(client, "first"))
    claim = await until(lambda: is_bound(client))
    assert disks[node].names == {claim.spec.volume_name}
    assert sum(len(one.names) for one in disks.values()) == 1

    for number in range(3):
        await client.create(sent(with_claims(a_pod(f"later-{number}"), "data")))
        assert await until(placed(client, f"later-{number}")) == node
    volume = await client.get(PersistentVolume, claim.spec.volume_name)
    assert volume.metadata.annotations["cubernetes.io/size-limit"].startswith("not kept")


async def test_with_its_claim_a_volume_goes_and_not_before_its_last_pod(
    client: Client, disks: Disks
) -> None:
    await client.create(sent(a_class()))
    await client.create(sent(a_claim(storage_class="local")))
    await client.create(sent(with_claims(a_pod("web"), "data")))
    await until(lambda: is_bound(client))
    await client.delete(PersistentVolumeClaim, "data", "default")
    kept = await the_claim(client)
    assert kept.metadata.is_deleted
    assert kept.metadata.finalizers == (CLAIM_PROTECTION,)
    numbers = count()

    async def is_refused() -> str:
        """The scheduler hears of the deletion in its own time; pods of before it gives a node."""
        name = f"late-{next(numbers)}"
        await client.create(sent(with_claims(a_pod(name), "data")))
        await until(lambda: is_decided(client, name))
        told = await message_of(client, name)
        if not told:
            await client.delete(Pod, name, "default")
        return told

    told = await until(is_refused)
    assert told == '0/3 nodes can take the pod: persistentvolumeclaim "data" is being deleted'

    await client.delete(Pod, "web", "default")
    await until(lambda: no_more(client, PersistentVolumeClaim))
    await until(lambda: no_more(client, PersistentVolume))
    assert not any(one.names for one in disks.values())


async def test_a_folder_that_cannot_be_made_is_told_of_and_made_later(
    client: Client, disks: Disks
) -> None:
    for one in disks.values():
        one.trouble = "No space left on device"
    await client.create(sent(a_class()))
    await client.create(sent(a_claim(storage_class="local")))
    await client.create(sent(with_claims(a_pod("web"), "data")))

    async def is_told() -> bool:
        events = (await client.list(Event, "default")).items
        reasons = {one.reason for one in events if one.involved_object.name == "data"}
        return "ProvisioningFailed" in reasons

    await until(is_told)
    assert await node_of(client, "web") == ""
    for one in disks.values():
        one.trouble = ""
    await until(placed(client, "web"))


async def test_a_pod_waits_for_what_its_claims_lack_and_says_so(client: Client) -> None:
    await client.create(sent(with_claims(a_pod("web"), "data")))
    await until_told(
        client, "web", '0/3 nodes can take the pod: persistentvolumeclaim "data" not found'
    )

    await client.create(sent(a_claim()))

    async def is_unbound() -> bool:
        wanted = "pod has unbound immediate PersistentVolumeClaims"
        return (await message_of(client, "web")).endswith(wanted)

    await until(is_unbound)
    await client.create(sent(a_volume(node="n2")))
    assert await until(placed(client, "web")) == "n2"


async def test_a_late_claim_gets_what_people_made_on_the_node_that_its_pod_can_have(
    client: Client,
) -> None:
    await client.create(sent(a_class("disks", provisioner="kubernetes.io/no-provisioner")))
    await client.create(sent(a_claim("a", storage_class="disks")))
    await client.create(sent(a_claim("b", storage_class="disks")))
    await client.create(sent(with_claims(a_pod("web"), "a", "b")))
    await until_told(client, "web", "n1 didn't find available persistent volumes to bind")

    for name, node in (("x", "n1"), ("y", "n3"), ("z", "n3")):
        await client.create(sent(a_volume(name, storage_class="disks", node=node)))
    assert await until(placed(client, "web")) == "n3"
    both = {(await the_claim(client, name)).spec.volume_name for name in ("a", "b")}
    assert both == {"y", "z"}


async def test_a_pod_goes_nowhere_where_its_volume_cannot_be_reached(client: Client) -> None:
    await client.create(sent(a_volume(node="n1")))
    await client.create(sent(a_claim()))
    await client.patch(Node, "n2", "", {"metadata": {"labels": {"zone": "b"}}})
    pod = with_claims(a_pod("web", node_selector={"zone": "b"}), "data")
    await client.create(sent(pod))

    async def is_told() -> bool:
        return "had volume node affinity conflict" in await message_of(client, "web")

    await until(is_told)


async def test_one_pod_at_a_time_has_a_volume_that_is_read_write_once_pod(client: Client) -> None:
    await client.create(sent(a_volume(modes=["ReadWriteOncePod"])))
    await client.create(sent(a_claim(modes=["ReadWriteOncePod"])))
    await client.create(sent(with_claims(a_pod("first"), "data")))
    await until(placed(client, "first"))
    await client.create(sent(with_claims(a_pod("second"), "data")))
    await until_told(client, "second", '"data" is ReadWriteOncePod, and pod first uses it')

    await client.delete(Pod, "first", "default")
    await until(placed(client, "second"))


async def test_the_pods_of_a_set_have_claims_of_their_own_and_find_them_again(
    client: Client, disks: Disks
) -> None:
    await client.create(sent(a_class(is_default=True)))
    template = replaced(
        a_claim("data", storage_class=None), metadata=ObjectMeta(name="data", labels={"a": "b"})
    )
    one = sent(a_statefulset(replicas=2))
    await client.create(replaced(one, spec=replaced(one.spec, volume_claim_templates=(template,))))
    name = one.metadata.name
    claims = [f"data-{name}-{number}" for number in range(2)]
    nodes = [await until(placed(client, f"{name}-{number}")) for number in range(2)]
    volumes = [(await until(partial(is_bound, client, one))).spec.volume_name for one in claims]
    assert len(set(volumes)) == 2
    found = await the_claim(client, claims[0])
    assert found.metadata.labels["a"] == "b"
    assert found.spec.storage_class_name == "local"
    assert not found.metadata.owner_references

    uid = (await client.get(Pod, f"{name}-1", "default")).metadata.uid
    await client.delete(Pod, f"{name}-1", "default")

    async def is_again() -> str:
        pods = {pod.metadata.name: pod for pod in (await client.list(Pod)).items}
        again = pods.get(f"{name}-1")
        return again.spec.node_name if again and again.metadata.uid != uid else ""

    assert await until(is_again) == nodes[1]
    assert (await the_claim(client, claims[1])).spec.volume_name == volumes[1]


async def test_a_pod_of_a_lost_node_begins_anew_elsewhere_once_its_claim_is_given_up(
    client: Client, disks: Disks
) -> None:
    await client.create(sent(a_class(is_default=True)))
    template = replaced(a_claim("data", storage_class=None), metadata=ObjectMeta(name="data"))
    one = sent(a_statefulset(replicas=1))
    await client.create(replaced(one, spec=replaced(one.spec, volume_claim_templates=(template,))))
    pod, claim = f"{one.metadata.name}-0", f"data-{one.metadata.name}-0"
    lost = await until(placed(client, pod))
    volume = (await until(lambda: is_bound(client, claim))).spec.volume_name
    await client.patch(Node, lost, "", {"spec": {"unschedulable": True}})

    await client.delete(Pod, pod, "default", grace_s=0)

    async def stays_away() -> bool:
        pods = (await client.list(Pod, "default")).items
        for each in pods:
            # The scheduler had not heard of its node yet.
            if each.spec.node_name == lost and each.metadata.deletion_timestamp is None:
                await client.delete(Pod, each.metadata.name, "default", grace_s=0)
        found = [condition_of(each.status.conditions, "PodScheduled") for each in pods]
        return any(each and "had volume node affinity conflict" in each.message for each in found)

    await until(stays_away)
    await client.delete(PersistentVolumeClaim, claim, "default")
    await client.delete(Pod, pod, "default", grace_s=0)

    assert await until(placed(client, pod)) != lost
    assert (await until(lambda: is_bound(client, claim))).spec.volume_name != volume

    async def is_removed() -> bool:
        return not disks[lost].names

    await until(is_removed)


async def test_a_claim_is_given_the_default_class_protected_and_never_larger(
    client: Client,
) -> None:
    await client.create(sent(a_class(is_default=True)))
    made = await client.create(sent(a_claim(storage_class=None)))
    assert made.spec.storage_class_name == "local"
    assert made.metadata.finalizers == (CLAIM_PROTECTION,)
    assert (await client.create(sent(a_volume()))).metadata.finalizers == (VOLUME_PROTECTION,)

    larger = {"spec": {"resources": {"requests": {"storage": "9Gi"}}}}
    with pytest.raises(Invalid, match="only dynamically provisioned pvc can be resized"):
        await client.patch(PersistentVolumeClaim, "data", "default", larger)
    other = {"spec": {"accessModes": ["ReadWriteMany"]}}
    with pytest.raises(Invalid, match="spec is immutable after creation"):
        await client.patch(PersistentVolumeClaim, "data", "default", other)
    restored = {"spec": {"dataSource": {"kind": "VolumeSnapshot", "name": "s"}}}
    with pytest.raises(ApiError, match="dataSource"):
        await client.patch(PersistentVolumeClaim, "data", "default", restored)
    wrong = replaced(a_class("wrong"), volume_binding_mode="Immediate")
    with pytest.raises(Invalid, match="must be WaitForFirstConsumer"):
        await client.create(sent(wrong))
    assert [one.metadata.name for one in (await client.list(StorageClass)).items] == ["local"]


async def test_a_new_cluster_has_a_class_for_claims_that_name_none(
    client: Client, disks: Disks
) -> None:
    assert await add_default_class(client)
    await client.create(sent(a_claim(storage_class=None)))
    await client.create(sent(with_claims(a_pod("web"), "data")))
    claim = await until(lambda: is_bound(client))
    assert claim.spec.storage_class_name == DEFAULT_CLASS
    assert sum(len(one.names) for one in disks.values()) == 1


async def test_init_again_leaves_the_classes_that_people_made(client: Client) -> None:
    await client.create(sent(a_class("fast")))
    assert not await add_default_class(client)
    assert [one.metadata.name for one in (await client.list(StorageClass)).items] == ["fast"]


async def test_init_again_makes_no_class_that_was_deleted(client: Client) -> None:
    assert await add_default_class(client)
    await client.delete(StorageClass, DEFAULT_CLASS)
    assert not await add_default_class(client)
    assert not (await client.list(StorageClass)).items
