"""Event: something that happened to an object, for people to read. In code it is a *record*."""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal, Self

import msgspec

from cubernetes.api.errors import Problem
from cubernetes.api.meta import (
    Column,
    Count,
    Instant,
    Model,
    Object,
    Ref,
    replaced,
    short_span,
    shown,
)
from cubernetes.api.meta import text_field as text
from cubernetes.api.microtime import with_micros
from cubernetes.api.resource import Resource

MESSAGE_MAX = 1024  # Kubernetes' bound on a note


class ObjectReference(Model):
    """Which object an event, an endpoint or a binding is about.

    api_version: the group and version of the object.
    kind: the kind of the object.
    namespace: the namespace of the object; empty for kinds without namespaces.
    name: the name of the object.
    uid: which incarnation of that name is meant.
    resource_version: which state of the object is meant.
    field_path: which part of the object is meant: `spec.containers{main}`.
    """

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


class EventSeries(Model):
    """An event that goes on, as newer clients tell it.

    count: how often it has happened.
    last_observed_time: when it happened last.
    """

    count: Count = 0
    last_observed_time: Instant | None = None


def with_micro_series(series: EventSeries | None) -> EventSeries | None:
    """Return a series whose time is written with its six digits."""
    if series is None:
        return None
    return replaced(series, last_observed_time=with_micros(series.last_observed_time))


class EventSource(Model):
    """The reporter of an event.

    component: the program: `kubelet`, `scheduler`.
    host: the machine that it runs on.
    """

    component: str = ""
    host: str = ""


def _last_seen(one: "Event", now: datetime) -> str:
    if one.series is not None:
        return _ago(one.series.last_observed_time, now)
    return _ago(one.last_timestamp, now) if one.last_timestamp else _first_seen(one, now)


def _first_seen(one: "Event", now: datetime) -> str:
    return _ago(one.first_timestamp or one.event_time or one.metadata.creation_timestamp, now)


def _ago(at: datetime | None, now: datetime) -> str:
    return short_span((now - at).total_seconds()) if at else "<unknown>"


def _object(one: "Event", _: object) -> str:
    return f"{one.involved_object.kind.lower()}/{one.involved_object.name}"


def _source(one: "Event", _: object) -> str:
    host = one.source.host or one.reporting_instance
    return (one.source.component or one.reporting_component) + (f", {host}" if host else "")


class Event(Object):
    """Something that happened to an object, for people to read; it is kept for an hour.

    involved_object: what it happened to.
    reason: what happened, as one word for programs.
    message: what happened, as a sentence of at most 1024 characters.
    type: Warning where a person may want to do something about it.
    source: the reporter.
    first_timestamp: when it happened first.
    last_timestamp: when it happened last.
    count: how often it has happened.
    reporting_component: the component of `source`, for newer clients.
    reporting_instance: the host of `source`, for newer clients.
    event_time: when it happened first, for newer clients.
    series: that it goes on, for newer clients.
    action: kept for clients that send it.
    related: kept for clients that send it: another object that it is about.
    """

    resource = Resource("", "v1", "Event", "events", ("ev",), is_created_by_put=True)
    columns = (
        Column("Last Seen", _last_seen),
        Column("Type", lambda one, _: one.type),
        Column("Reason", lambda one, _: one.reason),
        Column("Object", _object),
        Column("Subobject", lambda one, _: one.involved_object.field_path, wide=True),
        Column("Source", _source, wide=True),
        Column("Message", lambda one, _: one.message.strip()),
        Column("First Seen", _first_seen, wide=True),
        Column("Count", lambda one, _: one.seen_count, wide=True),
        Column("Name", lambda one, _: one.metadata.name, wide=True),
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
    series: EventSeries | None = None
    action: str = ""
    related: ObjectReference | None = None
    reporting_component: str = ""
    reporting_instance: str = ""

    @property
    def parent_uid(self) -> str:
        return self.involved_object.uid

    @property
    def last_seen_at(self) -> datetime | None:
        """When it was seen last, in whichever words that is told."""
        of_series = self.series.last_observed_time if self.series is not None else None
        return of_series or self.last_timestamp or self.event_time

    @property
    def seen_count(self) -> int:
        """How often it was seen, in whichever words that is told."""
        return self.series.count if self.series is not None else self.count or 1

    def defaulted(self) -> Self:
        series = with_micro_series(self.series)
        made = Object.defaulted(self)
        return replaced(made, event_time=with_micros(self.event_time), series=series)

    @property
    def components(self) -> frozenset[str]:
        """Return which programs it names as its reporter, in the older and the newer words."""
        return frozenset({self.source.component, self.reporting_component} - {""})

    @property
    def hosts(self) -> frozenset[str]:
        """Return which machines it names as its reporter, in the older and the newer words."""
        return frozenset({self.source.host, self.reporting_instance} - {""})

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        about = self.involved_object.namespace
        if about and about != self.metadata.namespace:
            yield Problem("involvedObject.namespace", "must be the namespace of the event")
        if len(self.message) > MESSAGE_MAX:
            yield Problem("message", f"has {len(self.message)} characters, at most {MESSAGE_MAX}")
