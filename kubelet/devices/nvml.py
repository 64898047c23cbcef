"""GPUs of NVIDIA's, as their driver's own library (NVML) tells of them.

The library is loaded only where the driver is: elsewhere there are none, which is no trouble.
A container gets the device files of its GPUs and the driver's libraries; NVIDIA's container
runtime is not needed, and told to do nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from kubelet.devices.driver import Device, DeviceSettings, DeviceTrouble, Discovery
from kubelet.runtime.driver import Allotment, Mount

RESOURCE = "nvidia.com/gpu"
PRESENT = "proc/driver/nvidia/version"  # there while the kernel has the driver
# What every GPU needs besides its own file.
CONTROL_NODES = ("dev/nvidiactl", "dev/nvidia-uvm", "dev/nvidia-uvm-tools")
LIBRARY_FOLDERS = ("usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib64", "usr/lib")
LIBRARIES = (
    "libcuda.so.1",
    "libnvidia-ml.so.1",
    "libnvidia-ptxjitcompiler.so.1",
    "libnvidia-nvvm.so.4",
    "libnvidia-gpucomp.so",
)
TOOLS = ("usr/bin/nvidia-smi",)
# Where images of CUDA programs look for the driver.
LIBRARY_TARGET = "/usr/local/nvidia/lib64"
TOOL_TARGET = "/usr/local/nvidia/bin"
LABELS = "gpu.cubernetes.io/"


class NvidiaGpus:
    """The GPUs of this machine, by their UUIDs. root: where /dev, /proc and /usr are."""

    resource = RESOURCE

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._library: ModuleType | None = None
        # What was read of each index: a GPU that is lost does not tell its UUID any more.
        self._known: dict[int, Device] = {}
        self._labels: Mapping[str, str] = {}

    def discover(self, settings: DeviceSettings) -> Discovery:  # noqa: ARG002  nothing is said of these
        if not (self._root / PRESENT).exists():
            return Discovery()
        nvml = self._begun()
        if nvml is None:
            return Discovery()
        try:
            count = nvml.nvmlDeviceGetCount()
            shared_nodes = tuple(f"/{one}" for one in CONTROL_NODES if (self._root / one).exists())
            mounts = driver_mounts(self._root)
            found = [self._device(nvml, index, shared_nodes, mounts) for index in range(count)]
            usable = [at for at, one in enumerate(found) if one is not None and not one.trouble]
            self._labels = labels_of(nvml, usable[0]) if usable else self._labels
        except nvml.NVMLError as error:
            raise DeviceTrouble(f"NVML: {error}") from error
        return Discovery([one for one in found if one is not None], self._labels)

    async def allotted(self, ids: Sequence[str]) -> Allotment:
        # `void`: where NVIDIA's runtime is the engine's default, an image that says `all` would
        # be given every GPU of the machine by it.
        env = {
            "CUDA_VISIBLE_DEVICES": ",".join(ids),
            "NVIDIA_VISIBLE_DEVICES": "void",
            "LD_LIBRARY_PATH": LIBRARY_TARGET,
        }
        return Allotment(env=env)

    def _begun(self) -> ModuleType | None:
        """Return the library, initialised; None where the driver has none.

        Raises: DeviceTrouble.
        """
        if self._library is not None:
            return self._library
        nvml = _pynvml()
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            if error.value == nvml.NVML_ERROR_LIBRARY_NOT_FOUND:
                return None
            raise DeviceTrouble(f"NVML: {error}") from error
        self._library = nvml
        return nvml

    def _device(
        self, nvml: ModuleType, index: int, nodes: tuple[str, ...], mounts: tuple[Mount, ...]
    ) -> Device | None:
        """Return one GPU; None: one that has never told who it is."""
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            minor = nvml.nvmlDeviceGetMinorNumber(handle)
            name = _text(nvml.nvmlDeviceGetUUID(handle))
            # A GPU that has fallen off the bus says so here.
            nvml.nvmlDeviceGetMemoryInfo(handle)
        except nvml.NVMLError as error:
            known = self._known.get(index)
            return known and Device(known.id, str(error), known.nodes, known.mounts)
        self._known[index] = Device(name, "", (f"/dev/nvidia{minor}", *nodes), mounts)
        return self._known[index]


@lru_cache(maxsize=1)
def _pynvml() -> ModuleType:
    # Here, for a machine without the driver has no use for it.
    import pynvml

    module: ModuleType = pynvml
    return module


def labels_of(nvml: ModuleType, index: int) -> Mapping[str, str]:
    """Return what a Node says of its GPUs, by one of them: a node with two models names one."""
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    cuda = nvml.nvmlSystemGetCudaDriverVersion()
    return {
        f"{LABELS}model": label_of(_text(nvml.nvmlDeviceGetName(handle))),
        f"{LABELS}memory": f"{nvml.nvmlDeviceGetMemoryInfo(handle).total >> 20}Mi",
        f"{LABELS}driver": label_of(_text(nvml.nvmlSystemGetDriverVersion())),
        f"{LABELS}cuda": f"{cuda // 1000}.{cuda % 1000 // 10}",
    }


def driver_mounts(root: Path) -> tuple[Mount, ...]:
    """Return the driver's libraries and tools as a container is to see them, read-only."""
    return (*_mounts(root, _libraries(root), LIBRARY_TARGET), *_mounts(root, TOOLS, TOOL_TARGET))


def _libraries(root: Path) -> Iterator[str]:
    for name in LIBRARIES:
        here = (f"{one}/{name}" for one in LIBRARY_FOLDERS)
        if found := next((one for one in here if (root / one).exists()), ""):
            yield found


def _mounts(root: Path, paths: Sequence[str] | Iterator[str], target: str) -> Iterator[Mount]:
    for path in paths:
        if (root / path).exists():
            # By the name that programs load, and never through a link that leads out of the mount.
            source = str((root / path).resolve())
            yield Mount(source, f"{target}/{Path(path).name}", read_only=True)


def label_of(text: str) -> str:
    """Return the text as a label's value: NVIDIA-H200, and no more than 63 characters."""
    fit = "".join(one if one.isascii() and (one.isalnum() or one in "-_.") else "-" for one in text)
    return fit[:63].strip("-_.")


def _text(told: Any) -> str:
    """Return a name as NVML's binding gives it: older ones give bytes."""
    return told.decode() if isinstance(told, bytes) else str(told)
