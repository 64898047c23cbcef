"""What a folder holds of the disk: files by their blocks, each once, and no more than asked for."""

import os
from pathlib import Path

from kubelet.eviction.tree import walk


def test_files_and_folders_below_are_counted_by_the_room_they_take(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "full").write_bytes(b"x" * 100_000)
    with (tmp_path / "hollow").open("wb") as file:
        file.truncate(1 << 30)
    found = walk(str(tmp_path))
    assert found.is_whole
    assert found.held.inode_count == 3
    assert 100_000 <= found.held.byte_count < 1 << 20


def test_a_file_by_two_names_counts_once_and_a_link_leads_nowhere(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
    (outside / "large").write_bytes(b"x" * 1_000_000)
    (inside / "one").write_bytes(b"x" * 100_000)
    os.link(inside / "one", inside / "two")
    (inside / "away").symlink_to(outside)
    found = walk(str(inside))
    assert found.held.inode_count == 2
    assert found.held.byte_count < 200_000


def test_a_walk_ends_at_its_limit_and_says_so(tmp_path: Path) -> None:
    for index in range(5):
        (tmp_path / str(index)).touch()
    found = walk(str(tmp_path), entries_max=3)
    assert not found.is_whole
    assert found.held.inode_count == 3


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert walk(str(tmp_path / "gone")).held.byte_count == 0
