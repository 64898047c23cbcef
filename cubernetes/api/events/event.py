"""Event of events.k8s.io: the newer words for a core Event. It is the same object."""

from datetime import datetime
from typing import Literal

import msgspec

from cubernetes.api.core.event import EventSeries, EventSource, ObjectReference
from cubernetes.api.meta import Column, Count, Instant, Object, short_span, shown
from cubernetes.api.meta import text_field as text
from cubernetes.api.resource import Resource


def _last_seen(one: "Event", now: datetime) -> str:
    of_series = one.series.last_observed_time if one.series is not None else None
    at = of_series or one.deprecated_last_timestamp or one.event_time
    at = at or one.metadata.creation_timestamp
    return short_span((now - at).total_seconds()) if at else "<unknown>"


def _count(one: "Event", _: object) -> int:
    return one.series.count if one.series is not None else one.deprecated_count or 1


class Event(Object):
    """Something that happened to an object; the same object as the core Event of its name.

    regarding: what it happened to.
    reason: what happened, as one word for programs.
    note: what happened, as a sentence of at most 1024 characters.
    type: Warning where a person may want to do something about it.
    event_time: when it happened first, where its reporter says so.
    reporting_controller: the program that reports it.
    reporting_instance: the machine that the program runs on.
    action: what was tried.
    series: that it goes on: how often it has happened, and when last.
    related: another object that it is about.
    deprecated_source: the reporter, in the words of core Events.
    deprecated_first_timestamp: when it happened first.
    deprecated_last_timestamp: when it happened last.
    deprecated_count: how often it has happened.
    """

    resource = Resource("events.k8s.io", "v1", "Event", "events", ("ev",), is_created_by_put=True)
    columns = (
        Column("Last Seen", _last_seen),
        Column("Type", lambda one, _: one.type),
        Column("Reason", lambda one, _: one.reason),
        Column("Object", lambda one, _: f"{one.regarding.kind.lower()}/{one.regarding.name}"),
        Column("Subobject", lambda one, _: one.regarding.field_path, wide=True),
        Column("Source", lambda one, _: one.reporting_controller, wide=True),
        Column("Message", lambda one, _: one.note.strip()),
        Column("Count", _count, wide=True),
        Column("Name", lambda one, _: one.metadata.name, wide=True),
    )
    selectable = {
        "regarding.kind": text("regarding.kind"),
        "regarding.namespace": text("regarding.namespace"),
        "regarding.name": text("regarding.name"),
        "regarding.uid": text("regarding.uid"),
        "regarding.apiVersion": text("regarding.api_version"),
        "regarding.resourceVersion": text("regarding.resource_version"),
        "regarding.fieldPath": text("regarding.field_path"),
        "reason": text("reason"),
        "reportingController": text("reporting_controller"),
        "type": text("type"),
    }

    api_version: str = shown("events.k8s.io/v1")
    kind: str = shown("Event")
    event_time: Instant | None = shown(None)
    reporting_controller: str = ""
    reporting_instance: str = ""
    action: str = ""
    reason: str = ""
    regarding: ObjectReference = msgspec.field(default_factory=ObjectReference)
    note: str = ""
    related: ObjectReference | None = None
    series: EventSeries | None = None
    type: Literal["Normal", "Warning"] = shown("Normal")
    deprecated_source: EventSource = msgspec.field(default_factory=EventSource)
    deprecated_first_timestamp: Instant | None = None
    deprecated_last_timestamp: Instant | None = None
    deprecated_count: Count = 0
