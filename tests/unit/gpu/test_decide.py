"""What is next for one job."""

from datetime import timedelta

import pytest

from cubernetes.api.meta import replaced
from gpu.decide import (
    Act,
    Holders,
    Next,
    Sight,
    admitted,
    held_of,
    next_of,
    refused,
    stepped_back,
    taken,
    waits,
)
from gpu.driver import Observation
from gpu.machine import Event
from gpu.plan import Admission, Wait
from tests.unit.gpu.gpuworld import NOW, a_gpujob, after, deleted, in_phase

LIVE = ("Submitting", "Queued", "Running")


def seen(state: Event, **fields: object) -> Sight:
    return Sight(has_news=True, observation=Observation(state, **fields))  # type: ignore[arg-type]  # by name


ABSENT = Sight(has_news=True)


def test_a_key_is_written_before_anything_is_sent() -> None:
    job = a_gpujob()
    status = admitted(job, Admission("uid-add", "a", ("gpu-0",)), NOW)
    assert (status.phase, status.attempt, status.submission_key) == ("Submitting", 1, "uid-add-1")
    assert (status.site, status.devices, status.submitted_at) == ("a", ("gpu-0",), NOW)
    sent = replaced(job, status=status)
    assert next_of(sent, ABSENT, NOW) == Next(status, Act.SUBMIT)
    assert next_of(sent, Sight(), NOW) == Next(status)


def test_a_job_that_is_there_already_is_not_sent_again() -> None:
    job = in_phase(a_gpujob(), "Submitting")
    found = next_of(job, seen(Event.RUNNING, node="n2", site_job_id="17", started_at=NOW), NOW)
    assert found.act is Act.NOTHING
    assert (found.status.phase, found.status.node_name) == ("Running", "n2")
    assert (found.status.site_job_id, found.status.started_at) == ("17", NOW)


def test_without_news_a_job_stays_as_it_is() -> None:
    """W40: a blip of the network failed the job."""
    for phase in LIVE:
        job = in_phase(a_gpujob(), phase, message="said before")
        assert next_of(job, Sight(), after(10**6)) == Next(job.status)
        assert next_of(job, Sight(is_gone=True), NOW) == Next(job.status)


def test_older_news_change_nothing() -> None:
    job = in_phase(a_gpujob(), "Running", message="runs", started_at=NOW)
    assert next_of(job, seen(Event.QUEUED, message="Priority"), NOW) == Next(job.status)


def test_a_failed_program_is_told_by_its_code_signal_and_last_words() -> None:
    job = in_phase(a_gpujob(retries=3), "Running")
    found = seen(Event.FAILED, message="x" * 2000, exit_code=139, signal=11, ended_at=after(3))
    status = next_of(job, found, after(9)).status
    assert (status.phase, status.reason) == ("Failed", "ProgramFailed")
    assert (status.exit_code, status.signal, status.ended_at) == (139, 11, after(3))
    assert status.message == "x" * 1024


@pytest.mark.parametrize(
    ("event", "phase", "reason"),
    [
        (Event.SUCCEEDED, "Succeeded", ""),
        (Event.TIMED_OUT, "TimedOut", "TimeLimit"),
        (Event.OUT_OF_MEMORY, "OutOfMemory", "MemoryLimit"),
        (Event.CANCELLED, "Cancelled", "CancelledAtSite"),
    ],
)
def test_w40_every_end_is_told_apart(event: Event, phase: str, reason: str) -> None:
    status = next_of(in_phase(a_gpujob(), "Running"), seen(event), NOW).status
    assert (status.phase, status.reason, status.ended_at) == (phase, reason, NOW)


def test_only_a_loss_is_tried_again_and_only_so_often() -> None:
    job = in_phase(a_gpujob(retries=1), "Running", started_at=NOW)
    lost = next_of(job, seen(Event.LOST, message="the node died"), NOW).status
    assert (lost.phase, lost.attempt, lost.devices) == ("Pending", 1, ())
    assert "the node died" in lost.message
    again = admitted(replaced(job, status=lost), Admission("uid-add", "b", ("gpu-1",)), NOW)
    assert (again.attempt, again.submission_key) == (2, "uid-add-2")
    running = replaced(job, status=replaced(again, phase="Running"))
    over = next_of(running, ABSENT, NOW).status
    assert (over.phase, over.reason) == ("Failed", "MachineLost")
    assert "does not know it" in over.message


