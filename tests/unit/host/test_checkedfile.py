"""What was saved is loaded whole or not at all; a disk that fails loses only the newest."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cubernetes.host.durable.checkedfile import CheckedFile


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_what_was_saved_is_loaded_by_the_next_life(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "kept"
    CheckedFile(path).save(content)

    assert CheckedFile(path).load() == content


def test_a_file_that_is_cut_or_changed_anywhere_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    CheckedFile(path).save(b'{"what": "was told last"}\nand more\n')
    whole = path.read_bytes()
    for index in range(len(whole)):
        path.write_bytes(whole[:index])
        assert CheckedFile(path).load() is None
        for flip in (0x01, 0x10, 0x20, 0x80):
            path.write_bytes(whole[:index] + bytes([whole[index] ^ flip]) + whole[index + 1 :])
            assert CheckedFile(path).load() is None


def test_the_same_is_not_written_twice_and_nothing_saved_is_nothing_loaded(tmp_path: Path) -> None:
    file = CheckedFile(tmp_path / "kept")
    assert file.load() is None
    file.save(b"same")
    (tmp_path / "kept").unlink()
    file.save(b"same")

    assert file.load() is None


def test_what_the_disk_did_not_take_is_taken_later_and_the_last_stands(tmp_path: Path) -> None:
    file = CheckedFile(tmp_path / "kept")
    file.save(b"first")
    # A folder in the way fails like a full disk: with an OSError, at any user's hands.
    (tmp_path / ".kept.new").mkdir()
    with pytest.raises(OSError, match="kept"):
        file.save(b"second")
    assert file.load() == b"first"

    (tmp_path / ".kept.new").rmdir()
    file.save(b"second")
    assert file.load() == b"second"


def test_a_file_that_cannot_be_read_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()

    assert CheckedFile(tmp_path / "kept").load() is None
