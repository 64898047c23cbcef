"""Folders of the disk that are volumes: each whole or absent, also after a crash."""

from pathlib import Path

import pytest

from cubernetes.host.blocking import Threads
from kubelet.claims.folders import COMING, GOING, DiskFolders
from kubelet.pod.volumes import VolumeTrouble

NAME = "pvc-1"


@pytest.fixture
def folders(tmp_path: Path) -> DiskFolders:
    return DiskFolders(tmp_path / "root", Threads())


async def test_a_folder_is_for_any_user_and_what_is_in_it_stays(
    folders: DiskFolders, tmp_path: Path
) -> None:
    await folders.make(NAME)
    made = tmp_path / "root" / NAME
    assert made.stat().st_mode & 0o777 == 0o777
    (made / "file").write_text("kept")

    await folders.make(NAME)
    assert (made / "file").read_text() == "kept"


async def test_a_folder_goes_with_all_that_is_in_it_and_no_other(
    folders: DiskFolders, tmp_path: Path
) -> None:
    for name in (NAME, "pvc-2"):
        await folders.make(name)
        (tmp_path / "root" / name / "below").mkdir()
        (tmp_path / "root" / name / "below" / "file").touch()
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "root" / NAME / "link").symlink_to(outside)

    await folders.remove(NAME)
    await folders.remove(NAME)
    assert [one.name for one in (tmp_path / "root").iterdir()] == ["pvc-2"]
    assert outside.exists()


async def test_what_a_crash_has_left_is_finished(folders: DiskFolders, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / f"{COMING}{NAME}").mkdir(parents=True)
    await folders.make(NAME)
    assert [one.name for one in root.iterdir()] == [NAME]

    (root / NAME).rename(root / f"{GOING}{NAME}")  # cut after it has lost its name
    (root / f"{GOING}{NAME}" / "file").touch()
    await folders.remove(NAME)
    assert not list(root.iterdir())


async def test_nothing_is_removed_through_a_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    folders = DiskFolders(tmp_path / "root", Threads(), mounts=mounts)
    await folders.make(NAME)
    there = tmp_path / "root" / NAME / "theirs"
    there.mkdir()
    mounts.write_text(f"1 1 0:1 / {there} rw - ext4 /dev/x rw\n")

    with pytest.raises(VolumeTrouble, match="a file system is mounted"):
        await folders.remove(NAME)
    assert there.exists()


async def test_a_place_that_cannot_be_had_is_told_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file")
    with pytest.raises(VolumeTrouble, match=f"{tmp_path}/root/{NAME} not made"):
        await DiskFolders(tmp_path / "root", Threads()).make(NAME)
