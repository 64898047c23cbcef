"""What cubectl knows of a kind's fields: of each that there is, and of nothing else by its name."""

import pytest

from cubectl.objects.judging import model_of
from cubernetes.api.authentication.selfsubjectreview import SelfSubjectReview
from cubernetes.api.meta import Object
from cubernetes.api.registry import KINDS
from cubernetes.api.resource import Resource


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)
def test_a_kind_is_known_by_its_group_version_and_name(kind: type[Object]) -> None:
    one = kind.resource

    assert model_of(one) is kind
    assert model_of(one._replace(version="v9")) is None
    assert model_of(one._replace(group="example.org")) is None


@pytest.mark.parametrize(
    ("group", "kind"),
    [
        # No folder; a folder and no file; another's group that begins as one of ours does.
        ("example.org", "Backup"),
        ("apps", "Backup"),
        ("apps.example.org", "Deployment"),
        # Files of ours that are no kind's: one that has no such name, one that has, a function's.
        ("coding.example.org", "Codec"),
        ("core.example.org", "PodStatus"),
        ("custom.example.org", "Patterns"),
        # Folders that are files, names that are paths, and words that are none.
        ("meta.example.org", "Object"),
        ("core.example.org", "podspec.Spec"),
        ("core.example.org", ".Pod"),
        ("..example.org", "Pod"),
        ("", ""),
        ("custom-resources.example.org", "Crontab"),
    ],
)
def test_what_is_no_kind_of_ours_is_not_known(group: str, kind: str) -> None:
    assert model_of(Resource(group, "v1", kind, "any")) is None


def test_a_review_is_judged_by_the_server_alone() -> None:
    assert model_of(SelfSubjectReview.resource) is None


def test_a_library_that_is_missing_is_no_kind_that_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent(name: str) -> object:
        raise ModuleNotFoundError(f"No module named 'msgspec', for {name}", name="msgspec")

    monkeypatch.setattr("cubectl.objects.judging.import_module", absent)

    with pytest.raises(ModuleNotFoundError, match="msgspec"):
        model_of(Resource("", "v1", "Pod", "pods"))
