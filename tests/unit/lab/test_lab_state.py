"""The lab's file: whose process it was, and no change forgotten."""

import os
from pathlib import Path

import msgspec
import pytest

from lab.faults import Cut, Isolate
from lab.host.node import visible_folders
from lab.state import (
    Files,
    LabState,
    Life,
    NoSuchLab,
    Size,
    change_state,
    is_alive,
    lab_names,
    life_of,
    read_state,
    with_init,
    write_state,
)

STATE = LabState("x", "192.168.78.0/24", 2, Size(), "/images", faults=(Cut("n1", "n2"),))


def test_a_state_comes_back_as_it_was_written(tmp_path: Path) -> None:
    files = Files("x", tmp_path)
    state = msgspec.structs.replace(STATE, faults=(Cut("n1", "n2"), Isolate("n2")))

    write_state(files, state)

    assert read_state(files) == state
    assert lab_names(tmp_path) == ["x"]


def test_a_lab_that_is_not_up_says_how_to_start_it(tmp_path: Path) -> None:
    with pytest.raises(NoSuchLab, match="lab up"):
        read_state(Files("x", tmp_path))


def test_two_changes_are_both_remembered(tmp_path: Path) -> None:
    files = Files("x", tmp_path)
    write_state(files, STATE)

    change_state(files, lambda state: with_init(state, "n1", Life(7, 1)))
    change_state(files, lambda state: with_init(state, "n2", Life(8, 1)))

    assert read_state(files).inits == {"n1": Life(7, 1), "n2": Life(8, 1)}


def test_a_node_that_went_off_has_no_init() -> None:
    running = with_init(STATE, "n1", Life(7, 1))

    assert with_init(running, "n1", None) == STATE


def test_a_pid_that_was_given_to_another_process_is_not_ours() -> None:
    me = life_of(os.getpid())

    assert me is not None
    assert is_alive(me)
    assert not is_alive(Life(me.pid, me.started_ticks - 1))


@pytest.mark.parametrize(
    ("size", "word"),
    [
        (Size(memory_bytes=1 << 20), "memory"),
        (Size(disk_bytes=1 << 20), "disk"),
        (Size(cpus=0.01), "cores"),
    ],
)
def test_a_size_in_which_no_node_lives_is_refused_by_name(size: Size, word: str) -> None:
    assert word in size.problem()
    assert Size().problem() == ""


def test_removal_keeps_disks_when_told_and_nothing_otherwise(tmp_path: Path) -> None:
    home = tmp_path / "labs"
    files = Files("x", home)
    write_state(files, STATE)
    files.disk("n1").write_bytes(b"disk")
    files.log("n1").write_bytes(b"log")
    files.scratch.mkdir()

    files.remove(keep_disks=True)
    assert list(files.folder.iterdir()) == [files.disk("n1")]

    files.remove(keep_disks=False)
    assert not home.exists()


def test_a_node_is_shown_no_folder_twice_and_none_that_it_has() -> None:
    wanted = [Path("/usr"), Path("/usr/lib/python3"), Path("/src/.venv"), Path("/src"), Path("/py")]

    assert visible_folders(wanted) == ("/py", "/src")
