"""The claims of a StatefulSet's pods: made first, kept, and let go as the policy says."""

from typing import Literal

import pytest

from controllers.sets.statefulsets import StatefulSets
from cubernetes.api.apps.statefulset import ClaimRetentionPolicy, StatefulSet
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.volumes.volume import EmptyDir, Volume, claims_of
from cubernetes.api.meta import ObjectMeta, replaced
from tests.carry import World
from tests.given import NOW, a_running_pod, a_statefulset
from tests.volumes import a_claim

type Policy = Literal["Retain", "Delete"]
ROUNDS = 20


def a_set(
    replicas: int = 2, *, deleted: Policy = "Retain", scaled: Policy = "Retain"
) -> StatefulSet:
    one = a_statefulset(replicas=replicas)
    template = replaced(a_claim("data"), metadata=ObjectMeta(name="data"))
    policy = ClaimRetentionPolicy(when_deleted=deleted, when_scaled=scaled)
    spec = replaced(
        one.spec,
        volume_claim_templates=(template,),
        persistent_volume_claim_retention_policy=policy,
        pod_management_policy="Parallel",
    )
    return replaced(one, spec=spec)


def scaled(world: World, replicas: int) -> None:
    (one,) = world.all(StatefulSet)
    world.put(replaced(one, spec=replaced(one.spec, replicas=replicas)))


def ready(world: World) -> None:
    status = a_running_pod().status
    for pod in world.all(Pod):
        world.put(replaced(pod, status=status))


def lived(*objects: StatefulSet | PersistentVolumeClaim) -> World:
    world = World(objects)
    world.settle(StatefulSets(), ROUNDS)
    ready(world)
    world.settle(StatefulSets(), ROUNDS)
    return world


def owners(world: World) -> dict[str, set[str]]:
    """Return who each claim goes with."""
    return {
        one.metadata.name: {owner.name for owner in one.metadata.owner_references}
        for one in world.all(PersistentVolumeClaim)
    }


def test_claims_are_made_before_their_pod_which_mounts_them_in_the_place_of_the_templates() -> None:
    one = a_set()
    pod = one.spec.template.spec
    shared = (Volume(name="data", empty_dir=EmptyDir()), Volume(name="tmp", empty_dir=EmptyDir()))
    template = replaced(one.spec.template, spec=replaced(pod, volumes=shared))
    world = World([replaced(one, spec=replaced(one.spec, template=template))])
    (key,) = world.keys(StatefulSets())
    world.carry_out(world.plan(StatefulSets(), key))  # the revision
    kinds = [type(getattr(action, "object", None)) for action in world.plan(StatefulSets(), key)]
    assert kinds.index(PersistentVolumeClaim) < kinds.index(Pod)

    world.settle(StatefulSets(), ROUNDS)
    pods = world.all(Pod)
    assert [claims_of(each.spec.volumes) for each in pods] == [("data-web-0",), ("data-web-1",)]
    assert {each.name for each in pods[0].spec.volumes} == {"data", "tmp"}


def test_claims_stay_where_pods_go_and_are_found_again() -> None:
    world = lived(a_set())
    before = {one.metadata.name: one.metadata.uid for one in world.all(PersistentVolumeClaim)}
    assert before.keys() == {"data-web-0", "data-web-1"}
    scaled(world, 0)
    world.settle(StatefulSets(), ROUNDS)
    assert not world.all(Pod)
    scaled(world, 2)
    world.settle(StatefulSets(), ROUNDS)
    after = {one.metadata.name: one.metadata.uid for one in world.all(PersistentVolumeClaim)}
    assert after == before


@pytest.mark.parametrize(
    ("deleted", "scale", "standing", "surplus"),
    [
        ("Retain", "Retain", set(), set()),
        ("Delete", "Retain", {"web"}, {"web"}),
        ("Retain", "Delete", set(), {"web-1"}),
        ("Delete", "Delete", {"web"}, {"web-1"}),
    ],
)
def test_claims_go_with_whom_the_policy_says(
    deleted: Policy, scale: Policy, standing: set[str], surplus: set[str]
) -> None:
    world = lived(a_set(deleted=deleted, scaled=scale))
    assert owners(world) == {"data-web-0": standing, "data-web-1": standing}

    scaled(world, 1)
    keep_going(world)
    assert owners(world) == {"data-web-0": standing, "data-web-1": surplus}


def keep_going(world: World) -> None:
    """Let pods that are to go have a finalizer, so that what is before their end is seen."""
    for pod in world.all(Pod):
        held = replaced(pod.metadata, finalizers=("example.com/holds",))
        world.put(replaced(pod, metadata=held))
    for _ in range(3):
        for key in world.keys(StatefulSets()):
            world.carry_out(world.plan(StatefulSets(), key))


def test_a_policy_that_changes_is_written_into_the_claims_that_are_there() -> None:
    world = lived(a_set())
    (one,) = world.all(StatefulSet)
    policy = ClaimRetentionPolicy(when_deleted="Delete")
    spec = replaced(one.spec, persistent_volume_claim_retention_policy=policy)
    world.put(replaced(one, spec=spec))
    world.settle(StatefulSets(), ROUNDS)
    assert owners(world) == {"data-web-0": {"web"}, "data-web-1": {"web"}}


def test_a_pod_waits_for_a_claim_of_before_that_is_being_deleted() -> None:
    going = a_claim("data-web-0", deleted_at=NOW, finalizers=["kubernetes.io/pvc-protection"])
    world = lived(a_set(1), going)
    assert not world.all(Pod)
    (key,) = world.keys(StatefulSets())
    world.carry_out(StatefulSets().plan(key, world.view(), NOW))
    assert any("pvc data-web-0 is being deleted" in one.message for one in world.records)

    world.remove(going.ref)
    world.settle(StatefulSets(), ROUNDS)
    assert [one.metadata.name for one in world.all(Pod)] == ["web-0"]


def test_templates_are_checked_and_never_change() -> None:
    one = a_set()
    assert list(one.problems()) == []
    (template,) = one.spec.volume_claim_templates
    wrong = replaced(template, spec=replaced(template.spec, access_modes=()))
    twice = replaced(one, spec=replaced(one.spec, volume_claim_templates=(template, wrong)))
    fields = {problem.field for problem in twice.problems()}
    assert fields == {
        "spec.volumeClaimTemplates[1].metadata.name",
        "spec.volumeClaimTemplates[1].spec.accessModes",
    }
    assert [problem.field for problem in twice.update_problems(one)] == [
        "spec.volumeClaimTemplates"
    ]
