"""The examples in CUDA, built for a CPU that stands in for a GPU: they check their own results."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cubernetes.api.notation import yaml

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES, GLUE = ROOT / "examples" / "gpu", ROOT / "gpu" / "sites"
DEADLINE_S = 120
PROGRAMS = ("add", "mult")

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


def built(source: str, folder: Path) -> Path:
    """Return the program that a plain C++ compiler makes of a CUDA source."""
    (folder / "x.cu").write_text(source)
    binary = folder / "x"
    argv = ["g++", "-std=c++20", "-O1", "-pthread", f"-I{GLUE}", "-x", "c++", "x.cu", "-o", "x"]
    subprocess.run(argv, check=True, cwd=folder, timeout=DEADLINE_S)
    return binary


def ran(binary: Path, **env: str) -> subprocess.CompletedProcess[str]:
    plain = {name: text for name, text in os.environ.items() if name != "CUBE_CPU_STAND_IN"}
    return subprocess.run(
        [str(binary)], check=False, capture_output=True, text=True, env=plain | env,
        timeout=DEADLINE_S,
    )  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_example_is_right_and_says_that_no_gpu_was_used(name: str, tmp_path: Path) -> None:
    binary = built((EXAMPLES / name / f"{name}.cu").read_text(), tmp_path)
    allowed = ran(binary, CUBE_CPU_STAND_IN="1")
    assert allowed.returncode == 0
    assert "right, on CPU STAND-IN (no GPU was used)" in allowed.stdout
    unasked = ran(binary)
    assert unasked.returncode == 3
    assert "no CUDA device" in unasked.stderr


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [("add", "a[index] + b[index]", "a[index] - b[index]"), ("mult", "k < TILE", "k < TILE - 1")],
)
def test_an_example_finds_its_own_mistake(
    name: str, right: str, wrong: str, tmp_path: Path
) -> None:
    source = (EXAMPLES / name / f"{name}.cu").read_text()
    assert right in source
    found = ran(built(source.replace(right, wrong), tmp_path), CUBE_CPU_STAND_IN="1")
    assert found.returncode == 1
    assert "WRONG" in found.stdout


def test_the_manifest_has_the_example_as_it_is() -> None:
    (document,) = yaml.documents((ROOT / "examples" / "gpujob.yaml").read_bytes())
    files = document.tree["spec"]["files"]
    assert files["add.cu"].strip() == (EXAMPLES / "add" / "add.cu").read_text().strip()
