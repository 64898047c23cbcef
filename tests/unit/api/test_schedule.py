"""Schedules: which instants they mean, in every time zone, and which texts are none."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubernetes.api.batch.schedule import (
    ALIASES,
    NotASchedule,
    UnknownZone,
    schedule_of,
    zone_called,
)

NEW_YORK, BERLIN, LORD_HOWE = "America/New_York", "Europe/Berlin", "Australia/Lord_Howe"


def next_after(text: str, moment: str, zone: str = "UTC") -> str:
    """Return the next instant as that zone's clocks show it, with the offset from UTC."""
    found = schedule_of(text, zone_called(zone)).next_after(datetime.fromisoformat(moment))
    return found.astimezone(zone_called(zone)).isoformat(timespec="minutes") if found else ""


# What robfig/cron's own tests say of New York in 2012, and the same of other clocks.
@pytest.mark.parametrize(
    ("zone", "text", "moment", "wanted"),
    [
        # Clocks go forward: 2:00 to 2:59 does not come.
        (NEW_YORK, "30 2 11 3 *", "2012-03-11T00:00-05:00", "2013-03-11T02:30-04:00"),
        (NEW_YORK, "0 * * * *", "2012-03-11T00:00-05:00", "2012-03-11T01:00-05:00"),
        (NEW_YORK, "0 * * * *", "2012-03-11T01:00-05:00", "2012-03-11T03:00-04:00"),
        (NEW_YORK, "0 * * * *", "2012-03-11T03:00-04:00", "2012-03-11T04:00-04:00"),
        (NEW_YORK, "0 1 * * *", "2012-03-11T00:00-05:00", "2012-03-11T01:00-05:00"),
        (NEW_YORK, "0 1 * * *", "2012-03-11T01:00-05:00", "2012-03-12T01:00-04:00"),
        (NEW_YORK, "0 2 * * *", "2012-03-11T00:00-05:00", "2012-03-12T02:00-04:00"),
        # Clocks go back: 1:00 to 1:59 comes twice.
        (NEW_YORK, "30 2 4 11 *", "2012-11-04T00:00-04:00", "2012-11-04T02:30-05:00"),
        (NEW_YORK, "30 1 4 11 *", "2012-11-04T01:45-04:00", "2012-11-04T01:30-05:00"),
        (NEW_YORK, "0 * * * *", "2012-11-04T01:00-04:00", "2012-11-04T01:00-05:00"),
        (NEW_YORK, "0 * * * *", "2012-11-04T01:00-05:00", "2012-11-04T02:00-05:00"),
        (NEW_YORK, "0 1 * * *", "2012-11-04T00:00-04:00", "2012-11-04T01:00-04:00"),
        (NEW_YORK, "0 1 * * *", "2012-11-04T01:00-04:00", "2012-11-04T01:00-05:00"),
        (NEW_YORK, "0 1 * * *", "2012-11-04T01:00-05:00", "2012-11-05T01:00-05:00"),
        (NEW_YORK, "0 2 * * *", "2012-11-04T00:00-04:00", "2012-11-04T02:00-05:00"),
        (BERLIN, "30 2 * * *", "2025-03-29T03:00+01:00", "2025-03-31T02:30+02:00"),
        (BERLIN, "30 2 * * *", "2025-10-26T02:30+02:00", "2025-10-26T02:30+01:00"),
        (BERLIN, "0 0 * * *", "2025-03-30T00:00+01:00", "2025-03-31T00:00+02:00"),
        # Half an hour forward at 2:00, and back.
        (LORD_HOWE, "15 2 * * *", "2025-10-04T03:00+10:30", "2025-10-06T02:15+11:00"),
        (LORD_HOWE, "45 1 * * *", "2025-04-06T01:45+11:00", "2025-04-06T01:45+10:30"),
    ],
)
def test_a_time_that_clocks_skip_does_not_come_and_one_that_they_repeat_comes_twice(
    zone: str, text: str, moment: str, wanted: str
) -> None:
    assert next_after(text, moment, zone) == wanted


