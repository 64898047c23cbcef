"""events.k8s.io: the core Events, each said in the newer words. Pure."""

from typing import ClassVar

import msgspec

from apiserver.state.items import Item
from apiserver.state.view import ObjectKey
from apiserver.views.eventwords import newer
from apiserver.views.reworded import RewordedView
from cubernetes.api.core.event import MESSAGE_MAX as NOTE_MAX
from cubernetes.api.core.event import Event
from cubernetes.api.events.event import Event as NewerEvent
from cubernetes.api.meta import Object, ObjectMeta


def _made(place: ObjectKey, item: Item) -> NewerEvent:
    """Return an Event; of one that is stored and not read, its place at least."""
    try:
        one = item.object
    except msgspec.MsgspecError as error:
        metadata = ObjectMeta(name=place.name, namespace=place.namespace)
        return NewerEvent(metadata=metadata, note=f"what is stored is not read: {error}"[:NOTE_MAX])
    assert isinstance(one, Event)  # noqa: S101  its only source
    return newer(one)


class EventView(RewordedView):
    """Core Events in the newer words."""

    kind: ClassVar[type[Object]] = NewerEvent
    sources: ClassVar[tuple[type[Object], ...]] = (Event,)
    made = staticmethod(_made)
