"""The kinds of devices that a kubelet looks for. Another kind is a file, and a line here."""

from kubelet.devices.driver import DeviceKind
from kubelet.devices.fake import FakeGpus
from kubelet.devices.nvml import NvidiaGpus

DEVICE_KINDS: tuple[DeviceKind, ...] = (NvidiaGpus(), FakeGpus())