@pytest.mark.parametrize(
    ("text", "moment", "wanted"),
    [
        ("* * * * *", "2025-01-01T12:00:30+00:00", "2025-01-01T12:01+00:00"),
        ("*/15 * * * *", "2025-01-01T12:45+00:00", "2025-01-01T13:00+00:00"),
        ("5/20 * * * ?", "2025-01-01T12:00+00:00", "2025-01-01T12:05+00:00"),
        ("0 9-17/4 * * mon-fri", "2025-01-03T17:00+00:00", "2025-01-06T09:00+00:00"),
        ("0 0 1 JAN *", "2025-01-01T00:00+00:00", "2026-01-01T00:00+00:00"),
        ("0 0 29 2 *", "2025-01-01T00:00+00:00", "2028-02-29T00:00+00:00"),
        ("0 0 30 2 *", "2025-01-01T00:00+00:00", ""),
        # Where both days are limited, either is enough; a step limits, a star does not.
        ("0 0 13 * fri", "2025-01-01T00:00+00:00", "2025-01-03T00:00+00:00"),
        ("0 0 */10 * sun", "2025-01-01T00:00+00:00", "2025-01-05T00:00+00:00"),
        ("0 0 */1 * sun", "2025-01-01T00:00+00:00", "2025-01-05T00:00+00:00"),
        ("0 0 13 * *", "2025-01-01T00:00+00:00", "2025-01-13T00:00+00:00"),
        ("@hourly", "2025-01-01T12:00+00:00", "2025-01-01T13:00+00:00"),
        ("@daily", "2025-01-01T12:00+00:00", "2025-01-02T00:00+00:00"),
        ("@midnight", "2025-01-01T12:00+00:00", "2025-01-02T00:00+00:00"),
        ("@weekly", "2025-01-01T12:00+00:00", "2025-01-05T00:00+00:00"),
        ("@monthly", "2025-01-01T12:00+00:00", "2025-02-01T00:00+00:00"),
        ("@yearly", "2025-01-01T12:00+00:00", "2026-01-01T00:00+00:00"),
        ("@annually", "2025-01-01T12:00+00:00", "2026-01-01T00:00+00:00"),
    ],
)
def test_what_a_schedule_means(text: str, moment: str, wanted: str) -> None:
    assert next_after(text, moment) == wanted


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("* * * *", "expected exactly 5 fields, found 4"),
        ("* * * * * *", "expected exactly 5 fields, found 6"),
        ("60 * * * *", "minute must be of 0 to 59"),
        ("* 24 * * *", "hour must be of 0 to 23"),
        ("* * 0 * *", "day of month must be of 1 to 31"),
        ("* * * 13 *", "month must be of 1 to 12"),
        ("* * * * 7", "day of week must be of 0 to 6"),
        ("5-1 * * * *", "rising"),
        ("*/0 * * * *", "should be a positive number"),
        ("1/2/3 * * * *", "too many slashes"),
        ("1-2-3 * * * *", "too many hyphens"),
        ("a * * * *", "failed to parse number"),
        ("1, * * * *", "failed to parse number"),
        ("*-5 * * * *", "a star has no end"),
        ("@often", "unrecognized descriptor"),
        ("@every 5m", "@every is not accepted"),
    ],
)
def test_a_text_that_is_no_schedule_is_refused_with_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(NotASchedule, match=why):
        schedule_of(text, zone_called(""))


@pytest.mark.parametrize("name", ["Mars/Base", "../etc/passwd", "/etc/localtime", "Europe", "a b"])
def test_a_time_zone_that_there_is_not_is_refused(name: str) -> None:
    with pytest.raises(UnknownZone):
        zone_called(name)


MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1))  # noqa: DTZ001  given UTC below
TEXTS = st.sampled_from([
    *ALIASES.values(), "* * * * *", "*/7 3-9 * * *", "1,31 * * * 1-5", "0 12 5,15 * *",
    "10-20/3 22 * 6-8 *", "59 23 31 12 *", "0 0 29 2 *", "30 6 * * sat,sun", "15 4 1 1 *",
])  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(text=TEXTS, moment=MOMENTS)
def test_in_utc_it_means_what_a_reference_library_says(text: str, moment: datetime) -> None:
    cronsim = pytest.importorskip("cronsim", reason="the reference library is not installed")
    begin = moment.replace(tzinfo=UTC)
    reference = cronsim.CronSim(text, begin)
    found = begin
    for _ in range(3):
        upcoming = schedule_of(text, zone_called("")).next_after(found)
        assert upcoming == next(reference)
        assert upcoming is not None
        found = upcoming


@settings(max_examples=60, deadline=None)
@given(text=TEXTS, moment=MOMENTS, zone=st.sampled_from([NEW_YORK, BERLIN, LORD_HOWE, "UTC"]))
def test_the_last_instant_until_a_moment_is_the_one_before_the_next(
    text: str, moment: datetime, zone: str
) -> None:
    now = moment.replace(tzinfo=UTC)
    schedule = schedule_of(text, zone_called(zone))
    last = schedule.last_until(now, now - timedelta(days=1000))

    if last is None:
        upcoming = schedule.next_after(now - timedelta(days=1000))
        assert upcoming is None or upcoming > now
        return
    assert last <= now
    following = schedule.next_after(last)
    assert following is None or following > now
    assert schedule.last_until(last - timedelta(seconds=1), last - timedelta(seconds=2)) is None
