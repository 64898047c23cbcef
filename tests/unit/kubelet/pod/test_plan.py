"""What the kubelet does with a pod's containers: laws over whole lives, then the named cases."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import replaced
from kubelet.eviction.verdict import Eviction
from kubelet.pod.decisions import memory, plan
from kubelet.pod.decisions.memory import CrashStreak, Memory, StartFailure, latest, owed_after
from kubelet.pod.decisions.plan import (
    Finish,
    Moment,
    Remove,
    StartContainer,
    StartSandbox,
    Stop,
    StopSandbox,
    Wait,
)
from kubelet.pod.decisions.status import status_for
from kubelet.runtime.driver import SANDBOX, Container, State
from tests.given import NOW, a_container, a_pod

ROUND_MAX = 6
MOMENT = Moment(NOW, 1000.0)


def a_living_pod(policy: str = "Always", names: Sequence[str] = ("main",)) -> Pod:
    pod = a_pod("web-0", node="n1")
    containers = tuple(a_container(name) for name in names)
    return replaced(pod, spec=replaced(pod.spec, containers=containers, restart_policy=policy))


def a_found(
    name: str = "main", attempt: int = 0, state: State = State.RUNNING, exit_code: int = 0
) -> Container:
    ended = NOW - timedelta(seconds=5) if state is State.EXITED else None
    begun = None if state is State.CREATED else NOW - timedelta(seconds=10)
    mark = "" if name == SANDBOX else plan.spec_hash(a_container(name))
    return Container(
        id=f"{name}-{attempt}",
        pod_uid="uid-web-0",
        pod_name="web-0",
        namespace="default",
        name=name,
        attempt=attempt,
        state=state,
        image="cubernetes/web:1",
        image_id="sha256:1",
        spec_hash=mark,
        started_at=begun,
        finished_at=ended,
        exit_code=exit_code,
    )


def carried_out(steps: Sequence[plan.Step], found: Mapping[str, Container]) -> dict[str, Container]:
    """Return what stands after the steps, on a node where everything succeeds."""
    world = dict(found)
    for step in steps:
        match step:
            case StartSandbox(attempt):
                world[f"{SANDBOX}-{attempt}"] = a_found(SANDBOX, attempt)
            case StartContainer(name, attempt):
                world[f"{name}-{attempt}"] = a_found(name, attempt)
            case Stop(ids, _, _):
                for one in ids:
                    world[one] = ended(world[one], 143)
            case StopSandbox(one):
                world[one] = ended(world[one], 137)
            case Remove(one):
                world.pop(one)
            case _:
                pass
    return world


def ended(one: Container, code: int) -> Container:
    return replace(one, state=State.EXITED, exit_code=code, finished_at=NOW)


def acts(steps: Sequence[plan.Step]) -> list[plan.Step]:
    return [step for step in steps if not isinstance(step, Wait)]


containers_found = st.lists(
    st.builds(
        a_found,
        name=st.sampled_from([SANDBOX, "main", "side"]),
        attempt=st.integers(0, 4),
        state=st.sampled_from(State),
        exit_code=st.integers(0, 2),
    ),
    max_size=8,
    unique_by=lambda one: one.id,
)
pods = st.builds(
    a_living_pod,
    policy=st.sampled_from(["Always", "OnFailure", "Never"]),
    names=st.sampled_from([("main",), ("main", "side")]),
)


@given(pods, containers_found)
def test_every_plan_carried_out_again_and_again_comes_to_rest(
    pod: Pod, found: list[Container]
) -> None:
    world = {one.id: one for one in found}
    for _ in range(ROUND_MAX):
        world = carried_out(plan.plan(pod, list(world.values()), Memory(), MOMENT), world)

    assert acts(plan.plan(pod, list(world.values()), Memory(), MOMENT)) == []


@given(pods, containers_found)
def test_at_rest_the_pod_runs_whole_or_is_over(pod: Pod, found: list[Container]) -> None:
    world = {one.id: one for one in found}
    for _ in range(ROUND_MAX):
        world = carried_out(plan.plan(pod, list(world.values()), Memory(), MOMENT), world)

    standing = list(world.values())
    running = {one.name for one in standing if one.state is State.RUNNING}
    if plan.is_over(pod, standing, Memory()):
        assert running == set()
    else:
        for wanted in pod.spec.containers:
            newest = latest(standing, wanted.name)
            assert newest is not None
            done = newest.state is State.EXITED and pod.spec.restart_policy != "Always"
            assert newest.state is State.RUNNING or done
        assert SANDBOX in running


@settings(max_examples=50)
@given(pods, containers_found, st.integers(0, 5))
def test_a_plan_cut_anywhere_ends_where_the_whole_one_does(
    pod: Pod, found: list[Container], cut: int
) -> None:
    world = {one.id: one for one in found}
    first = plan.plan(pod, found, Memory(), MOMENT)
    world = carried_out(first[:cut], world)
    for _ in range(ROUND_MAX):
        world = carried_out(plan.plan(pod, list(world.values()), Memory(), MOMENT), world)

    assert acts(plan.plan(pod, list(world.values()), Memory(), MOMENT)) == []


@given(pods, containers_found, st.randoms())
def test_the_order_in_which_containers_are_found_does_not_matter(
    pod: Pod, found: list[Container], random: st.DataObject
) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    one = plan.plan(pod, found, Memory(), MOMENT)
    other = plan.plan(pod, shuffled, Memory(), MOMENT)
    assert sorted(map(repr, one)) == sorted(map(repr, other)) or _differ_by_stop_order(one, other)


def _differ_by_stop_order(one: Sequence[plan.Step], other: Sequence[plan.Step]) -> bool:
    def plain(steps: Sequence[plan.Step]) -> list[str]:
        return sorted(
            repr(replace(step, ids=tuple(sorted(step.ids))))
            if isinstance(step, Stop)
            else repr(step)
            for step in steps
        )

    return plain(one) == plain(other)


@given(pods, containers_found)
def test_no_running_container_is_touched_while_its_sandbox_runs(
    pod: Pod, found: list[Container]
) -> None:
    """W23: a kubelet that starts again must not restart what runs as it should."""
    steps = plan.plan(pod, found, Memory(), MOMENT)
    sandbox = plan.running_sandbox(found)
    if sandbox is None or plan.is_over(pod, found, Memory()):
        return
    newest = {wanted.name: latest(found, wanted.name) for wanted in pod.spec.containers}
    kept = {one.id for one in newest.values() if one and one.state is State.RUNNING}
    touched = {one for step in steps if isinstance(step, Stop) for one in step.ids}
    assert not kept & touched
    assert sandbox.id not in {step.id for step in steps if isinstance(step, StopSandbox)}


@given(pods, containers_found, st.integers(-30, 30))
def test_a_pod_past_its_deadline_is_ended_and_one_before_it_wakes_in_time(
    pod: Pod, found: list[Container], left_s: int
) -> None:
    pod = replaced(
        pod,
        spec=replaced(pod.spec, active_deadline_seconds=3600),
        status=replaced(pod.status, start_time=NOW - timedelta(seconds=3600 - left_s)),
    )
    steps = plan.plan(pod, found, Memory(), MOMENT)
    is_cleaning = any(isinstance(step, Stop) and step.why == "superseded" for step in steps)
    if left_s <= 0:
        assert not any(isinstance(step, StartSandbox | StartContainer) for step in steps)
    elif not plan.is_over(pod, found, Memory()) and not is_cleaning:
        assert min(step.span_s for step in steps if isinstance(step, Wait)) <= left_s


def test_a_new_pod_gets_its_sandbox_before_its_containers() -> None:
    steps = plan.plan(a_living_pod(names=("main", "side")), [], Memory(), MOMENT)

    assert steps == [StartSandbox(0), StartContainer("main", 0), StartContainer("side", 0)]


def test_w4_a_dead_sandbox_takes_its_containers_with_it_and_all_is_made_again() -> None:
    found = [a_found(SANDBOX, 0, State.EXITED), a_found("main", 0)]

    first = plan.plan(a_living_pod(), found, Memory(), MOMENT)
    assert first == [Stop(("main-0",), 30.0, "sandbox is gone")]

    found[1] = ended(found[1], 143)
    assert plan.plan(a_living_pod(), found, Memory(), MOMENT) == [
        StartSandbox(1),
        StartContainer("main", 1),
        Remove(f"{SANDBOX}-0"),
    ]


def test_a_pod_whose_sandbox_ended_with_it_gives_its_address_and_ports_back() -> None:
    ended = [a_found(SANDBOX, state=State.EXITED), a_found(state=State.EXITED, exit_code=137)]
    over = [StopSandbox(f"{SANDBOX}-0"), Remove(f"{SANDBOX}-0")]
    assert plan.plan(a_living_pod("Never"), ended, Memory(), MOMENT) == over


def test_w20_an_ended_container_is_seen_and_restarted_only_where_its_policy_says_so() -> None:
    found = [a_found(SANDBOX), a_found("main", 0, State.EXITED, exit_code=0)]

    assert plan.plan(a_living_pod("Always"), found, Memory(), MOMENT) == [StartContainer("main", 1)]
    over = [StopSandbox(f"{SANDBOX}-0"), Remove(f"{SANDBOX}-0")]
    assert plan.plan(a_living_pod("OnFailure"), found, Memory(), MOMENT) == over
    assert plan.plan(a_living_pod("Never"), found, Memory(), MOMENT) == over

    failed = [a_found(SANDBOX), a_found("main", 0, State.EXITED, exit_code=3)]
    restarted = plan.plan(a_living_pod("OnFailure"), failed, Memory(), MOMENT)
    assert restarted == [StartContainer("main", 1)]


def test_w22_a_container_that_keeps_failing_waits_longer_each_time_up_to_a_minute() -> None:
    pod = a_living_pod()
    pauses = []
    for count in range(1, 10):
        failed = ended(a_found("main", count), 1)
        memory = Memory(streaks={"main": CrashStreak(count, count)})
        at = plan.restart_at(pod, failed, memory, NOW)
        assert at is not None
        pauses.append((at - NOW).total_seconds())

    assert pauses == [0, 1, 2, 4, 8, 16, 32, 60, 60]


def test_a_clock_that_is_set_back_does_not_keep_a_container_from_starting() -> None:
    failed = replace(a_found("main", 3, State.EXITED, 1), finished_at=NOW + timedelta(hours=1))
    memory = Memory(streaks={"main": CrashStreak(3, 4)})

    assert plan.plan(a_living_pod(), [a_found(SANDBOX), failed], memory, MOMENT) == [
        StartContainer("main", 4)
    ]


def test_ten_minutes_of_health_end_a_streak() -> None:
    before = {"main": CrashStreak(6, 7)}
    failed = a_found("main", 7, State.EXITED, exit_code=1)
    assert memory.streaks_after([failed], before) == {"main": CrashStreak(7, 8)}

    long_ago = NOW - timedelta(seconds=700)
    healthy = replace(failed, started_at=long_ago)
    assert memory.streaks_after([healthy], before) == {"main": CrashStreak(7, 1)}


def test_one_end_is_counted_once_however_often_it_is_seen() -> None:
    failed = a_found("main", 2, State.EXITED, exit_code=1)
    once = memory.streaks_after([failed], {"main": CrashStreak(1, 2)})

    assert memory.streaks_after([failed], once) == once == {"main": CrashStreak(2, 3)}


def test_a_kubelet_that_has_just_started_still_backs_off_from_a_container_that_failed_often() -> (
    None
):
    failed = a_found("main", 5, State.EXITED, exit_code=1)

    assert memory.streaks_after([failed], {}) == {"main": CrashStreak(5, 6)}


def test_a_part_in_trouble_waits_and_does_not_keep_its_sibling_from_starting() -> None:
    memory = Memory(troubles={"main": StartFailure("ErrImagePull", "no such image", 2, 1009.0)})

    steps = plan.plan(a_living_pod(names=("main", "side")), [a_found(SANDBOX)], memory, MOMENT)
    assert steps == [StartContainer("side", 0), Wait(9.0)]


@pytest.mark.parametrize("set_by", [timedelta(hours=-1), timedelta(0), timedelta(hours=1)])
@pytest.mark.parametrize("part", ["main", SANDBOX])
def test_a_wall_clock_that_is_set_changes_no_pause(part: str, set_by: timedelta) -> None:
    memory = Memory(troubles={part: StartFailure("ErrImagePull", "no such image", 2, 1009.0)})
    found = [a_found(SANDBOX)] if part == "main" else []

    steps = plan.plan(a_living_pod(), found, memory, Moment(NOW + set_by, 1000.0))
    assert steps == [Wait(9.0)]

    later = plan.plan(a_living_pod(), found, memory, Moment(NOW + set_by, 1009.0))
    assert StartContainer("main", 0) in later


def a_deleted_pod(grace_s: int | None = 30, *, ahead_s: float = 0.0) -> Pod:
    """Return a pod that was deleted just now, by a server whose clock is ahead of this node's."""
    pod = a_living_pod()
    at = NOW + timedelta(seconds=ahead_s + (grace_s or 0))
    meta = replaced(
        pod.metadata, deletion_timestamp=at, deletion_grace_period_seconds=grace_s, uid="uid-web-0"
    )
    return replaced(pod, metadata=meta)


