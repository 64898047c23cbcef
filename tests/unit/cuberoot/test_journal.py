"""What is added is noted first, so that exactly that can be taken away again."""

from pathlib import Path

import pytest

from cuberoot.host.journal import Journal, NotUndone


def everything_under(folder: Path) -> dict[str, bytes | None]:
    return {
        str(one.relative_to(folder)): one.read_bytes() if one.is_file() else None
        for one in sorted(folder.rglob("*"))
    }


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine's etc and var, with something of somebody else in each."""
    for name in ("etc", "var"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "theirs").write_text(name)
    return tmp_path


def fill(machine: Path) -> Journal:
    journal = Journal(machine / "etc/cube/journal.json")
    journal.file(machine / "etc/cube/pki/ca.key", b"secret")
    journal.file(machine / "etc/units/cube.service", b"unit", 0o644)
    journal.tree(machine / "var/lib/cube")
    (machine / "var/lib/cube/data").write_text("written by a program")
    return journal


def test_undoing_leaves_the_machine_as_it_was(machine: Path) -> None:
    before = everything_under(machine)
    fill(machine)
    assert everything_under(machine) != before

    assert Journal(machine / "etc/cube/journal.json").undo() == []
    assert everything_under(machine) == before


def test_files_of_others_stay_and_are_told(machine: Path) -> None:
    fill(machine)
    (machine / "etc/cube/pki/notes.txt").write_text("mine")

    stayed = Journal(machine / "etc/cube/journal.json").undo()
    assert stayed == [machine / "etc/cube/pki", machine / "etc/cube"]
    assert (machine / "etc/cube/pki/notes.txt").read_text() == "mine"
    assert not (machine / "etc/cube/pki/ca.key").exists()


def test_a_file_that_is_not_ours_is_never_overwritten(machine: Path) -> None:
    journal = Journal(machine / "etc/cube/journal.json")
    with pytest.raises(FileExistsError, match="is not ours"):
        journal.file(machine / "etc/theirs", b"ours")

    assert (machine / "etc/theirs").read_text() == "etc"


def test_writing_the_same_again_changes_nothing(machine: Path) -> None:
    fill(machine)
    again = Journal(machine / "etc/cube/journal.json")

    assert not again.file(machine / "etc/cube/pki/ca.key", b"secret")
    assert again.file(machine / "etc/cube/pki/ca.key", b"another")


def test_undoing_twice_is_nothing(machine: Path) -> None:
    fill(machine).undo()

    assert Journal(machine / "etc/cube/journal.json").undo() == []


def test_keys_are_readable_by_their_owner_alone(machine: Path) -> None:
    fill(machine)

    assert (machine / "etc/cube/pki/ca.key").stat().st_mode & 0o777 == 0o600
    assert (machine / "etc/cube/pki").stat().st_mode & 0o777 == 0o700


def test_what_a_cut_run_was_about_to_put_in_its_place_goes_too(machine: Path) -> None:
    before = everything_under(machine)
    fill(machine)
    for name in ("pki/.ca.key.new", ".journal.json.new"):
        (machine / "etc/cube" / name).write_text("half")

    assert Journal(machine / "etc/cube/journal.json").undo() == []
    assert everything_under(machine) == before


def test_a_folder_with_others_files_is_not_taken_for_ours(machine: Path) -> None:
    journal = Journal(machine / "etc/cube/journal.json")
    with pytest.raises(FileExistsError, match="is not ours"):
        journal.tree(machine / "var")
    (machine / "empty").mkdir()
    journal.tree(machine / "empty")
    (machine / "empty/data").write_text("written by a program")
    journal.tree(machine / "empty")  # again: now it is ours


def test_what_cannot_be_removed_is_named_and_all_the_rest_is(machine: Path) -> None:
    before = everything_under(machine)
    fill(machine)
    # The folder was moved to another disk: it is not ours to remove what lies there.
    state, disk = machine / "var/lib/cube", machine / "disk"
    state.rename(disk)
    state.symlink_to(disk)

    with pytest.raises(NotUndone, match=r"var/lib/cube: "):
        Journal(machine / "etc/cube/journal.json").undo()
    assert not (machine / "etc/cube/pki").exists()
    assert not (machine / "etc/units").exists()
    assert (disk / "data").exists()

    state.unlink()
    disk.rename(state)
    assert Journal(machine / "etc/cube/journal.json").undo() == []
    assert everything_under(machine) == before


def test_a_file_of_ours_is_removed_before_the_rest_and_no_other_is(machine: Path) -> None:
    before = everything_under(machine)
    journal = fill(machine)
    unit = machine / "etc/units/cube.service"
    for _ in range(2):
        journal.remove(unit)
        journal.remove(machine / "etc/theirs")
    assert not unit.exists()
    assert (machine / "etc/theirs").read_text() == "etc"

    # What others put there afterwards is theirs, as it would be on a new machine.
    unit.write_text("of somebody else")
    assert Journal(machine / "etc/cube/journal.json").undo() == [unit.parent]
    assert unit.read_text() == "of somebody else"
    unit.unlink()
    unit.parent.rmdir()
    assert everything_under(machine) == before
