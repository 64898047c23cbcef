"""A part of a volume: no link, however it is put there, leads out of it."""

import os
from pathlib import Path

import pytest

from kubelet.files.subpath import Escape, opened_beneath


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A volume beside what is not its own."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("theirs")
    folder = tmp_path / "volume"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "file").write_text("ours")
    folder.chmod(0o770)
    return folder


def path_of(volume: Path, path: str, *, is_made: bool = True) -> str:
    opened = opened_beneath(volume, path, is_made=is_made)
    try:
        return str(Path(os.readlink(f"/proc/self/fd/{opened}")).relative_to(volume))
    finally:
        os.close(opened)


@pytest.mark.parametrize(
    ("path", "found"),
    [("a/b", "a/b"), ("file", "file"), ("./a//b/", "a/b"), ("a/b/../b", "a/b"), ("", ".")],
)
def test_a_part_is_found_by_its_path(volume: Path, path: str, found: str) -> None:
    assert path_of(volume, path) == found


def test_what_is_missing_is_made_with_the_volumes_own_bits(volume: Path) -> None:
    assert path_of(volume, "new/deeper") == "new/deeper"
    assert (volume / "new" / "deeper").stat().st_mode & 0o777 == 0o770
    with pytest.raises(FileNotFoundError):
        path_of(volume, "other", is_made=False)
    assert not (volume / "other").exists()


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("a/b", "a/b"),
        ("../volume/a", ""),
        ("a/../file", "file"),
        ("/etc", ""),
        ("a/../../outside", ""),
    ],
)
def test_a_link_is_followed_inside_and_never_out(volume: Path, target: str, found: str) -> None:
    (volume / "link").symlink_to(target)
    if found:
        assert path_of(volume, "link") == found
    else:
        with pytest.raises(Escape):
            path_of(volume, "link")


@pytest.mark.parametrize("path", ["..", "a/../..", "../outside/secret", "link/../../outside"])
def test_a_path_that_climbs_is_refused(volume: Path, path: str) -> None:
    (volume / "link").symlink_to("a")
    with pytest.raises(Escape):
        path_of(volume, path)


def test_links_in_a_circle_end(volume: Path) -> None:
    (volume / "one").symlink_to("two")
    (volume / "two").symlink_to("one")
    with pytest.raises(OSError, match="symbolic links"):
        path_of(volume, "one")


def test_nothing_stays_open(volume: Path) -> None:
    (volume / "link").symlink_to("/etc")
    before = len(os.listdir("/proc/self/fd"))
    for path in ("a/b", "new", "file/x", "link", "../x"):
        try:
            path_of(volume, path)
        except OSError:
            continue
    assert len(os.listdir("/proc/self/fd")) <= before