@pytest.mark.parametrize("ahead_s", [-3600.0, -100.0, 0.0, 100.0, 3600.0])
def test_a_deleted_pod_is_stopped_with_what_is_left_of_its_grace(ahead_s: float) -> None:
    """By this node's clock, from when it heard: what the server's clock says does not matter."""
    found = [a_found(SANDBOX), a_found("main")]
    memory = Memory(ending_since_s=982.0)

    steps = plan.plan(a_deleted_pod(30, ahead_s=ahead_s), found, memory, MOMENT)
    assert steps == [
        Stop(("main-0",), 12.0, "deleted"),
        StopSandbox(f"{SANDBOX}-0"),
        Remove("main-0"),
        Remove(f"{SANDBOX}-0"),
        Finish(),
    ]


@pytest.mark.parametrize(("evicted_s", "stop_s"), [(1.0, 1.0), (12.0, 12.0), (60.0, 12.0)])
def test_a_deleted_pod_that_is_evicted_has_no_more_grace_than_either(
    evicted_s: float, stop_s: float
) -> None:
    eviction = Eviction("short of memory", evicted_s)
    memory = Memory(ending_since_s=982.0, eviction=eviction)
    steps = plan.plan(a_deleted_pod(30), [a_found(SANDBOX), a_found("main")], memory, MOMENT)
    assert steps[0] == Stop(("main-0",), stop_s, "deleted")


