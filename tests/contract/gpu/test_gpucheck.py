"""`scripts/test --gpu` without a GPU: it says so, and believes nobody who computes nothing."""

import os
import subprocess
from pathlib import Path

import pytest

from tests import gpucheck
from tests.gpucheck import Wrong, judged

ROOT = Path(__file__).resolve().parents[3]
PAPER = Path(__file__).with_name("fakecuda.c")


def checked(**env: str) -> subprocess.CompletedProcess[str]:
    argv = [str(ROOT / "scripts" / "test"), "--gpu"]
    return subprocess.run(
        argv, check=False, capture_output=True, text=True, env=os.environ | env, timeout=300
    )


def done(code: int, said: str) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], code, said, "")


def test_without_a_gpu_it_says_that_nothing_was_shown() -> None:
    found = checked(CUBE_LIBCUDA="/nowhere.so")
    assert found.returncode == gpucheck.NO_GPU
    assert "not run  everything: there is no GPU here: /nowhere.so" in found.stdout
    assert " ok " not in found.stdout


def test_a_driver_that_computes_nothing_passes_for_no_gpu(tmp_path: Path) -> None:
    library = tmp_path / "paper.so"
    argv = ["gcc", "-shared", "-fPIC", str(PAPER), "-o", str(library)]
    subprocess.run(argv, check=True, timeout=60)

    found = checked(CUBE_LIBCUDA=str(library), CUBE_NVRTC=str(library))

    assert found.returncode == 1
    assert "ok       a GPU by its driver: PAPER GPU 0" in found.stdout
    for name in gpucheck.PROGRAMS:
        assert f"FAILED   {name}, by NVRTC: ended with 1: {name}: WRONG" in found.stdout
    assert "FAILED   two jobs share one GPU" in found.stdout


def test_only_a_right_result_of_that_gpu_is_taken() -> None:
    said = "add: 10000 elements, right, on NVIDIA H200\n"
    assert judged("add", done(0, said), "NVIDIA H200") == said.strip()
    for code, told in (
        (1, said),
        (0, "add: 10000 elements, right, on CPU STAND-IN (no GPU was used)"),
        (0, said.replace("H200", "A100")),
        (0, "add: WRONG at 1: 0"),
        (0, ""),
    ):
        with pytest.raises(Wrong):
            judged("add", done(code, told), "NVIDIA H200")
