"""ConfigMap: settings for programs, by name, apart from the images that they run in."""

from collections.abc import Iterator, Mapping

import msgspec

from cubernetes.api.core.data import configdata
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Object, age_of, replaced, shown
from cubernetes.api.resource import Resource


class ConfigMap(Object):
    """Settings for programs: texts and bytes by key, at most 1 MiB of values in all.

    data: texts by key.
    binary_data: bytes by key, in base64; no key stands in both.
    immutable: the data never change again; the object may only be deleted.
    """

    resource = Resource("", "v1", "ConfigMap", "configmaps", ("cm",))
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Data", lambda one, _: len(one.data) + len(one.binary_data)),
        Column("Age", age_of),
    )

    api_version: str = shown("v1")
    kind: str = shown("ConfigMap")
    data: Mapping[str, str] = msgspec.field(default_factory=dict)
    binary_data: Mapping[str, str] = msgspec.field(default_factory=dict)
    immutable: bool | None = None

    def defaulted(self) -> "ConfigMap":
        return replaced(self, binary_data=configdata.canonical(self.binary_data))

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        yield from configdata.key_problems(self.data, "data")
        yield from configdata.key_problems(self.binary_data, "binaryData")
        yield from configdata.base64_problems(self.binary_data, "binaryData")
        for key in sorted(self.data.keys() & self.binary_data.keys()):
            yield Problem(f"binaryData[{key[:100]}]", "duplicate of key present in data")
        size_bytes = sum(len(text.encode()) for text in self.data.values())
        size_bytes += configdata.decoded_bytes(self.binary_data)
        yield from configdata.size_problems(size_bytes, "data")

    def update_problems(self, old: "ConfigMap") -> Iterator[Problem]:
        parts = {
            "data": (old.data, self.data),
            "binaryData": (old.binary_data, self.binary_data),
        }
        yield from configdata.frozen_problems(old.immutable, self.immutable, parts)
