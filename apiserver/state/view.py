"""What a view is: a kind that is not stored, made in memory of the kinds that are. Pure.

A view tells which of its objects a change of a source bears on, and what they look like now. It
keeps by itself what it needs of its sources, so that a change costs what it bears on, not what
there is.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from apiserver.state.items import Item
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Object


class ObjectKey(NamedTuple):
    """Where an object of a view is."""

    namespace: str
    name: str


class Sight(NamedTuple):
    """What an object of a view looks like, not made yet: most are never asked for.

    parts: all that it is made of, immutable; equal parts make equal objects.
    make: makes the object.
    revision: of the only source that it is made of; 0 where there may be several.
    """

    parts: tuple[object, ...]
    make: Callable[[], Object]
    revision: int = 0


class View(Protocol):
    """One kind that is made of others. It is given every object of its sources, and each change.

    events_max: of how many of its changes the history is kept; each may hold a whole object.
    """

    @property
    def kind(self) -> type[Object]: ...

    @property
    def events_max(self) -> int: ...

    @property
    def sources(self) -> tuple[type[Object], ...]: ...

    def changed(self, key: str, source: Item | None) -> Iterable[ObjectKey]:
        """Take over what stands at the key of a source; return what may look different now.

        Raises: MsgspecError: the source is not read.
        """
        ...

    def shown(self, place: ObjectKey) -> Sight | None:
        """Return what the object of a place looks like; None where there is none."""
        ...


class Wording(NamedTuple):
    """How the objects of a view are written: each is a stored object in other words.

    stored: the kind that is stored.
    shown: a stored object in the view's words.
    kept: an object of the view in the words of the stored kind; the second is what is stored now.
    creation_problems, update_problems: what is wrong with one, in the view's words; an update's
        are told of what was shown before and what is to be.
    """

    stored: type[Object]
    shown: Callable[[Any], Object]
    kept: Callable[[Any, Any], Object]
    creation_problems: Callable[[Any], Iterator[Problem]]
    update_problems: Callable[[Any, Any], Iterator[Problem]]


type ViewMaker = Callable[[], View]
# The key of a source, what stands there now, and the revision of the change.
type Change = tuple[str, Item | None, int]
