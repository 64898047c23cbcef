"""Which records a trigger takes, and which times of a schedule are due."""

from datetime import UTC, datetime, timedelta

import pytest

from cubernetes.api.coding import codec
from cubernetes.api.errors import Invalid
from cubernetes.api.meta import ObjectMeta
from cubernetes.api.serverless.trigger import CronSource, KafkaSource, Match, Trigger, TriggerSpec
from serverless.bus.bus import PartitionRef, Record
from serverless.triggers.plan import call_of, cron_call, due_at, takes

UID, FUNCTION = "6f1c0c2e-6f0e-4b55-9a3e-0d6a1a0f2b11", "a5d4f5ce-6f0e-4b55-9a3e-0d6a1a0f2b12"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def a_record(value: bytes = b"", offset: int = 7, **headers: bytes) -> Record:
    return Record(PartitionRef("orders", 1), offset, b"k", value, tuple(headers.items()))


def a_trigger() -> Trigger:
    meta = ObjectMeta(name="t", namespace="default", uid=UID)
    spec = TriggerSpec(function="f", kafka=KafkaSource(topic="orders"))
    return Trigger(metadata=meta, spec=spec)


@pytest.mark.parametrize(
    ("match", "record", "verdict"),
    [
        (Match(header="kind", equals="a"), a_record(kind=b"a"), True),
        (Match(header="kind", equals="a"), a_record(kind=b"b"), False),
        (Match(header="kind", equals=""), a_record(), False),
        (Match(field="a.b", equals="x"), a_record(b'{"a": {"b": "x"}}'), True),
        (Match(field="a.b", equals="1"), a_record(b'{"a": {"b": 1}}'), True),
        (Match(field="a.b", equals="true"), a_record(b'{"a": {"b": true}}'), True),
        (Match(field="a.b", equals="null"), a_record(b'{"a": {}}'), False),
        (Match(field="a.b", equals="x"), a_record(b'{"a": "x"}'), False),
        (Match(field="a", equals="x"), a_record(b"[1"), False),
        (Match(field="a", equals="x"), a_record(b"\xff"), False),
    ],
)
def test_a_record_matches_by_header_or_field(
    match: Match, record: Record, *, verdict: bool
) -> None:
    assert takes(record, [match]) is verdict
    assert takes(record, [])


def test_all_matches_must_hold() -> None:
    both = [Match(header="kind", equals="a"), Match(field="b", equals="c")]
    assert takes(a_record(b'{"b": "c"}', kind=b"a"), both)
    assert not takes(a_record(b'{"b": "d"}', kind=b"a"), both)
    assert not takes(a_record(b'{"b": "c"}', kind=b"b"), both)


def test_a_record_and_a_time_are_one_call_each_however_often_they_are_met() -> None:
    one = call_of(a_record(), a_trigger(), FUNCTION)
    assert one == call_of(a_record(), a_trigger(), FUNCTION)
    assert one.id != call_of(a_record(offset=8), a_trigger(), FUNCTION).id
    assert (one.name, one.uid, one.source) == ("f", FUNCTION, "kafka")
    assert one.origin == {
        "trigger": "t", "topic": "orders", "partition": "1", "offset": "7", "key": "k",
    }  # fmt: skip
    timed = cron_call(a_trigger(), FUNCTION, NOON)
    assert timed == cron_call(a_trigger(), FUNCTION, NOON)
    assert timed.id != cron_call(a_trigger(), FUNCTION, NOON + timedelta(hours=1)).id


def test_of_times_that_were_missed_the_last_is_due_or_none() -> None:
    once = CronSource(schedule="0 * * * *")
    skip = CronSource(schedule="0 * * * *", missed="skip")
    now, since = NOON + timedelta(minutes=30), NOON - timedelta(hours=5)
    assert due_at(once, since, now) == NOON
    assert due_at(skip, since, now) is None
    assert due_at(skip, since, NOON + timedelta(seconds=20)) == NOON
    assert due_at(once, NOON, now) is None


def test_a_schedule_is_read_in_its_time_zone() -> None:
    berlin = CronSource(schedule="0 13 * * *", time_zone="Europe/Berlin")
    assert due_at(berlin, NOON - timedelta(hours=1), NOON) == NOON


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"function": "f", "kafka": {"topic": "t"}}, []),
        ({"function": "f", "cron": {"schedule": "* * * * *"}}, []),
        ({"function": "F", "kafka": {"topic": "t"}}, ["spec.function"]),
        ({"function": "f"}, ["spec"]),
        (
            {"function": "f", "kafka": {"topic": "t"}, "cron": {"schedule": "* * * * *"}},
            ["spec"],
        ),
        ({"function": "f", "kafka": {"topic": "a b"}}, ["spec.kafka.topic"]),
        ({"function": "f", "kafka": {"topic": "cube.results"}}, ["spec.kafka.topic"]),
        ({"function": "f", "cron": {"schedule": "x"}}, ["spec.cron.schedule"]),
        (
            {"function": "f", "cron": {"schedule": "* * * * *", "timeZone": "Moon"}},
            ["spec.cron.timeZone"],
        ),
        (
            {"function": "f", "cron": {"schedule": "* * * * *"}, "order": "key"},
            ["spec.order"],
        ),
        (
            {"function": "f", "kafka": {"topic": "t"}, "filter": [{"equals": "x"}]},
            ["spec.filter[0]"],
        ),
        ({"function": "f", "kafka": {"topic": "t"}, "batch": {}}, ["spec.batch"]),
        ({"function": "f", "kafka": {"topic": "t"}, "objects": {}}, ["spec.objects"]),
    ],
)
def test_a_trigger_is_refused_by_the_name_of_its_field(
    spec: dict[str, object], fields: list[str]
) -> None:
    tree = {
        "apiVersion": "serverless.cubernetes.io/v1",
        "kind": "Trigger",
        "metadata": {"name": "t", "namespace": "default"},
        "spec": spec,
    }
    try:
        found = [one.field for one in codec.from_tree(Trigger, tree).model.problems()]
    except Invalid as error:
        found = [one.field for one in error.problems]
    assert found == fields


def test_a_trigger_keeps_its_topic() -> None:
    old = a_trigger()
    meta, spec = old.metadata, TriggerSpec(function="f", kafka=KafkaSource(topic="other"))
    changed = Trigger(metadata=meta, spec=spec)
    assert [one.field for one in changed.update_problems(old)] == ["spec.kafka.topic"]
