"""Files of a volume become others all at once: laws of the plan, on a real folder."""

import itertools
import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kubelet.files import swap, writing
from kubelet.files.contents import File

NOW = datetime(2026, 3, 4, 5, 6, 7, 8, tzinfo=UTC)
OLD = {"a": File(b"old", 0o644), "gone": File(b"x", 0o600), "etc/x/y": File(b"deep", 0o400)}
NEW = {"a": File(b"new", 0o444), "fresh": File(b"y", 0o640), "etc/x/z": File(b"other", 0o644)}
RIGHT = OLD, NEW


def seen(folder: Path) -> dict[str, File]:
    """Return what a container sees in a volume: by its names, not by the writer's own."""
    found: dict[str, File] = {}
    for name in sorted(os.listdir(folder)):
        if name.startswith(".."):
            continue
        top = folder / name
        for one in [top] if top.is_file() else sorted(top.rglob("*")):
            if one.is_file():
                mode = one.stat().st_mode & 0o7777
                found[str(one.relative_to(folder))] = File(one.read_bytes(), mode)
    return found


def test_files_are_written_as_kubernetes_writes_them(tmp_path: Path) -> None:
    writing.write(tmp_path, OLD, NOW)
    assert seen(tmp_path) == OLD
    assert os.readlink(tmp_path / "..data") == "..2026_03_04_05_06_07.000008"
    assert {name: os.readlink(tmp_path / name) for name in ("a", "gone", "etc")} == {
        "a": "..data/a",
        "gone": "..data/gone",
        "etc": "..data/etc",
    }


def test_files_that_went_are_removed_and_only_what_is_current_lies_there(tmp_path: Path) -> None:
    writing.write(tmp_path, OLD, NOW)
    writing.write(tmp_path, NEW, NOW + timedelta(seconds=1))
    assert seen(tmp_path) == NEW
    names = {"..data", "..2026_03_04_05_06_08.000008", "a", "fresh", "etc"}
    assert set(os.listdir(tmp_path)) == names


def test_what_is_written_is_not_written_again(tmp_path: Path) -> None:
    for wanted in (OLD, NEW, {}):
        writing.write(tmp_path, wanted, NOW)
        assert swap.steps(wanted, writing.found_in(tmp_path), NOW) == []


def test_one_moment_makes_two_versions_with_two_names(tmp_path: Path) -> None:
    for wanted in (OLD, NEW, OLD):
        writing.write(tmp_path, wanted, NOW)
        assert seen(tmp_path) == wanted


def test_a_mode_alone_is_a_change(tmp_path: Path) -> None:
    writing.write(tmp_path, {"a": File(b"1", 0o600)}, NOW)
    writing.write(tmp_path, {"a": File(b"1", 0o644)}, NOW)
    assert seen(tmp_path) == {"a": File(b"1", 0o644)}


def test_at_every_cut_each_file_is_old_or_new_and_never_a_mixture(tmp_path: Path) -> None:
    """A reader of one version finds all of it: by `..data` every state is whole."""
    for cut in itertools.count():
        folder = tmp_path / str(cut)
        folder.mkdir()
        writing.write(folder, OLD, NOW)
        planned = swap.steps(NEW, writing.found_in(folder), NOW)
        for step in planned[:cut]:
            writing.carry_out(folder, step)
        current = writing.found_in(folder).files
        assert current in RIGHT
        for path, file in seen(folder).items():
            assert file == current[path]
        writing.write(folder, NEW, NOW)
        assert seen(folder) == NEW
        assert len(os.listdir(folder)) == 5
        if cut == len(planned):
            return


def test_a_life_cut_at_every_step_in_turn_ends_as_one_that_was_not(tmp_path: Path) -> None:
    rng = random.Random(7)
    versions = [OLD, NEW, {}, {"etc": File(b"a file now", 0o600)}, OLD]
    for at in range(60):
        wanted = rng.choice(versions)
        now = NOW + timedelta(seconds=at)
        planned = swap.steps(wanted, writing.found_in(tmp_path), now)
        for step in planned[: rng.randrange(len(planned) + 1)]:
            writing.carry_out(tmp_path, step)
    writing.write(tmp_path, NEW, NOW + timedelta(hours=1))
    assert seen(tmp_path) == NEW
    assert len(os.listdir(tmp_path)) == 5


@pytest.mark.parametrize("stray", ["a", "fresh"])
def test_what_lies_in_the_way_of_a_name_is_taken_away(tmp_path: Path, stray: str) -> None:
    (tmp_path / stray).mkdir()
    (tmp_path / stray / "x").write_text("y")
    writing.write(tmp_path, NEW, NOW)
    assert seen(tmp_path) == NEW


def test_a_file_that_lost_its_bytes_in_a_crash_is_written_again(tmp_path: Path) -> None:
    writing.write(tmp_path, OLD, NOW)
    (tmp_path / "a").write_bytes(b"")
    writing.write(tmp_path, OLD, NOW + timedelta(seconds=1))
    assert seen(tmp_path) == OLD
