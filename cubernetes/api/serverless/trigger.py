"""Trigger: what calls a function besides HTTP: records of a topic, or times of a schedule."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec

from cubernetes.api import names
from cubernetes.api.batch.schedule import NotASchedule, UnknownZone, schedule_of, zone_called
from cubernetes.api.condition import Condition, condition_of
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Instant, Model, Object, age_of, shown
from cubernetes.api.resource import Resource
from cubernetes.api.specrules.notbuilt import not_built_problems

MATCHES_MAX = 10
TEXT_CHARS_MAX = 1000
ACCEPTED = "Accepted"
# What the design has for triggers and nothing does yet: refused by name.
NOT_BUILT = ("workflow", "objects", "batch", "retry")

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}\Z")
TOPIC_RULE = "must be at most 249 letters, digits, '.', '_' and '-', neither '.' nor '..'"
# The platform's own topics are no sources.
OWN_PREFIX = "cube."

type Text = Annotated[str, msgspec.Meta(max_length=TEXT_CHARS_MAX)]


class KafkaSource(Model):
    """Records of a topic, of the broker that serverless uses.

    topic: its name; it may come later than the trigger.
    start: where a new trigger begins: with what comes from then on, or with all that there is.
    """

    topic: str
    start: Literal["latest", "earliest"] = shown("latest")


class CronSource(Model):
    """Times.

    schedule: minute, hour, day of month, month and day of week, as a CronJob's.
    time_zone: in which time zone the schedule is read, as `Europe/Berlin`; left out, in UTC.
    missed: what becomes of times that passed while nothing could be called: the last of them is
        made up for (`once`), or none (`skip`).
    """

    schedule: str
    time_zone: str | None = None
    missed: Literal["once", "skip"] = shown("once")


class Match(Model):
    """What a record must say, by a header or by its value.

    header: the name of a header of the record.
    field: a path in the record's value, which is JSON, such as `order.kind`.
    equals: what stands there: a text as it is, another value as JSON writes it.
    """

    header: Text = ""
    field: Text = ""
    equals: Text


class TriggerSpec(Model):
    """What calls, and what is called.

    function: the function, in the same namespace.
    kafka: each record of a topic is a call, whose body is the record's value.
    cron: each time of a schedule is a call.
    filter: records that do not match all of these are passed over.
    order: `key` calls with one record of a key at a time, in their order, and tries it again before
        the next; `none` calls with all side by side.
    paused: whether nothing is called for now; records wait, times pass.
    """

    function: str
    kafka: KafkaSource | None = None
    cron: CronSource | None = None
    filter: Annotated[tuple[Match, ...], msgspec.Meta(max_length=MATCHES_MAX)] = ()
    order: Literal["none", "key"] = shown("none")
    paused: bool = shown(False)


class TriggerStatus(Model):
    """What has been found.

    last_fired: the time of the schedule for which a call was accepted last.
    next_fire: the next time of the schedule.
    conditions: `Accepted` is False where nothing can be called, and says why.
    """

    last_fired: Instant | None = None
    next_fire: Instant | None = None
    conditions: tuple[Condition, ...] = ()


def _accepted(one: "Trigger", _: object) -> str:
    accepted = condition_of(one.status.conditions, ACCEPTED)
    return accepted.status if accepted is not None else "Unknown"


def _source(one: "Trigger") -> str:
    spec = one.spec
    if spec.kafka is not None:
        return f"kafka {spec.kafka.topic}"
    return f"cron {spec.cron.schedule}" if spec.cron is not None else "<none>"


class Trigger(Object):
    resource = Resource(
        "serverless.cubernetes.io", "v1", "Trigger", "triggers", subresources=("status",)
    )
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Source", lambda one, _: _source(one)),
        Column("Function", lambda one, _: one.spec.function),
        Column("Accepted", _accepted),
        Column("Paused", lambda one, _: str(one.spec.paused)),
        Column("Age", age_of),
    )

    api_version: str = shown("serverless.cubernetes.io/v1")
    kind: str = shown("Trigger")
    spec: TriggerSpec
    status: TriggerStatus = msgspec.field(default_factory=TriggerStatus)

    @classmethod
    def misread(cls, tree: Mapping[str, Any]) -> Iterator[Problem]:
        yield from not_built_problems(tree, NOT_BUILT)

    def problems(self) -> Iterator[Problem]:
        yield from self.metadata.problems(names.is_label, names.LABEL_RULE)
        spec = self.spec
        if not names.is_label(spec.function):
            yield Problem("spec.function", names.LABEL_RULE)
        if (spec.kafka is None) == (spec.cron is None):
            yield Problem("spec", "needs one of kafka and cron", "FieldValueRequired")
        if spec.kafka is not None:
            yield from _topic_problems(spec.kafka.topic)
        if spec.cron is not None:
            yield from _cron_problems(spec)
        for index, match in enumerate(spec.filter):
            if bool(match.header) == bool(match.field):
                yield Problem(f"spec.filter[{index}]", "needs one of header and field")

    def update_problems(self, old: "Trigger") -> Iterator[Problem]:
        was, now = old.spec.kafka, self.spec.kafka
        if (was.topic if was else "") != (now.topic if now else ""):
            yield Problem("spec.kafka.topic", "cannot be changed: make another trigger")


def _topic_problems(topic: str) -> Iterator[Problem]:
    if _TOPIC.match(topic) is None or topic in (".", ".."):
        yield Problem("spec.kafka.topic", TOPIC_RULE)
    elif topic.startswith(OWN_PREFIX):
        yield Problem("spec.kafka.topic", f"topics that begin with {OWN_PREFIX!r} are ours")


def _cron_problems(spec: TriggerSpec) -> Iterator[Problem]:
    cron = spec.cron
    if cron is None:
        return
    if spec.filter:
        yield Problem("spec.filter", "has no effect on cron", "FieldValueForbidden")
    if spec.order != "none":
        yield Problem("spec.order", "has no effect on cron", "FieldValueForbidden")
    try:
        zone = zone_called(cron.time_zone or "")
    except UnknownZone:
        yield Problem("spec.cron.timeZone", f"unknown time zone {(cron.time_zone or '')[:80]}")
        return
    try:
        schedule_of(cron.schedule, zone)
    except NotASchedule as error:
        yield Problem("spec.cron.schedule", str(error))
