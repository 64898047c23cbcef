"""Init containers and sidecars: which run now; laws over any state of a pod's containers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container as Wanted
from cubernetes.api.core.podspec.spec import every_container, is_sidecar
from cubernetes.api.meta import replaced
from kubelet.pod.decisions import plan
from kubelet.pod.decisions.initialization import Stage, is_done, of_sandbox, stage_of
from kubelet.pod.decisions.memory import CrashStreak, Memory, latest
from kubelet.pod.decisions.plan import Moment, Remove, StartContainer, StartSandbox, Stop, Wait
from kubelet.probes.machine import Course, Health, Kind
from kubelet.runtime.driver import SANDBOX, Container, State
from tests.given import NOW, a_container, a_pod

MOMENT = Moment(NOW, 1000.0)
ROUND_MAX = 24
KINDS = st.lists(st.booleans(), max_size=3)  # of each init container: whether it is a sidecar
NAMES = ("one", "two", "three")


def an_initialized_pod(policy: str = "Always", kinds: Sequence[bool] = (False, False)) -> Pod:
    """Return a pod of init containers and `main`; True stands for a sidecar."""
    pod = a_pod("web-0", node="n1")
    inits = [
        replaced(a_container(name), restart_policy="Always" if lasts else None)
        for name, lasts in zip(NAMES, kinds, strict=False)
    ]
    spec = replaced(
        pod.spec,
        init_containers=tuple(inits),
        containers=(a_container("main"),),
        restart_policy=policy,
    )
    return replaced(pod, spec=spec)


def a_found(
    name: str = SANDBOX,
    attempt: int = 0,
    state: State = State.RUNNING,
    exit_code: int = 0,
    sandbox: int = 0,
) -> Container:
    return Container(
        id=f"{name}-{attempt}", pod_uid="uid-web-0", pod_name="web-0", namespace="default",
        name=name, attempt=attempt, state=state, image="cubernetes/web:1", image_id="sha256:1",
        spec_hash="" if name == SANDBOX else plan.spec_hash(a_container(name)),
        started_at=None if state is State.CREATED else NOW - timedelta(seconds=10),
        finished_at=NOW - timedelta(seconds=5) if state is State.EXITED else None,
        exit_code=exit_code,
        sandbox_id="" if name == SANDBOX else f"{SANDBOX}-{sandbox}",
    )  # fmt: skip


def ended(one: Container, code: int = 0) -> Container:
    return replace(one, state=State.EXITED, exit_code=code, finished_at=NOW)


containers_found = st.lists(
    st.builds(
        a_found,
        name=st.sampled_from([SANDBOX, *NAMES, "main"]),
        attempt=st.integers(0, 2),
        state=st.sampled_from(State),
        exit_code=st.integers(0, 1),
        sandbox=st.integers(0, 2),
    ),
    max_size=8,
    unique_by=lambda one: one.id,
)
pods = st.builds(an_initialized_pod, st.sampled_from(["Always", "OnFailure", "Never"]), KINDS)


def started(steps: Sequence[plan.Step]) -> list[str]:
    return [step.name for step in steps if isinstance(step, StartContainer)]


def carried_out(steps: Sequence[plan.Step], found: Mapping[str, Container]) -> dict[str, Container]:
    """Return what stands after the steps, on a node where everything succeeds."""
    world = dict(found)
    for step in steps:
        if isinstance(step, StartSandbox):
            world[f"{SANDBOX}-{step.attempt}"] = a_found(SANDBOX, step.attempt)
        elif isinstance(step, StartContainer):
            sandbox = plan.running_sandbox(world.values())
            assert sandbox is not None
            fresh = a_found(step.name, step.attempt, sandbox=sandbox.attempt)
            world[fresh.id] = fresh
        elif isinstance(step, Stop):
            for one in (*step.ids, *step.later):
                world[one] = ended(world[one], 143)
        elif isinstance(step, Remove):
            world.pop(step.id)
        elif isinstance(step, plan.StopSandbox):
            world[step.id] = ended(world[step.id], 137)
    return world


def lived(pod: Pod, found: Sequence[Container]) -> list[Container]:
    """Return what stands at the end of a life in which each init container does its part."""
    world = {one.id: one for one in found}
    lasting = {one.name for one in every_container(pod.spec) if is_sidecar(one)} | {"main", SANDBOX}
    for _ in range(ROUND_MAX):
        world = carried_out(plan.plan(pod, list(world.values()), Memory(), MOMENT), world)
        world = {
            key: one if one.name in lasting or one.state is not State.RUNNING else ended(one)
            for key, one in world.items()
        }
    return list(world.values())


def acts(steps: Sequence[plan.Step]) -> list[plan.Step]:
    return [step for step in steps if not isinstance(step, Wait)]


@settings(deadline=None)
# A sidecar that runs on in a sandbox of before is of no use to those after it.
@example(
    an_initialized_pod("Always", [True, True]),
    [a_found(state=State.CREATED), a_found(attempt=1), a_found("one")],
)
@given(pods, containers_found)
def test_every_life_comes_to_rest_with_the_pod_whole_or_over(
    pod: Pod, found: list[Container]
) -> None:
    standing = lived(pod, found)

    assert acts(plan.plan(pod, standing, Memory(), MOMENT)) == []
    running = {one.name for one in standing if one.state is State.RUNNING}
    if plan.is_over(pod, standing, Memory()):
        assert running == set()
    else:
        lasting = {one.name for one in pod.spec.init_containers if is_sidecar(one)}
        assert running - {"main"} == {SANDBOX, *lasting}


@given(pods, containers_found)
def test_a_container_is_started_only_once_all_before_it_have_done_their_part(
    pod: Pod, found: list[Container]
) -> None:
    sandbox = plan.running_sandbox(found)
    current = of_sandbox(found, sandbox)
    if any(one.name == "main" for one in current):
        return  # the pod was initialized, whatever is left of the record
    order = [one.name for one in every_container(pod.spec)]
    begun = [order.index(one.name) for one in current if one.name in order]
    for name in started(plan.plan(pod, found, Memory(), MOMENT)):
        # What is gone from the record has done its part where a later one began.
        before = every_container(pod.spec)[max(begun, default=0) : order.index(name)]
        assert all(is_done(one, latest(current, one.name), Memory()) for one in before)


@given(pods, containers_found)
def test_at_most_one_init_container_that_is_no_sidecar_is_started_and_nothing_after_it(
    pod: Pod, found: list[Container]
) -> None:
    names = started(plan.plan(pod, found, Memory(), MOMENT))
    plain = [one.name for one in pod.spec.init_containers if not is_sidecar(one)]

    assert [name for name in names if name in plain] in ([], names[-1:])


@given(pods, containers_found, st.randoms())
def test_the_order_in_which_containers_are_found_does_not_matter(
    pod: Pod, found: list[Container], random: st.DataObject
) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    one, other = (plan.plan(pod, each, Memory(), MOMENT) for each in (found, shuffled))
    assert started(one) == started(other)


@given(pods, containers_found)
def test_sidecars_are_stopped_after_all_others_and_the_last_of_them_first(
    pod: Pod, found: list[Container]
) -> None:
    going = replaced(pod, metadata=replaced(pod.metadata, deletion_timestamp=NOW))
    order = [one.name for one in pod.spec.init_containers if is_sidecar(one)]
    names = {one.id: one.name for one in found}
    for step in plan.plan(going, found, Memory(), MOMENT):
        if isinstance(step, Stop):
            assert not {names[one] for one in step.ids} & set(order)
            places = [order.index(names[one]) for one in step.later]
            assert all(left >= right for left, right in pairwise(places))


def test_init_containers_run_one_by_one_each_after_the_end_of_the_one_before() -> None:
    pod, sandbox = an_initialized_pod(), a_found()

    def next_after(*found: Container) -> list[str]:
        return started(plan.plan(pod, [sandbox, *found], Memory(), MOMENT))

    one, two = a_found("one"), a_found("two")
    assert next_after() == ["one"]
    assert next_after(one) == []
    assert next_after(ended(one)) == ["two"]
    assert next_after(ended(one), two) == []
    assert next_after(ended(one), ended(two)) == ["main"]
    assert next_after(ended(two)) == ["main"]  # the record of the first is gone
    assert next_after(ended(one), ended(two), ended(a_found("main"), 1)) == ["main"]


@pytest.mark.parametrize(("policy", "names"), [("Always", ["one"]), ("OnFailure", ["one"])])
def test_one_that_failed_is_started_again(policy: str, names: list[str]) -> None:
    failed = [a_found(), ended(a_found("one"), 1)]
    memory = Memory(streaks={"one": CrashStreak(0, 3)})
    pod = an_initialized_pod(policy)

    assert started(plan.plan(pod, failed, Memory(), MOMENT)) == names
    assert plan.plan(pod, failed, memory, MOMENT) == [Wait(2.0)]


def test_with_never_one_that_failed_ends_the_pod_and_a_sidecar_with_it() -> None:
    pod = an_initialized_pod("Never", (True, False))
    found = [a_found(), a_found("one"), ended(a_found("two"), 1)]

    assert plan.plan(pod, found, Memory(), MOMENT)[0] == Stop((), 30.0, plan.OVER, later=("one-0",))


def test_a_sidecar_lets_the_next_begin_once_its_startup_probe_has_passed() -> None:
    pod = an_initialized_pod("Always", (True, False))
    sandbox, side = a_found(), a_found("one")
    waits = Memory(health={side.id: Health({Kind.STARTUP: Course(None)})})

    assert started(plan.plan(pod, [sandbox, side], waits, MOMENT)) == []
    assert started(plan.plan(pod, [sandbox, side], Memory(), MOMENT)) == ["two"]


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
def test_a_sidecar_that_ends_is_started_again_whatever_the_pods_policy(policy: str) -> None:
    pod = an_initialized_pod(policy, (True,))
    main = a_found("main")

    for code in (0, 1):
        found = [a_found(), ended(a_found("one"), code), main]
        assert started(plan.plan(pod, found, Memory(), MOMENT)) == ["one"]


@pytest.mark.parametrize(("policy", "code"), [("Never", 0), ("Never", 3), ("OnFailure", 0)])
def test_a_pod_whose_containers_have_ended_is_over_although_a_sidecar_runs(
    policy: str, code: int
) -> None:
    pod = an_initialized_pod(policy, (True, True))
    found = [a_found(), a_found("one"), a_found("two"), ended(a_found("main"), code)]

    first, *_ = plan.plan(pod, found, Memory(), MOMENT)
    assert first == Stop((), 30.0, plan.OVER, later=("two-0", "one-0"))


def test_those_of_an_earlier_sandbox_run_again() -> None:
    pod = an_initialized_pod()
    old = [ended(a_found(name)) for name in ("one", "two", "main")]

    assert started(plan.plan(pod, [a_found(), *old], Memory(), MOMENT)) == ["main"]
    gone = [ended(a_found()), *old]
    assert plan.plan(pod, gone, Memory(), MOMENT)[:2] == [StartSandbox(1), StartContainer("one", 1)]
    again = [a_found(attempt=1), *old, a_found("one", 1, sandbox=1)]
    assert started(plan.plan(pod, again, Memory(), MOMENT)) == []
    assert started(plan.plan(pod, [*again[:-1], ended(again[-1])], Memory(), MOMENT)) == ["two"]


def test_an_image_that_changes_restarts_a_sidecar_and_no_other_init_container() -> None:
    def steps_of(kinds: Sequence[bool]) -> list[plan.Step]:
        pod = an_initialized_pod("Always", kinds)
        changed: Wanted = replaced(pod.spec.init_containers[0], image="cubernetes/web:2")
        pod = replaced(pod, spec=replaced(pod.spec, init_containers=(changed,)))
        return plan.plan(pod, [a_found(), a_found("one")], Memory(), MOMENT)

    assert started(steps_of([True])) == ["one", "main"]
    assert steps_of([False]) == []


def test_a_pod_without_init_containers_is_initialized() -> None:
    assert stage_of(an_initialized_pod(kinds=()), [], Memory()) == Stage(True, ())
