"""Objects of custom kinds: an envelope that every kind has, and content by a schema. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, Self

import msgspec

from cubernetes.api.custom.shapes import NOTHING, Shape, defaulted, pruned
from cubernetes.api.custom.validation import problems
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Object, ObjectMeta, replaced

HEAD = ("apiVersion", "kind", "metadata")


class Head(Object):
    """What every object has, whatever its kind."""

    api_version: str = ""
    kind: str = ""


class ScalePaths(NamedTuple):
    """Where an object says how many there are to be, how many there are, and which they are.

    spec and status are the names of fields, one below the other.
    """

    spec: tuple[str, ...]
    status: tuple[str, ...]
    selector: tuple[str, ...] = ()


class Size(NamedTuple):
    """What stands where an object says its size; wanted is None where nothing stands there."""

    wanted: int | None
    found: int
    selector: str


def steps_of(json_path: str) -> tuple[str, ...]:
    """Return the names of fields in a path that is made of nothing else: `.spec.replicas`."""
    return tuple(json_path.strip(".").split("."))


class CustomObject(Object):
    """An object of a custom kind.

    shape: the schema of its version; the fields of an object are those that it says.
    scale: where its size stands, if it has one.
    content: everything but apiVersion, kind and metadata.
    """

    shape: ClassVar[Shape] = NOTHING
    scale: ClassVar[ScalePaths | None] = None

    content: Mapping[str, Any] = msgspec.field(default_factory=dict)

    @classmethod
    def made(cls, metadata: ObjectMeta, content: Mapping[str, Any]) -> Self:
        resource = cls.resource
        return cls(
            api_version=resource.api_version,
            kind=resource.kind,
            metadata=metadata,
            content=content,
        )

    @classmethod
    def pruned(cls, content: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
        """Return content without unknown fields, and their paths."""
        unknown: list[str] = []
        return pruned(cls.shape, dict(content), "", unknown), unknown

    @property
    def spec(self) -> Mapping[str, Any]:
        """What is wanted: everything but a status that is written apart."""
        if not self.resource.has_status:
            return self.content
        return {name: one for name, one in self.content.items() if name != "status"}

    @property
    def status(self) -> Any:
        return self.content.get("status")

    def with_status_of(self, other: "CustomObject | None") -> Self:
        """Return this object with the status of another, or without one."""
        content = {name: one for name, one in self.content.items() if name != "status"}
        if other is not None and "status" in other.content:
            content["status"] = other.content["status"]
        return replaced(self, content=content)

    @property
    def size(self) -> Size:
        """Its size; only kinds that have one are asked."""
        assert self.scale is not None  # noqa: S101  their scale subresource has its paths
        wanted = self._at(self.scale.spec)
        found, selector = self._at(self.scale.status), self._at(self.scale.selector)
        return Size(
            wanted if isinstance(wanted, int) else None,
            found if isinstance(found, int) else 0,
            selector if isinstance(selector, str) else "",
        )

    def sized(self, replicas: int) -> Self:
        """Return it with another size that is wanted."""
        assert self.scale is not None  # noqa: S101  as above
        return replaced(self, content=_with(self.content, self.scale.spec, replicas))

    def _at(self, steps: tuple[str, ...]) -> Any:
        value: Any = self.content if steps else None
        for step in steps:
            value = value.get(step) if isinstance(value, Mapping) else None
        return value

    def tree(self) -> dict[str, Any]:
        """Return it as JSON has it, but for its metadata, which are a model."""
        head = {"apiVersion": self.api_version, "kind": self.kind, "metadata": self.metadata}
        return {**head, **self.content}

    def defaulted(self) -> Self:
        made = defaulted(self.shape, dict(self.content))
        content = {name: one for name, one in made.items() if name not in HEAD}
        return replaced(Object.defaulted(self), content=content)

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        metadata = {"name": self.metadata.name, "generateName": self.metadata.generate_name}
        yield from problems(self.shape, self.tree() | {"metadata": metadata})


def _with(tree: Any, steps: tuple[str, ...], value: object) -> dict[str, Any]:
    """Return a tree with a value at the end of steps; what is missing on the way is made."""
    made = dict(tree) if isinstance(tree, Mapping) else {}
    first, *rest = steps
    made[first] = _with(made.get(first), tuple(rest), value) if rest else value
    return made
