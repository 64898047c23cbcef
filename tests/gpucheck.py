"""What only a machine with a GPU can show: `scripts/test --gpu`, minutes at most.

Needs python3, a C++ compiler and the GPU's driver. What else it finds it uses: nvcc, NVRTC (also as
a wheel in var/gpu, which `scripts/test --gpu-prepare` fetches), Docker with the image busybox:1.
Each line says `ok`, `FAILED` or `not run`, and why. Ends with 0; 1: something failed; 3: there is
no GPU here, so that nothing was shown.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES, GLUE, WHEELS = ROOT / "examples" / "gpu", ROOT / "gpu" / "sites", ROOT / "var" / "gpu"
PROGRAMS = ("add", "mult")
STAND_IN = "CPU STAND-IN"
DEADLINE_S = 120.0
NO_GPU = 3

DISCOVERY = """
from kubelet.devices.driver import DeviceSettings
from kubelet.devices.nvml import NvidiaGpus
import os
found = NvidiaGpus().discover(DeviceSettings())
assert found.devices, "the kubelet finds no GPU"
for one in found.devices:
    assert not one.trouble, one.trouble
    assert one.nodes and all(map(os.path.exists, one.nodes)), one.nodes
    assert any("libcuda" in each.source for each in one.mounts), one.mounts
    print(one.id, *one.nodes)
