"""What the answers of a Slurm site mean, and what it is asked."""

import json

import pytest

from cubernetes.api.gpu.gpujob import GpuJob, GpuJobSpec, GpuProgram, GpuResources
from cubernetes.api.gpu.slurm import Slurm
from cubernetes.api.meta import ObjectMeta
from cubernetes.api.quantities import Quantity
from gpu.machine import Event
from gpu.sites.slurm.words import (
    MISSED_MAX,
    Begun,
    End,
    Facts,
    States,
    Word,
    devices_of,
    observation_of,
    request_for,
)

OWN = End(exit=0, signal=0, at=20, began_at=10)
ENDED = End(exit=143, signal=15, at=20, began_at=10, is_terminated=True)
PLACE = Slurm(host="login", user="hpc", key_secret="site", host_keys=())


def told(state: str, **fields: object) -> Facts:
    return Facts(id="7", slurm=Word(state), is_queued=True, **fields)  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize(
    ("state", "event"),
    [
        ("PENDING", Event.QUEUED),
        ("CONFIGURING", Event.QUEUED),
        ("REQUEUED", Event.QUEUED),
        ("SUSPENDED", Event.QUEUED),
        ("RUNNING", Event.RUNNING),
        ("COMPLETING", Event.RUNNING),
        ("COMPLETED", Event.SUCCEEDED),
        ("FAILED", Event.FAILED),
        ("TIMEOUT", Event.TIMED_OUT),
        ("DEADLINE", Event.TIMED_OUT),
        ("OUT_OF_MEMORY", Event.OUT_OF_MEMORY),
        ("CANCELLED", Event.CANCELLED),
        ("CANCELLED by 1001", Event.CANCELLED),
        ("NODE_FAIL", Event.LOST),
        ("BOOT_FAIL", Event.LOST),
        ("PREEMPTED", Event.LOST),
    ],
)
def test_w40_every_state_of_slurm_is_told_apart(state: str, event: Event) -> None:
    assert observation_of(told(state)).state is event


@pytest.mark.parametrize("state", ["TIMEOUT", "CANCELLED", "OUT_OF_MEMORY", "NODE_FAIL"])
def test_slurms_word_says_why_it_ended_a_program(state: str) -> None:
    by_word = observation_of(told(state)).state

    assert observation_of(told(state, end=ENDED)).state is by_word
    assert observation_of(told(state, end=OWN)).state is Event.SUCCEEDED


def test_what_slurm_has_ended_runs_until_slurm_says_why() -> None:
    assert observation_of(told("RUNNING", end=ENDED)).state is Event.RUNNING
    assert observation_of(told("RUNNING", end=OWN)).state is Event.SUCCEEDED


def test_without_slurms_word_the_frame_tells_the_end() -> None:
    failed = Facts(id="7", end=End(exit=139, signal=11, at=20, began_at=10), err="why\n")
    found = observation_of(failed)

    assert (found.state, found.exit_code, found.signal) == (Event.FAILED, 139, 11)
    assert found.message == "why"
    assert found.started_at is not None
    assert found.ended_at is not None
    assert (found.ended_at - found.started_at).total_seconds() == 10
    ended = Facts(id="7", end=ENDED, is_cancelled=True)
    assert observation_of(ended).message == "cancelled by its owner"


def test_accounting_tells_the_code_where_the_frame_could_not() -> None:
    for text, code, number in (("3:0", 3, 0), ("0:11", 139, 11), ("", None, 0)):
        found = observation_of(Facts(id="7", slurm=Word("FAILED", exit=text)))
        assert (found.exit_code, found.signal) == (code, number)


def test_too_much_memory_is_found_in_slurms_own_words() -> None:
    """Sites without control groups call it a failure, or a cancellation."""
    log = "slurmstepd: error: Job 7 exceeded memory limit (400 > 64), being killed"
    for state in ("FAILED", "CANCELLED"):
        assert observation_of(told(state, log=log)).state is Event.OUT_OF_MEMORY
    assert observation_of(told("FAILED", end=ENDED, log=log)).state is Event.OUT_OF_MEMORY
    assert observation_of(told("FAILED", err=log)).state is Event.FAILED


def test_a_queue_that_is_late_loses_nobody_at_once() -> None:
    unheard = Facts(id="7", slurm=Word("RUNNING"), is_queued=False, begun=Begun(10, "g1"))
    states = [observation_of(unheard, count).state for count in range(MISSED_MAX + 1)]
    assert states == [Event.QUEUED] * MISSED_MAX + [Event.LOST]
    assert observation_of(Facts(id="7"), 0).state is Event.QUEUED


def test_a_site_that_cancels_is_told_apart_from_an_owner() -> None:
    here, there = told("CANCELLED", is_cancelled=True), told("CANCELLED by 1001")
    assert observation_of(here).message == "cancelled by its owner"
    assert observation_of(there).message == "cancelled at the site, by the user 1001"


def test_gpus_are_read_from_what_nodes_have() -> None:
    nodes = (
        ("g1", "idle", "gpu:h200:1(S:0),gpu:A100:1"),
        ("g2", "mixed", "gpu:1"),
        ("g3", "down*", "gpu:h200:8"),
        ("g4", "drained", "gpu:h200:8"),
        ("g5", "allocated", "(null)"),
    )
    assert devices_of(States(nodes, {}, "")) == {
        "g1/A100-0": "a100", "g1/h200-0": "h200", "g2/gpu-0": "gpu",
    }  # fmt: skip


def test_a_request_is_data_and_rounds_memory_up() -> None:
    spec = GpuJobSpec(
        program=GpuProgram(cuda="add.cu", args=("a b",)),
        files={"add.cu": "text"},
        resources=GpuResources(gpus=2, memory=Quantity("1k")),
    )
    job = GpuJob(metadata=ObjectMeta(name="add"), spec=spec)

    wanted = json.loads(request_for(job, PLACE, "frame", "header", 10))

    assert wanted["files"] == {"add.cu": "text", "cube_cuda.h": "header"}
    assert (wanted["cuda"], wanted["args"], wanted["memoryMiB"]) == ("add.cu", ["a b"], 1)
    own = GpuJob(metadata=job.metadata, spec=GpuJobSpec(script="true"))
    assert json.loads(request_for(own, PLACE, "frame", "header", 10))["files"] == {}
