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
PAPER = Path(__file__).with_name("fakecuda.c")

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


def built(source: str, folder: Path, *flags: str) -> Path:
    """Return the program that a plain C++ compiler makes of a CUDA source."""
    (folder / "x.cu").write_text(source)
    binary = folder / "x"
    argv = ["g++", "-std=c++20", "-O1", "-Wall", "-Werror", "-pthread", f"-I{GLUE}", *flags]
    argv += ["-x", "c++", "x.cu", "-o", "x"]
    subprocess.run(argv, check=True, cwd=folder, timeout=DEADLINE_S)
    return binary


def ran(binary: Path, **env: str) -> subprocess.CompletedProcess[str]:
    plain = {name: text for name, text in os.environ.items() if name != "CUBE_CPU_STAND_IN"}
    return subprocess.run(
        [str(binary)], check=False, capture_output=True, text=True, env=plain | env,
        cwd=binary.parent, timeout=DEADLINE_S,
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


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    """Return a driver and an NVRTC that take every call, and compute nothing."""
    library = tmp_path / "paper.so"
    argv = ["gcc", "-shared", "-fPIC", str(PAPER), "-o", str(library)]
    subprocess.run(argv, check=True, timeout=DEADLINE_S)
    return library


@pytest.mark.parametrize(
    ("name", "launched"),
    [
        ("add", "grid 157 1 1, block 64 1 1, last argument 10000"),
        ("mult", "grid 8 8 1, block 8 8 1, last argument 64"),
    ],
)
def test_a_program_compiles_its_own_source_for_the_gpu_that_it_finds(
    name: str, launched: str, paper: Path, tmp_path: Path
) -> None:
    """Paper computes nothing: that the program says so is the last of its steps."""
    source = (EXAMPLES / name / f"{name}.cu").read_text()
    shutil.copy(GLUE / "cube_cuda.h", tmp_path)
    binary = built(source, tmp_path, '-DCUBE_SOURCE="x.cu"')

    found = ran(binary, CUBE_LIBCUDA=str(paper), CUBE_NVRTC=str(paper))

    header_bytes = len((GLUE / "cube_cuda.h").read_bytes())
    assert found.stderr.splitlines() == [
        f"paper: source x.cu of {len(source.encode())} bytes, header cube_cuda.h of {header_bytes}",
        "paper: --gpu-architecture=sm_90",
        "paper: module cubin",
        f"paper: function {name}",
        f"paper: {launched}",
        "paper: run",
    ]
    assert (found.returncode, f"{name}: WRONG" in found.stdout) == (1, True)


def test_a_program_never_falls_back_to_a_cpu(paper: Path, tmp_path: Path) -> None:
    shutil.copy(GLUE / "cube_cuda.h", tmp_path)
    source = (EXAMPLES / "add" / "add.cu").read_text()
    binary = built(source, tmp_path, '-DCUBE_SOURCE="x.cu"')
    for env, why in (
        ({"CUBE_LIBCUDA": "/nowhere.so"}, "no CUDA device (no driver)"),
        ({"CUBE_LIBCUDA": str(paper), "PAPER_GPUS": "0"}, "its driver sees none"),
        ({"CUBE_LIBCUDA": str(paper), "CUBE_NVRTC": "/nowhere.so"}, "NVRTC: is not there"),
    ):
        found = ran(binary, **env)
        assert (found.returncode, found.stdout) == (3, "")
        assert why in found.stderr
    (tmp_path / "x.cu").write_text("not CUDA")
    found = ran(binary, CUBE_LIBCUDA=str(paper), CUBE_NVRTC=str(paper))
    assert (found.returncode, "paper: no CUDA" in found.stderr) == (3, True)


def test_the_manifest_has_the_example_as_it_is() -> None:
    (document,) = yaml.documents((ROOT / "examples" / "gpujob.yaml").read_bytes())
    files = document.tree["spec"]["files"]
    assert files["add.cu"].strip() == (EXAMPLES / "add" / "add.cu").read_text().strip()
