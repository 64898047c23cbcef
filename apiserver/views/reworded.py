"""Views that are one for one: an object's other form becomes what the object becomes. Pure."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import partial
from typing import ClassVar

from apiserver.state.items import Item
from apiserver.state.view import ObjectKey, Sight
from cubernetes.api.meta import Object

# As many as of a stored kind: a change holds no more than the stored object, which is kept anyway.
EVENTS_MAX = 2048


class RewordedView(ABC):
    """A stored kind in the words of another."""

    kind: ClassVar[type[Object]]
    sources: ClassVar[tuple[type[Object], ...]]
    events_max: ClassVar[int] = EVENTS_MAX

    def __init__(self) -> None:
        self._items: dict[ObjectKey, Item] = {}

    @staticmethod
    @abstractmethod
    def made(place: ObjectKey, item: Item) -> Object:
        """Return the other form of what is stored; its place at least, where that is not read."""

    def changed(self, key: str, source: Item | None) -> Iterable[ObjectKey]:
        namespace, _, name = key.split("/", 3)[3].partition("/")
        place = ObjectKey(namespace, name)
        if source is None:
            self._items.pop(place, None)
        else:
            self._items[place] = source
        return (place,)

    def shown(self, place: ObjectKey) -> Sight | None:
        item = self._items.get(place)
        if item is None:
            return None
        return Sight((item,), partial(self.made, place, item), item.revision)
