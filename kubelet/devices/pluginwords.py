"""The words of Kubernetes' device plug-ins (`v1beta1`): what is read and written of them. Pure.

Source: `staging/src/k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1/api.proto` of Kubernetes.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import quote, unquote

from cubernetes.api.core.parts.resources import is_extended
from cubernetes.host.protowire import (
    BYTES,
    VARINT,
    ProtobufBroken,
    bytes_field,
    fields,
    utf8,
)
from kubelet.devices.driver import DEVICES_MAX, Device
from kubelet.runtime.driver import Allotment, DeviceFile, Mount

VERSION = "v1beta1"
HEALTHY = "Healthy"


class Registration(NamedTuple):
    """What a plug-in says of itself. endpoint: the name of its socket, beside the kubelet's."""

    version: str = ""
    endpoint: str = ""
    resource: str = ""
    has_pre_start: bool = False


def registration_in(message: bytes) -> Registration:
    """Raises: ProtobufBroken."""
    found = _texts(message)
    options = [field for options in _parts(message, 4) for field in fields(options)]
    has_pre_start = any(at == 1 and kind == VARINT and value for at, kind, value, _ in options)
    return Registration(found.get(1, ""), found.get(2, ""), found.get(3, ""), has_pre_start)


def refusal_of(asked: Registration) -> str:
    """Return why a plug-in cannot be taken, or nothing."""
    if asked.version != VERSION:
        return f"version: must be {VERSION}, not {asked.version!r}"
    if not is_extended(asked.resource):
        return f"resource_name: must be a name such as example.com/gpu, not {asked.resource!r}"
    name = asked.endpoint
    if not name or "/" in name or "\0" in name or name.startswith("."):
        return f"endpoint: must be the name of a socket in the kubelet's folder, not {name!r}"
    return ""


def devices_in(message: bytes) -> tuple[Device, ...]:
    """Return the devices that a plug-in has. Raises: ProtobufBroken."""
    found: dict[str, Device] = {}
    for part in _parts(message, 1):
        words = _texts(part)
        health = words.get(2, "")
        trouble = "" if health == HEALTHY else f"its plug-in calls it {health or 'nothing'}"
        # By our rules: an id stands in labels, and may hold none of what parts them.
        name = quote(words.get(1, ""), safe="-._")
        found[name] = Device(name, trouble)
    if len(found) > DEVICES_MAX:
        raise ProtobufBroken(f"more than {DEVICES_MAX} devices")
    return tuple(found.values())


def allocation_asked(ids: Sequence[str]) -> bytes:
    """Return the message that asks for what one container gets with these devices."""
    return bytes_field(1, ids_message(ids))


def ids_message(ids: Sequence[str]) -> bytes:
    return b"".join(bytes_field(1, unquote(one).encode()) for one in ids)


class Allocated(NamedTuple):
    """What a container gets. cdi: devices by another interface, which this kubelet has not."""

    allotment: Allotment
    cdi: tuple[str, ...] = ()


def allocated_in(message: bytes) -> Allocated:
    """Return the answer for one container. Raises: ProtobufBroken."""
    env: dict[str, str] = {}
    mounts: list[Mount] = []
    files: list[DeviceFile] = []
    cdi: list[str] = []
    for answer in _parts(message, 1):
        for part in _parts(answer, 1):
            pair = _texts(part)
            env[pair.get(1, "")] = pair.get(2, "")
        for part in _parts(answer, 2):
            pair = _texts(part)
            is_read_only = any(at == 3 and value for at, _, value, _ in fields(part))
            mounts.append(Mount(pair.get(2, ""), pair.get(1, ""), is_read_only))
        for part in _parts(answer, 3):
            words = _texts(part)
            files.append(DeviceFile(words.get(2, ""), words.get(1, ""), words.get(3) or "rw"))
        cdi += [_texts(part).get(1, "") for part in _parts(answer, 5)]
    return Allocated(Allotment(tuple(files), tuple(mounts), env), tuple(cdi))


def _parts(message: bytes, number: int) -> Iterator[bytes]:
    for at, kind, start, stop in fields(message):
        if at == number and kind == BYTES:
            yield message[start:stop]


def _texts(message: bytes) -> dict[int, str]:
    """Return the texts of a message by their fields; of several the last, as protobuf says."""
    return {
        at: utf8(message[start:stop])
        for at, kind, start, stop in fields(message)
        if kind == BYTES and at < 4
    }
