"""No volume is two claims', and none is lost: whatever is cut, and however old the view."""

from hypothesis import given
from hypothesis import strategies as some

from controllers.volumes.volumes import Volumes
from cubernetes.api.core.persistentvolume import PersistentVolume
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.meta import Object, replaced
from cubernetes.api.storagewords import FOLDER, MADE, NODE, SELECTED_NODE
from kubelet.claims.plan import Work, work_for
from tests.carry import World
from tests.given import a_node
from tests.volumes import a_claim, a_class, a_volume

NODES = ("n1", "n2")
CLAIMS = ("a", "b", "c", "d")
# What happens: the planner is run, cut after some writes, on a view that is some writes old; or
# somebody else acts.
steps = some.lists(
    some.tuples(
        some.sampled_from(["plan", "plan", "plan", "plan", "select", "folder", "delete", "again"]),
        some.integers(0, 20),
        some.integers(0, 3),
        some.integers(0, 4),
    ),
    max_size=40,
)


def a_world() -> World:
    """Return two claims that want what people made, and two for which something is made."""
    return World(
        [
            *(a_node(name) for name in NODES),
            a_class("local"),
            a_claim("a", uid="first-a"),
            a_claim("b", uid="first-b", size="2Gi"),
            a_claim("c", uid="first-c", storage_class="local"),
            a_claim("d", uid="first-d", storage_class="local"),
            a_volume("one"),
            a_volume("two", size="2Gi"),
            a_volume("late", storage_class="local", node="n1"),
        ]
    )


class Story:
    """A world, and who had which volume: a claim keeps its own to its end, and nobody gets it then.

    Volumes that people made are retained here: what one claim left there is not for another to see.
    """

    def __init__(self) -> None:
        self.world = a_world()
        self.had: dict[str, str] = {}
        self.owner: dict[str, str] = {}
        self.born = 0

    def step(self, what: str, which: int, behind: int, limit: int) -> None:
        world = self.world
        if what == "plan":
            keys = world.keys(Volumes(), behind)
            if keys:
                key = keys[which % len(keys)]
                world.carry_out(world.plan(Volumes(), key, behind), limit)
        elif what == "select":
            select(world, CLAIMS[which % 4], NODES[limit % 2])
        elif what == "folder":
            keep_folders(world)
        else:
            self.change(CLAIMS[which % 4], is_new=what == "again")
        self.check()

    def change(self, name: str, *, is_new: bool) -> None:
        found = self.world.get(PersistentVolumeClaim, name, "default")
        if found is not None and not is_new:
            self.world.remove(found.ref)
        elif found is None and is_new:
            self.born += 1
            its = "local" if name in ("c", "d") else ""
            self.world.put(a_claim(name, storage_class=its, uid=f"{name}-{self.born}"))

    def check(self) -> None:
        claims = {one.metadata.uid: one for one in self.world.all(PersistentVolumeClaim)}
        owners: dict[str, str] = {}
        for uid, claim in claims.items():
            name = claim.spec.volume_name
            if not name:
                continue
            assert name not in owners, f"{name} is of {owners[name]} and of {uid}"
            owners[name] = uid
            assert self.had.setdefault(uid, name) == name, "a claim has lost its volume"
            assert self.owner.setdefault(name, uid) == uid, "a volume was given to another"
            volume = self.world.get(PersistentVolume, name)
            assert volume is not None, "the volume of a claim is gone"
            assert not volume.metadata.is_deleted
            assert volume.spec.claim_ref is not None
            assert volume.spec.claim_ref.uid == uid, "a volume speaks of another claim"


def select(world: World, name: str, node: str) -> None:
    """Do what the scheduler does: only of a claim that has no volume."""
    claim = world.get(PersistentVolumeClaim, name, "default")
    if claim is None or claim.spec.volume_name or claim.spec.storage_class_name != "local":
        return
    notes = {**claim.metadata.annotations, SELECTED_NODE: node}
    world.put(replaced(claim, metadata=replaced(claim.metadata, annotations=notes)))


def keep_folders(world: World) -> None:
    """Do what the kubelets do."""
    for volume in world.all(PersistentVolume):
        meta = volume.metadata
        work = work_for(volume, meta.annotations.get(NODE, ""))
        if work is Work.MAKE:
            notes = {**meta.annotations, FOLDER: MADE}
            world.put(replaced(volume, metadata=replaced(meta, annotations=notes)))
        elif work is Work.REMOVE:
            world.remove(volume.ref)


@given(steps)
def test_a_volume_is_never_two_claims_and_a_claim_never_loses_its_own(
    told: list[tuple[str, int, int, int]],
) -> None:
    story = Story()
    for one in told:
        story.step(*one)

    for name in ("c", "d"):
        select(story.world, name, "n2")
    for _ in range(6):
        story.world.settle(Volumes(), 30)
        keep_folders(story.world)
        story.check()
    check_end(story.world)


def check_end(world: World) -> None:
    """Everybody has what there is to have, and nothing is left over."""
    claims = world.all(PersistentVolumeClaim)
    made = {one.metadata.name for one in world.all(PersistentVolume) if one.is_provisioned}
    named = {one.spec.volume_name for one in claims}
    assert made <= named, "a volume that was made is nobody's"
    for claim in claims:
        if claim.spec.storage_class_name == "local":
            assert claim.status.phase == "Bound"
        elif claim.status.phase != "Bound":
            assert not [
                one for one in free(world) if one.size >= claim.spec.resources.requests["storage"]
            ]


def free(world: World) -> list[PersistentVolume]:
    of_none = [one for one in world.all(PersistentVolume) if not one.spec.storage_class_name]
    return [one for one in of_none if one.spec.claim_ref is None]


def test_the_order_in_which_claims_are_planned_gives_each_the_same_kind_of_volume() -> None:
    ends = set()
    for order in (CLAIMS, CLAIMS[::-1]):
        objects: list[Object] = [a_volume("one"), a_volume("two", size="2Gi")]
        world = World(objects)
        for name in order[:2]:
            world.put(a_claim(name))
            world.settle(Volumes(), 12)
        ends.add(frozenset(one.spec.volume_name for one in world.all(PersistentVolumeClaim)))
    assert ends == {frozenset({"one", "two"})}
