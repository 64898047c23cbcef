"""A pod's status as its containers tell it."""

from dataclasses import replace
from datetime import timedelta

from cubernetes.api.coding import codec
from cubernetes.api.condition import condition_of, is_true
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podstatus import PodStatus
from cubernetes.api.meta import replaced
from kubelet.pod.decisions import status
from kubelet.pod.decisions.memory import CrashStreak, Memory, StartFailure
from kubelet.runtime.driver import SANDBOX, Container, State
from tests.given import NOW, a_container, a_pod


def a_found(name: str = "main", attempt: int = 0, state: State = State.RUNNING) -> Container:
    return Container(
        id=f"{name}{attempt}", pod_uid="uid-web-0", pod_name="web-0", namespace="default",
        name=name, attempt=attempt, state=state, image="cubernetes/web:1", image_id="sha256:1",
        started_at=NOW - timedelta(seconds=10),
        finished_at=NOW - timedelta(seconds=1) if state is State.EXITED else None,
    )  # fmt: skip


def told(pod: Pod, *found: Container, memory: Memory | None = None) -> PodStatus:
    return status.status_for(pod, found, memory or Memory(), "10.244.1.5", "192.168.78.11", NOW)


def with_policy(policy: str) -> Pod:
    pod = a_pod("web-0", node="n1")
    return replaced(pod, spec=replaced(pod.spec, restart_policy=policy))


def test_a_pod_whose_containers_all_run_is_running_and_ready() -> None:
    found = told(with_policy("Always"), a_found(SANDBOX), a_found())

    assert (found.phase, found.pod_ip, found.host_ip) == ("Running", "10.244.1.5", "192.168.78.11")
    assert is_true(found.conditions, "Ready")
    assert is_true(found.conditions, "ContainersReady")
    assert found.container_statuses[0].ready


def test_a_pod_is_final_only_once_its_sidecar_has_ended_too() -> None:
    pod = with_policy("Never")
    side = replaced(a_container("side"), restart_policy="Always")
    pod = replaced(pod, spec=replaced(pod.spec, init_containers=(side,)))
    main = replace(a_found(state=State.EXITED), sandbox_id="POD0")
    side_runs = replace(a_found("side"), sandbox_id="POD0")
    side_ended = replace(a_found("side", state=State.EXITED), sandbox_id="POD0", exit_code=137)

    assert told(pod, a_found(SANDBOX), main, side_runs).phase == "Running"
    over = told(pod, a_found(SANDBOX), main, side_ended)
    assert (over.phase, is_true(over.conditions, "Initialized")) == ("Succeeded", True)


def test_the_same_facts_told_again_are_the_same_status() -> None:
    pod = with_policy("Always")
    once = told(pod, a_found(SANDBOX), a_found())
    later = replaced(pod, status=once)

    again = status.status_for(
        later, [a_found(SANDBOX), a_found()], Memory(), "10.244.1.5", "192.168.78.11",
        NOW + timedelta(minutes=5),
    )  # fmt: skip
    assert again == once


def test_a_container_not_made_yet_says_what_it_waits_for() -> None:
    pod = with_policy("Always")
    first = told(pod).container_statuses[0].state.waiting
    assert first is not None
    assert first.reason == "ContainerCreating"

    trouble = StartFailure("ErrImagePull", "no such image", 1, 0.0)
    found = told(pod, a_found(SANDBOX), memory=Memory(troubles={"main": trouble}))
    waiting = found.container_statuses[0].state.waiting
    assert waiting is not None
    assert (waiting.reason, waiting.message) == ("ErrImagePull", "no such image")
    assert found.phase == "Pending"


def test_w21_a_sandbox_that_cannot_be_made_is_told_on_every_container() -> None:
    memory = Memory(troubles={SANDBOX: StartFailure("NetworkTrouble", "no address left", 1, 0.0)})
    waiting = told(with_policy("Always"), memory=memory).container_statuses[0].state.waiting

    assert waiting is not None
    assert waiting.message == "no address left"


def test_the_message_of_a_trouble_goes_with_it() -> None:
    pod = with_policy("Always")
    memory = Memory(troubles={SANDBOX: StartFailure("NetworkTrouble", "no room", 1, 0.0)})
    troubled = told(pod, memory=memory)
    assert troubled.message == "no room"
    assert told(replaced(pod, status=troubled), a_found(SANDBOX), a_found()).message == ""


