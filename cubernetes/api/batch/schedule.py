"""Schedules of five fields, as robfig/cron reads them, and the instants that they mean.

An instant is meant where the time of day in the schedule's time zone matches. So a time of day that
daylight saving skips does not come that day, and one that it repeats comes twice, as in Kubernetes.

Time zones are those of Python's zoneinfo: the system's (Debian's package tzdata).
"""

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
YEARS_MAX = 5  # a schedule without an instant in so many years has none, as in robfig/cron
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
CHARS_MAX = 1000
ALIASES: Mapping[str, str] = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_NUMBER = re.compile(r"[0-9]{1,4}\Z", re.ASCII)
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}\Z", re.ASCII)


class NotASchedule(ValueError):
    """The text is no schedule: the error says what is wrong with it."""


class UnknownZone(ValueError):
    """There is no time zone of that name here."""


class Bounds(NamedTuple):
    """What a field may be: its name, its limits, and words for its numbers."""

    name: str
    first: int
    last: int
    words: Mapping[str, int]


FIELDS = (
    Bounds("minute", 0, 59, {}),
    Bounds("hour", 0, 23, {}),
    Bounds("day of month", 1, 31, {}),
    Bounds("month", 1, 12, {word: number for number, word in enumerate(MONTHS, 1)}),
    Bounds("day of week", 0, 6, {word: number for number, word in enumerate(DAYS)}),
)


class Schedule(NamedTuple):
    """Which minutes are meant: each field as its numbers, in rising order.

    is_any_day, is_any_weekday: where both are limited, either is enough.
    """

    minutes: Sequence[int]
    hours: Sequence[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    is_any_day: bool
    is_any_weekday: bool
    zone: ZoneInfo

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first instant after a moment; None where there is none in five years."""
        found = moment.astimezone(UTC).replace(second=0, microsecond=0) + MINUTE
        ends_at = found + timedelta(days=366 * YEARS_MAX)
        while found < ends_at:
            local = found.astimezone(self.zone)
            wait = self._wait(local)
            if not wait:
                return found
            found = self._stepped(found, local, wait)
        return None

    def last_until(self, moment: datetime, since: datetime) -> datetime | None:
        """Return the last instant up to a moment, and after `since`."""
        for span in (HOUR, DAY, 40 * DAY, 366 * YEARS_MAX * DAY):
            begin = max(since, moment - span)
            last, found = None, self.next_after(begin)
            while found is not None and found <= moment:
                last, found = found, self.next_after(found)
            if last is not None or begin == since:
                return last
        return None

    def _wait(self, local: datetime) -> timedelta:
        """Return how long by the clock on the wall it takes at least; nothing: it is now."""
        if not self._is_day(local):
            return DAY - timedelta(hours=local.hour, minutes=local.minute)
        if local.hour not in self.hours:
            return HOUR - timedelta(minutes=local.minute)
        place = bisect_left(self.minutes, local.minute)
        if place == len(self.minutes):
            return HOUR - timedelta(minutes=local.minute)
        return timedelta(minutes=self.minutes[place] - local.minute)

    def _stepped(self, moment: datetime, local: datetime, wait: timedelta) -> datetime:
        """Return the moment after a wait; in smaller steps where the clocks change meanwhile."""
        for step in (wait, min(wait, HOUR - timedelta(minutes=local.minute)), MINUTE):
            later = moment + step
            if step == MINUTE or later.astimezone(self.zone).utcoffset() == local.utcoffset():
                return later
        return moment + MINUTE

    def _is_day(self, local: datetime) -> bool:
        if local.month not in self.months:
            return False
        is_day = local.day in self.days
        is_weekday = local.isoweekday() % 7 in self.weekdays
        if self.is_any_day or self.is_any_weekday:
            return is_day and is_weekday
        return is_day or is_weekday


def zone_called(name: str) -> ZoneInfo:
    """Return a time zone; the empty name is UTC, in which the controllers live.

    Raises: UnknownZone.
    """
    if name == "":
        return ZoneInfo("UTC")
    if not _ZONE.fullmatch(name) or len(name) > CHARS_MAX:
        raise UnknownZone(name)
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise UnknownZone(name) from error


def schedule_of(text: str, zone: ZoneInfo) -> Schedule:
    """Read a schedule.

    Raises: NotASchedule.
    """
    if len(text) > CHARS_MAX:
        raise NotASchedule(f"has {len(text)} characters, at most {CHARS_MAX}")
    if text.startswith("@"):
        return schedule_of(_alias(text), zone)
    parts = text.split()
    if len(parts) != len(FIELDS):
        raise NotASchedule(f"expected exactly 5 fields, found {len(parts)}: {text[:80]}")
    sets = [_numbers(part, bounds) for part, bounds in zip(parts, FIELDS, strict=True)]
    minutes, hours, days, months, weekdays = (numbers for numbers, _ in sets)
    return Schedule(
        minutes=sorted(minutes),
        hours=sorted(hours),
        days=frozenset(days),
        months=frozenset(months),
        weekdays=frozenset(weekdays),
        is_any_day=sets[2][1],
        is_any_weekday=sets[4][1],
        zone=zone,
    )


def _alias(text: str) -> str:
    if text.lower().startswith("@every"):
        raise NotASchedule("@every is not accepted: write the minutes, such as */5 * * * *")
    if text not in ALIASES:
        raise NotASchedule(f"unrecognized descriptor: {text[:80]}")
    return ALIASES[text]


def _numbers(text: str, bounds: Bounds) -> tuple[set[int], bool]:
    """Return the numbers of a field, and whether it is a star: no limit at all."""
    numbers: set[int] = set()
    is_star = False
    for part in text.split(","):
        found, is_whole = _range(part, bounds)
        numbers.update(found)
        is_star |= is_whole
    return numbers, is_star


def _range(text: str, bounds: Bounds) -> tuple[range, bool]:
    span, slash, step_text = text.partition("/")
    if "/" in step_text:
        raise NotASchedule(f"too many slashes: {text[:80]}")
    first_text, dash, last_text = span.partition("-")
    if "-" in last_text:
        raise NotASchedule(f"too many hyphens: {text[:80]}")
    is_star = first_text in ("*", "?")
    if is_star and dash:
        raise NotASchedule(f"a star has no end: {text[:80]}")
    first = bounds.first if is_star else _number(first_text, bounds.words, text)
    last = bounds.last if is_star else first
    if dash:
        last = _number(last_text, bounds.words, text)
    elif slash:
        # `N/step` is from N on.
        last = bounds.last
    step = _number(step_text, {}, text) if slash else 1
    if step == 0:
        raise NotASchedule(f"step of range should be a positive number: {text[:80]}")
    if first < bounds.first or last > bounds.last or first > last:
        limits = f"{bounds.first} to {bounds.last}"
        raise NotASchedule(f"{bounds.name} must be of {limits}, rising: {text[:80]}")
    return range(first, last + 1, step), is_star and step == 1


def _number(text: str, words: Mapping[str, int], whole: str) -> int:
    if text.lower() in words:
        return words[text.lower()]
    if not _NUMBER.fullmatch(text):
        raise NotASchedule(f"failed to parse number: {whole[:80]}")
    return int(text)
