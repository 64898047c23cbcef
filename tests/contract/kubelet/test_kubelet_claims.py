"""What a kubelet does for claims: folders of its disk, and what pods mount; on virtual time."""

import pytest

from cubernetes.api.core.persistentvolume import LocalVolume, PersistentVolume
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import VolumeMount
from cubernetes.api.errors import Forbidden, NotFound
from cubernetes.api.meta import replaced
from cubernetes.api.storagewords import (
    FOLDER,
    FOLDER_FINALIZER,
    LOCAL,
    LOCAL_FOLDERS,
    MADE,
    NODE,
    PROVISIONED_BY,
    VOLUME_PROTECTION,
    AccessMode,
)
from cubernetes.client.rest import Client
from tests.contract.kubelet.test_kubelet import IMAGE, KUBELET, World, a_world, lived
from tests.contract.kubelet.test_volumes import told
from tests.contract.workloads.test_claims import sent
from tests.direct import DirectTransport
from tests.given import a_container, a_pod
from tests.volumes import a_claim, a_volume, with_claims

NAME = "pvc-1"
MERGE = {"metadata": {"annotations": {FOLDER: MADE}}}


def a_local_volume(name: str = NAME, node: str = "n1", path: str = "") -> PersistentVolume:
    """Return a volume as the controller has one made on a node."""
    notes = {PROVISIONED_BY: LOCAL, NODE: node}
    made = a_volume(name, policy="Delete", annotations=notes)
    local = LocalVolume(path=path or f"{LOCAL_FOLDERS}/{name}")
    spec = replaced(made.spec, host_path=None, local=local)
    on = a_volume(name, node=node).spec.node_affinity
    meta = replaced(sent(made).metadata, finalizers=(FOLDER_FINALIZER,))
    return replaced(made, metadata=meta, spec=replaced(spec, node_affinity=on))


async def the_volume(world: World, name: str = NAME) -> PersistentVolume:
    return await world.admin.get(PersistentVolume, name)


def test_the_folder_of_a_volume_of_this_node_is_made_and_said_and_no_others() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.admin.create(a_local_volume("theirs", "n2"))
            await world.admin.create(a_local_volume())

            async def is_made() -> bool:
                return (await the_volume(world)).is_made

            await world.until(is_made)
            assert world.machine.folders.names == {NAME}
            assert not (await the_volume(world, "theirs")).is_made

    lived(story)


def test_a_folder_goes_once_nobody_can_have_the_volume_and_with_it_the_object() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.admin.create(a_local_volume())

            async def is_made() -> bool:
                return (await the_volume(world)).is_made

            await world.until(is_made)
            await world.admin.delete(PersistentVolume, NAME)
            await world.env.clock.sleep(5)
            assert world.machine.folders.names == {NAME}  # it is protected yet

            free = {"metadata": {"finalizers": [FOLDER_FINALIZER]}}
            world.machine.folders.trouble = "Input/output error"
            await world.admin.patch(PersistentVolume, NAME, "", free)

            async def is_told() -> bool:
                return bool(await told(world, "VolumeFailedDelete"))

            await world.until(is_told)
            assert (await the_volume(world)).metadata.finalizers == (FOLDER_FINALIZER,)
            world.machine.folders.trouble = ""
            await world.until(lambda: is_gone(world))
            assert world.machine.folders.names == set()

    lived(story)


async def is_gone(world: World) -> bool:
    try:
        await the_volume(world)
    except NotFound:
        return True
    return False


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
def test_a_folder_that_is_retained_or_not_this_kubelets_is_left_alone(policy: str) -> None:
    async def story() -> None:
        async with a_world() as world:
            path = "/etc" if policy == "Delete" else ""
            one = a_local_volume(path=path)
            world.machine.folders.names.add(NAME)
            spec = replaced(one.spec, persistent_volume_reclaim_policy=policy)
            await world.admin.create(replaced(one, spec=spec))
            await world.admin.delete(PersistentVolume, NAME)
            free = {"metadata": {"finalizers": [FOLDER_FINALIZER]}}
            await world.admin.patch(PersistentVolume, NAME, "", free)
            await world.env.clock.sleep(60)
            assert world.machine.folders.names == {NAME}

    lived(story)


async def says(world: World, message: str, pod: str = "web") -> None:
    """Wait until the pod's container waits with a message."""

    async def is_said() -> bool:
        statuses = (await world.pod(pod)).status.container_statuses
        waiting = statuses[0].state.waiting if statuses else None
        said = waiting is not None and waiting.reason == "ContainerCreating"
        return said and waiting is not None and waiting.message == message

    await world.until(is_said)


