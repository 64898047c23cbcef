"""Ephemeral containers in the plan of a pod: laws over what may be found, then the named cases."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.ephemeral import EphemeralContainer
from cubernetes.api.meta import replaced
from kubelet.pod.decisions import plan
from kubelet.pod.decisions.ephemeral import FAILURES_MAX
from kubelet.pod.decisions.memory import Memory, StartFailure
from kubelet.pod.decisions.plan import (
    Finish,
    Remove,
    StartContainer,
    StartSandbox,
    Step,
    Stop,
    StopSandbox,
)
from kubelet.pod.decisions.status import status_for
from kubelet.runtime.driver import SANDBOX, Container, State
from tests.given import NOW
from tests.unit.kubelet.pod.test_plan import (
    MOMENT,
    ROUND_MAX,
    a_found,
    a_living_pod,
    acts,
    carried_out,
    containers_found,
    ended,
)
from tests.unit.kubelet.pod.test_plan import pods as plain_pods


def looked_into(pod: Pod, *added: EphemeralContainer) -> Pod:
    return replaced(pod, spec=replaced(pod.spec, ephemeral_containers=added))


def a_look(name: str = "look", target: str = "", image: str = "tools") -> EphemeralContainer:
    return EphemeralContainer(name=name, image=image, target_container_name=target)


def a_found_look(
    wanted: EphemeralContainer | None = None, state: State = State.RUNNING, code: int = 0
) -> Container:
    wanted = wanted or a_look()
    found = a_found(wanted.name, 0, state, code)
    return replace(found, spec_hash=plan.spec_hash(wanted))


def steps(pod: Pod, *found: Container) -> list[Step]:
    return acts(plan.plan(pod, found, Memory(), MOMENT))


def marked(pod: Pod, found: Container) -> Container:
    """Return what is found with the mark that the pod's own container of its name would have."""
    marks = {one.name: plan.spec_hash(one) for one in pod.spec.ephemeral_containers}
    return replace(found, spec_hash=marks.get(found.name, found.spec_hash))


pods = st.builds(
    looked_into,
    plain_pods,
    st.sampled_from([a_look(), a_look(target="main"), a_look(target="side")]),
).filter(
    lambda pod: (
        pod.spec.ephemeral_containers[0].target_container_name
        in ("", *(one.name for one in pod.spec.containers))
    )
)
looks = st.lists(
    st.builds(a_found_look, state=st.sampled_from(State), code=st.integers(0, 2)), max_size=1
)


@given(pods, containers_found, looks)
def test_at_rest_each_has_been_started_once_and_its_pod_is_as_it_would_be_without(
    pod: Pod, found: list[Container], looking: list[Container]
) -> None:
    world = {one.id: marked(pod, one) for one in (*found, *looking)}
    before = next((one.state for one in looking), None)
    for _ in range(ROUND_MAX):
        after = carried_out(plan.plan(pod, list(world.values()), Memory(), MOMENT), world)
        world = {key: marked(pod, one) for key, one in after.items()}

    standing = list(world.values())
    assert steps(pod, *standing) == []
    look = world["look-0"]
    assert look.state is (State.EXITED if before is State.EXITED else look.state)
    assert look.state is not State.CREATED
    alone = looked_into(pod)
    others = [one for one in standing if one.name != "look"]
    assert plan.is_over(pod, standing, Memory()) == plan.is_over(alone, others, Memory())
    if look.state is State.RUNNING:
        assert plan.running_sandbox(standing) is not None


@given(pods, containers_found, looks)
def test_what_is_told_of_a_pod_is_the_same_with_one_and_without(
    pod: Pod, found: list[Container], looking: list[Container]
) -> None:
    def told(one: Pod, there: Sequence[Container]) -> tuple[object, ...]:
        status = status_for(one, there, Memory(), "10.0.0.1", "192.0.2.1", NOW)
        return status.phase, status.conditions, status.container_statuses

    alone = looked_into(pod)
    assert told(pod, (*found, *looking)) == told(alone, found)


def test_one_that_has_ended_is_never_started_again_whatever_its_pods_policy() -> None:
    pod = looked_into(a_living_pod("Always"), a_look())
    for code in (0, 1):
        look = a_found_look(state=State.EXITED, code=code)
        assert steps(pod, a_found(SANDBOX), a_found("main"), look) == []


def test_one_starts_while_the_pods_own_containers_crash() -> None:
    pod = looked_into(a_living_pod("Always"), a_look())
    found = [a_found(SANDBOX), a_found("main", 3, State.EXITED, 1)]
    assert StartContainer("look", 0) in steps(pod, *found)


