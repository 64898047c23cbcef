"""What a kind of device is to the kubelet: how it is found, and what a container gets with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Protocol

import msgspec

from cubernetes.host.settings import Settings
from kubelet.runtime.driver import Allotment, Mount

# Ids stand in a label of containers, apart by commas and spaces.
DeviceId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")]
Path = Annotated[str, msgspec.Meta(pattern=r"^/[^\0]{1,1023}\Z")]
# More than one container could be told of, and than any machine has.
DEVICES_MAX = 256
SHARES_MAX = 64


class DeviceTrouble(Exception):
    """The devices of a kind cannot be read now; the text says why."""


class StandInDevice(Settings, frozen=True, kw_only=True):
    """A device that there is none of: for tests, and to try things.

    nodes: files of devices that its container gets. trouble: why it cannot be used; empty: it can.
    """

    id: DeviceId
    nodes: Annotated[tuple[Path, ...], msgspec.Meta(max_length=16)] = ()
    trouble: str = ""


class DeviceSettings(Settings, frozen=True, kw_only=True):
    """What an administrator says of this node's devices; read again at every look.

    fake: the devices of the resource cubernetes.io/fake-gpu.
    plugins: whether Kubernetes' device plug-ins may register here.
    shares: by resource, how many containers each of its devices is offered to. Such devices are
        offered as `<resource>.shared`, and as nothing else.
    """

    fake: Annotated[tuple[StandInDevice, ...], msgspec.Meta(max_length=DEVICES_MAX)] = ()
    plugins: bool = False
    shares: Mapping[str, Annotated[int, msgspec.Meta(ge=1, le=SHARES_MAX)]] = msgspec.field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        """Refuse two devices of one name; msgspec tells it as it tells wrong types."""
        ids = [one.id for one in self.fake]
        if doubles := sorted({one for one in ids if ids.count(one) > 1}):
            raise ValueError(f"fake: ids must differ, {doubles[0]} stands there twice")


@dataclass(frozen=True, slots=True)
class Device:
    """One device as it was found.

    id: stays the same over reboots. trouble: why it cannot be used; empty: it can.
    nodes: files of devices that a container with it may open. mounts: what of its driver is to be
    seen there.
    """

    id: str
    trouble: str = ""
    nodes: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a look has found of one kind. labels: what a Node says of it."""

    devices: Sequence[Device] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


class DeviceKind(Protocol):
    """One kind of device. resource: its name in requests, limits and amounts of nodes."""

    @property
    def resource(self) -> str: ...

    def discover(self, settings: DeviceSettings) -> Discovery:
        """Return every device that is there, the unusable too; none is no trouble. It may block.

        Raises: DeviceTrouble, OSError: nothing is known of any of them now.
        """
        ...

    async def allotted(self, ids: Sequence[str]) -> Allotment:
        """Return what a container with these devices gets beside what each of them says.

        Raises: RuntimeTrouble: it cannot be had now.
        """
        ...
