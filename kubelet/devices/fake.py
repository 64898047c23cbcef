"""Stand-ins: devices that an administrator or a test names, under a name of our own. Pure."""

from collections.abc import Mapping, Sequence

from kubelet.devices.driver import Device, DeviceSettings, Found

RESOURCE = "cubernetes.io/fake-gpu"


class FakeGpus:
    """What `fake` of the settings names. They compute nothing and are never called a GPU's name."""

    resource = RESOURCE

    def discover(self, settings: DeviceSettings) -> Found:
        return Found(tuple(Device(one.id, one.trouble, one.nodes) for one in settings.fake))

    def variables(self, ids: Sequence[str]) -> Mapping[str, str]:  # noqa: ARG002  none of its own
        return {}
