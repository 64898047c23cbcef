"""Events in two wordings: core Events, as they are stored, and those of events.k8s.io. Pure.

What is legal of the newer words is as Kubernetes has it (ValidateEventCreate, ValidateEventUpdate
of pkg/apis/core/validation/events.go): the deprecated fields stay empty, and only a series changes.
"""

from collections.abc import Iterator

from apiserver.state.view import Wording
from cubernetes.api import names
from cubernetes.api.core.event import MESSAGE_MAX, Event, EventSource, with_micro_series
from cubernetes.api.errors import Problem
from cubernetes.api.events.event import Event as NewerEvent
from cubernetes.api.meta import replaced
from cubernetes.api.microtime import with_micros

WORD_CHARS_MAX = 128  # of action, reason and reportingInstance
SERIES_COUNT_MIN = 2
DEFAULT_NAMESPACES = ("default", "kube-system")
# As Python and as the wire call them.
REQUIRED = (
    ("reporting_controller", "reportingController"),
    ("reporting_instance", "reportingInstance"),
    ("action", "action"),
    ("reason", "reason"),
)
FIXED = (
    *REQUIRED,
    ("regarding", "regarding"),
    ("related", "related"),
    ("note", "note"),
    ("type", "type"),
    ("event_time", "eventTime"),
    ("deprecated_source", "deprecatedSource"),
    ("deprecated_first_timestamp", "deprecatedFirstTimestamp"),
    ("deprecated_last_timestamp", "deprecatedLastTimestamp"),
    ("deprecated_count", "deprecatedCount"),
)


def newer(one: Event) -> NewerEvent:
    """Return a core Event in the words of events.k8s.io/v1.

    Clients require eventTime; where the reporter says none, it is when the event was first seen.
    """
    at = one.event_time or one.first_timestamp or one.metadata.creation_timestamp
    return NewerEvent(
        metadata=one.metadata,
        event_time=with_micros(at),
        series=with_micro_series(one.series),
        reporting_controller=one.reporting_component or one.source.component,
        reporting_instance=one.reporting_instance or one.source.host,
        action=one.action,
        reason=one.reason,
        regarding=one.involved_object,
        related=one.related,
        note=one.message,
        type=one.type,
        deprecated_source=one.source,
        deprecated_first_timestamp=one.first_timestamp,
        deprecated_last_timestamp=one.last_timestamp,
        deprecated_count=one.count,
    )


def older(one: NewerEvent, before: Event | None) -> Event:
    """Return an Event in the words of the core; before is what is stored, None where nothing is.

    What of a stored Event was filled in to be shown is not stored by an update.
    """
    if before is not None:
        return replaced(before, metadata=one.metadata, series=one.series)
    return Event(
        metadata=one.metadata,
        event_time=one.event_time,
        series=one.series,
        reporting_component=one.reporting_controller,
        reporting_instance=one.reporting_instance,
        action=one.action,
        reason=one.reason,
        involved_object=one.regarding,
        related=one.related,
        message=one.note,
        type=one.type,
        count=0,
    )


def creation_problems(one: NewerEvent) -> Iterator[Problem]:
    """Yield what is wrong with a new Event in the newer words."""
    if one.event_time is None:
        yield Problem("eventTime", "", "FieldValueRequired")
    for field, wire_name in REQUIRED:
        text = getattr(one, field)
        if not text:
            yield Problem(wire_name, "", "FieldValueRequired")
        elif field != "reporting_controller" and len(text) > WORD_CHARS_MAX:
            yield Problem(wire_name, f"can have at most {WORD_CHARS_MAX} characters")
    controller = one.reporting_controller
    if controller and not names.is_label_key(controller):
        yield Problem("reportingController", "must be a qualified name such as example.com/name")
    if len(one.note) > MESSAGE_MAX:
        yield Problem("note", f"can have at most {MESSAGE_MAX} characters")
    # What it is about has no namespace: it is told where cluster-wide objects are told of.
    about, namespace = one.regarding.namespace, one.metadata.namespace
    if not about and namespace not in DEFAULT_NAMESPACES:
        yield Problem("regarding.namespace", "does not match event.namespace")
    yield from _unset_problems(one)
    yield from _series_problems(one)


def _unset_problems(one: NewerEvent) -> Iterator[Problem]:
    for is_set, wire_name in (
        (one.deprecated_first_timestamp is not None, "deprecatedFirstTimestamp"),
        (one.deprecated_last_timestamp is not None, "deprecatedLastTimestamp"),
        (one.deprecated_count != 0, "deprecatedCount"),
        (one.deprecated_source != EventSource(), "deprecatedSource"),
    ):
        if is_set:
            yield Problem(wire_name, "needs to be unset")


def _series_problems(one: NewerEvent) -> Iterator[Problem]:
    if one.series is None:
        return
    if one.series.count < SERIES_COUNT_MIN:
        yield Problem("series.count", f"should be at least {SERIES_COUNT_MIN}")
    if one.series.last_observed_time is None:
        yield Problem("series.lastObservedTime", "", "FieldValueRequired")


def update_problems(before: NewerEvent, one: NewerEvent) -> Iterator[Problem]:
    """Yield what an update may not do: an Event stays what it was, only its series goes on."""
    for field, wire_name in FIXED:
        if getattr(before, field) != getattr(one, field):
            yield Problem(wire_name, "field is immutable")
    if before.series != one.series:
        yield from _series_problems(one)


EVENT_WORDING = Wording(Event, newer, older, creation_problems, update_problems)