def test_w20_exit_codes_signals_and_oom_kills_are_told() -> None:
    pod = with_policy("Never")
    failed = replace(a_found(state=State.EXITED), exit_code=3)
    end = told(pod, failed).container_statuses[0].state.terminated
    assert end is not None
    assert (end.exit_code, end.reason) == (3, "Error")
    assert told(pod, failed).phase == "Failed"

    killed = replace(a_found(state=State.EXITED), exit_code=137, signal=9, oom_killed=True)
    end = told(pod, killed).container_statuses[0].state.terminated
    assert end is not None
    assert (end.signal, end.reason) == (9, "OOMKilled")

    done = told(pod, a_found(state=State.EXITED))
    assert done.phase == "Succeeded"
    ready = condition_of(done.conditions, "Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", "PodCompleted")


def test_a_container_that_waits_to_be_restarted_tells_how_it_ended() -> None:
    failed = replace(a_found(attempt=4, state=State.EXITED), exit_code=1)
    memory = Memory(streaks={"main": CrashStreak(4, 5)})

    one = told(with_policy("Always"), a_found(SANDBOX), failed, memory=memory).container_statuses[0]
    assert one.state.waiting is not None
    assert one.state.waiting.reason == "CrashLoopBackOff"
    assert one.last_state.terminated is not None
    assert one.last_state.terminated.exit_code == 1
    assert one.restart_count == 4


def test_what_others_say_of_a_pod_is_kept() -> None:
    pod = with_policy("Always")
    theirs = replaced(a_pod("x", is_ready=True).status.conditions[0], type="Example/Gate")
    mine = told(pod, a_found(SANDBOX), a_found())

    live = replaced(pod, status=replaced(pod.status, conditions=(theirs,)))
    written = status.status_written(live, mine)
    assert theirs in written.conditions
    assert is_true(written.conditions, "Ready")


def test_a_pod_is_as_good_as_its_requests_and_limits_say() -> None:
    def class_of(pod: Pod) -> str:
        return told(pod).qos_class

    pod = with_policy("Always")
    assert class_of(replaced(pod, spec=replaced(pod.spec, containers=(a_container(),)))) == (
        "BestEffort"
    )
    asked = replaced(pod.spec, containers=(a_container(cpu="1"),))
    assert class_of(replaced(pod, spec=asked)) == "Burstable"


def test_w24_the_start_time_of_a_pod_outlives_every_report() -> None:
    pod = with_policy("Always")
    first = told(pod, a_found(SANDBOX), a_found())
    assert first.start_time == NOW

    hour_later = NOW + timedelta(hours=1)
    later = status.status_for(
        replaced(pod, status=first), [a_found(SANDBOX), a_found(attempt=1)], Memory(),
        "10.244.1.5", "192.168.78.11", hour_later,
    )  # fmt: skip
    assert later.start_time == NOW


def test_w24_a_status_goes_by_kubernetes_names_on_the_wire() -> None:
    tree = codec.to_tree(told(with_policy("Always"), a_found(SANDBOX), a_found()))

    assert {"phase", "conditions", "hostIP", "podIP", "podIPs", "startTime"} <= tree.keys()
    assert tree["containerStatuses"][0]["imageID"] == "sha256:1"
    assert tree["containerStatuses"][0]["containerID"] == "docker://main0"


def test_a_status_tells_of_which_generation_it_is_and_every_address() -> None:
    pod = with_policy("Always")
    third = replaced(pod, metadata=replaced(pod.metadata, generation=3))

    found = told(third, a_found(SANDBOX), a_found())

    assert found.observed_generation == 3
    assert [one.ip for one in found.host_ips] == [found.host_ip] == ["192.168.78.11"]
    assert [one.ip for one in found.pod_ips] == [found.pod_ip] == ["10.244.1.5"]


def test_a_running_container_tells_since_when_and_of_what_image() -> None:
    one = told(with_policy("Always"), a_found(SANDBOX), a_found()).container_statuses[0]

    assert (one.name, one.image, one.started) == ("main", "cubernetes/web:1", True)
    assert one.state.running is not None
    assert one.state.running.started_at == NOW - timedelta(seconds=10)


def test_a_container_that_has_ended_tells_when_and_in_the_runtimes_words_why() -> None:
    broken = replace(a_found(state=State.EXITED), exit_code=128, error="no such file: /web")

    end = told(with_policy("Never"), broken).container_statuses[0].state.terminated

    assert end is not None
    assert (end.reason, end.message) == ("ContainerCannotRun", "no such file: /web")
    assert (end.started_at, end.finished_at) == (broken.started_at, broken.finished_at)
    assert end.container_id == f"docker://{broken.id}"
