"""events.k8s.io: the core Events, each said in the newer words. Pure."""

from collections.abc import Iterable
from functools import partial
from typing import ClassVar

import msgspec

from apiserver.state.items import Item
from apiserver.state.view import ObjectKey, Sight
from apiserver.views.eventwords import newer
from cubernetes.api.core.event import MESSAGE_MAX as NOTE_MAX
from cubernetes.api.core.event import Event
from cubernetes.api.events.event import Event as NewerEvent
from cubernetes.api.meta import Object, ObjectMeta

# As many as of a stored kind: a change holds no more than the core Event, which is kept anyway.
EVENTS_MAX = 2048


class EventView:
    """One for one: what a core Event becomes, its newer form becomes with it."""

    kind: ClassVar[type[Object]] = NewerEvent
    sources: ClassVar[tuple[type[Object], ...]] = (Event,)
    events_max: ClassVar[int] = EVENTS_MAX

    def __init__(self) -> None:
        self._items: dict[ObjectKey, Item] = {}

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
        return Sight((item,), partial(_made, place, item), item.revision) if item else None


def _made(place: ObjectKey, item: Item) -> NewerEvent:
    """Return an Event; of one that is stored and not read, its place at least."""
    try:
        one = item.object
    except msgspec.MsgspecError as error:
        metadata = ObjectMeta(name=place.name, namespace=place.namespace)
        return NewerEvent(metadata=metadata, note=f"what is stored is not read: {error}"[:NOTE_MAX])
    assert isinstance(one, Event)  # noqa: S101  its only source
    return newer(one)
