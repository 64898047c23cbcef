"""CronJobs: one Job at each time, none twice, the newest of those that were missed."""

from datetime import UTC, datetime, timedelta

import pytest

from controllers.jobs.cronjobs import SCHEDULED_AT, CronJobs
from cubernetes.api.batch.cronjob import CronJob, CronJobSpec, CronJobStatus, JobMeta, JobTemplate
from cubernetes.api.batch.job import Job, JobStatus
from cubernetes.api.condition import Condition
from cubernetes.api.meta import Ref, replaced
from cubernetes.reconcile.plan import Delete, RequeueAfter
from tests.carry import World
from tests.given import a_job, a_meta

BEGIN = datetime(2025, 1, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class CronLife:
    """A world with one CronJob that was made at BEGIN, and its planner."""

    def __init__(self, schedule: str = "* * * * *", **spec: object) -> None:
        template = JobTemplate(
            metadata=JobMeta(labels={"app": "tick"}, annotations={"note": "mine"}),
            spec=replaced(a_job().spec, selector=None),
        )
        wanted = replaced(CronJobSpec(schedule=schedule, job_template=template), **spec)
        self.world = World([CronJob(metadata=a_meta("tick", created_at=BEGIN), spec=wanted)])
        self.world.now = BEGIN
        self.planner = CronJobs()
        self.ref = Ref("CronJob", "default", "tick")

    @property
    def cron(self) -> CronJob:
        (one,) = self.world.all(CronJob)
        return one

    def jobs(self) -> list[str]:
        return [one.metadata.name for one in self.world.all(Job)]

    def plan(self, cut: int | None = None) -> None:
        actions = self.planner.plan(self.ref, self.world.view(), self.world.now)
        self.world.carry_out(actions, cut)

    def at(self, minutes: float, cut: int | None = None) -> list[str]:
        """Look so many minutes after BEGIN; return the Jobs that there are then."""
        self.world.now = BEGIN + minutes * MINUTE
        self.plan(cut)
        if cut is None:
            self.plan()
        return self.jobs()

    def end(self, name: str, kind: str = "Complete") -> None:
        one = self.world.get(Job, name, "default")
        assert one is not None
        condition = Condition(type=kind, status="True", last_transition_time=self.world.now)
        done = self.world.now if kind == "Complete" else None
        status = JobStatus(conditions=(condition,), completion_time=done, start_time=self.world.now)
        self.world.put(replaced(one, status=status))

    def reasons(self) -> list[str]:
        return [one.reason for one in self.world.records]


def name_at(minutes: int) -> str:
    return f"tick-{int((BEGIN + minutes * MINUTE).timestamp()) // 60}"


def test_a_job_is_made_at_each_time_and_none_twice() -> None:
    life = CronLife()
    assert life.at(0.5) == []
    assert life.at(1) == [name_at(1)]
    assert life.at(1.5) == [name_at(1)]
    assert life.at(2) == [name_at(1), name_at(2)]

    (first, _) = life.world.all(Job)
    assert first.metadata.annotations == {"note": "mine", SCHEDULED_AT: "2025-01-01T12:01:00Z"}
    assert first.metadata.labels == {"app": "tick"}
    assert first.metadata.controller == life.cron.owner_reference()
    assert life.cron.status.last_schedule_time == BEGIN + 2 * MINUTE
    assert [one.name for one in life.cron.status.active] == life.jobs()


def test_it_looks_again_at_the_next_time() -> None:
    life = CronLife("30 * * * *")
    actions = list(life.planner.plan(life.ref, life.world.view(), BEGIN))

    assert actions == [RequeueAfter(1800.0)]


def test_after_an_absence_one_job_is_made_for_the_last_time_that_was_missed() -> None:
    life = CronLife()
    life.at(1)
    life.end(name_at(1))

    assert life.at(60 * 24 * 30) == [name_at(1), name_at(60 * 24 * 30)]
    assert life.at(60 * 24 * 30 + 0.5) == [name_at(1), name_at(60 * 24 * 30)]


@pytest.mark.parametrize("cut", range(4))
def test_a_plan_that_is_cut_anywhere_makes_no_job_twice(cut: int) -> None:
    life = CronLife()
    life.at(1, cut)
    if life.jobs():
        life.end(name_at(1))
    life.at(1.2)

    assert life.jobs() == [name_at(1)]
    assert life.cron.status.last_schedule_time == BEGIN + MINUTE


def test_a_job_that_the_status_does_not_tell_of_yet_is_kept() -> None:
    life = CronLife(successful_jobs_history_limit=0)
    life.at(1, cut=1)
    life.end(name_at(1))

    first = list(life.planner.plan(life.ref, life.world.view(), life.world.now))
    assert not [one for one in first if isinstance(one, Delete)]
    life.plan()
    life.plan()
    assert life.jobs() == []


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [("Allow", [1, 2]), ("Forbid", [1]), ("Replace", [2])],
)
def test_a_time_that_comes_while_a_job_runs(policy: str, wanted: list[int]) -> None:
    life = CronLife(concurrency_policy=policy)
    life.at(1)

    assert life.at(2) == [name_at(one) for one in wanted]
    assert ("JobAlreadyActive" in life.reasons()) == (policy == "Forbid")


