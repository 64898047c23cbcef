"""What a program counts is kept apart from other programs', and is text that others read."""

import weakref

import pytest

from cubernetes.host.metrics import Metrics, following
from tests.counted import counted


def test_what_is_counted_is_told() -> None:
    metrics = Metrics()
    metrics.counter("cube_x_things_total", "Things.", "kind").labels("a").inc(2)
    metrics.gauge("cube_x_level", "The level.").set_function(lambda: 7)
    metrics.histogram("cube_x_wait_seconds", "Waits.", buckets=(0.1, 1)).observe(0.5)

    told = counted(metrics)

    assert told['cube_x_things_total{kind="a"}'] == 2
    assert told["cube_x_level"] == 7
    assert told['cube_x_wait_seconds_bucket{le="0.1"}'] == 0
    assert told['cube_x_wait_seconds_bucket{le="1.0"}'] == 1
    assert told["cube_x_wait_seconds_sum"] == 0.5
    assert not [series for series in told if "_created" in series]


def test_who_declares_a_family_again_is_given_the_same() -> None:
    metrics = Metrics()
    first = metrics.counter("cube_x_total", "X.", "kind")
    assert metrics.counter("cube_x_total", "X.", "kind") is first


def test_a_name_is_of_one_type() -> None:
    metrics = Metrics()
    metrics.counter("cube_x_total", "X.")
    with pytest.raises(TypeError, match="cube_x_total"):
        metrics.gauge("cube_x_total", "X.")


def test_two_programs_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.counter("cube_x_total", "X.").inc()
    other.counter("cube_x_total", "X.")
    assert (counted(one)["cube_x_total"], counted(other)["cube_x_total"]) == (1, 0)


def test_a_program_tells_who_it_is_and_what_it_costs() -> None:
    metrics = Metrics()
    metrics.tell_process("scheduler", "1.2.3")
    told = counted(metrics)
    assert told['cube_build_info{program="scheduler",version="1.2.3"}'] == 1
    assert told["process_resident_memory_bytes"] > 1 << 20


def test_a_label_is_escaped() -> None:
    metrics = Metrics()
    metrics.counter("cube_x_total", "X.", "why").labels('a "b"\n\\c').inc()
    assert counted(metrics) == {'cube_x_total{why="a \\"b\\"\\n\\\\c"}': 1}


def test_a_gauge_that_followed_something_says_nothing_of_it_after_and_does_not_hold_it() -> None:
    class Queue(list[int]):
        pass

    metrics, queue = Metrics(), Queue([1, 2])
    held = weakref.ref(queue)
    gauge = metrics.gauge("cube_x_keys", "Keys.")
    with following(gauge, queue.__len__):
        assert counted(metrics)["cube_x_keys"] == 2
    del queue
    assert counted(metrics)["cube_x_keys"] == 0
    assert held() is None
