"""What the doctor says of a machine whose systemd is to be PID 1 of nodes."""

from pathlib import Path

import pytest

from lab.doctor import about_systemd, version_in
from lab.host.cgroup import Hierarchy
from lab.host.systemd import SHOWN

FIRST = (Hierarchy(1, "/sys/fs/cgroup/systemd", ("name=systemd",)),)
SECOND = (Hierarchy(2, "/sys/fs/cgroup"),)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A folder with every unit that nodes are shown."""
    for name in SHOWN:
        (tmp_path / name).touch()
    return tmp_path


def said(units: Path, version: int, trees: tuple[Hierarchy, ...]) -> list[str]:
    return [each.what for each in about_systemd(units, version, trees)]


def test_a_machine_that_has_all_is_healthy(units: Path) -> None:
    assert said(units, 255, FIRST) == []
    assert said(units, 257, SECOND) == []


def test_each_unit_that_a_distribution_lacks_is_named(units: Path) -> None:
    lacking = [units / "swap.target", units / "systemd-journald.socket"]
    for unit in lacking:
        unit.unlink()

    assert said(units, 252, SECOND) == [f"no {unit}" for unit in lacking]


def test_from_256_on_systemd_refuses_the_first_version_of_control_groups(units: Path) -> None:
    assert said(units, 256, FIRST) == ["systemd 256 refuses control groups of version 1"]


def test_on_the_first_version_systemd_needs_a_tree_of_its_own(units: Path) -> None:
    other = (Hierarchy(1, "/sys/fs/cgroup/cpu", ("cpu",)),)

    assert said(units, 252, other) == ["no control group tree name=systemd"]


def test_without_systemd_nothing_else_is_said(tmp_path: Path) -> None:
    assert said(tmp_path, 0, FIRST) == ["no systemd"]


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ("systemd 252 (252.38-1~deb12u1)\n+PAM +AUDIT\n", 252),
        ("systemd 257~rc1 (257~rc1)\n", 257),
        ("", 0),
    ],
)
def test_a_version_is_the_number_that_systemd_says_first(told: str, version: int) -> None:
    assert version_in(told) == version
