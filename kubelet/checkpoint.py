"""What this node was told last, kept on its disk: it works on while nobody answers."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from cubernetes.api import codec
from cubernetes.api.pod import Pod
from cubernetes.host.files import read_or_none, write_atomic
from cubernetes.host.log import Log

log = Log(__name__)


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """Where this node stands in the pod network: its range, and the other nodes."""

    pod_cidr: str
    peers: tuple[tuple[str, str, str], ...] = ()  # name, address, pod range


class Checkpoint(Protocol):
    """Loading gives what was saved last; nothing where there is nothing that can be trusted."""

    def load(self) -> Sequence[Pod]: ...

    def save(self, pods: Sequence[Pod]) -> None: ...

    def load_surroundings(self) -> Surroundings | None: ...

    def save_surroundings(self, surroundings: Surroundings) -> None: ...


class FileCheckpoint:
    """Two files in a folder; each a checksum, a line end, and JSON lines."""

    def __init__(self, folder: Path) -> None:
        self._pods, self._surroundings = folder / "pods.checkpoint", folder / "node.checkpoint"
        self._saved: dict[Path, bytes] = {}

    def load(self) -> Sequence[Pod]:
        try:
            return [codec.decode(Pod, line) for line in _trusted(self._pods).splitlines()]
        except (ValueError, msgspec.DecodeError) as error:
            # The runtime's labels and the API tell the same again: nothing is lost.
            log.warning("checkpoint ignored", path=self._pods, why=error)
            return ()

    def save(self, pods: Sequence[Pod]) -> None:
        ordered = sorted(pods, key=lambda one: one.metadata.uid)
        self._write(self._pods, b"".join(codec.encode(one) + b"\n" for one in ordered))

    def load_surroundings(self) -> Surroundings | None:
        try:
            line = _trusted(self._surroundings)
            return msgspec.json.decode(line, type=Surroundings) if line else None
        except (ValueError, msgspec.DecodeError) as error:
            log.warning("checkpoint ignored", path=self._surroundings, why=error)
            return None

    def save_surroundings(self, surroundings: Surroundings) -> None:
        self._write(self._surroundings, msgspec.json.encode(surroundings))

    def _write(self, path: Path, lines: bytes) -> None:
        if lines == self._saved.get(path):
            return
        try:
            write_atomic(path, b"%08x\n" % zlib.crc32(lines) + lines)
        except OSError as error:
            # On a full disk the pods go on; what was saved last stands, and the next change tries.
            log.warning("checkpoint not saved", path=path, why=error)
            return
        self._saved[path] = lines


def _trusted(path: Path) -> bytes:
    """Return what was written to path; empty where nothing was. Raises: ValueError."""
    content = read_or_none(path)
    if content is None:
        return b""
    head, _, lines = content.partition(b"\n")
    if int(head, 16) != zlib.crc32(lines):
        raise ValueError("the checksum does not match")
    return lines
