"""The table of `cuberoot images gc --dry-run`."""

from click.testing import CliRunner

from cubernetes.api.bodies.images import ImageReport, ImagesReport
from cuberoot.checks.images import table
from cuberoot.cli import main

MIB = 1 << 20


def test_each_image_has_a_line_and_each_node_its_disk() -> None:
    old = ImageReport(name="old:1", size_bytes=5 * MIB, goes="now")
    pause = ImageReport(name="pause:1", size_bytes=MIB, goes="no", why="in use")
    report = ImagesReport(
        used_bytes=90 * MIB,
        total_bytes=100 * MIB,
        wanted_bytes=10 * MIB,
        images=(old, pause),
        left_out=3,
    )
    lines = table({"n2": "is away", "n1": report})
    assert [" ".join(line.split()) for line in lines] == [
        "NODE GOES SIZE MiB IMAGE WHY",
        "n1 now 5.0 old:1",
        "n1 no 1.0 pause:1 in use",
        "n1: 3 more images are not shown",
        "n1: 90% of its disk is used; 10.0 MiB are to be freed now, 5.0 MiB would be",
        "n2 - - - is away",
    ]


def test_without_its_flag_it_is_refused_since_nothing_is_removed_by_hand() -> None:
    answer = CliRunner().invoke(main, ["images", "gc"])
    assert (answer.exit_code, "--dry-run" in answer.output) == (2, True)
