"""What this node was told last, kept on its disk: it works on while nobody answers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from cubernetes.api import codec
from cubernetes.api.core.pod import Pod
from cubernetes.host.durable.checkedfile import CheckedFile


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """Where this node stands in the pod network: its range, and the other nodes."""

    pod_cidr: str
    peers: tuple[tuple[str, str, str], ...] = ()  # name, address, pod range


class Checkpoint(Protocol):
    """Loading gives what was saved last; nothing where there is nothing that can be trusted.

    Saving raises OSError where the disk takes nothing: what was saved last stands.
    """

    def load(self) -> Sequence[Pod]: ...

    def save(self, pods: Sequence[Pod]) -> None: ...

    def load_surroundings(self) -> Surroundings | None: ...

    def save_surroundings(self, surroundings: Surroundings) -> None: ...


class FileCheckpoint:
    """Two files in a folder: the pods, one in each line, and the surroundings."""

    def __init__(self, folder: Path) -> None:
        self._pods = CheckedFile(folder / "pods.checkpoint")
        self._surroundings = CheckedFile(folder / "node.checkpoint")

    def load(self) -> Sequence[Pod]:
        try:
            return [codec.decode(Pod, line) for line in (self._pods.load() or b"").splitlines()]
        except (ValueError, msgspec.DecodeError) as error:
            # The runtime's labels and the API tell the same again: nothing is lost.
            self._pods.distrust(error)
            return ()

    def save(self, pods: Sequence[Pod]) -> None:
        ordered = sorted(pods, key=lambda one: one.metadata.uid)
        self._pods.save(b"".join(codec.encode(one) + b"\n" for one in ordered))

    def load_surroundings(self) -> Surroundings | None:
        line = self._surroundings.load()
        try:
            return msgspec.json.decode(line, type=Surroundings) if line else None
        except (ValueError, msgspec.DecodeError) as error:
            self._surroundings.distrust(error)
            return None

    def save_surroundings(self, surroundings: Surroundings) -> None:
        self._surroundings.save(msgspec.json.encode(surroundings))
