"""What this node was told last, kept on its disk: it works on while nobody answers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.service import Service
from cubernetes.api.meta import Object
from cubernetes.host.durable.checkedfile import CheckedFile


class NetworkState(msgspec.Struct, frozen=True, kw_only=True):
    """Where this node stands in the pod network: its range, and the other nodes."""

    pod_cidr: str
    peers: tuple[tuple[str, str, str], ...] = ()  # name, address, pod range


class Checkpoint(Protocol):
    """Loading gives what was saved last; nothing where there is nothing that can be trusted.

    Saving raises OSError where the disk takes nothing: what was saved last stands.
    """

    def load(self) -> Sequence[Pod]: ...

    def save(self, pods: Sequence[Pod]) -> None: ...

    def load_surroundings(self) -> NetworkState | None: ...

    def save_surroundings(self, surroundings: NetworkState) -> None: ...

    def load_services(self) -> Sequence[Service]: ...

    def save_services(self, services: Sequence[Service]) -> None: ...

    def load_images(self) -> Sequence[str]: ...

    def save_images(self, ids: Sequence[str]) -> None: ...


class FileCheckpoint:
    """Files in a folder: pods, services and ids of images, one in each line; the surroundings."""

    def __init__(self, folder: Path) -> None:
        self._pods = CheckedFile(folder / "pods.checkpoint")
        self._services = CheckedFile(folder / "services.checkpoint")
        self._images = CheckedFile(folder / "images.checkpoint")
        self._surroundings = CheckedFile(folder / "node.checkpoint")

    def load(self) -> Sequence[Pod]:
        # The runtime's labels and the API tell the same again: nothing is lost.
        return _loaded(self._pods, Pod)

    def save(self, pods: Sequence[Pod]) -> None:
        _save(self._pods, pods)

    def load_services(self) -> Sequence[Service]:
        return _loaded(self._services, Service)

    def save_services(self, services: Sequence[Service]) -> None:
        _save(self._services, services)

    def load_images(self) -> Sequence[str]:
        return (self._images.load() or b"").decode().splitlines()

    def save_images(self, ids: Sequence[str]) -> None:
        self._images.save("".join(f"{one}\n" for one in ids).encode())

    def load_surroundings(self) -> NetworkState | None:
        line = self._surroundings.load()
        try:
            return msgspec.json.decode(line, type=NetworkState) if line else None
        except (ValueError, msgspec.DecodeError) as error:
            self._surroundings.distrust(error)
            return None

    def save_surroundings(self, surroundings: NetworkState) -> None:
        self._surroundings.save(msgspec.json.encode(surroundings))


def _loaded[O: Object](file: CheckedFile, kind: type[O]) -> Sequence[O]:
    """Return the objects of a file; nothing where one of them is not to be believed."""
    try:
        return [codec.decode(kind, line) for line in (file.load() or b"").splitlines()]
    except (ValueError, msgspec.DecodeError) as error:
        file.distrust(error)
        return ()


def _save(file: CheckedFile, objects: Sequence[Object]) -> None:
    ordered = sorted(objects, key=lambda one: one.metadata.uid)
    file.save(b"".join(codec.encode(one) + b"\n" for one in ordered))
