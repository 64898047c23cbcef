"""How far a pull is, from the lines that the engine writes."""

from itertools import pairwise
from typing import Any

from kubelet.runtime.pulls.docker_progress import LAYERS_MAX, Progress, after_line

MIB = 1 << 20


def a_line(status: str, layer: str = "", current: int = 0, total: int = 0) -> dict[str, Any]:
    detail = {"current": current, "total": total} if total else {}
    return {"status": status, "progressDetail": detail} | ({"id": layer} if layer else {})


PULL = [
    {"status": "Pulling from team/web", "id": "1"},
    a_line("Pulling fs layer", "aa"),
    a_line("Pulling fs layer", "bb"),
    a_line("Already exists", "cc"),
    a_line("Pulling fs layer", "dd"),
    a_line("Waiting", "dd"),
    a_line("Downloading", "aa", MIB, 4 * MIB),
    a_line("Downloading", "bb", MIB, 2 * MIB),
    a_line("Download complete", "bb"),
    a_line("Downloading", "aa", 2 * MIB, 4 * MIB),
    a_line("Download complete", "aa"),
    a_line("Downloading", "dd", 3 * MIB, 4 * MIB),
    a_line("Download complete", "dd"),
    a_line("Extracting", "aa", 1, 4 * MIB),
    a_line("Pull complete", "aa"),
    a_line("Pull complete", "bb"),
    a_line("Pull complete", "dd"),
    {"status": "Digest: sha256:00"},
]


def told(lines: list[dict[str, Any]]) -> list[Progress]:
    known, progress = Progress(), []
    for line in lines:
        known = after_line(known, line)
        progress.append(known)
    return progress


def test_a_pull_is_told_from_its_first_layer_to_its_last() -> None:
    texts = [one.text for one in told(PULL)]

    assert texts[0] == ""
    assert texts[7] == "43%, 2.0 MiB fetched"
    assert texts[12] == "100%, 1 of 4 layers unpacked"
    assert texts[-1] == "100%, 4 of 4 layers unpacked"


def test_once_all_layers_are_named_the_percentage_never_goes_back() -> None:
    percents = [one.percent or 0 for one in told(PULL)[4:]]
    assert all(before <= after for before, after in pairwise(percents))


def test_lines_of_another_shape_say_nothing() -> None:
    odd: list[dict[str, Any]] = [
        {},
        {"status": 1, "id": 2},
        {"id": "aa"},
        {"status": "Downloading", "id": "aa", "progressDetail": {"current": "x"}},
        {"status": "Downloading", "id": "aa", "progressDetail": {"current": -5, "total": 0}},
    ]
    assert told(odd)[-1].percent in (None, 0)


def test_layers_without_end_take_no_memory_without_end() -> None:
    lines = [a_line("Pulling fs layer", f"{index}") for index in range(LAYERS_MAX + 9)]
    assert len(told(lines)[-1].layers) == LAYERS_MAX
