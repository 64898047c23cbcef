"""What an autoscaler decided, as sentences: which entries are told, and their numbers."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cubectl.verbs.scaling.sentences import REASONS, asked, told, why
from cubernetes.api.autoscaling.history import Entry, Measured

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)


def entries(*facts: tuple[int, int, str]) -> list[Entry]:
    return [
        Entry(at=AT + timedelta(seconds=at), replicas=replicas, wanted=wanted, reason=reason)
        for at, (replicas, wanted, reason) in enumerate(facts)
    ]


def measured(metric: str = "cpu", **facts: Any) -> Measured:
    return Measured(metric=metric, **{"target": 500, "used": 1500, "ready": 2, **facts})


def decided(reason: str, *each: Measured) -> Entry:
    return Entry(at=AT, replicas=1, wanted=2, reason=reason, measured=each)


def test_changes_and_new_reasons_not_to_change_are_told() -> None:
    found = list(
        told(
            entries(
                (1, 1, "AsWanted"),
                (1, 2, "Rescaled"),
                (2, 2, ""),
                (2, 2, "TooManyReplicas"),
                (2, 2, "TooManyReplicas"),
                (2, 2, "NoMetrics"),
                (2, 2, "AsWanted"),
                (2, 2, "Rescaled"),
                (2, 3, "ScaleUpLimit"),
                (3, 4, "ScaleUpLimit"),
                (4, 4, "ScaleUpLimit"),
            )
        )
    )

    assert found == [
        "01-01 12:00:01  1 -> 2: as wanted",
        f"01-01 12:00:03  stays at 2: TooManyReplicas: {REASONS['TooManyReplicas']}",
        f"01-01 12:00:05  stays at 2: NoMetrics: {REASONS['NoMetrics']}",
        "01-01 12:00:06  stays at 2: as wanted again",
        f"01-01 12:00:08  2 -> 3: ScaleUpLimit: {REASONS['ScaleUpLimit']}",
        f"01-01 12:00:09  3 -> 4: ScaleUpLimit: {REASONS['ScaleUpLimit']}",
    ]


def test_the_first_entry_is_told_where_it_holds_something_back() -> None:
    assert list(told(entries((0, 0, "ScalingDisabled")))) == [
        f"01-01 12:00:00  stays at 0: ScalingDisabled: {REASONS['ScalingDisabled']}"
    ]
    for plain in ("AsWanted", "Rescaled", ""):
        assert list(told(entries((1, 1, plain)))) == []


def test_a_reason_is_what_asked_for_most_and_what_held_it_back() -> None:
    low, high = measured("cpu", proposed=0), measured("memory", proposed=1, used=2**20, target=1)
    unknown = measured("pods/hits", proposed=None)

    assert why(decided("Rescaled", low, high, unknown)) == asked(high)
    assert why(decided("", low)) == asked(low)
    assert why(decided("TooFewReplicas", unknown)) == (
        f"TooFewReplicas: {REASONS['TooFewReplicas']}"
    )
    assert why(decided("ScaleUpLimit", low)) == (
        f"{asked(low)}; ScaleUpLimit: {REASONS['ScaleUpLimit']}"
    )
    for plain in ("AsWanted", "Rescaled", ""):
        assert why(decided(plain)) == why(decided(plain, unknown)) == "as wanted"


def test_an_unknown_reason_is_told_as_it_is() -> None:
    assert why(decided("Brandnew")) == "Brandnew: "
    for missing in ("FailedGetResourceMetric", "FailedGetPodsMetric"):
        assert why(decided(missing)) == f"{missing}: the store has no samples of a metric"


def test_a_workload_that_is_not_there_is_no_missing_sample() -> None:
    assert why(decided("FailedGetScale")) == (
        "FailedGetScale: the workload is not there, or cannot be scaled"
    )


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        (measured(proposed=3), "cpu asks for 3: 1500m of 2 pods, wanted 500m"),
        (
            measured("cpu/main", is_share=True, requested=1000, target=62.5, proposed=2),
            "cpu/main asks for 2: 1500m of 2 pods, 75% of 1000m each, wanted 62.5%",
        ),
        (
            measured("memory/main", used=3 * 2**20, target=2.0**21, proposed=0),
            "memory/main asks for 0: 3Mi of 2 pods, wanted 2Mi",
        ),
        (
            measured("pods/hits", target=2500, proposed=1),
            "pods/hits asks for 1: 1.5 of 2 pods, wanted 2.5",
        ),
        (
            measured(missing=1, unready=2),
            "cpu nothing can be said: 1500m of 2 pods, wanted 500m"
            " (1 without samples, 2 not ready)",
        ),
        (
            measured(missing=1, proposed=1),
            "cpu asks for 1: 1500m of 2 pods, wanted 500m (1 without samples)",
        ),
        (
            measured(is_share=True, requested=0, proposed=1),
            "cpu asks for 1: 1500m of 2 pods, wanted 500m",
        ),
        (
            measured(is_share=True, requested=100, ready=0),
            "cpu nothing can be said: 1500m of 0 pods, wanted 500m",
        ),
    ],
)
def test_a_metric_is_told_in_its_unit(one: Measured, sentence: str) -> None:
    assert asked(one) == sentence
