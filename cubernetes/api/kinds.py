"""Kinds as a value: what is served, followed or understood, passed in and replaced as a whole."""

from collections.abc import Sequence
from typing import overload

from cubernetes.api.meta import Object


class KindsClash(ValueError):
    """Two kinds answer to one name: neither could be found."""


class Kinds(Sequence[type[Object]]):
    """An immutable list of kinds, in the order in which people see them."""

    __slots__ = ("_by_name", "all")

    def __init__(self, *kinds: type[Object]) -> None:
        """Raises: KindsClash."""
        self.all = kinds
        self._by_name = {(one.resource.api_version, one.resource.kind): one for one in kinds}
        paths = {(one.resource.api_version, one.resource.plural): one for one in kinds}
        for one in kinds:
            resource = one.resource
            found = (
                self._by_name[resource.api_version, resource.kind],
                paths[resource.api_version, resource.plural],
            )
            if any(other is not one for other in found):
                raise KindsClash(f"{resource.kind} and {resource.plural}.{resource.group}: twice")

    def named(self, word: str) -> type[Object] | None:
        """Return the kind that a person means by a word (see `Resource.is_called`); else None."""
        return next((kind for kind in self.all if kind.resource.is_called(word)), None)

    def of(self, api_version: str, kind: str) -> type[Object] | None:
        """Return the kind of a manifest's apiVersion and kind."""
        return self._by_name.get((api_version, kind))

    def owning(self, api_version: str, kind: str) -> type[Object] | None:
        """Return the kind that an owner reference names; of a custom one in any version."""
        group = api_version.rpartition("/")[0]
        return self.of(api_version, kind) or next(
            (
                one
                for one in self.all
                if (one.resource.group, one.resource.kind) == (group, kind)
                and one.resource.is_custom
            ),
            None,
        )

    def called(self, word: str) -> type[Object] | None:
        """Return the kind that a Ref names by `Resource.word`."""
        return next((kind for kind in self.all if kind.resource.word == word), None)

    def with_(self, kind: type[Object]) -> "Kinds":
        """Return these and one more, in the place of the one of its name where there is one."""
        known = self.of(kind.resource.api_version, kind.resource.kind)
        if known is None:
            return Kinds(*self.all, kind)
        return Kinds(*(kind if one is known else one for one in self.all))

    def without(self, kind: type[Object]) -> "Kinds":
        return Kinds(*(one for one in self.all if one is not kind))

    @overload
    def __getitem__(self, index: int) -> type[Object]: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[type[Object], ...]: ...

    def __getitem__(self, index: int | slice) -> type[Object] | tuple[type[Object], ...]:
        return self.all[index]

    def __len__(self) -> int:
        return len(self.all)
