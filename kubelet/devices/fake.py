"""Stand-ins: devices that an administrator or a test names, under a name of our own. Pure."""

from collections.abc import Sequence

from kubelet.devices.driver import Device, DeviceSettings, Discovery
from kubelet.runtime.driver import Allotment

RESOURCE = "cubernetes.io/fake-gpu"


class FakeGpus:
    """What `fake` of the settings names. They compute nothing and are never called a GPU's name."""

    resource = RESOURCE

    def discover(self, settings: DeviceSettings) -> Discovery:
        return Discovery(tuple(Device(one.id, one.trouble, one.nodes) for one in settings.fake))

    async def allotted(self, ids: Sequence[str]) -> Allotment:  # noqa: ARG002  they all are alike
        return Allotment()
