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


class Checkpoint(Protocol):
    def load(self) -> Sequence[Pod]:
        """Return the pods that were saved last; none where there is nothing that can be trusted."""
        ...

    def save(self, pods: Sequence[Pod]) -> None: ...


class FileCheckpoint:
    """One file: a checksum, a line end, and the pods, one JSON line each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saved: bytes | None = None

    def load(self) -> Sequence[Pod]:
        content = read_or_none(self._path)
        if content is None:
            return ()
        try:
            return _pods_in(content)
        except (ValueError, msgspec.DecodeError) as error:
            # The runtime's labels and the API tell the same again: nothing is lost.
            log.warning("checkpoint ignored", path=self._path, why=error)
            return ()

    def save(self, pods: Sequence[Pod]) -> None:
        ordered = sorted(pods, key=lambda one: one.metadata.uid)
        lines = b"".join(codec.encode(one) + b"\n" for one in ordered)
        if lines != self._saved:
            write_atomic(self._path, b"%08x\n" % zlib.crc32(lines) + lines)
            self._saved = lines


def _pods_in(content: bytes) -> Sequence[Pod]:
    head, _, lines = content.partition(b"\n")
    if int(head, 16) != zlib.crc32(lines):
        raise ValueError("the checksum does not match")
    return [codec.decode(Pod, line) for line in lines.splitlines()]


class NoCheckpoint:
    """Keeps nothing: for simulations."""

    def load(self) -> Sequence[Pod]:
        return ()

    def save(self, pods: Sequence[Pod]) -> None:
        pass