@pytest.mark.parametrize(
    ("grace_s", "since_s", "left_s"),
    [(30, None, 30.0), (30, 1000.0, 30.0), (5, 990.0, 0.0), (0, 1000.0, 0.0), (None, 990.0, 20.0)],
)
def test_grace_runs_from_when_this_node_heard(
    grace_s: int | None, since_s: float | None, left_s: float
) -> None:
    assert plan.grace_left_s(a_deleted_pod(grace_s), since_s, MOMENT.at_s) == left_s


def test_what_nobody_wants_leaves_nothing() -> None:
    assert plan.teardown(None, [], 0.0, "not wanted") == [Finish()]


def test_w54_a_changed_image_replaces_the_container_and_nothing_else() -> None:
    pod = a_living_pod(names=("main", "side"))
    main, side = pod.spec.containers
    spec = replaced(pod.spec, containers=(replaced(main, image="cubernetes/web:2"), side))
    found = [a_found(SANDBOX), a_found("main"), a_found("side")]

    steps = plan.plan(replaced(pod, spec=spec), found, Memory(), MOMENT)
    stop = Stop(("main-0",), 30.0, "its image changed", is_anew=True)
    assert steps == [stop, StartContainer("main", 1)]


def test_the_last_end_is_kept_and_older_ones_are_removed() -> None:
    found = [a_found(SANDBOX), *(a_found("main", n, State.EXITED) for n in range(3))]
    found.append(a_found("main", 3))

    assert plan.plan(a_living_pod(), found, Memory(), MOMENT) == [
        Remove("main-0"),
        Remove("main-1"),
    ]