def test_what_was_forbidden_is_made_up_once_the_job_is_over() -> None:
    life = CronLife("*/10 * * * *", concurrency_policy="Forbid")
    life.at(10)
    life.at(20)
    life.at(30)
    life.end(name_at(10))

    assert life.at(31) == [name_at(10), name_at(30)]


@pytest.mark.parametrize(("late_s", "is_made"), [(30, True), (31, False)])
def test_a_time_that_is_too_long_ago_is_left_out(late_s: int, is_made: bool) -> None:
    life = CronLife("0 13 * * *", starting_deadline_seconds=30)

    assert bool(life.at(60 + late_s / 60)) == is_made


def test_a_suspended_one_makes_nothing_and_makes_up_for_it_when_resumed() -> None:
    life = CronLife(suspend=True)
    assert life.at(5) == []

    life.world.put(replaced(life.cron, spec=replaced(life.cron.spec, suspend=False)))
    assert life.at(5.5) == [name_at(5)]


def test_so_many_jobs_are_kept_that_are_over_the_newest_of_each_kind() -> None:
    life = CronLife(successful_jobs_history_limit=2, failed_jobs_history_limit=1)
    for minute in range(1, 9):
        life.at(minute)
        life.end(name_at(minute), "Complete" if minute % 2 else "Failed")
    life.plan()
    life.plan()

    assert life.jobs() == [name_at(5), name_at(7), name_at(8)]
    assert life.cron.status.last_successful_time == BEGIN + 7 * MINUTE
    assert "SawCompletedJob" in life.reasons()


def test_a_schedule_is_read_in_its_time_zone() -> None:
    life = CronLife("0 14 * * *", time_zone="Europe/Berlin")

    (name,) = life.at(60)
    one = life.world.get(Job, name, "default")
    assert one is not None
    assert one.metadata.annotations[SCHEDULED_AT] == "2025-01-01T14:00:00+01:00"


def test_a_job_that_was_made_by_hand_is_shown_and_counts_for_no_time() -> None:
    life = CronLife()
    mine = a_job("by-hand")
    owned = replaced(mine.metadata, owner_references=(life.cron.owner_reference(),))
    life.world.put(replaced(mine, metadata=owned))
    life.at(0.5)
    assert [one.name for one in life.cron.status.active] == ["by-hand"]
    assert life.cron.status.last_schedule_time is None

    assert life.at(1) == ["by-hand", name_at(1)]


def test_with_a_time_zone_that_is_gone_it_makes_nothing_and_says_so() -> None:
    life = CronLife(time_zone="Mars/Base")

    assert life.at(5) == []
    assert life.reasons()[0] == "UnparseableSchedule"


def test_nothing_is_left_to_do_until_the_next_time() -> None:
    life = CronLife()
    life.at(1)
    before = life.world.writes
    life.plan()

    assert life.world.writes == before
    assert life.cron.status != CronJobStatus()
