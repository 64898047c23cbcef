"""A terminating pod serves on while it is led to: laws over time, and the kernel's tables."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.condition import Condition
from cubernetes.api.coordination.road import ROUTES_READY, ROUTES_REMOVED
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import replaced
from cubernetes.host.env import Env
from kubelet.drain import draining
from kubelet.drain.connections import in_flight, rows_of
from kubelet.drain.draining import CALM_LOOKS, Draining
from kubelet.drain.look import KernelConnections
from kubelet.eviction.verdict import Eviction
from kubelet.pod.decisions import plan
from kubelet.pod.decisions.memory import Memory
from kubelet.pod.decisions.plan import Finish, Moment, Remove, Step, Stop, StopSandbox, Wait
from kubelet.runtime.driver import SANDBOX, Container, State
from tests.given import NOW, a_condition, a_pod
from tests.unit.kubelet.pod.test_plan import a_found

HEARD_S = 1000.0
SERVED = Draining(limit_s=10.0, is_served=True)
FOUND = (a_found(SANDBOX), a_found())


def an_ending_pod(grace_s: int = 30, *, closed: bool = False) -> Pod:
    pod = a_pod("web-0", node="n1", phase="Running", is_ready=True, deleted_at=NOW)
    meta = replaced(pod.metadata, deletion_grace_period_seconds=grace_s)
    conditions = pod.status.conditions
    conditions += (a_condition(ROUTES_REMOVED),) if closed else ()
    return replaced(pod, metadata=meta, status=replaced(pod.status, conditions=conditions))


def steps_at(
    pod: Pod, spent_s: float, drain: Draining, found: tuple[Container, ...] = FOUND
) -> list[Step]:
    memory = Memory(ending_since_s=HEARD_S, draining=drain)
    return plan.plan(pod, found, memory, Moment(NOW, HEARD_S + spent_s))


@given(
    grace_s=st.integers(0, 60),
    limit_s=st.floats(0, 30),
    spent_s=st.floats(0, 100),
    is_closed=st.booleans(),
    calm_count=st.integers(0, CALM_LOOKS * 2),
)
def test_a_serving_pod_is_not_stopped_before_its_roads_are_closed_or_its_deadline_is_there(
    grace_s: int, limit_s: float, spent_s: float, is_closed: bool, calm_count: int
) -> None:
    pod = an_ending_pod(grace_s, closed=is_closed)

    steps = steps_at(pod, spent_s, Draining(limit_s, True, calm_count))

    deadline_s = min(limit_s, grace_s / 2)
    is_over = HEARD_S + spent_s - HEARD_S >= deadline_s
    may_stop = is_over or (is_closed and calm_count >= CALM_LOOKS)
    assert any(isinstance(step, Stop | StopSandbox | Remove | Finish) for step in steps) == may_stop
    if not may_stop:
        (wait,) = steps
        assert isinstance(wait, Wait)
        # It looks again no later than the deadline, and soon while only callers are waited for.
        assert 0 < wait.span_s <= deadline_s
        assert wait.span_s <= draining.LOOK_S or not is_closed


def test_an_eviction_does_not_wait_until_a_deleted_pod_is_led_to_no_more() -> None:
    memory = Memory(ending_since_s=HEARD_S, draining=SERVED, eviction=Eviction("short of memory"))
    first = plan.plan(an_ending_pod(), FOUND, memory, Moment(NOW, HEARD_S))[0]
    assert isinstance(first, Stop)
    assert first.grace_s == 1.0


@given(spent_s=st.floats(0, 60), calm_count=st.integers(0, 3))
def test_the_wait_is_part_of_the_grace(spent_s: float, calm_count: int) -> None:
    steps = steps_at(an_ending_pod(30), spent_s, replace(SERVED, calm_count=calm_count))

    stops = [step for step in steps if isinstance(step, Stop)]
    assert all(step.grace_s == pytest.approx(max(0.0, 30 - spent_s)) for step in stops)


def test_a_pod_that_no_service_selects_is_stopped_at_once() -> None:
    assert steps_at(an_ending_pod(), 0.0, replace(SERVED, is_served=False))[0] == Stop(
        ("main-0",), 30, "deleted"
    )


def test_a_forced_delete_waits_for_nothing() -> None:
    assert steps_at(an_ending_pod(0), 0.0, SERVED)[0] == Stop(("main-0",), 0, "deleted")


def test_a_short_grace_drains_for_half_of_it() -> None:
    assert steps_at(an_ending_pod(2), 0.0, SERVED) == [Wait(1.0)]
    assert steps_at(an_ending_pod(2), 1.0, SERVED)[0] == Stop(("main-0",), 1.0, "deleted")


def test_a_pod_whose_containers_have_ended_waits_for_nothing() -> None:
    found = (a_found(SANDBOX), a_found(state=State.EXITED))

    assert not any(isinstance(step, Wait) for step in steps_at(an_ending_pod(), 0.0, SERVED, found))


def test_what_is_in_flight_is_looked_at_again_until_it_is_over_twice_in_a_row() -> None:
    pod = an_ending_pod(closed=True)

    assert steps_at(pod, 1.0, SERVED) == [Wait(draining.LOOK_S)]
    assert steps_at(pod, 1.0, replace(SERVED, calm_count=1)) == [Wait(draining.LOOK_S)]
    assert isinstance(steps_at(pod, 1.0, replace(SERVED, calm_count=2))[0], Stop)


def test_w25_the_write_that_says_ready_says_that_no_road_leads_there_yet() -> None:
    """Who waits for a new pod to serve is not told of it before it is led to."""
    begun = a_pod("web-0", node="n1", phase="Pending")

    fresh = draining.routes_condition(begun, is_ready=True, is_served=True)
    assert fresh is not None
    assert (fresh.type, fresh.status) == (ROUTES_READY, "False")
    assert draining.routes_condition(begun, is_ready=True, is_served=False) is None
    assert draining.routes_condition(begun, is_ready=False, is_served=True) is None


def test_a_pod_that_is_not_ready_any_more_has_lost_its_roads() -> None:
    pod = a_pod("web-0", node="n1", phase="Running", is_ready=True)
    led = (*pod.status.conditions, Condition(type=ROUTES_READY, status="True"))
    pod = replaced(pod, status=replaced(pod.status, conditions=led))

    lost = draining.routes_condition(pod, is_ready=False, is_served=True)
    assert lost is not None
    assert (lost.type, lost.status) == (ROUTES_READY, "False")
    assert draining.routes_condition(pod, is_ready=True, is_served=True) is None


HEADING = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"


def a_row(local: str, state: str, unsent: str = "00000000") -> str:
    return f"   0: {local} 0A01F40A:C001 {state} {unsent}:00000000 00:00000000 00000000  0  0 1 1\n"


LISTENS = a_row("00000000:1F90", "0A")


@pytest.mark.parametrize(
    ("row", "count"),
    [
        (a_row("0301F40A:1F90", "01"), 1),  # established
        (a_row("0301F40A:1F90", "03"), 1),  # about to be
        (a_row("0301F40A:1F90", "06"), 0),  # over: TIME_WAIT
        (a_row("0301F40A:1F90", "08"), 0),  # the caller has closed it
        (a_row("0301F40A:1F90", "04", "00000010"), 1),  # closed here, not all of it sent
        (a_row("0301F40A:1F90", "04"), 0),
        (a_row("0301F40A:A001", "01"), 0),  # the pod asks somebody else
        (a_row("0100007F:1F90", "01"), 0),  # the pod asks itself
    ],
)
def test_connections_from_outside_to_what_the_pod_listens_on_are_in_flight(
    row: str, count: int
) -> None:
    assert in_flight([HEADING + LISTENS + row]) == count


def test_the_second_family_counts_too_and_its_loopback_does_not() -> None:
    mapped, listens = "0000000000000000FFFF0000", a_row(f"{'0' * 32}:1F90", "0A")
    outside, inside = a_row(f"{mapped}0301F40A:1F90", "01"), a_row(f"{mapped}0100007F:1F90", "01")
    itself = a_row(f"{'0' * 24}01000000:1F90", "01")

    assert in_flight([HEADING, HEADING + listens + outside + inside + itself]) == 1


def test_in_a_network_that_is_shared_only_declared_ports_are_the_pods() -> None:
    tables = [HEADING + LISTENS + a_row("0301F40A:1F90", "01")]

    assert in_flight(tables, is_shared=True) == 0
    assert in_flight(tables, frozenset({8080}), is_shared=True) == 1


@given(st.text(max_size=200))
def test_a_table_that_is_nonsense_is_passed_over(text: str) -> None:
    assert all(row.port >= 0 for row in rows_of(text)) or text
    assert in_flight([text]) >= 0


async def test_a_kernel_without_the_second_family_has_one_table(tmp_path: Path) -> None:
    folder = tmp_path / "42" / "net"
    folder.mkdir(parents=True)
    (folder / "tcp").write_text(HEADING + LISTENS + a_row("0301F40A:1F90", "01"))
    connections = KernelConnections(Env().blocking, tmp_path)

    assert await connections.count(42, frozenset(), is_shared=False) == 1
    # A sandbox that has ended has nothing in flight.
    assert await connections.count(43, frozenset(), is_shared=False) == 0
