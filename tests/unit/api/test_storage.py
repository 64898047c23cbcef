"""Claims, volumes and classes: what is right, what may change, and what kubectl prints."""

import pytest

from cubernetes.api.coding import codec
from cubernetes.api.core.persistentvolume import LocalVolume, PersistentVolume
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.errors import ApiError
from cubernetes.api.meta import Object, replaced
from cubernetes.api.quantities import Quantity
from cubernetes.api.storage.storageclass import default_of
from tests.given import NOW
from tests.volumes import a_claim, a_class, a_volume


def row(one: Object) -> list[str | int]:
    return [column.cell(one, NOW) for column in one.columns if not column.wide]


def test_the_columns_are_kubectls() -> None:
    claim = a_claim(volume="disk", storage_class="local")
    status = replaced(
        claim.status,
        phase="Bound",
        access_modes=("ReadOnlyMany", "ReadWriteOnce"),
        capacity={"storage": Quantity("2Gi")},
    )
    bound = replaced(claim, status=status)
    assert row(bound) == ["data", "Bound", "disk", "2Gi", "RWO,ROX", "local", "<unset>", "60m"]
    assert row(a_claim()) == ["data", "Pending", "", "", "", "", "<unset>", "60m"]
    assert row(a_claim(deleted_at=NOW))[1] == "Terminating"

    volume = a_volume(claim=claim, policy="Delete")
    told = ["disk", "1Gi", "RWO", "Delete", "Pending", "default/data", "", "<unset>", "", "60m"]
    assert row(volume) == told
    told = ["local (default)", "cubernetes.io/local", "Delete", "WaitForFirstConsumer", "false"]
    assert row(a_class(is_default=True)) == [*told, "60m"]


@pytest.mark.parametrize(
    ("claim", "fields"),
    [
        (a_claim(), []),
        (a_claim(modes=()), ["spec.accessModes"]),
        (a_claim(modes=["ReadWriteOncePod", "ReadWriteOnce"]), ["spec.accessModes"]),
        (a_claim(size="0"), ["spec.resources.requests[storage]"]),
        (a_claim(storage_class="Not A Class"), ["spec.storageClassName"]),
    ],
)
def test_what_is_wrong_with_a_claim_is_told_by_its_field(
    claim: PersistentVolumeClaim, fields: list[str]
) -> None:
    assert [one.field for one in claim.problems()] == fields


def test_what_is_wrong_with_a_volume_is_told_by_its_field() -> None:
    local = replaced(a_volume().spec, host_path=None, local=LocalVolume(path="here"))
    wrong = replaced(a_volume(), spec=local)
    fields = [one.field for one in wrong.problems()]
    assert fields == ["spec.local.path", "spec.nodeAffinity"]
    none = replaced(a_volume(), spec=replaced(a_volume().spec, host_path=None))
    assert [one.field for one in none.problems()] == ["spec"]
    block = codec.to_tree(a_volume()) | {}
    block["spec"]["volumeMode"] = "Block"
    with pytest.raises(ApiError, match=r"spec\.volumeMode"):
        codec.from_tree(PersistentVolume, block)


def test_where_a_volume_is_never_changes_and_who_has_it_may() -> None:
    old = a_volume(node="n1")
    moved = replaced(old, spec=replaced(old.spec, host_path=None, local=LocalVolume(path="/x")))
    assert "spec.persistentvolumesource" in {one.field for one in moved.update_problems(old)}
    elsewhere = replaced(
        old, spec=replaced(old.spec, node_affinity=a_volume(node="n2").spec.node_affinity)
    )
    assert [one.field for one in elsewhere.update_problems(old)] == ["spec.nodeAffinity"]
    assert not list(a_volume(node="n1", claim=a_claim()).update_problems(old))


def test_a_claim_gets_a_volume_and_a_class_once_and_keeps_them() -> None:
    old = a_claim(storage_class=None)
    given = a_claim(storage_class="local", volume="disk")
    assert not list(given.update_problems(old))
    assert [one.field for one in a_claim(storage_class="other").update_problems(given)] == ["spec"]
    larger = list(a_claim(size="9Gi").update_problems(a_claim()))
    assert [one.field for one in larger] == ["spec.resources.requests.storage"]


def test_of_several_default_classes_the_newest_counts() -> None:
    old, new = a_class("a", is_default=True), a_class("b", is_default=True, created_at=NOW)
    assert default_of([old, new, a_class("c", created_at=NOW)]) == new
    assert default_of([a_class("c")]) is None
