"""Answer what planners ask for: within a deadline, from a cache, under named limits."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

from cubernetes.host.env import Env
from cubernetes.reconcile.readings import (
    Absent,
    MetricSource,
    Question,
    Reading,
    Readings,
    SourceTrouble,
    Value,
    Values,
    Why,
    reading_of,
)

NO_SOURCE = Absent(Why.NO_SOURCE, "this program has no source of metrics")


@dataclass(frozen=True, slots=True)
class AskingLimits:
    """deadline_s: for all questions of one key together. keep_s: how long an answer is used again
    at most; never longer than the question says, nor beyond the freshness that it asks for.

    questions_max: of one key; those beyond are absent. at_once_max: questions that are out at the
    same time, of the whole program; others wait, within their deadline. kept_max: remembered
    answers.
    """

    deadline_s: float = 2.0
    keep_s: float = 5.0
    questions_max: int = 24
    at_once_max: int = 8
    kept_max: int = 4096


@dataclass(frozen=True, slots=True)
class _Kept:
    reading: Reading
    until_s: float


class Asker:
    """One for a program, shared by all its planners."""

    def __init__(
        self, source: MetricSource | None, env: Env, limits: AskingLimits | None = None
    ) -> None:
        self._source, self._env = source, env
        self._limits = limits or AskingLimits()
        self._slots = asyncio.Semaphore(self._limits.at_once_max)
        self._kept: dict[Question, _Kept] = {}
        self._turn = 0
        self._under_way: WeakValueDictionary[tuple[int, Question], asyncio.Lock]
        self._under_way = WeakValueDictionary()

    def renew(self) -> None:
        """Forget what was answered: there is newer. What is being asked now is not kept."""
        self._turn += 1
        self._kept.clear()

    async def answers(self, questions: Sequence[Question]) -> Readings:
        """Return a reading for each question, within the deadline."""
        distinct = list(dict.fromkeys(questions))
        limit = self._limits.questions_max
        too_many = Absent(Why.TOO_MANY, f"at most {limit} questions for one key")
        found: dict[Question, Reading] = dict.fromkeys(distinct[limit:], too_many)
        async with asyncio.TaskGroup() as tasks:
            asked = {one: tasks.create_task(self._answer(one)) for one in distinct[:limit]}
        return found | {one: task.result() for one, task in asked.items()}

    async def _answer(self, question: Question) -> Reading:
        kept = self._kept.get(question)
        if kept is not None and kept.until_s > self._env.clock.monotonic():
            return kept.reading
        turn = self._turn
        # Many keys ask the same at the same moment: one question is out for all of them.
        lock = self._under_way.setdefault((turn, question), asyncio.Lock())
        async with lock:
            kept = self._kept.get(question)
            if kept is not None and kept.until_s > self._env.clock.monotonic():
                return kept.reading
            reading = await self._ask(question)
            if turn == self._turn:
                self._keep(question, reading)
        return reading

    async def _ask(self, question: Question) -> Reading:
        if self._source is None:
            return NO_SOURCE
        deadline_s = self._limits.deadline_s
        try:
            async with asyncio.timeout(deadline_s), self._slots:
                samples = await self._source.samples(question.query)
        except TimeoutError:
            return Absent(Why.LATE, f"no answer within {deadline_s} s")
        except SourceTrouble as trouble:
            return Absent(Why.UNREACHABLE, str(trouble))
        return reading_of(question, samples, self._env.clock.now())

    def _keep(self, question: Question, reading: Reading) -> None:
        """Absences are kept too: a source that is down is not asked by every round."""
        self._kept.pop(question, None)
        if len(self._kept) >= self._limits.kept_max:
            del self._kept[next(iter(self._kept))]
        keep_s, clock = min(self._limits.keep_s, question.keep_s), self._env.clock
        if isinstance(reading, Value | Values):
            age_s = (clock.now() - reading.at).total_seconds()
            keep_s = min(keep_s, question.fresh_s - age_s)
        self._kept[question] = _Kept(reading, clock.monotonic() + keep_s)
