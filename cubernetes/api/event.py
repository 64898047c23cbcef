"""Event: something that happened to an object, for people to read. In code it is a *record*."""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import msgspec

from cubernetes.api.errors import Problem
from cubernetes.api.meta import (
    Column,
    Count,
    Instant,
    Model,
    Object,
    Ref,
    Resource,
    short_span,
    shown,
)
from cubernetes.api.meta import text_field as text

MESSAGE_LIMIT = 1024  # Kubernetes' bound on a note


class ObjectReference(Model):
    """Which object an event is about, or a binding points to."""

    api_version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    resource_version: str = ""
    field_path: str = ""

    @property
    def ref(self) -> Ref:
        return Ref(self.kind, self.namespace, self.name)


class EventSource(Model):
    component: str = ""
    host: str = ""


def _last_seen(one: "Event", now: datetime) -> str:
    at = one.last_timestamp or one.metadata.creation_timestamp
    return short_span((now - at).total_seconds()) if at else "<unknown>"


class Event(Object):
    resource = Resource("", "v1", "Event", "events", ("ev",))
    columns = (
        Column("Last Seen", _last_seen),
        Column("Type", lambda one, _: one.type),
        Column("Reason", lambda one, _: one.reason),
        Column("Object", lambda one, _: str(one.involved_object.ref._replace(namespace=""))),
        Column("Count", lambda one, _: one.count, wide=True),
        Column("Source", lambda one, _: one.source.component, wide=True),
        Column("Message", lambda one, _: one.message),
    )
    selectable = {
        "involvedObject.kind": text("involved_object.kind"),
        "involvedObject.namespace": text("involved_object.namespace"),
        "involvedObject.name": text("involved_object.name"),
        "involvedObject.uid": text("involved_object.uid"),
        "involvedObject.apiVersion": text("involved_object.api_version"),
        "involvedObject.resourceVersion": text("involved_object.resource_version"),
        "involvedObject.fieldPath": text("involved_object.field_path"),
        "reason": text("reason"),
        "type": text("type"),
        "source": text("source.component"),
    }

    api_version: str = shown("v1")
    kind: str = shown("Event")
    involved_object: ObjectReference = msgspec.field(default_factory=ObjectReference)
    reason: str = ""
    message: str = ""
    type: Literal["Normal", "Warning"] = shown("Normal")
    source: EventSource = msgspec.field(default_factory=EventSource)
    first_timestamp: Instant | None = None
    last_timestamp: Instant | None = None
    event_time: Instant | None = None
    count: Count = 1
    action: str = ""
    reporting_component: str = ""
    reporting_instance: str = ""

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        about = self.involved_object.namespace
        if about and about != self.metadata.namespace:
            yield Problem("involvedObject.namespace", "must be the namespace of the event")
        if len(self.message) > MESSAGE_LIMIT:
            yield Problem("message", f"has {len(self.message)} letters, at most {MESSAGE_LIMIT}")