def test_it_shares_processes_of_a_target_that_runs_and_waits_only_for_one_to_come() -> None:
    pod = looked_into(a_living_pod("Always"), a_look(target="main"))
    assert steps(pod, a_found(SANDBOX), a_found("main")) == [StartContainer("look", 0, "main-0")]
    assert steps(pod, a_found(SANDBOX)) == [StartContainer("main", 0)]
    crashed = a_found("main", 0, State.EXITED, 1)
    assert StartContainer("look", 0, "") in steps(pod, a_found(SANDBOX), crashed)


def test_a_pod_that_has_failed_is_held_while_one_looks_into_it() -> None:
    pod = looked_into(a_living_pod("Never"), a_look())
    failed = a_found("main", 0, State.EXITED, 1)
    held = [a_found(SANDBOX), failed]
    assert steps(pod, *held) == [StartContainer("look", 0)]
    assert steps(pod, *held, a_found_look()) == []

    over = [StopSandbox(f"{SANDBOX}-0"), Remove(f"{SANDBOX}-0")]
    assert steps(pod, *held, a_found_look(state=State.EXITED)) == over


def test_one_that_cannot_be_started_holds_a_pod_that_is_over_no_longer() -> None:
    pod = looked_into(a_living_pod("Never"), a_look())
    found = [a_found(SANDBOX), a_found("main", 0, State.EXITED, 1)]

    def after(failure_count: int) -> list[plan.Step]:
        trouble = StartFailure("ImagePullBackOff", "no such image", failure_count, 0.0)
        return plan.plan(pod, found, Memory(troubles={"look": trouble}), MOMENT)

    assert after(FAILURES_MAX - 1) == [StartContainer("look", 0)]
    assert after(FAILURES_MAX) == [StopSandbox(f"{SANDBOX}-0"), Remove(f"{SANDBOX}-0")]
    # What lives is not ended for it.
    living = plan.plan(
        looked_into(a_living_pod(), a_look()),
        [a_found(SANDBOX), a_found("main")],
        Memory(troubles={"look": StartFailure("ImagePullBackOff", "", FAILURES_MAX, 0.0)}),
        MOMENT,
    )
    assert living == [StartContainer("look", 0)]


def test_a_pod_that_is_over_gets_a_sandbox_again_for_one_that_comes_late() -> None:
    pod = a_living_pod("Always")
    pod = looked_into(replaced(pod, status=replaced(pod.status, phase="Failed")), a_look())
    again = [StartSandbox(0), StartContainer("look", 0)]
    assert steps(pod) == again
    sandbox = a_found(SANDBOX)
    assert steps(pod, sandbox, a_found_look()) == []


def test_one_whose_image_is_on_its_way_is_not_asked_for_again_and_again() -> None:
    pulling = Memory(pulling={"look": "Pulling image"})
    failed = a_found("main", 0, State.EXITED, 1)
    for policy, main in (("Always", a_found("main")), ("Never", failed)):
        pod = looked_into(a_living_pod(policy), a_look())
        assert acts(plan.plan(pod, [a_found(SANDBOX), main], pulling, MOMENT)) == []


def test_one_that_was_removed_is_ended_and_so_is_an_older_one_of_its_name() -> None:
    gone = [Stop(("look-0",), 0.0, "superseded"), Remove("look-0")]
    found = [a_found(SANDBOX), a_found("main"), a_found_look()]
    assert steps(a_living_pod(), *found) == gone
    other = looked_into(a_living_pod(), a_look(image="other"))
    assert steps(other, *found) == gone
    assert steps(looked_into(a_living_pod(), a_look()), *found) == []


def test_it_ends_with_its_pod_after_the_others_and_is_given_no_grace() -> None:
    pod = looked_into(a_living_pod(), a_look())
    deleted = replaced(pod, metadata=replaced(pod.metadata, deletion_timestamp=NOW))
    found = [a_found(SANDBOX), a_found_look(), a_found("main")]
    told = steps(deleted, *found)
    assert told[:3] == [
        Stop(("main-0",), 30.0, plan.DELETED),
        Stop(("look-0",), 0.0, plan.DELETED),
        StopSandbox(f"{SANDBOX}-0"),
    ]
    assert told[-1] == Finish()


def test_its_status_is_apart_and_never_ready() -> None:
    pod = looked_into(a_living_pod("Never"), a_look())
    found = [a_found(SANDBOX), a_found("main", 0, State.EXITED, 1), a_found_look()]
    status = status_for(pod, found, Memory(), "10.0.0.1", "192.0.2.1", NOW)
    (one,) = status.ephemeral_container_statuses
    assert (one.name, one.ready, one.state.running is not None) == ("look", False, True)
    assert status.phase == "Failed"

    found[-1] = ended(found[-1], 137)
    status = status_for(pod, found, Memory(), "10.0.0.1", "192.0.2.1", NOW)
    told = status.ephemeral_container_statuses[0].state.terminated
    assert told is not None
    assert told.exit_code == 137
