"""What sites and queues say of themselves."""

import pytest

from cubernetes.api.gpu.gpusite import GpuCounts
from cubernetes.api.meta import replaced
from gpu.driver import Report
from gpu.statuses import queue_status, site_status, usage_of
from tests.unit.gpu.gpuworld import NOW, a_gpujob, a_gpuqueue, a_gpusite, after, in_phase

REPORT = Report({"gpu-0": "h200", "gpu-1": "h200"}, {}, "in its own words")


def test_a_site_counts_its_gpus_and_what_is_there() -> None:
    jobs = [in_phase(a_gpujob(), "Running"), in_phase(a_gpujob("b"), "Queued", devices=())]
    status = site_status(a_gpusite(), REPORT, "", jobs, NOW)
    assert status.gpus == GpuCounts(total=2, free=1)
    assert (status.running, status.waiting) == (1, 1)
    (ready,) = status.conditions
    assert (ready.type, ready.status, ready.message) == ("Ready", "True", "in its own words")


def test_a_site_that_does_not_answer_is_not_ready_and_says_why() -> None:
    status = site_status(a_gpusite(), REPORT, "no route", [], NOW)
    (ready,) = status.conditions
    assert (ready.status, ready.message) == ("False", "no route")


def test_a_queue_counts_its_jobs_and_what_they_used() -> None:
    jobs = [
        in_phase(a_gpujob(), "Running", started_at=NOW, devices=("a", "b")),
        a_gpujob("waits"),
    ]
    status = queue_status(a_gpuqueue(), jobs, after(10))
    assert (status.running_gpus, status.running_jobs, status.waiting_jobs) == (2, 1, 1)
    assert status.usage_gpu_seconds == pytest.approx(20, rel=0.01)
    assert status.usage_at == after(10)


def test_a_queues_status_is_written_for_a_change_or_once_a_minute_while_jobs_run() -> None:
    jobs = [in_phase(a_gpujob(), "Running", started_at=NOW)]
    queue = a_gpuqueue()
    queue = replaced(queue, status=queue_status(queue, jobs, NOW))
    assert queue_status(queue, jobs, after(59)) == queue.status
    assert queue_status(queue, jobs, after(60)).usage_at == after(60)
    ended = [in_phase(a_gpujob(), "Succeeded", started_at=NOW, ended_at=after(30))]
    over = queue_status(queue, ended, after(60))
    assert over.usage_gpu_seconds == pytest.approx(30, rel=0.01)
    idle = replaced(queue, status=over)
    assert queue_status(idle, ended, after(10**6)) == over
    assert usage_of(idle, ended, after(60 + 3600)) == pytest.approx(15, rel=0.01)