def test_a_container_that_waits_for_its_image_is_left_alone_and_its_sibling_is_started() -> None:
    found = [a_found(SANDBOX, 0, State.RUNNING)]
    pulling = Memory(pulling={"main": "50%"})
    steps = plan.plan(a_living_pod(names=("main", "side")), found, pulling, MOMENT)
    assert steps == [StartContainer("side", 0)]
    assert plan.plan(a_living_pod(), found, pulling, MOMENT) == []


@pytest.mark.parametrize("policy", ["OnFailure", "Never"])
def test_a_container_that_was_ended_to_be_started_anew_is_owed_another(policy: str) -> None:
    pod = a_living_pod(policy)
    found = [a_found(SANDBOX), ended(a_found("main"), 0)]
    assert plan.is_over(pod, found, Memory())

    owed = Memory(owed=frozenset({"main-0"}))
    assert not plan.is_over(pod, found, owed)
    assert plan.plan(pod, found, owed, MOMENT) == [StartContainer("main", 1)]
    assert plan.plan(pod, found, replace(owed, pulling={"main": "50%"}), MOMENT) == []
    # The one that followed ends by itself.
    assert plan.is_over(pod, [*found, ended(a_found("main", 1), 0)], owed)


@pytest.mark.parametrize("code", [0, 143])
def test_an_init_container_that_is_owed_another_has_neither_failed_nor_done_its_part(
    code: int,
) -> None:
    pod = a_living_pod("Never")
    pod = replaced(pod, spec=replaced(pod.spec, init_containers=(a_container("first"),)))
    found = [a_found(SANDBOX), ended(a_found("first"), code)]
    owed = Memory(owed=frozenset({"first-0"}))
    assert plan.plan(pod, found, owed, MOMENT) == [StartContainer("first", 1)]


def test_a_later_kubelet_learns_from_the_record_what_is_owed() -> None:
    pod, one = a_living_pod("Never"), ended(a_found("main"), 0)
    found, owed = [a_found(SANDBOX), one], Memory(owed=frozenset({one.id}))
    told = status_for(pod, found, owed, "", "", NOW)
    assert told.phase == "Running"
    record = replaced(pod, status=told)
    assert owed_after(record, found, frozenset()) == owed.owed
    assert owed_after(record, [a_found(SANDBOX)], owed.owed) == frozenset()
    assert owed_after(pod, found, frozenset()) == frozenset()


def test_one_that_waits_after_a_crash_is_not_owed_another_at_once() -> None:
    pod, one = a_living_pod("Always"), ended(a_found("main", 3), 1)
    crashed = Memory(streaks={"main": CrashStreak(3, 4)})
    told = status_for(pod, [one], crashed, "", "", NOW)
    assert owed_after(replaced(pod, status=told), [one], frozenset()) == frozenset()
