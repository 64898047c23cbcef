"""The objects that names are made of, kept on this node's disk for a time without an API."""

import io
from collections.abc import Iterable, Iterator, Sequence
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
from resolver.objects import service_kept, slice_kept

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
    services: Sequence[Service]
    slices: Sequence[EndpointSlice]
    dnses: Sequence[Dns]
    overrides: Sequence[ConfigMap]


class NamesCheckpoint:
    """One file. Without a path nothing is kept. Both calls may block."""

    def __init__(self, path: Path | None) -> None:
        self._file = CheckedFile(path) if path else None

    def load(self) -> Saved | None:
        """Return what was saved last; None where there is nothing that can be trusted."""
        content = self._file.load() if self._file else None
        if self._file is None or content is None:
            return None
        try:
            found = list(_objects_in(content))
        except (KeyError, ValueError, msgspec.DecodeError) as error:
            self._file.distrust(error)
            return None
        return Saved(
            [one for one in found if isinstance(one, Namespace)],
            [one for one in found if isinstance(one, Service)],
            [one for one in found if isinstance(one, EndpointSlice)],
            [one for one in found if isinstance(one, Dns)],
            [one for one in found if isinstance(one, ConfigMap)],
        )

    def save(self, lines: Sequence[bytes]) -> None:
        """Keep these lines. Raises: OSError, where the disk takes nothing; the last ones stand."""
        if self._file is not None:
            self._file.save(b"".join(lines))


def _objects_in(content: bytes) -> Iterator[Object]:
    """Yield what is kept of each line; neither all lines nor more of an object are held at once."""
    for line in io.BytesIO(content):
        one = codec.decode(_KINDS[line[:1]], line[1:])
        if isinstance(one, Service):
            one = service_kept(one)
        elif isinstance(one, EndpointSlice):
            one = slice_kept(one)
        yield one


def lines_of(objects: Iterable[Object]) -> list[bytes]:
    """Return the lines that keep these objects."""
    return [_MARKS[type(one)] + codec.encode(one) + b"\n" for one in objects]
