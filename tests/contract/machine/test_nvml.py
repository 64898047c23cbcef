"""NVIDIA's GPUs by the real binding, over a stand-in of the driver's library: no GPU is needed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kubelet.devices.driver import DeviceSettings, Discovery
from kubelet.devices.nvml import NvidiaGpus, label_of

STUB = Path(__file__).with_name("nvml_stub.c")
# A process of its own: a library that was loaded once stays.
ASK = """
import dataclasses, json, os, sys
from pathlib import Path
from kubelet.devices.driver import DeviceSettings, DeviceTrouble
from kubelet.devices.nvml import NvidiaGpus
gpus = NvidiaGpus(Path(sys.argv[1]))
for lost in sys.argv[2:]:
    os.environ["STUB_LOST"] = lost
    try:
        found = gpus.discover(DeviceSettings())
        print(json.dumps({"devices": [dataclasses.asdict(one) for one in found.devices],
                          "labels": dict(found.labels)}))
    except DeviceTrouble as error:
        print(json.dumps({"trouble": str(error)}))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    folder = tmp_path_factory.mktemp("nvml")
    made = folder / "libnvidia-ml.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", made, STUB], check=True)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a machine with the driver: what of it a container is to see."""
    for path in (
        "proc/driver/nvidia/version",
        "dev/nvidiactl",
        "dev/nvidia-uvm",
        "usr/lib/x86_64-linux-gnu/libcuda.so.580.65.06",
        "usr/bin/nvidia-smi",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "usr/lib/x86_64-linux-gnu/libcuda.so.1").symlink_to("libcuda.so.580.65.06")
    return tmp_path


def looks(library: Path | None, root: Path, *lost: str, **said: str) -> list[dict[str, Any]]:
    """Return what looks find, one after another; lost: the GPU that is lost at each."""
    env = {**os.environ, "PYTHONPATH": str(Path.cwd()), **said}
    env |= {"LD_LIBRARY_PATH": str(library)} if library is not None else {}
    argv = [sys.executable, "-c", ASK, str(root), *lost]
    ended = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_each_gpu_is_found_with_its_files_the_drivers_libraries_and_labels(
    library: Path, root: Path
) -> None:
    (found,) = looks(library, root, "")
    libraries = root / "usr/lib/x86_64-linux-gnu"
    mounts = [
        (str(libraries / "libcuda.so.580.65.06"), "/usr/local/nvidia/lib64/libcuda.so.1"),
        (str(root / "usr/bin/nvidia-smi"), "/usr/local/nvidia/bin/nvidia-smi"),
    ]
    assert [one["id"] for one in found["devices"]] == ["GPU-00000000", "GPU-00000001"]
    second = found["devices"][1]
    assert second["trouble"] == ""
    assert second["nodes"] == ["/dev/nvidia5", "/dev/nvidiactl", "/dev/nvidia-uvm"]
    assert [(one["source"], one["target"]) for one in second["mounts"]] == mounts
    assert all(one["read_only"] for one in second["mounts"])
    assert found["labels"] == {
        "gpu.cubernetes.io/model": "NVIDIA-H200--stub",
        "gpu.cubernetes.io/memory": "144384Mi",
        "gpu.cubernetes.io/driver": "580.65.06",
        "gpu.cubernetes.io/cuda": "13.2",
    }


def test_a_gpu_that_falls_off_the_bus_is_still_known_and_comes_back(
    library: Path, root: Path
) -> None:
    troubles = [
        [one["trouble"] for one in found["devices"]] for found in looks(library, root, "", "0", "")
    ]
    assert troubles == [["", ""], ["GPU is lost", ""], ["", ""]]


def test_a_driver_that_answers_wrongly_is_told(library: Path, root: Path) -> None:
    (found,) = looks(library, root, "", STUB_INIT="999")
    assert found == {"trouble": "NVML: Unknown Error"}


def test_without_the_driver_or_its_library_there_are_none(root: Path, tmp_path: Path) -> None:
    assert looks(None, root, "") == [{"devices": [], "labels": {}}]
    assert NvidiaGpus(tmp_path / "bare").discover(DeviceSettings()) == Discovery()


def test_nothing_of_the_binding_is_loaded_without_the_driver(tmp_path: Path) -> None:
    ask = f"{ASK}\nprint(json.dumps({{'loaded': 'pynvml' in sys.modules}}))"
    ended = subprocess.run(
        [sys.executable, "-c", ask, str(tmp_path), ""], capture_output=True, text=True, check=True
    )
    assert json.loads(ended.stdout.splitlines()[-1]) == {"loaded": False}


async def test_nvidias_own_runtime_is_told_to_add_nothing() -> None:
    said = (await NvidiaGpus().allotted(["GPU-1", "GPU-2"])).env
    assert said["CUDA_VISIBLE_DEVICES"] == "GPU-1,GPU-2"
    assert said["NVIDIA_VISIBLE_DEVICES"] == "void"


def test_a_model_becomes_the_value_of_a_label() -> None:
    assert label_of("Tesla V100-SXM2/16GB") == "Tesla-V100-SXM2-16GB"
    assert len(label_of("x" * 99)) == 63
    assert label_of("(GPU)") == "GPU"
