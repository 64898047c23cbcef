"""docs/ARCHITECTURE.md tells the truth: each room is on its map, each folder and file signed."""

from difflib import unified_diff

from tests.house import roommap
from tests.house.sources import none


def test_the_map_shows_exactly_what_is_there() -> None:
    _, drawn, _ = roommap.halves()
    changes = unified_diff(drawn.splitlines(), roommap.text().splitlines(), n=0, lineterm="")
    wrong = [line for line in changes if not line.startswith(("---", "+++", "@@"))]
    none(wrong, "run scripts/map; it adds the lines marked + and removes those marked -")


def test_every_folder_and_file_says_what_it_is_for() -> None:
    silent = [str(path) for path in roommap.shown() if not roommap.sentence(path)]
    silent += [folder for folder in roommap.folders() if not roommap.sign_of(folder)]
    none(silent, "its first line is its sign: docstring, comment or title (folders: SIGNS)")


def test_no_sign_hangs_at_a_door_that_is_gone() -> None:
    none(sorted(roommap.SIGNS.keys() - set(roommap.folders())), "remove it from SIGNS")
