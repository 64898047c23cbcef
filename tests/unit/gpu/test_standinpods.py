"""The pods of stand-ins."""

import pytest

from cubernetes.api.condition import Condition
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podstatus import (
    ContainerState,
    ContainerStatus,
    PodStatus,
    StateRunning,
    StateTerminated,
    StateWaiting,
)
from cubernetes.api.gpu.gpujob import GpuProgram, GpuResources
from cubernetes.api.meta import replaced
from cubernetes.api.quantities import Quantity
from gpu.machine import Event
from gpu.sites.standinpods import CANCELLED, devices_of, files_for, observation_of, pod_for
from tests.unit.gpu.gpuworld import NOW, a_gpujob, a_gpusite

CUBE = {"run.sh": "#!/bin/sh", "cube_cuda.h": "// glue"}
JOB = a_gpujob(
    script="", program=GpuProgram(cuda="src/add.cu", args=("7",)), files={"src/add.cu": "int a;"}
)


def pod(job: object = None) -> Pod:
    return pod_for(JOB, a_gpusite(disk="ssd"), "uid-add-1", "image:1", CUBE)


def in_state(phase: str, state: ContainerState | None = None, **fields: object) -> Pod:
    containers = () if state is None else (ContainerStatus(name="job", state=state),)
    status = replaced(PodStatus(), phase=phase, container_statuses=containers, **fields)
    return replaced(pod(), status=status)


def ended(code: int, reason: str = "Error", message: str = "") -> ContainerState:
    told = StateTerminated(
        exit_code=code, reason=reason, message=message, started_at=NOW, finished_at=NOW
    )
    return ContainerState(terminated=told)


def test_a_pod_is_named_by_its_key_and_belongs_to_its_job() -> None:
    made, files = pod(), files_for(JOB, "uid-add-1", CUBE)
    assert made.metadata.name == files.metadata.name == "gpujob-uid-add-1"
    assert made.parent_uid == files.parent_uid == "uid-add"
    assert list(made.problems()) == []
    assert list(files.problems()) == []


def test_a_pod_has_the_files_at_their_paths_and_the_limits_of_its_job() -> None:
    job = replaced(
        JOB,
        spec=replaced(
            JOB.spec, resources=GpuResources(cpus=2, memory=Quantity("64Mi")), time_limit_seconds=9
        ),
    )
    made = pod_for(job, a_gpusite(disk="ssd"), "uid-add-1", "image:1", CUBE)
    volumes = {one.name: one for one in made.spec.volumes}
    assert volumes["job"].config_map is not None
    assert [(one.key, one.path) for one in volumes["job"].config_map.items] == [
        ("file-0", "src/add.cu")
    ]
    (container,) = made.spec.containers
    assert container.command == ("sh", "/cube/run.sh", "7")
    assert {one.name: one.value for one in container.env}["CUBE_CUDA"] == "src/add.cu"
    assert container.resources.limits == {"cpu": Quantity(2), "memory": Quantity("64Mi")}
    assert (made.spec.active_deadline_seconds, made.spec.restart_policy) == (9, "Never")
    assert made.spec.node_selector == {"disk": "ssd"}


def test_a_job_cannot_become_root_nor_write_outside_of_its_folder() -> None:
    made = pod()
    security = made.spec.containers[0].security_context
    assert security is not None
    assert security.read_only_root_filesystem
    assert security.capabilities is not None
    assert security.capabilities.drop == ("ALL",)
    assert made.spec.security_context.run_as_non_root


def test_a_script_without_files_has_a_folder_all_the_same() -> None:
    made = pod_for(a_gpujob(), a_gpusite(), "k", "image:1", CUBE)
    assert list(made.problems()) == []
    assert files_for(a_gpujob(), "k", CUBE).data["script"] == "true"


def test_a_stand_in_has_devices_that_say_what_they_are() -> None:
    assert devices_of(a_gpusite(gpus=2)) == {
        "cpu-stand-in-0": "cpu-stand-in",
        "cpu-stand-in-1": "cpu-stand-in",
    }


@pytest.mark.parametrize(
    ("made", "state"),
    [
        (in_state("Pending"), Event.QUEUED),
        (in_state("Running", ContainerState(running=StateRunning(started_at=NOW))), Event.RUNNING),
        (in_state("Succeeded", ended(0, "Completed")), Event.SUCCEEDED),
        (in_state("Failed", ended(3)), Event.FAILED),
        (in_state("Failed", ended(137, "OOMKilled")), Event.OUT_OF_MEMORY),
        (in_state("Failed", ended(137), reason="DeadlineExceeded"), Event.TIMED_OUT),
        (in_state("Failed", reason="Evicted"), Event.LOST),
    ],
)
def test_w40_a_pods_end_is_its_jobs(made: Pod, state: Event) -> None:
    found = observation_of(made)
    assert found.state is state
    assert "CPU STAND-IN" in found.message


def test_a_pod_that_we_ended_was_cancelled_and_one_that_others_deleted_is_lost() -> None:
    failed = in_state("Failed", ended(143), reason="DeadlineExceeded")
    annotated = replaced(failed.metadata, annotations={CANCELLED: "true"})
    assert observation_of(replaced(failed, metadata=annotated)).state is Event.CANCELLED
    killed = in_state("Failed", ended(143))
    going = replaced(killed, metadata=replaced(killed.metadata, deletion_timestamp=NOW))
    assert observation_of(going).state is Event.LOST


def test_the_code_of_a_shell_tells_the_signal() -> None:
    found = observation_of(in_state("Failed", ended(139, message="segmentation")))
    assert (found.exit_code, found.signal) == (139, 11)
    assert found.message == "CPU STAND-IN: segmentation"
    assert (found.started_at, found.ended_at) == (NOW, NOW)
    assert observation_of(in_state("Failed", ended(3))).signal == 0


def test_what_holds_a_pod_up_is_told() -> None:
    pulling = ContainerState(waiting=StateWaiting(reason="ErrImagePull", message="no image"))
    assert observation_of(in_state("Pending", pulling)).message == "CPU STAND-IN: no image"
    unplaced = Condition(
        type="PodScheduled", status="False", reason="Unschedulable", message="no node has disk=ssd"
    )
    found = observation_of(in_state("Pending", conditions=(unplaced,)))
    assert (found.reason, found.message) == ("Unschedulable", "CPU STAND-IN: no node has disk=ssd")
