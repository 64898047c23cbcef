"""What a pod's claims ask of nodes, and what a pod is told that they keep back."""

import pytest

from cubernetes.api.core.persistentvolume import PersistentVolume
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.meta import replaced
from cubernetes.api.storage.storageclass import (
    TopologySelectorLabelRequirement,
    TopologySelectorTerm,
)
from cubernetes.api.storagewords import BIND_COMPLETED, SELECTED_NODE
from cubernetes.scheduling.claims import Needs, StillStorage, needs_of
from cubernetes.scheduling.nodeinfo import PodRequests, facts_of
from cubernetes.scheduling.plan import Placement, Unschedulable, place
from cubernetes.scheduling.snapshot import Snapshot
from cubernetes.scheduling.whatif import Cluster, answer
from tests.given import NOW, a_node, a_pod
from tests.volumes import a_claim, a_class, a_volume, with_claims

NODES = ("n1", "n2", "n3")
DONE = {BIND_COMPLETED: "yes"}
POD = with_claims(a_pod("web"), "a", "b")


def needs(*claims: PersistentVolumeClaim, volumes: tuple[PersistentVolume, ...] = ()) -> Needs:
    pods = [with_claims(a_pod("other", node="n1", phase="Running"), "a")]
    return needs_of(POD, StillStorage(claims, volumes, [a_class()], pods))


def chosen(found: Needs) -> str:
    """Return the node that a pod goes to, or why to none."""
    snapshot = Snapshot()
    for name in NODES:
        snapshot.set_node(facts_of(a_node(name, labels={"zone": f"z-{name}"})))
    verdict = place(PodRequests(volumes=found.volumes), snapshot, "")
    if isinstance(verdict, Placement):
        return verdict.node
    assert isinstance(verdict, Unschedulable)
    return verdict.message


def bound(name: str, volume: str) -> PersistentVolumeClaim:
    return a_claim(name, volume=volume, annotations=DONE)


def late(name: str, **more: str) -> PersistentVolumeClaim:
    return a_claim(name, storage_class="local", **more)  # type: ignore[arg-type]


def test_a_pod_without_claims_asks_for_nothing() -> None:
    assert needs_of(a_pod("web"), StillStorage()) == Needs()


def test_a_pod_goes_where_all_of_its_volumes_are() -> None:
    disks = (a_volume("x", node="n2"), a_volume("y"))
    assert chosen(needs(bound("a", "x"), bound("b", "y"), volumes=disks)) == "n2"

    apart = (a_volume("x", node="n2"), a_volume("y", node="n3"))
    told = chosen(needs(bound("a", "x"), bound("b", "y"), volumes=apart))
    assert told == "0/3 nodes can take the pod: " + "; ".join(
        f"{name} had volume node affinity conflict" for name in NODES
    )


def test_of_what_is_free_each_claim_takes_another() -> None:
    free = (
        a_volume("x", storage_class="local", node="n2"),
        a_volume("y", storage_class="local", node="n2"),
        a_volume("z", storage_class="local", node="n1"),
    )
    disks = replaced(a_class(), provisioner="kubernetes.io/no-provisioner")
    found = needs_of(POD, StillStorage([late("a"), late("b")], free, [disks]))
    assert chosen(found) == "n2"
    assert [one.name for one in found.late] == ["a", "b"]

    found = needs_of(POD, StillStorage([late("a"), late("b")], free[1:], [disks]))
    assert "n2 didn't find available persistent volumes to bind" in chosen(found)


def test_where_volumes_can_be_made_topologies_say_on_which_nodes() -> None:
    zone = TopologySelectorLabelRequirement(key="zone", values=("z-n3",))
    term = TopologySelectorTerm(match_label_expressions=(zone,))
    made_by = replaced(a_class(), allowed_topologies=(term,))
    assert chosen(needs_of(POD, StillStorage([late("a"), late("b")], (), [made_by]))) == "n3"
    assert chosen(needs_of(POD, StillStorage([late("a"), late("b")], (), [a_class()]))) == "n1"


def test_a_volume_that_is_kept_for_a_claim_decides_before_it_is_bound() -> None:
    kept = a_volume("x", storage_class="local", node="n3", claim=late("a"))
    assert chosen(needs(late("a"), late("b"), volumes=(kept,))) == "n3"


def test_a_choice_that_was_written_is_not_written_again() -> None:
    told = a_claim("b", storage_class="local", annotations={SELECTED_NODE: "n2"})
    found = needs(late("a"), told)
    assert found.chosen == "n2"
    assert [one.name for one in found.unwritten("n2")] == ["a"]
    assert [one.name for one in found.unwritten("n1")] == ["a", "b"]


@pytest.mark.parametrize(
    ("claim", "told"),
    [
        (None, 'persistentvolumeclaim "a" not found'),
        (a_claim("a", deleted_at=NOW), 'persistentvolumeclaim "a" is being deleted'),
        (a_claim("a"), "pod has unbound immediate PersistentVolumeClaims"),
        (
            bound("a", "lost"),
            'persistentvolumeclaim "a" bound to non-existent persistentvolume "lost"',
        ),
        (a_claim("a", volume="x"), 'persistentvolumeclaim "a" is not bound yet'),
        (
            a_claim("a", modes=["ReadWriteOncePod"]),
            'persistentvolumeclaim "a" is ReadWriteOncePod, and pod other uses it',
        ),
    ],
)
def test_what_holds_a_pod_back_wherever_it_could_go_is_told(
    claim: PersistentVolumeClaim | None, told: str
) -> None:
    claims = [late("b")] + ([claim] if claim is not None else [])
    assert needs(*claims).held == told


def test_why_answers_from_the_same_rules() -> None:
    nodes = [a_node(name) for name in NODES]
    cluster = Cluster([], nodes, [], (), [bound("a", "x"), late("b")], [a_volume("x", node="n2")])
    found = answer(cluster._replace(classes=[a_class()]), POD)
    assert (found.chosen, found.passing) == ("n2", ("n2",))
    (refusing,) = answer(cluster, POD).refusing
    assert refusing.reason == "pod has unbound immediate PersistentVolumeClaims"
    assert refusing.nodes == NODES
