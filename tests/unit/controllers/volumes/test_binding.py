"""Claims and volumes: who gets which, what is made, and what becomes of it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from controllers.volumes.volumes import Volumes
from cubernetes.api.core.node import Node
from cubernetes.api.core.persistentvolume import PersistentVolume
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.meta import Object, ObjectMeta, Ref, replaced
from cubernetes.api.selectors import LabelSelector
from cubernetes.api.storage.storageclass import (
    StorageClass,
    TopologySelectorLabelRequirement,
    TopologySelectorTerm,
)
from cubernetes.api.storagewords import (
    BIND_COMPLETED,
    CLAIM_PROTECTION,
    FOLDER,
    FOLDER_FINALIZER,
    LOCAL,
    MADE,
    NODE,
    PROVISIONED_BY,
    PROVISIONER,
    SELECTED_NODE,
    VOLUME_PROTECTION,
)
from cubernetes.reconcile.plan import StillView
from tests.carry import World
from tests.given import NOW, a_node, a_pod
from tests.volumes import a_claim, a_class, a_volume, with_claims

ROUNDS = 12


def settled(*objects: Object) -> World:
    world = World(objects)
    world.settle(Volumes(), ROUNDS)
    return world


def the_claim(world: World, name: str = "data") -> PersistentVolumeClaim:
    found = world.get(PersistentVolumeClaim, name, "default")
    assert found is not None
    return found


def the_volume(world: World, name: str = "disk") -> PersistentVolume:
    found = world.get(PersistentVolume, name)
    assert found is not None
    return found


def bound(world: World) -> dict[str, str]:
    """Return which claims have which volumes, as both sides say."""
    found = {}
    for claim in world.all(PersistentVolumeClaim):
        if claim.status.phase == "Bound":
            volume = the_volume(world, claim.spec.volume_name)
            assert volume.spec.claim_ref is not None
            assert volume.spec.claim_ref.uid == claim.metadata.uid
            assert volume.status.phase == "Bound"
            found[claim.metadata.name] = claim.spec.volume_name
    return found


def told(world: World) -> set[tuple[str, str]]:
    return {(one.reason, one.message) for one in world.records}


def said(world: World, ref: Ref) -> set[tuple[str, str]]:
    """Return what is said of one object now."""
    world.carry_out(Volumes().plan(ref, world.view(), NOW))
    return told(world)


def test_the_smallest_volume_that_is_large_enough_is_bound_and_both_say_so() -> None:
    world = settled(
        a_claim(size="2Gi"), a_volume("big", size="9Gi"), a_volume("right", size="3Gi"),
        a_volume("small"),
    )  # fmt: skip

    assert bound(world) == {"data": "right"}
    claim = the_claim(world)
    assert str(claim.status.capacity["storage"]) == "3Gi"
    assert claim.status.access_modes == ("ReadWriteOnce",)
    assert the_volume(world, "big").status.phase == "Available"


@pytest.mark.parametrize(
    "other",
    [
        a_volume(size="1Mi"),
        a_volume(storage_class="fast"),
        a_volume(modes=["ReadOnlyMany"]),
        a_volume(claim=a_claim("another")),
        a_volume(deleted_at=NOW, finalizers=[VOLUME_PROTECTION, "example.com/holds"]),
    ],
    ids=["too small", "of another class", "other modes", "another's", "going"],
)
def test_a_volume_that_is_not_as_the_claim_wants_is_left_alone(other: PersistentVolume) -> None:
    world = settled(a_claim(), a_claim("another"), other)

    assert "data" not in bound(world)
    assert the_claim(world).status.phase == "Pending"
    reasons = {reason for reason, _ in said(world, the_claim(world).ref)}
    assert reasons == {"FailedBinding"}


def test_a_selector_chooses_by_the_labels_of_volumes() -> None:
    claim = a_claim()
    chosen = LabelSelector(match_labels={"disk": "ssd"})
    claim = replaced(claim, spec=replaced(claim.spec, selector=chosen))

    world = settled(claim, a_volume("plain"), a_volume("quick", labels={"disk": "ssd"}))

    assert bound(world) == {"data": "quick"}


def test_a_volume_that_people_keep_for_a_claim_is_no_others() -> None:
    kept = a_volume("kept", claim=replaced(a_claim("late"), metadata=a_meta_without_uid("late")))
    world = settled(a_claim("early"), kept)
    assert bound(world) == {}
    assert the_volume(world, "kept").status.phase == "Available"

    world.put(a_claim("late"))
    world.settle(Volumes(), ROUNDS)
    assert bound(world) == {"late": "kept"}


def a_meta_without_uid(name: str) -> ObjectMeta:
    return replaced(a_claim(name).metadata, uid="")


def test_a_claim_that_names_a_volume_gets_just_that_one_if_it_will_do() -> None:
    world = settled(a_claim(volume="big"), a_volume("big", size="9Gi"), a_volume("right"))
    assert bound(world) == {"data": "big"}

    world = settled(a_claim(size="2Gi", volume="small"), a_volume("small"))
    assert bound(world) == {}
    message = 'Cannot bind to requested volume "small": requested PV is too small'
    assert ("VolumeMismatch", message) in said(world, the_claim(world).ref)


def test_a_claim_without_a_class_gets_the_newest_default() -> None:
    world = settled(
        a_claim(storage_class=None),
        a_class("old", is_default=True),
        a_class("new", is_default=True, created_at=NOW),
    )

    assert the_claim(world).spec.storage_class_name == "new"


def late(*, node: str = "", **more: str) -> PersistentVolumeClaim:
    notes = {SELECTED_NODE: node} if node else {}
    return a_claim(storage_class="local", annotations=notes, **more)  # type: ignore[arg-type]


def test_a_claim_of_a_late_class_waits_for_a_node_and_says_so() -> None:
    world = settled(late(), a_class(), a_volume(storage_class="local"), a_node("n1"))

    assert bound(world) == {}
    message = "waiting for first consumer to be created before binding"
    assert said(world, the_claim(world).ref) == {("WaitForFirstConsumer", message)}


def test_a_late_claim_gets_a_volume_that_the_chosen_node_reaches() -> None:
    world = settled(
        late(node="n2"),
        a_class(),
        a_node("n1"),
        a_node("n2"),
        a_volume("near", storage_class="local", node="n2", size="5Gi"),
        a_volume("far", storage_class="local", node="n1"),
    )

    assert bound(world) == {"data": "near"}


def test_where_none_is_free_one_is_made_on_the_chosen_node_and_bound_once_it_is_there() -> None:
    world = settled(late(node="n1"), a_class(), a_node("n1"))
    made = the_volume(world, "pvc-uid-data")
    assert made.metadata.annotations == {PROVISIONED_BY: LOCAL, NODE: "n1"}
    assert made.spec.local is not None
    assert made.spec.local.path == "/var/lib/cubernetes/volumes/pvc-uid-data"
    assert made.is_reached_from("n1", {"kubernetes.io/hostname": "n1"})
    assert not made.is_reached_from("n2", {"kubernetes.io/hostname": "n2"})
    assert list(made.defaulted().problems()) == []
    assert bound(world) == {}  # its folder is not there yet

    make_folder(world, made)
    world.settle(Volumes(), ROUNDS)
    assert bound(world) == {"data": "pvc-uid-data"}


def make_folder(world: World, volume: PersistentVolume) -> None:
    """Do what the kubelet of its node does."""
    notes = {**volume.metadata.annotations, FOLDER: MADE}
    world.put(replaced(volume, metadata=replaced(volume.metadata, annotations=notes)))


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        (late(node="n1"), "allowedTopologies of local do not have n1"),
        (late(node="gone"), "node gone is gone"),
    ],
)
def test_a_node_that_will_not_do_is_taken_back_so_that_another_is_chosen(
    claim: PersistentVolumeClaim, reason: str
) -> None:
    zone = TopologySelectorLabelRequirement(key="zone", values=("a",))
    term = TopologySelectorTerm(match_label_expressions=(zone,))
    made_by = replaced(a_class(), allowed_topologies=(term,))

    world = World([claim, made_by, a_node("n1", labels={"zone": "b"})])

    assert said(world, claim.ref) == {("ProvisioningFailed", reason)}
    assert SELECTED_NODE not in the_claim(world).metadata.annotations
    world.settle(Volumes(), ROUNDS)
    assert not world.all(PersistentVolume)


def test_no_volume_is_made_for_modes_that_a_folder_has_not() -> None:
    world = settled(late(node="n1", modes=["ReadWriteMany"]), a_class(), a_node("n1"))  # type: ignore[arg-type]

    assert not world.all(PersistentVolume)
    (message,) = [one for reason, one in said(world, the_claim(world).ref)]
    assert "makes no volumes of the access mode ReadWriteMany" in message


def test_a_provisioner_of_somebody_elses_is_asked_by_an_annotation() -> None:
    made_by = a_class("fast", provisioner="csi.example.com", mode="Immediate")
    world = settled(a_claim(storage_class="fast"), made_by)

    assert the_claim(world).metadata.annotations[PROVISIONER] == "csi.example.com"
    assert {reason for reason, _ in said(world, the_claim(world).ref)} == {"ExternalProvisioning"}


def gone(world: World, name: str = "data") -> None:
    world.remove(the_claim(world, name).ref)
    world.settle(Volumes(), ROUNDS)


def test_a_volume_whose_claim_is_gone_is_kept_and_is_nobody_elses() -> None:
    world = settled(a_claim(), a_volume())
    gone(world)
    assert the_volume(world).status.phase == "Released"

    world.put(a_claim("another"))
    world.settle(Volumes(), ROUNDS)
    assert bound(world) == {}
    # Who takes the claim away from it says that it is free again.
    one = the_volume(world)
    world.put(replaced(one, spec=replaced(one.spec, claim_ref=None)))
    world.settle(Volumes(), ROUNDS)
    assert bound(world) == {"another": "disk"}


def test_a_claim_of_the_same_name_is_another_and_gets_nothing_of_what_was_left() -> None:
    world = settled(a_claim(), a_volume())
    gone(world)
    world.put(a_claim(uid="another"))
    world.settle(Volumes(), ROUNDS)

    assert bound(world) == {}
    assert the_volume(world).status.phase == "Released"


def test_a_volume_that_nobody_can_remove_has_failed_and_says_why() -> None:
    world = settled(a_claim(), a_volume(policy="Delete"))
    gone(world)

    status = the_volume(world).status
    assert (status.phase, status.reason) == ("Failed", "VolumeFailedDelete")
    assert "no deletable volume plugin matched" in status.message


def a_made_volume(policy: str = "Delete") -> World:
    world = settled(late(node="n1"), a_class(policy=policy), a_node("n1"))  # type: ignore[arg-type]
    made = the_volume(world, "pvc-uid-data")
    protected = (*made.metadata.finalizers, VOLUME_PROTECTION)
    world.put(replaced(made, metadata=replaced(made.metadata, finalizers=protected)))
    make_folder(world, the_volume(world, "pvc-uid-data"))
    world.settle(Volumes(), ROUNDS)
    assert bound(world) == {"data": "pvc-uid-data"}
    return world


def test_a_volume_that_was_made_goes_with_its_claim_once_its_node_has_removed_the_folder() -> None:
    world = a_made_volume()
    gone(world)

    left = the_volume(world, "pvc-uid-data")
    assert left.metadata.is_deleted
    assert left.metadata.finalizers == (FOLDER_FINALIZER,)


def test_a_volume_that_was_made_and_is_retained_stays_with_its_files() -> None:
    world = a_made_volume("Retain")
    gone(world)
    one = the_volume(world, "pvc-uid-data")
    assert (one.status.phase, one.metadata.is_deleted) == ("Released", False)

    meta = replaced(one.metadata, deletion_timestamp=NOW)
    world.put(replaced(one, metadata=meta))
    world.settle(Volumes(), ROUNDS)
    assert not world.all(PersistentVolume)  # and no kubelet was asked to remove anything


def test_a_bound_volume_that_is_deleted_stays_as_long_as_its_claim() -> None:
    world = a_made_volume()
    one = the_volume(world, "pvc-uid-data")
    world.put(replaced(one, metadata=replaced(one.metadata, deletion_timestamp=NOW)))
    world.settle(Volumes(), ROUNDS)

    assert VOLUME_PROTECTION in the_volume(world, "pvc-uid-data").metadata.finalizers


def test_with_its_node_a_folder_is_gone_and_nobody_waits_for_it() -> None:
    world = a_made_volume()
    volume = the_volume(world, "pvc-uid-data").ref
    world.remove(Ref(Node.resource.kind, "", "n1"))
    world.remove(the_claim(world).ref)
    for _ in range(4):
        said(world, volume)

    assert not world.all(PersistentVolume)
    assert "FolderLeft" in {reason for reason, _ in told(world)}


def test_a_node_that_goes_before_it_has_made_the_folder_leaves_the_claim_to_another() -> None:
    world = settled(late(node="n1"), a_class(), a_node("n1"), a_node("n2"))
    world.remove(Ref(Node.resource.kind, "", "n1"))
    world.settle(Volumes(), ROUNDS)
    assert not world.all(PersistentVolume)
    claim = the_claim(world)
    assert SELECTED_NODE not in claim.metadata.annotations

    notes = {**claim.metadata.annotations, SELECTED_NODE: "n2"}
    world.put(replaced(claim, metadata=replaced(claim.metadata, annotations=notes)))
    world.settle(Volumes(), ROUNDS)
    assert the_volume(world, "pvc-uid-data").metadata.annotations[NODE] == "n2"


def test_a_claim_that_pods_use_is_protected_until_the_last_has_ended() -> None:
    claim = a_claim(deleted_at=NOW, finalizers=[CLAIM_PROTECTION])
    using = with_claims(a_pod("db-0", node="n1", phase="Running"), "data")
    world = settled(claim, using)
    assert the_claim(world).metadata.finalizers == (CLAIM_PROTECTION,)

    world.put(with_claims(a_pod("db-0", node="n1", phase="Succeeded"), "data"))
    world.settle(Volumes(), ROUNDS)
    assert not world.all(PersistentVolumeClaim)


def test_a_claim_whose_volume_is_gone_is_lost_and_says_so() -> None:
    world = settled(a_claim(), a_volume())
    world.remove(the_volume(world).ref)
    world.settle(Volumes(), ROUNDS)

    assert the_claim(world).status.phase == "Lost"
    assert (
        "ClaimLost",
        "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
    ) in (said(world, the_claim(world).ref))


def test_of_two_claims_that_say_they_have_one_volume_only_its_own_has_it() -> None:
    notes = {BIND_COMPLETED: "yes"}
    world = settled(
        a_claim("a", volume="disk", annotations=notes),
        a_claim("b", volume="disk", annotations=notes),
        a_volume(claim=a_claim("a")),
    )

    assert bound(world) == {"a": "disk"}
    assert the_claim(world, "b").status.phase == "Lost"


def test_a_view_that_is_older_than_what_speaks_of_it_decides_nothing() -> None:
    """A volume that the view has not seen yet is not lost, nor a claim gone."""
    claim = a_claim(volume="disk", annotations={BIND_COMPLETED: "yes"})
    world = World([claim])
    planned = list(Volumes().plan(claim.ref, lagging(world), NOW))
    assert [type(one).__name__ for one in planned] == ["RequeueAfter"]

    world = World([a_volume(claim=a_claim())])
    planned = list(Volumes().plan(the_volume(world).ref, lagging(world), NOW))
    assert [type(one).__name__ for one in planned] == ["RequeueAfter"]


def lagging(world: World) -> StillView:
    return replace(world.view(), as_of=1)


def test_every_class_that_is_made_here_is_right() -> None:
    assert list(a_class().problems()) == []
    wrong = replaced(a_class(), volume_binding_mode="Immediate", allow_volume_expansion=True)
    fields = {one.field for one in wrong.problems()}
    assert fields == {"volumeBindingMode", "allowVolumeExpansion"}
    assert isinstance(wrong, StorageClass)


def test_a_volume_says_since_when_it_is_in_its_phase() -> None:
    world = settled(a_claim(), a_volume())
    bound_at = the_volume(world).status.last_phase_transition_time
    assert bound_at == world.now

    world.now += timedelta(hours=1)
    world.settle(Volumes(), ROUNDS)
    assert the_volume(world).status.last_phase_transition_time == bound_at
    gone(world)
    assert the_volume(world).status.last_phase_transition_time == world.now
