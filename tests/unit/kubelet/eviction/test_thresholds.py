"""At what a node evicts: an administrator's file in Kubernetes' words, and its mistakes."""

import pytest

from kubelet.eviction.room import Share
from kubelet.eviction.thresholds import Amount, Threshold, ThresholdsInvalid, thresholds_of

MIB = 1 << 20


def test_without_a_file_the_thresholds_are_kubernetes_own() -> None:
    found = thresholds_of(None)
    assert {one.signal: one.amount for one in found.each} == {
        "memory.available": Amount(100 * MIB),
        "nodefs.available": Amount(percent=10.0),
        "nodefs.inodesFree": Amount(percent=5.0),
        "pid.available": Amount(percent=10.0),
    }
    assert all(one.is_hard and one.grace_s == 0 for one in found.each)
    assert (found.transition_s, found.grace_max_s) == (300.0, 0.0)


def test_a_file_names_soft_and_hard_thresholds_graces_and_what_must_come_back() -> None:
    found = thresholds_of(
        b"""{"evictionHard": {"memory.available": "1Gi", "nodefs.available": "0%"},
        "evictionSoft": {"memory.available": "2Gi"},
        "evictionSoftGracePeriod": {"memory.available": "1m30s"},
        "evictionMinimumReclaim": {"memory.available": "500Mi"},
        "evictionPressureTransitionPeriod": "30s", "evictionMaxPodGracePeriod": 60}"""
    )
    back = Amount(500 * MIB)
    assert found.each == (
        Threshold("memory.available", Amount(2 << 30), False, 90.0, back),
        Threshold("memory.available", Amount(1 << 30), True, 0.0, back),
    )
    assert (found.transition_s, found.grace_max_s) == (30.0, 60.0)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"{", "truncated"),
        (b'{"evictionHrad": {}}', "evictionHrad"),
        (b'{"evictionHard": {"disk": "1Gi"}}', "evictionHard.disk: must be one of memory.avail"),
        (b'{"evictionHard": {"memory.available": "1G%"}}', "evictionHard.memory.available: must"),
        (b'{"evictionHard": {"memory.available": "101%"}}', "from 0% to 100%"),
        (b'{"evictionHard": {"memory.available": "-1"}}', "such as 100Mi"),
        (b'{"evictionSoft": {"memory.available": "1Gi"}}', "needs an evictionSoftGracePeriod"),
        (b'{"evictionSoftGracePeriod": {"pid.available": "1s"}}', "evictionSoft does not name"),
        (b'{"evictionPressureTransitionPeriod": "5"}', "evictionPressureTransitionPeriod: '5'"),
        (b'{"evictionMaxPodGracePeriod": -1}', "evictionMaxPodGracePeriod: must not"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_the_name_of_the_field(text: bytes, why: str) -> None:
    with pytest.raises(ThresholdsInvalid, match=why):
        thresholds_of(text)


def test_what_equals_a_threshold_is_not_below_it() -> None:
    tenth = Threshold("nodefs.available", Amount(percent=10.0), reclaim=Amount(5))
    assert not tenth.is_met(Share(10, 100))
    assert tenth.is_met(Share(9, 100))
    assert tenth.is_met(Share(14, 100), is_lasting=True)
    assert not tenth.is_met(Share(15, 100), is_lasting=True)
