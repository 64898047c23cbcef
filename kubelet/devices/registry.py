"""The kinds of devices that a kubelet looks for. Another kind is a file, and a line here."""

from pathlib import Path

from cubernetes.host.env import Env
from kubelet.devices.driver import DeviceKind
from kubelet.devices.fake import FakeGpus
from kubelet.devices.giving import Plugins
from kubelet.devices.nvml import NvidiaGpus

DEVICE_KINDS: tuple[DeviceKind, ...] = (NvidiaGpus(), FakeGpus())
# Where plug-ins look for the kubelet; they know no other place.
PLUGINS_FOLDER = Path("/var/lib/kubelet/device-plugins")


def plugin_sockets(env: Env) -> Plugins:
    """Return the door of plug-ins; gRPC costs memory, which a node without plug-ins saves."""
    from kubelet.devices.plugins import PluginSockets

    own = frozenset(one.resource for one in DEVICE_KINDS)
    return PluginSockets(env, PLUGINS_FOLDER, own)
