"""Readings: a value or a named absence, within the deadline, from few questions."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from cubernetes.host.clock import Clock
from cubernetes.host.env import Env
from cubernetes.reconcile.arrivals import follow
from cubernetes.reconcile.asking import Asker, AskingLimits
from cubernetes.reconcile.plan import StillView
from cubernetes.reconcile.readings import (
    NOT_ASKED,
    ROWS_MAX,
    Absent,
    Metric,
    Reading,
    Sample,
    SourceTrouble,
    Table,
    Value,
    Values,
    Why,
    reading_of,
)
from tests.given import NOW
from tests.simulation.clock import sim_env
from tests.simulation.loop import run_simulated
from tests.sources import LIES, Lie, LyingSource

LOAD = Metric("load", fresh_s=60)


def why(reading: Reading) -> Why | None:
    return reading.why if isinstance(reading, Absent) else None


@pytest.mark.parametrize(
    ("numbers", "ages_s", "expected"),
    [
        ([4.5], [0], None),
        ([0.0], [60], None),
        ([4.5], [60.1], Why.STALE),
        ([4.5], [-5], None),
        ([4.5], [-5.1], Why.WRONG),
        ([], [], Why.NOTHING),
        ([1, 1], [0, 0], Why.WRONG),
        ([float("nan")], [0], Why.WRONG),
        ([float("inf")], [0], Why.WRONG),
    ],
)
def test_what_a_source_says_is_a_value_only_where_it_is_one_finite_fresh_number(
    numbers: Sequence[float], ages_s: Sequence[float], expected: Why | None
) -> None:
    samples = [
        Sample(number, NOW - timedelta(seconds=age_s))
        for number, age_s in zip(numbers, ages_s, strict=True)
    ]
    reading = reading_of(LOAD, samples, NOW)
    assert why(reading) == expected
    if isinstance(reading, Value):
        assert (reading.number, reading.at) == (samples[0].number, samples[0].at)


def test_a_view_tells_of_a_question_that_was_not_asked() -> None:
    value = Value(3, NOW)
    view = StillView(readings={LOAD: value})
    assert view.reading(LOAD) == value
    assert view.reading(Metric("other")) == NOT_ASKED


ROWS = Table("load", ("pod", "container"), fresh_s=60)


def row(pod: str, number: float, age_s: float = 0) -> Sample:
    return Sample(number, NOW - timedelta(seconds=age_s), {"pod": pod, "container": "main"})


def test_a_table_has_the_rows_that_are_one_finite_number_each() -> None:
    rows = [row("a", 1), row("b", float("nan")), row("c", 2), row("c", 3), row("d", 0)]
    assert reading_of(ROWS, rows, NOW) == Values({("a", "main"): 1, ("d", "main"): 0}, NOW)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], Why.NOTHING),
        ([row("a", 1), row("b", 1, age_s=61)], Why.STALE),
        ([row("a", 1, age_s=-6)], Why.WRONG),
        ([row("a", 1)] * (ROWS_MAX + 1), Why.WRONG),
    ],
    ids=["none", "stale", "future", "too many"],
)
def test_a_table_that_cannot_be_believed_is_absent(rows: list[Sample], expected: Why) -> None:
    assert why(reading_of(ROWS, rows, NOW)) == expected


def test_a_view_gives_each_question_its_own_kind_of_answer() -> None:
    values = Values({("a", "main"): 1.0}, NOW)
    view = StillView(readings={ROWS: values, LOAD: values})
    assert view.table(ROWS) == values
    assert view.reading(LOAD) == NOT_ASKED
    assert view.table(Table("other", ())) == NOT_ASKED


EXPECTED: dict[Lie, Why] = {
    "late": Why.LATE,
    "absent": Why.NOTHING,
    "stale": Why.STALE,
    "future": Why.WRONG,
    "wrong": Why.WRONG,
    "crowded": Why.WRONG,
    "down": Why.UNREACHABLE,
}


@pytest.mark.parametrize("lie", LIES)
def test_every_lie_that_can_be_seen_is_an_absence_with_its_reason(lie: Lie) -> None:
    async def story() -> None:
        env = sim_env("readings")
        source = LyingSource(env.clock, {"load": 5.0}, lying=1.0, lies=[lie])
        began_s = env.clock.monotonic()
        readings = await Asker(source, env, AskingLimits(deadline_s=2)).answers([LOAD])
        assert why(readings[LOAD]) == EXPECTED[lie]
        assert env.clock.monotonic() - began_s == (2 if lie == "late" else 0)

    run_simulated(story())


def test_an_answer_is_used_again_for_a_while_and_an_absence_too() -> None:
    async def story() -> None:
        env = sim_env("readings")
        source = LyingSource(env.clock, {"load": 5.0})
        asker = Asker(source, env, AskingLimits(keep_s=5))
        none = Metric("nothing")
        for _ in range(3):
            readings = await asker.answers([LOAD, none, LOAD])
            assert readings[LOAD] == Value(5.0, env.clock.now())
            assert why(readings[none]) == Why.NOTHING
        assert source.asked == ["load", "nothing"]
        source.numbers["load"] = 6.0
        await env.clock.sleep(5)
        assert (await asker.answers([LOAD]))[LOAD] == Value(6.0, env.clock.now())

    run_simulated(story())


def test_a_question_says_for_how_long_its_answer_may_be_used_again() -> None:
    async def story() -> None:
        env = sim_env("readings")
        source = LyingSource(env.clock, {"load": 5.0})
        asker = Asker(source, env, AskingLimits(keep_s=5))
        soon, later = Metric("load", keep_s=0.5), Metric("load", keep_s=60)
        for _ in range(2):
            await asker.answers([soon, later])
            await env.clock.sleep(1)
        assert source.asked == ["load", "load", "load"]
        await env.clock.sleep(4)
        await asker.answers([later])
        assert source.asked == ["load"] * 4

    run_simulated(story())


@dataclass
class SlowSource:
    """Tells a second later what was so when it was asked."""

    clock: Clock
    number: float

    async def samples(self, query: str) -> Sequence[Sample]:
        number = self.number
        await self.clock.sleep(1.0)
        return [Sample(number, self.clock.now())]


def test_new_samples_end_what_is_kept_and_what_was_being_asked_is_not_kept() -> None:
    async def story() -> None:
        env = sim_env("readings")
        source = LyingSource(env.clock, {"load": 5.0})
        asker = Asker(source, env, AskingLimits(keep_s=100))
        await asker.answers([LOAD])
        source.numbers["load"] = 6.0
        asker.renew()
        assert (await asker.answers([LOAD]))[LOAD] == Value(6.0, env.clock.now())
        slow = SlowSource(env.clock, 7.0)
        asker = Asker(slow, env, AskingLimits(keep_s=100))
        old = asyncio.create_task(asker.answers([LOAD]))
        await env.clock.sleep(0.5)
        slow.number = 8.0
        asker.renew()
        assert (await old)[LOAD] == Value(7.0, env.clock.now())
        assert (await asker.answers([LOAD]))[LOAD] == Value(8.0, env.clock.now())
        began_s = env.clock.monotonic()
        await asker.answers([LOAD])
        assert env.clock.monotonic() == began_s

    run_simulated(story())


@dataclass
class CountingSource:
    """Answers a second after each question, and counts them."""

    clock: Clock
    asked_count: int = 0

    async def samples(self, query: str) -> Sequence[Sample]:
        self.asked_count += 1
        await self.clock.sleep(1.0)
        return [Sample(float(self.asked_count), self.clock.now())]


def test_keys_that_ask_the_same_at_once_ask_the_source_once() -> None:
    async def story() -> None:
        env = sim_env("readings")
        source = CountingSource(env.clock)
        asker = Asker(source, env)
        every = await asyncio.gather(*(asker.answers([LOAD]) for _ in range(20)))
        assert source.asked_count == 1
        assert {one[LOAD] for one in every} == {Value(1.0, env.clock.now())}
        asker.renew()
        await asker.answers([LOAD])
        assert source.asked_count == 2

    run_simulated(story())


@dataclass
class BusyKeys:
    """Keys that need a while for each wake."""

    clock: Clock
    work_s: float
    woken: list[float] = field(default_factory=list)

    def follower_count(self) -> int:
        return 1

    def is_behind(self) -> bool:
        return bool(self.woken) and self.clock.monotonic() < self.woken[-1] + self.work_s

    def wake_followers(self) -> None:
        self.woken.append(self.clock.monotonic())

    def renew(self) -> None:
        """Nothing is kept."""


@dataclass
class EverNew:
    """Has new samples whenever it is asked."""

    number: int = 0

    async def arrived(self, after: int, wait_s: float) -> int:
        self.number += 1
        return self.number


@pytest.mark.parametrize(("work_s", "wakes"), [(0.0, 40), (1.0, 5), (9.0, 1)])
def test_a_source_that_answers_slowly_has_as_long_for_itself(work_s: float, wakes: int) -> None:
    async def story() -> None:
        env = sim_env("readings")
        keys = BusyKeys(env.clock, work_s)
        following = asyncio.create_task(follow(EverNew(), keys, [keys], asyncio.Event(), env))
        await env.clock.sleep(10)
        following.cancel()
        # Four a second at most; else the work, which is seen each quarter, and as long again.
        assert len(keys.woken) == pytest.approx(wakes, abs=1)

    run_simulated(story())


def test_a_kept_answer_is_not_used_beyond_its_freshness() -> None:
    async def story() -> None:
        env = sim_env("readings")
        source = LyingSource(env.clock, {"load": 5.0})
        asker = Asker(source, env, AskingLimits(keep_s=100))
        short = Metric("load", fresh_s=2)
        await asker.answers([short])
        await env.clock.sleep(2.5)
        reading = (await asker.answers([short]))[short]
        assert reading == Value(5.0, env.clock.now())

    run_simulated(story())


@dataclass
class CrowdedSource:
    """Takes a second for each question, and notes how many are out at once."""

    env: Env
    now_out: int = 0
    most_out: int = 0
    asked: list[str] = field(default_factory=list)

    async def samples(self, query: str) -> Sequence[Sample]:
        self.asked.append(query)
        self.now_out += 1
        self.most_out = max(self.most_out, self.now_out)
        await self.env.clock.sleep(1)
        self.now_out -= 1
        return [Sample(1.0, self.env.clock.now())]


def test_questions_are_few_at_once_few_for_a_key_and_late_behind_each_other() -> None:
    async def story() -> None:
        env = sim_env("readings")
        source = CrowdedSource(env)
        limits = AskingLimits(deadline_s=2.5, at_once_max=2, questions_max=6, kept_max=3)
        asker = Asker(source, env, limits)
        questions = [Metric(f"q{at}") for at in range(8)]

        readings = await asker.answers(questions)

        # The simulation decides which of them go first.
        assert Counter(why(readings[one]) for one in questions[:6]) == {None: 4, Why.LATE: 2}
        assert {why(readings[one]) for one in questions[6:]} == {Why.TOO_MANY}
        assert source.most_out == 2
        assert len(asker._kept) == 3

    run_simulated(story())


def test_without_a_source_there_is_no_value_and_a_bug_in_one_is_not_hidden() -> None:
    async def story() -> None:
        env = sim_env("readings")
        assert why((await Asker(None, env).answers([LOAD]))[LOAD]) == Why.NO_SOURCE
        assert await Asker(None, env).answers([]) == {}

        class Broken:
            async def samples(self, query: str) -> Sequence[Sample]:
                raise KeyError(query)

        with pytest.raises(ExceptionGroup) as caught:
            await Asker(Broken(), env).answers([LOAD])
        assert caught.group_contains(KeyError)

    run_simulated(story())


def test_a_source_that_does_not_end_is_left_at_the_deadline() -> None:
    async def story() -> None:
        env, left = sim_env("readings"), asyncio.Event()

        class Hanging:
            async def samples(self, query: str) -> Sequence[Sample]:
                try:
                    await asyncio.Event().wait()
                finally:
                    left.set()
                raise SourceTrouble(query)

        readings = await Asker(Hanging(), env).answers([LOAD])
        assert why(readings[LOAD]) == Why.LATE
        assert left.is_set()

    run_simulated(story())
