"""The objects that names are made of, kept on this node's disk for a time without an API."""

import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import msgspec

from cubernetes.api.coding import codec
from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.service import Service
from cubernetes.api.cubernetes.dns import Dns
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.meta import Object
from cubernetes.host.durable.checkedfile import CheckedFile
from resolver.objects import KeptService, KeptSlice, service_kept, slice_kept

type Kept = Namespace | KeptService | KeptSlice | Dns | ConfigMap

PART_BYTES = 1 << 16  # of lines, at once

# Each line begins with the kind of its object.
_KINDS: dict[bytes, type[Object]] = {
    b"N": Namespace,
    b"S": Service,
    b"E": EndpointSlice,
    b"D": Dns,
    b"O": ConfigMap,
}
_MARKS = {kind: mark for mark, kind in _KINDS.items()}


class Saved(NamedTuple):
    """What a file held."""

    namespaces: Sequence[Namespace]
    services: Sequence[KeptService]
    slices: Sequence[KeptSlice]
    dnses: Sequence[Dns]
    overrides: Sequence[ConfigMap]


class NamesCheckpoint:
    """One file. Without a path nothing is kept. All calls may block."""

    def __init__(self, path: Path | None) -> None:
        self._file = CheckedFile(path) if path else None

    def load(self) -> Saved | None:
        """Return what was saved last; None where there is nothing that can be trusted."""
        return self._loaded(_objects_in)

    def load_outside(self) -> Saved | None:
        """Return what says names of others: it stands first, and is there before the many lines.

        None also where an older version wrote the file, with these lines at its end.
        """
        saved = self._loaded(lambda content: takewhile(_is_outside, _objects_in(content)))
        return saved if saved is not None and (saved.dnses or saved.overrides) else None

    def _loaded(self, read: Callable[[bytes], Iterable[Kept]]) -> Saved | None:
        content = self._file.load() if self._file else None
        if self._file is None or content is None:
            return None
        try:
            found = list(read(content))
        except (KeyError, ValueError, zlib.error, msgspec.DecodeError) as error:
            self._file.distrust(error)
            return None
        return Saved(
            [one for one in found if isinstance(one, Namespace)],
            [one for one in found if isinstance(one, KeptService)],
            [one for one in found if isinstance(one, KeptSlice)],
            [one for one in found if isinstance(one, Dns)],
            [one for one in found if isinstance(one, ConfigMap)],
        )

    def save(self, content: bytes) -> None:
        """Keep what a Writing made. Raises: OSError: the disk takes nothing; the last stands."""
        if self._file is not None:
            self._file.save(content)


class Writing:
    """Objects to what a file keeps of them, some at a time: never are all lines there at once.

    Those that say names of others are to be taken first.
    """

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(zlib.Z_BEST_SPEED)
        self._parts: list[bytes] = []

    def take(self, objects: Iterable[Kept]) -> None:
        lines = b"".join(map(_line_of, objects))
        self._parts.append(self._compressor.compress(lines))

    def end(self) -> bytes:
        """Return the content of the file."""
        return b"".join([*self._parts, self._compressor.flush()])


def _is_outside(one: Kept) -> bool:
    return isinstance(one, Dns | ConfigMap)


def _line_of(one: Kept) -> bytes:
    whole = one.written() if isinstance(one, KeptService | KeptSlice) else one
    return _MARKS[type(whole)] + codec.encode(whole) + b"\n"


def _objects_in(content: bytes) -> Iterator[Kept]:
    """Yield what is kept of each line; neither all lines nor more of an object are held at once."""
    for line in _lines_in(content):
        one = codec.decode(_KINDS[line[:1]], line[1:])
        if isinstance(one, Service):
            yield service_kept(one)
        elif isinstance(one, EndpointSlice):
            yield slice_kept(one)
        elif isinstance(one, Namespace | Dns | ConfigMap):
            yield one


def _lines_in(content: bytes) -> Iterator[bytes]:
    if content[:1] in _KINDS:
        # As an older version wrote it.
        yield from io.BytesIO(content)
        return
    decompressor = zlib.decompressobj()
    part, rest = decompressor.decompress(content, PART_BYTES), b""
    while part:
        *lines, rest = (rest + part).split(b"\n")
        yield from lines
        part = decompressor.decompress(decompressor.unconsumed_tail, PART_BYTES)
    if rest or not decompressor.eof:
        raise ValueError("it is not whole")
