"""What a folder holds of the disk: files by their blocks, each once, and no more than asked for."""

import os
from itertools import count
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


def nested(root: Path, depth: int, name: str, byte_count: int) -> None:
    """Make a chain of folders that is longer than any path, with a file at its end."""
    flags, here = os.O_RDONLY | os.O_DIRECTORY, os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        deeper = os.open(name, flags, dir_fd=here)
        os.close(here)
        here = deeper
    file = os.open("full", os.O_WRONLY | os.O_CREAT, dir_fd=here)
    os.write(file, b"x" * byte_count)
    os.close(file)
    os.close(here)


def test_a_path_that_is_too_long_hides_nothing(tmp_path: Path) -> None:
    nested(tmp_path, 40, "n" * 250, 500_000)
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "full").write_bytes(b"x" * 500_000)
    found = walk(str(tmp_path))
    assert found.is_whole
    assert found.held.inode_count == 43
    assert found.held.byte_count >= 1_000_000


def test_folders_on_both_sides_of_a_deep_way_are_counted_on_the_way_back(tmp_path: Path) -> None:
    here = tmp_path
    for _ in range(40):
        for name in ("a", "b", "c"):
            (here / name).mkdir()
            (here / name / "file").touch()
        here /= "b"
    before = os.listdir("/proc/self/fd")
    found = walk(str(tmp_path))
    assert found.is_whole
    assert found.held.inode_count == 40 * 6
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_walk_that_takes_too_long_tells_what_it_has_found(tmp_path: Path) -> None:
    for index in range(5):
        (tmp_path / str(index)).touch()
    seconds = count()
    found = walk(str(tmp_path), limit_s=3, now_s=lambda: float(next(seconds)))
    assert not found.is_whole
    assert found.held.inode_count == 3


def test_a_folder_that_is_moved_during_the_walk_leaves_the_rest_counted(tmp_path: Path) -> None:
    deep = tmp_path.joinpath("top", *["x"] * 40)
    deep.mkdir(parents=True)
    for index in range(4):
        (tmp_path / str(index)).mkdir()
        (tmp_path / str(index) / "file").touch()
    nested_count, moved = 0, False

    def at_the_bottom() -> float:
        nonlocal nested_count, moved
        nested_count += 1
        if not moved and nested_count > 30 and _is_in(deep.parent):
            (tmp_path / "away").mkdir()
            deep.parent.rename(tmp_path / "away" / "x")
            moved = True
        return 0.0

    found = walk(str(tmp_path), now_s=at_the_bottom)
    assert moved
    assert not found.is_whole
    assert found.held.inode_count >= 41 + 4 + 4


def _is_in(folder: Path) -> bool:
    """Whether this process has the folder open."""
    opened = (Path(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd"))
    return any(one.exists() and one.resolve() == folder for one in opened)