print(*(f"{name}={text}" for name, text in found.labels.items()))
"""
# In a container without the GPU's files: even one that it makes itself is not opened.
FOREIGN = "mknod /tmp/gpu c 195 0 && cat /tmp/gpu"


# A program, and what its environment is to say.
type Built = tuple[Path, Mapping[str, str]]


class NotRun(Exception):
    """Something is not there that a check needs; the text says what."""


class Wrong(Exception):
    """A check has found something else than it should; the text says what."""


class Bench(NamedTuple):
    """A folder to build in, and where NVRTC is; empty: nowhere."""

    folder: Path
    nvrtc: str


def main(argv: Sequence[str]) -> int:
    if argv == ["--prepare"]:
        return prepare()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        shutil.copy(GLUE / "cube_cuda.h", folder)
        try:
            say("ok", "a GPU by its driver", name := gpu_name())
        except NotRun as why:
            say("not run", "everything", f"there is no GPU here: {why}")
            return NO_GPU
        results = [checked(*one) for one in checks(Bench(folder, nvrtc_in(folder)), name)]
    return 1 if False in results else 0


def prepare() -> int:
    """Fetch what a machine without a network may lack."""
    WHEELS.mkdir(parents=True, exist_ok=True)
    words = ["download", "-q", "--no-deps", "-d", str(WHEELS)]
    wheels = ("nvidia-cuda-nvrtc", "nvidia-ml-py", "msgspec")
    return subprocess.run([sys.executable, "-m", "pip", *words, *wheels], check=False).returncode


def say(outcome: str, what: str, told: str) -> None:
    sys.stdout.write(f"gpu: {outcome:8} {what}: {told}\n")
    sys.stdout.flush()


def checked(what: str, check: Callable[[], str]) -> bool | None:
    """Run a check and tell what came of it; None: it could not be run."""
    begun = time.monotonic()
    try:
        told = check()
    except NotRun as why:
        say("not run", what, str(why))
        return None
    except (Wrong, OSError, subprocess.SubprocessError) as why:
        say("FAILED", what, str(why))
        return False
    say("ok", what, f"{told} ({time.monotonic() - begun:.1f} s)")
    return True


def checks(bench: Bench, gpu: str) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "the kubelet's discovery", discovered
    for name in PROGRAMS:
        yield f"{name}, by nvcc", partial(right, name, partial(by_nvcc, bench, name), gpu)
        yield f"{name}, by NVRTC", partial(right, name, partial(by_nvrtc, bench, name), gpu)
    yield "blas, by nvcc", partial(right, "blas", partial(by_nvcc, bench, "blas", "-lcublas"), gpu)
    yield "no CPU stands in unasked", partial(hidden, bench)
    yield "two jobs share one GPU", partial(shared, bench, gpu)
    yield "a container without the GPU cannot open it", isolated


def gpu_name() -> str:
    """Return what the driver calls the first GPU. Raises: NotRun."""
    try:
        driver = ctypes.CDLL(os.environ.get("CUBE_LIBCUDA", "libcuda.so.1"))
    except OSError as error:
        raise NotRun(str(error)) from error
    count, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    if code := driver.cuInit(0):
        raise NotRun(f"its driver does not begin (error {code})")
    driver.cuDeviceGetCount(ctypes.byref(count))
    if not count.value:
        raise NotRun("its driver sees none")
    driver.cuDeviceGetName(name, 256, 0)
    return f"{name.value.decode()}"


def nvrtc_in(folder: Path) -> str:
    """Return where NVRTC is: on this machine, or in a wheel that was fetched; empty: nowhere."""
    if named := os.environ.get("CUBE_NVRTC"):
        return named
    for name in ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"):
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return name
    for wheel in WHEELS.glob("nvidia_cuda_nvrtc-*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    return next((str(one) for one in folder.rglob("libnvrtc.so.*")), "")


def ran(argv: Sequence[str | Path], folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    words = [str(one) for one in argv]
    plain = {name: text for name, text in os.environ.items() if name != "CUBE_CPU_STAND_IN"}
    return subprocess.run(
        words, cwd=folder, env=plain | env, check=False, capture_output=True, text=True,
        timeout=DEADLINE_S,
    )  # fmt: skip


def made(argv: Sequence[str], folder: Path) -> None:
    """Build a program. Raises: Wrong."""
    done = ran(argv, folder)
    if done.returncode:
        raise Wrong(f"{argv[0]} ended with {done.returncode}: {done.stderr[-800:]}")


def by_nvcc(bench: Bench, name: str, *libraries: str) -> Built:
    if shutil.which("nvcc") is None:
        raise NotRun("there is no nvcc here")
    shutil.copy(EXAMPLES / name / f"{name}.cu", bench.folder)
    binary = bench.folder / f"{name}-nvcc"
    argv = ["nvcc", "-O2", "-std=c++17", "-arch=native", "-I.", f"{name}.cu", "-o", str(binary)]
    made([*argv, *libraries], bench.folder)
    return binary, {}


def by_nvrtc(bench: Bench, name: str) -> Built:
    if not bench.nvrtc:
        raise NotRun("there is no NVRTC here, nor in var/gpu")
    shutil.copy(EXAMPLES / name / f"{name}.cu", bench.folder)
    binary = bench.folder / f"{name}-nvrtc"
    source = f'-DCUBE_SOURCE="{name}.cu"'
    argv = ["c++", "-std=c++20", "-O2", "-pthread", "-I.", source, "-x", "c++", f"{name}.cu"]
    made([*argv, "-o", str(binary)], bench.folder)
    return binary, {"CUBE_NVRTC": bench.nvrtc}


def right(name: str, build: Callable[[], Built], gpu: str) -> str:
    """Build a program and run it; it checks its own result. Raises: NotRun, Wrong."""
    binary, env = build()
    return judged(name, ran([binary], binary.parent, **env), gpu)


def judged(name: str, done: subprocess.CompletedProcess[str], gpu: str) -> str:
    """Return what a program said, where it is right and says that it ran there. Raises: Wrong."""
    told = done.stdout.strip()
    is_right = done.returncode == 0 and told.startswith(f"{name}: ") and " right, " in told
    if not is_right or STAND_IN in told or not told.endswith(f"on {gpu}"):
        raise Wrong(f"ended with {done.returncode}: {told[-400:]} {done.stderr[-400:]}")
    return told


def any_build(bench: Bench) -> Built:
    return by_nvrtc(bench, "mult") if bench.nvrtc else by_nvcc(bench, "mult")


def hidden(bench: Bench) -> str:
    binary, env = any_build(bench)
    done = ran([binary], bench.folder, **env, CUDA_VISIBLE_DEVICES="")
    if done.returncode != NO_GPU or done.stdout:
        raise Wrong(f"ended with {done.returncode}: {done.stdout[-400:]}")
    return f"ended with {NO_GPU}: {done.stderr.strip()}"


def shared(bench: Bench, gpu: str) -> str:
    """Run two at once, as the sharers of a device do, which have it in turns of time."""
    binary, env = any_build(bench)
    pipe = subprocess.PIPE
    both = [
        subprocess.Popen(
            [binary], cwd=bench.folder, env={**os.environ, **env}, stdout=pipe, stderr=pipe,
            text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    for one in both:
        out, err = one.communicate(timeout=DEADLINE_S)
        judged("mult", subprocess.CompletedProcess(one.args, one.returncode, out, err), gpu)
    return "both are right"


def discovered() -> str:
    path = os.pathsep.join([str(ROOT), *(str(one) for one in WHEELS.glob("*.whl"))])
    done = ran([sys.executable, "-c", DISCOVERY], ROOT, PYTHONPATH=path)
    if "ModuleNotFoundError" in done.stderr or "cannot import name" in done.stderr:
        raise NotRun(done.stderr.strip().splitlines()[-1])
    if done.returncode:
        raise Wrong(done.stderr[-800:])
    return "; ".join(done.stdout.split("\n")).strip("; ")


def isolated() -> str:
    """Look for the GPU in a container that was not given it. Raises: NotRun, Wrong."""
    if shutil.which("docker") is None:
        raise NotRun("there is no Docker here")
    inside = ["docker", "run", "--rm", "--network", "none", "busybox:1", "sh", "-c", FOREIGN]
    done = ran(inside, ROOT)
    if "Operation not permitted" in done.stderr:
        return done.stderr.strip().splitlines()[-1]
    if "docker: " in done.stderr:
        raise NotRun(done.stderr.strip().splitlines()[0][:200])
    raise Wrong(f"ended with {done.returncode}: {done.stderr[-400:]}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
