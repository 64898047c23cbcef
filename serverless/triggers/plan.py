"""Which records a trigger takes, and which time of a schedule is due. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from cubernetes.api.batch.schedule import Schedule, schedule_of, zone_called
from cubernetes.api.serverless.trigger import CronSource, Match, Trigger
from serverless.bus.bus import Record
from serverless.durable.records import Call, id_for

# A time that is later than this was missed.
LATE = timedelta(seconds=60)
ABSENT = object()


def takes(record: Record, filters: Sequence[Match]) -> bool:
    """Whether a record matches all; a value that is no JSON has no fields."""
    if not filters:
        return True
    headers = dict(record.headers)
    tree: Any = ABSENT
    if any(one.field for one in filters):
        try:
            tree = msgspec.json.decode(record.value)
        except msgspec.DecodeError:
            return False
    return all(
        headers.get(one.header) == one.equals.encode()
        if one.header
        else _text(_found(tree, one.field.split("."))) == one.equals
        for one in filters
    )


def _found(tree: Any, path: Iterable[str]) -> Any:
    for name in path:
        if not isinstance(tree, dict) or name not in tree:
            return ABSENT
        tree = tree[name]
    return tree


def _text(value: Any) -> str | None:
    if value is ABSENT:
        return None
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def call_of(record: Record, trigger: Trigger, uid: str) -> Call:
    """Return the call that a record is; uid: the function's. The same record is the same call."""
    meta, place = trigger.metadata, record.place
    at = (place.topic, str(place.partition), str(record.offset))
    headers = {name.lower(): value.decode(errors="replace") for name, value in record.headers}
    return Call(
        id=id_for(meta.uid, "kafka", *at),
        namespace=meta.namespace,
        name=trigger.spec.function,
        uid=uid,
        headers=headers,
        source="kafka",
        origin={
            "trigger": meta.name,
            "topic": place.topic,
            "partition": at[1],
            "offset": at[2],
            "key": record.key.decode(errors="replace"),
        },
    )


def cron_call(trigger: Trigger, uid: str, due: datetime) -> Call:
    """Return the call of a time that is due. The same time is the same call."""
    meta = trigger.metadata
    return Call(
        id=id_for(meta.uid, "cron", due.isoformat()),
        namespace=meta.namespace,
        name=trigger.spec.function,
        uid=uid,
        source="cron",
        origin={"trigger": meta.name, "due": due.isoformat()},
    )


def schedule_in(cron: CronSource) -> Schedule:
    return schedule_of(cron.schedule, zone_called(cron.time_zone or ""))


def due_at(cron: CronSource, since: datetime, now: datetime) -> datetime | None:
    """Return the time that is to be called for now, after `since`; None: none is.

    Of several that have passed it is the last: what was missed is made up for once.
    """
    due = schedule_in(cron).last_until(now, since)
    if due is not None and cron.missed == "skip" and now - due > LATE:
        return None
    return due
