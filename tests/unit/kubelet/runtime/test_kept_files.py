"""The files of a log get a second name; where that cannot be, they are copied."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from kubelet.runtime.docker_logs import keep_files

FILES = {"container.log": b"new", "container.log.1": b"old"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "local-logs"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_bytes(text)
    (folder / "unrelated").write_bytes(b"x")
    return folder


def what_is_in(folder: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.iterdir()}


def test_a_kept_log_costs_no_second_room_and_outlives_the_first(
    source: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "a" / "b"
    for _ in range(2):
        keep_files(source, kept)
    assert (kept / "container.log").stat().st_ino == (source / "container.log").stat().st_ino
    for one in source.iterdir():
        one.unlink()
    assert what_is_in(kept) == FILES


def test_on_another_disk_it_is_copied(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_link)
    keep_files(source, tmp_path / "kept")
    assert what_is_in(tmp_path / "kept") == FILES


def test_a_container_that_has_written_nothing_leaves_no_folder(tmp_path: Path) -> None:
    keep_files(tmp_path / "absent", tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_a_copy_that_has_no_room_leaves_no_part_of_it(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    def half(_: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", no_link)
    monkeypatch.setattr(shutil, "copyfile", half)
    with pytest.raises(OSError, match="No space"):
        keep_files(source, tmp_path / "kept")
    assert what_is_in(tmp_path / "kept") == {}


def test_any_other_trouble_is_told(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(OSError, match="No space"):
        keep_files(source, tmp_path / "kept")
