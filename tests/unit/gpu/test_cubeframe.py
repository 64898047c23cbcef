"""What runs a job at a Slurm site: what its program says is kept, however short it is."""

import subprocess
from pathlib import Path

from gpu.sites.slurm.cubeframe import followed


def test_the_words_of_a_program_that_has_ended_before_the_first_look_are_kept(
    tmp_path: Path,
) -> None:
    child = subprocess.Popen(
        ["sh", "-c", "echo first; echo last >&2; exit 3"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    child.wait()

    assert followed(child, str(tmp_path), 1024, []) == 3
    assert (tmp_path / "out").read_text() == "first\n"
    assert (tmp_path / "err").read_text() == "last\n"
    for pipe in (child.stdout, child.stderr):
        assert pipe is not None
        pipe.close()
