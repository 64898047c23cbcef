"""What answers to probes come to: laws over any run of answers, then Kubernetes' named cases."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.core.podspec.container import Container
from cubernetes.api.core.podspec.probes.actions import TCPSocketAction
from cubernetes.api.core.podspec.probes.probe import Probe
from cubernetes.api.meta import replaced
from kubelet.probes.machine import HEALTHY, Health, Kind, first_due_s, first_health, probes_of
from tests.given import a_container

FIELDS = {
    Kind.STARTUP: "startup_probe",
    Kind.LIVENESS: "liveness_probe",
    Kind.READINESS: "readiness_probe",
}


def a_probe(successes: int = 1, failures: int = 3, delay_s: int = 0) -> Probe:
    return Probe(
        tcp_socket=TCPSocketAction(port=80),
        success_threshold=successes,
        failure_threshold=failures,
        initial_delay_seconds=delay_s,
    )


def a_probed(*kinds: Kind, probe: Probe | None = None) -> Container:
    return replaced(a_container(), **{FIELDS[kind]: probe or a_probe() for kind in kinds})


def after(wanted: Container, answers: Sequence[tuple[Kind, bool]]) -> Health:
    """Return the health after answers; those to probes that are not asked then never come."""
    health = first_health(wanted)
    for kind, is_success in answers:
        if kind in set(health.asked(is_ending=False)):
            health = health.answered(kind, probes_of(wanted)[kind], is_success=is_success)
    return health


probes = st.builds(a_probe, st.just(1), st.integers(1, 4))
containers = st.builds(
    lambda kinds, probe: a_probed(*kinds, probe=probe), st.sets(st.sampled_from(Kind)), probes
)
runs = st.lists(st.tuples(st.sampled_from(Kind), st.booleans()), max_size=40)


@given(containers, runs)
def test_nothing_but_startup_is_asked_before_it_passes_and_startup_never_after(
    wanted: Container, answers: list[tuple[Kind, bool]]
) -> None:
    health = after(wanted, answers)
    asked = set(health.asked(is_ending=False))

    assert (Kind.STARTUP in asked) <= (not health.is_started)
    assert health.is_started or asked <= {Kind.STARTUP}


@given(containers, runs)
def test_a_container_is_ready_only_once_it_has_started(
    wanted: Container, answers: list[tuple[Kind, bool]]
) -> None:
    health = after(wanted, answers)

    assert health.is_started or not health.is_ready


@given(containers, runs, runs)
def test_what_has_failed_stays_failed_and_is_not_asked_again(
    wanted: Container, answers: list[tuple[Kind, bool]], more: list[tuple[Kind, bool]]
) -> None:
    health = after(wanted, answers)
    if health.failed is not None:
        assert health.failed not in set(health.asked(is_ending=False))
        assert after(wanted, [*answers, *more]).failed is health.failed


@given(st.integers(1, 5), st.integers(1, 5), st.lists(st.booleans(), max_size=30))
def test_a_verdict_is_that_of_the_last_run_which_was_long_enough(
    successes: int, failures: int, answers: list[bool]
) -> None:
    wanted = a_probed(Kind.READINESS, probe=a_probe(successes, failures))
    health = after(wanted, [(Kind.READINESS, one) for one in answers])

    expected, run = False, 0
    for index, one in enumerate(answers):
        run = run + 1 if index and answers[index - 1] == one else 1
        if run >= (successes if one else failures):
            expected = one
    assert health.is_ready is expected


@given(containers, runs)
def test_of_a_pod_that_ends_only_readiness_is_asked(
    wanted: Container, answers: list[tuple[Kind, bool]]
) -> None:
    asked = set(after(wanted, answers).asked(is_ending=True))

    assert asked == {Kind.READINESS} & set(probes_of(wanted))


def test_a_container_without_probes_is_started_and_ready() -> None:
    assert (HEALTHY.is_started, HEALTHY.is_ready, HEALTHY.failed) == (True, True, None)


@pytest.mark.parametrize(
    ("kind", "is_started", "is_ready"),
    [
        (Kind.STARTUP, False, False),
        (Kind.LIVENESS, True, True),
        (Kind.READINESS, True, False),
    ],
)
def test_before_the_first_answer_it_is_as_in_kubernetes(
    kind: Kind, is_started: bool, is_ready: bool
) -> None:
    health = first_health(a_probed(kind))

    assert (health.is_started, health.is_ready, health.failed) == (is_started, is_ready, None)


@pytest.mark.parametrize("kind", [Kind.STARTUP, Kind.LIVENESS])
def test_the_third_failure_in_a_row_ends_a_container_and_two_do_not(kind: Kind) -> None:
    wanted = a_probed(kind)

    assert after(wanted, [(kind, False)] * 2).failed is None
    assert after(wanted, [(kind, False)] * 3).failed is kind


def test_a_success_between_begins_the_count_again() -> None:
    wanted = a_probed(Kind.LIVENESS)
    failures = [(Kind.LIVENESS, False)] * 2

    assert after(wanted, [*failures, (Kind.LIVENESS, True), *failures]).failed is None


def test_a_failing_liveness_does_not_keep_readiness_from_being_asked() -> None:
    wanted = a_probed(Kind.LIVENESS, Kind.READINESS)
    health = after(wanted, [(Kind.LIVENESS, False)] * 3)

    assert set(health.asked(is_ending=False)) == {Kind.READINESS}


def test_what_an_earlier_life_found_holds_until_answers_say_otherwise() -> None:
    wanted = a_probed(Kind.STARTUP, Kind.READINESS)
    health = first_health(wanted, was_started=True, was_ready=True)

    assert health.is_ready
    for _ in range(3):
        health = health.answered(Kind.READINESS, a_probe(), is_success=False)
    assert health.is_started
    assert not health.is_ready


def test_the_delay_counts_from_the_start_of_the_container() -> None:
    assert first_due_s(a_probe(delay_s=10), 4.0, 0.0) == 6.0
    assert first_due_s(a_probe(delay_s=10), 60.0, 2.5) == 2.5