def test_w41_cancelling_waits_for_the_site_to_say_so() -> None:
    job = in_phase(a_gpujob(cancel=True), "Running")
    asked = next_of(job, seen(Event.RUNNING), NOW)
    assert (asked.status.phase, asked.act) == ("Cancelling", Act.CANCEL)
    job = replaced(job, status=asked.status)
    assert next_of(job, seen(Event.RUNNING), NOW).act is Act.CANCEL
    assert next_of(job, Sight(), NOW) == Next(job.status)
    for gone in (ABSENT, seen(Event.CANCELLED), seen(Event.LOST)):
        status = next_of(job, gone, NOW).status
        assert (status.phase, status.reason) == ("Cancelled", "Cancelled")
    assert next_of(job, seen(Event.SUCCEEDED), NOW).status.phase == "Succeeded"


def test_a_cancelled_job_that_was_never_sent_ends_at_once() -> None:
    status = next_of(a_gpujob(cancel=True), Sight(is_gone=True), NOW).status
    assert (status.phase, status.ended_at) == ("Cancelled", NOW)


def test_a_job_whose_site_is_gone_can_be_cancelled() -> None:
    job = in_phase(a_gpujob(cancel=True), "Running")
    assert next_of(job, Sight(is_gone=True), NOW).status.phase == "Cancelled"


def test_w41_a_deleted_job_goes_when_nothing_of_it_is_left_at_its_site() -> None:
    job = deleted(in_phase(a_gpujob(), "Running"))
    assert next_of(job, seen(Event.RUNNING), NOW).act is Act.CANCEL
    over = deleted(in_phase(a_gpujob(), "Cancelled", ended_at=NOW))
    assert next_of(over, seen(Event.CANCELLED), NOW).act is Act.REMOVE
    assert next_of(over, Sight(), NOW).act is Act.NOTHING
    assert next_of(over, ABSENT, NOW).act is Act.RELEASE
    assert next_of(over, Sight(is_gone=True), NOW).act is Act.RELEASE


def test_a_job_is_kept_for_so_long_after_its_end() -> None:
    job = in_phase(a_gpujob(keep_seconds=60), "Succeeded", ended_at=NOW)
    assert next_of(job, Sight(), after(59)).act is Act.NOTHING
    assert next_of(job, Sight(), after(60)).act is Act.EXPIRE


def test_a_job_that_is_refused_has_failed() -> None:
    status = refused(in_phase(a_gpujob(retries=5), "Submitting"), "no such image", NOW)
    assert (status.phase, status.reason, status.message) == (
        "Failed", "RefusedBySite", "no such image",
    )  # fmt: skip


def test_a_job_that_its_site_has_just_taken_is_there() -> None:
    told = taken(in_phase(a_gpujob(), "Submitting", site="a", attempt=1), NOW)
    assert (told.phase, told.message) == ("Queued", "its site has taken it")
    assert (told.site, told.attempt) == ("a", 1)


def test_a_waiting_job_is_told_its_place_and_what_it_waits_for() -> None:
    status = waits(a_gpujob(), Wait(3, "needs a GPU, site a has 0 free", after(60)))
    assert status.position == 3
    assert status.message == (
        "needs a GPU, site a has 0 free; starts before 2026-01-01 12:01:00 UTC"
    )


def test_of_two_jobs_with_one_gpu_the_one_that_was_not_sent_steps_back() -> None:
    """An admission was written and not seen: the GPU was given again."""
    runs = in_phase(a_gpujob("runs"), "Running", site="a", devices=("gpu-0",))
    job = a_gpujob("late")
    late = replaced(job, status=admitted(job, Admission("uid-late", "a", ("gpu-0", "gpu-1")), NOW))
    other = replaced(late.status, devices=("gpu-1",))
    elsewhere = replaced(late.status, site="b")
    over = in_phase(a_gpujob("over"), "Succeeded", site="a", devices=("gpu-0",))

    holders = Holders([runs, late, over])
    assert holders.is_shared(late)
    holders.let_go(late)
    assert not holders.is_shared(runs)
    for status in (other, elsewhere):
        assert not Holders([runs, over, replaced(job, status=status)]).is_shared(
            replaced(job, status=status)
        )

    status = stepped_back(late)
    assert (status.phase, status.attempt, status.devices) == ("Pending", 0, ())
    # It has used none of its attempts, and goes by the same key.
    again = admitted(replaced(job, status=status), Admission("uid-late", "b", ("gpu-0",)), NOW)
    assert (again.attempt, again.submission_key) == (1, late.status.submission_key)


def test_gpus_are_held_until_the_time_limit() -> None:
    job = in_phase(a_gpujob(time_limit_seconds=30), "Running", started_at=after(-10))
    assert held_of(job, NOW).ends_at == after(20)
    queued = in_phase(a_gpujob(time_limit_seconds=30), "Queued")
    assert held_of(queued, NOW).ends_at == NOW + timedelta(seconds=30)
