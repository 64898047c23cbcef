"""What is told of a container that ended otherwise than well: facts, and nothing else."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cubernetes.api.core.podspec.container import Container as Wanted
from cubernetes.api.core.podspec.container import Resources
from cubernetes.api.meta import replaced
from cubernetes.api.quantities import Quantity
from kubelet.measure.peak import pod_peak_bytes
from kubelet.pod.decisions.postmortem import (
    POINTS_MAX,
    Memory,
    Sample,
    is_abnormal,
    is_told,
    story_of,
)
from kubelet.runtime.driver import SANDBOX, Container, State
from tests.given import a_container

END = datetime(2026, 1, 5, 12, tzinfo=UTC)
BEGAN = END - timedelta(seconds=90)
MAIN = a_container("main")
LIMITED = replaced(MAIN, resources=Resources(limits={"memory": Quantity("64Mi")}))
ENDED = Container(
    "c1", "u1", "web", "default", "main", 0, State.EXITED, "image", "id",
    started_at=BEGAN, finished_at=END, exit_code=3,
)  # fmt: skip


def samples(*ages_s: float) -> list[Sample]:
    return [Sample(END - timedelta(seconds=age), int(age) << 20) for age in ages_s]


def test_an_exit_code_is_told_with_how_long_it_ran() -> None:
    assert story_of(ENDED, MAIN) == "Container main ended with code 3 after 90 s"


def test_a_signal_is_told_by_its_name_and_an_unknown_one_by_its_number() -> None:
    for number, name in ((9, "KILL"), (11, "SEGV"), (40, "40")):
        killed = replace(ENDED, exit_code=128 + number, signal=number)
        assert f"code {128 + number} (signal {name}) after" in story_of(killed, MAIN)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (LIMITED, "the kernel ended it at its own memory limit of 64Mi"),
        (MAIN, "the kernel ended it for want of memory; it has no limit of its own"),
    ],
)
def test_whose_limit_it_was_is_told_of_memory_alone(wanted: Wanted, told: str) -> None:
    assert told in story_of(replace(ENDED, oom_killed=True), wanted)
    assert "memory" not in story_of(ENDED, wanted)


def test_the_memory_of_the_last_minute_is_told_and_nothing_older() -> None:
    told = story_of(ENDED, MAIN, Memory(samples(300, 61, 60, 30, 5)))
    assert told.endswith("; memory in its last minute: 60, 30, 5 MiB")


def test_a_long_curve_is_thinned_and_keeps_its_newest_point() -> None:
    told = story_of(ENDED, MAIN, Memory(samples(*range(59, -1, -1))))
    points = told.rpartition(": ")[2].removesuffix(" MiB").split(", ")
    assert len(points) <= POINTS_MAX
    assert points[-1] == "0"


def test_what_a_pod_held_at_most_is_told_where_no_look_has_seen_it() -> None:
    told = story_of(ENDED, LIMITED, Memory((), 63 << 20))
    assert told.endswith("; its pod held 63 MiB at most at one time, cached files included")
    assert "last minute" not in told


@pytest.mark.parametrize("name", ["memory.peak", "memory.max_usage_in_bytes"])
def test_a_pods_peak_is_read_of_its_group_in_both_versions(tmp_path: Path, name: str) -> None:
    (tmp_path / "mounts").write_text(f"cgroup {tmp_path} cgroup rw 0 0\n")
    assert pod_peak_bytes("cubernetes", "u-1", tmp_path) is None

    group = tmp_path / "cubernetes" / "podu-1"
    group.mkdir(parents=True)
    (group / name).write_text("66060288\n")
    assert pod_peak_bytes("cubernetes", "u-1", tmp_path) == 63 << 20


def test_what_the_node_was_short_of_and_a_probes_wish_are_told() -> None:
    told = story_of(ENDED, MAIN, Memory(), ("PIDPressure", "DiskPressure"), "failed liveness probe")
    assert told.endswith("; it failed liveness probe; the node told of DiskPressure, PIDPressure")


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (ENDED, True),
        (replace(ENDED, exit_code=0), False),
        (replace(ENDED, exit_code=0, oom_killed=True), True),
        (replace(ENDED, state=State.RUNNING), False),
        (replace(ENDED, name=SANDBOX), False),
        (replace(ENDED, error="no such file"), False),
    ],
)
def test_only_an_end_that_is_none_of_the_good_ones_is_abnormal(
    one: Container, expected: bool
) -> None:
    assert is_abnormal(one) is expected


def test_a_streak_is_told_of_more_and_more_rarely() -> None:
    assert [count for count in range(1, 40) if is_told(count)] == [1, 2, 4, 8, 16, 32]
