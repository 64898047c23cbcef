"""What autoscalers ask of the store, asked of a real one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from controllers.autoscaling.measured import question_of
from cubernetes.reconcile.readings import KUBELETS_JOB
from tests.unit.tsdb.conftest import SMALL_LIMITS, SmallStore
from tsdb.budget import unlimited
from tsdb.limits import Limits
from tsdb.options import Options
from tsdb.query import Engine
from tsdb.select import Reader
from tsdb.steps import finished

LATE = 2**60  # no sample is of a time to come


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallStore]:
    small = SmallStore(tmp_path, SMALL_LIMITS, Options())
    yield small
    small.store.close()


@pytest.mark.parametrize(
    ("resource", "series", "right"),
    [
        ("cpu", "container_cpu_usage_seconds_total", 0.5),
        ("memory", "container_memory_working_set_bytes", 6.0),
    ],
)
def test_a_pod_that_names_its_own_metrics_like_the_kubelets_does_not_distort_its_scaling(
    small: SmallStore, resource: str, series: str, right: float
) -> None:
    who = {"namespace": "default", "pod": "web-0", "container": "main"}
    for second in range(1, 11):
        at_ms = second * 1000
        small.put(series, at_ms, 1 + second / 2, LATE, job=KUBELETS_JOB, **who)
        small.put(series, at_ms, 1000.0 * second, LATE, job="pods", **who)

    engine = Engine(Reader(small.store), Limits())
    (line,) = finished(
        engine.instant(question_of(resource, "default").query, 10_000, unlimited())
    ).lines

    assert dict(line.pairs) == {"pod": "web-0", "container": "main"}
    assert line.values[0] == right
