"""How long a pod may live, what its readiness hangs on, and the names that it finds."""

import pytest

from cubernetes.api.core.podspec.rules import spec_problems
from cubernetes.api.core.podspec.spec import HostAlias, PodReadinessGate, PodSpec
from cubernetes.api.meta import replaced
from tests.given import a_container, a_deployment, a_pod


def a_spec(**fields: object) -> PodSpec:
    return replaced(PodSpec(containers=(a_container(),)), **fields)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"active_deadline_seconds": 1}, ""),
        ({"active_deadline_seconds": 0}, "activeDeadlineSeconds"),
        ({"readiness_gates": (PodReadinessGate(condition_type="example.com/warm"),)}, ""),
        (
            {"readiness_gates": (PodReadinessGate(condition_type="a b"),)},
            "readinessGates[0].conditionType",
        ),
        ({"host_aliases": (HostAlias(ip="192.0.2.9", hostnames=("db", "db.example.org")),)}, ""),
        ({"host_aliases": (HostAlias(ip="192.0.2.9"),)}, ""),
        ({"host_aliases": (HostAlias(ip="db", hostnames=("db",)),)}, "hostAliases[0].ip"),
        (
            {"host_aliases": (HostAlias(ip="192.0.2.9", hostnames=("db", "a b")),)},
            "hostAliases[0].hostnames[1]",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(fields: dict[str, object], wrong: str) -> None:
    found = [one.field for one in spec_problems(a_spec(**fields), "spec")]

    assert found == ([f"spec.{wrong}"] if wrong else [])


@pytest.mark.parametrize(
    ("before", "after", "is_legal"),
    [(None, 30, True), (30, 30, True), (30, 10, True), (30, 31, False), (30, None, False)],
)
def test_a_deadline_may_be_set_and_made_less(
    before: int | None, after: int | None, is_legal: bool
) -> None:
    old, new = (a_pod(spec=a_spec(active_deadline_seconds=one)) for one in (before, after))

    wrong = [one.field for one in new.update_problems(old)]
    assert wrong == ([] if is_legal else ["spec.activeDeadlineSeconds"])


def test_a_pod_that_is_replaced_when_it_ends_has_no_deadline() -> None:
    one = a_deployment()
    spec = replaced(one.spec.template.spec, active_deadline_seconds=10)
    late = replaced(one, spec=replaced(one.spec, template=replaced(one.spec.template, spec=spec)))

    assert [each.field for each in late.problems()] == ["spec.template.spec.activeDeadlineSeconds"]
