"""A volume and all that is in it is given to a group: root last, links never followed."""

import os
import stat
from pathlib import Path

import pytest

from kubelet.files.ownership import DEPTH_MAX, Handover, TooDeep, belongs_to

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
GROUP = 2000


def a_volume(root: Path) -> Path:
    (root / "data" / "deep").mkdir(parents=True)
    (root / "data" / "deep" / "file").write_text("x")
    (root / "data" / "tool").write_text("x")
    (root / "data" / "tool").chmod(0o500)
    (root / "data" / "deep" / "file").chmod(0o600)
    (root / "data").chmod(0o700)
    return root


def finish(handover: Handover) -> int:
    count = 0
    while not handover.go_on(1):
        count += 1
    return count


def looks(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_gid, stat.S_IMODE(found.st_mode)


def test_everything_in_a_volume_is_the_groups_afterwards(tmp_path: Path) -> None:
    root = a_volume(tmp_path / "volume")
    assert finish(Handover(root, GROUP)) == 4
    assert looks(root / "data") == (GROUP, 0o2770)
    assert looks(root / "data" / "deep" / "file") == (GROUP, 0o660)
    assert looks(root / "data" / "tool") == (GROUP, 0o760)
    assert belongs_to(root, GROUP)


def test_links_are_given_and_what_they_lead_to_is_not(tmp_path: Path) -> None:
    root, outside = a_volume(tmp_path / "volume"), tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (outside / "secret").write_text("x")
    (outside / "secret").chmod(0o600)
    (root / "way").symlink_to(outside)
    (root / "data" / "file").symlink_to(outside / "secret")
    (root / "lost").symlink_to("nowhere")
    finish(Handover(root, GROUP))
    assert looks(outside) == (0, 0o700)
    assert looks(outside / "secret") == (0, 0o600)
    assert {(root / name).lstat().st_gid for name in ("way", "data/file", "lost")} == {GROUP}


@pytest.mark.parametrize("cut", range(4))
def test_cut_anywhere_the_root_says_that_it_is_not_done(tmp_path: Path, cut: int) -> None:
    root = a_volume(tmp_path / "volume")
    Handover(root, GROUP).go_on(cut)
    assert not belongs_to(root, GROUP)
    finish(Handover(root, GROUP, "OnRootMismatch"))
    assert looks(root / "data" / "deep" / "file") == (GROUP, 0o660)


def test_only_always_looks_below_a_root_that_is_the_groups(tmp_path: Path) -> None:
    root = a_volume(tmp_path / "volume")
    finish(Handover(root, GROUP))
    late = root / "data" / "late"
    late.write_text("x")
    os.chown(late, 0, 0)
    assert finish(Handover(root, GROUP, "OnRootMismatch")) == 0
    assert looks(late)[0] == 0
    finish(Handover(root, GROUP, "Always"))
    assert looks(late)[0] == GROUP


@pytest.mark.parametrize("mode", [0o2777, 0o0770, 0o2750])
def test_a_root_without_the_groups_rights_is_a_mismatch(tmp_path: Path, mode: int) -> None:
    os.chown(tmp_path, -1, GROUP)
    tmp_path.chmod(mode)
    assert belongs_to(tmp_path, GROUP) is (mode == 0o2777)


def test_folders_without_end_are_told_of(tmp_path: Path) -> None:
    root = tmp_path / "volume"
    root.joinpath(*["f"] * (DEPTH_MAX + 1)).mkdir(parents=True)
    with pytest.raises(TooDeep, match="folders in each other"):
        finish(Handover(root, GROUP))


def test_a_failure_that_nobody_heard_of_is_said_to_who_asks_next(tmp_path: Path) -> None:
    (tmp_path.joinpath(*["d"] * (DEPTH_MAX + 1))).mkdir(parents=True)
    handover = Handover(tmp_path, os.getgid())
    for _ in range(2):
        with pytest.raises(TooDeep):
            handover.go_on(2 * DEPTH_MAX)