async def bind(
    world: World, volume: PersistentVolume, modes: tuple[AccessMode, ...] = ("ReadWriteOnce",)
) -> None:
    """Make a volume, and a claim that has it."""
    claim = await world.admin.create(sent(a_claim(volume=volume.metadata.name, modes=modes)))
    ref = a_volume(claim=claim).spec.claim_ref
    spec = replaced(volume.spec, claim_ref=ref)
    await world.admin.create(sent(replaced(volume, spec=spec)))
    status = replaced(claim.status, phase="Bound")
    await world.admin.update_status(replaced(claim, status=status))


def mounting(name: str = "web", *, read_only: bool = False) -> Pod:
    pod = with_claims(a_pod(name), "data")
    (volume,) = pod.spec.volumes
    assert volume.persistent_volume_claim is not None
    claim = replaced(volume.persistent_volume_claim, read_only=read_only)
    mount = VolumeMount(name="data", mount_path="/data")
    container = replaced(a_container("main", IMAGE), volume_mounts=(mount,))
    volumes = (replaced(volume, persistent_volume_claim=claim),)
    return replaced(pod, spec=replaced(pod.spec, volumes=volumes, containers=(container,)))


@pytest.mark.parametrize("read_only", [False, True])
def test_a_pod_waits_for_its_claim_and_mounts_its_volume_once_it_is_bound(
    *, read_only: bool
) -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(mounting(read_only=read_only))
            await says(world, 'persistentvolumeclaim "data" not found')

            await bind(world, a_volume())
            took_s = await world.until(lambda: world.is_phase("Running"))
            assert took_s < 5  # it is told of the claim, and does not wait for a retry
            (life,) = [
                one for one in world.machine.runtime.lives.values() if one.container.name == "main"
            ]
            (mount,) = [one for one in life.mounts if one.target == "/data"]
            assert (mount.source, mount.read_only) == ("/srv/disk", read_only)

    lived(story)


def test_a_volume_that_this_node_cannot_reach_is_not_mounted() -> None:
    async def story() -> None:
        async with a_world() as world:
            await bind(world, a_volume(node="n2"))
            await world.make(mounting())
            await says(world, 'persistentvolume "disk" cannot be reached from this node')

    lived(story)


def test_of_two_pods_that_were_sent_here_one_has_a_volume_of_one_pod() -> None:
    async def story() -> None:
        async with a_world() as world:
            modes: tuple[AccessMode, ...] = ("ReadWriteOncePod",)
            await bind(world, a_volume(modes=modes), modes)
            await world.make(mounting("first"))
            await world.until(lambda: world.is_phase("Running", "first"))
            await world.env.clock.sleep(2)
            await world.make(mounting("second"))
            why = 'persistentvolumeclaim "data" is ReadWriteOncePod, and pod first uses it'
            await says(world, why, "second")

    lived(story)


def test_a_node_reads_claims_that_its_pods_name_and_changes_only_volumes_of_its_disk() -> None:
    async def story() -> None:
        async with a_world() as world:
            node = Client(DirectTransport(world.server, KUBELET), world.env)
            await world.admin.create(sent(a_claim()))
            with pytest.raises(Forbidden, match="no pod that is bound to this node names it"):
                await node.get(PersistentVolumeClaim, "data", "default")
            await world.make(mounting())
            assert await node.get(PersistentVolumeClaim, "data", "default")
            with pytest.raises(Forbidden):
                await node.patch(PersistentVolumeClaim, "data", "default", MERGE)

            await world.admin.create(a_local_volume("theirs", "n2"))
            assert await node.get(PersistentVolume, "theirs")
            with pytest.raises(Forbidden, match="not on the disk of this node"):
                await node.patch(PersistentVolume, "theirs", "", MERGE)
            with pytest.raises(Forbidden, match=r"spec\.nodeName=<itself>"):
                await node.list(PersistentVolume)
            await world.admin.create(a_local_volume())
            larger = {"spec": {"capacity": {"storage": "9Gi"}}}
            with pytest.raises(Forbidden, match="only that its folder is made"):
                await node.patch(PersistentVolume, NAME, "", larger)
            bare: dict[str, object] = {"metadata": {"finalizers": [FOLDER_FINALIZER]}}
            with pytest.raises(Forbidden, match=f"no other|{VOLUME_PROTECTION}"):
                await node.patch(PersistentVolume, NAME, "", bare)

    lived(story)
