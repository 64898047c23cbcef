"""Tolerations: which taints are borne, as Kubernetes' page on taints and tolerations says it."""

from math import inf

import pytest

from cubernetes.api.core.node import Taint
from cubernetes.api.core.podspec.toleration import Toleration, borne_s, unborne
from cubernetes.api.meta import replaced
from tests.given import a_pod

SPOT = Taint(key="spot", value="yes", effect="NoExecute")
HARD = ("NoSchedule", "NoExecute")


@pytest.mark.parametrize(
    ("toleration", "is_borne"),
    [
        (Toleration(key="spot", operator="Equal", value="yes", effect="NoExecute"), True),
        (Toleration(key="spot", value="yes", effect="NoExecute"), True),
        (Toleration(key="spot", value="yes"), True),
        (Toleration(key="spot", operator="Exists"), True),
        (Toleration(operator="Exists"), True),
        (Toleration(operator="Exists", effect="NoSchedule"), False),
        (Toleration(key="spot", operator="Exists", effect="NoSchedule"), False),
        (Toleration(key="spot", value="no"), False),
        (Toleration(key="spot"), False),
        (Toleration(key="other", operator="Exists"), False),
    ],
)
def test_a_taint_is_borne_by_key_value_and_effect(toleration: Toleration, is_borne: bool) -> None:
    assert toleration.bears(SPOT) == is_borne
    assert (unborne([toleration], [SPOT], HARD) == []) == is_borne


def test_what_is_not_borne_is_told_taint_by_taint_and_only_of_the_effects_asked_for() -> None:
    soft = Taint(key="slow", effect="PreferNoSchedule")
    other = Taint(key="other", effect="NoSchedule")
    tolerations = [Toleration(key="other", operator="Exists")]

    assert unborne(tolerations, [SPOT, soft, other], HARD) == [SPOT]
    assert unborne(tolerations, [SPOT, soft, other], ("PreferNoSchedule",)) == [soft]


def test_a_taint_is_borne_for_the_shortest_span_of_those_that_bear_it() -> None:
    one = Toleration(key="spot", operator="Exists", effect="NoExecute")
    spans = [
        Toleration(operator="Exists", effect="NoExecute", toleration_seconds=n) for n in (9, 5)
    ]
    strange = Toleration(key="x", operator="Exists", effect="NoExecute", toleration_seconds=1)

    assert borne_s([], SPOT) == 0
    assert borne_s([one], SPOT) == inf
    assert borne_s([one, *spans, strange], SPOT) == 5
    assert borne_s([strange], SPOT) == 0


ONE = Toleration(key="spot", operator="Exists", effect="NoExecute", toleration_seconds=60)
TWO = Toleration(key="slow", operator="Exists")


@pytest.mark.parametrize(
    ("old", "new", "is_taken"),
    [
        ([], [ONE], True),
        ([ONE], [TWO, ONE], True),
        ([ONE], [replaced(ONE, toleration_seconds=5)], True),
        ([ONE], [replaced(ONE, toleration_seconds=None)], True),
        ([ONE], [], False),
        ([ONE, TWO], [ONE], False),
        ([ONE], [replaced(ONE, key="other")], False),
        ([TWO], [replaced(TWO, effect="NoSchedule")], False),
    ],
)
def test_a_pod_that_is_there_may_bear_more_but_never_less(
    old: list[Toleration], new: list[Toleration], is_taken: bool
) -> None:
    pod = a_pod("a", node="n1")
    before, after = (
        replaced(pod, spec=replaced(pod.spec, tolerations=tuple(some))) for some in (old, new)
    )

    problems = list(after.update_problems(before))

    wanted = [] if is_taken else [("spec.tolerations", "FieldValueForbidden")]
    assert [(one.field, one.reason) for one in problems] == wanted
