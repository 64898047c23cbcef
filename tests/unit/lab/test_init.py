"""PID 1's rules: who comes back, how soon, and who has done its work."""

import pytest

from cubernetes.host.clock import SystemClock
from lab.host.init import HEALTHY_S, Init, Service


class HandClock(SystemClock):
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def init(clock: HandClock) -> Init:
    return Init("/bin", clock)


def pauses(init: Init, clock: HandClock, service: Service, codes: list[int]) -> list[float]:
    """Let service end at once with each code; return how long it then rests."""
    found = []
    for code in codes:
        service.started_at = clock.seconds
        init.ended(service, code)
        found.append(service.due_at - clock.seconds)
        clock.seconds = service.due_at
    return found


def test_docker_comes_back_whatever_it_said(init: Init, clock: HandClock) -> None:
    assert pauses(init, clock, init.docker, [0, 1, -9]) == pytest.approx([0.1, 0.2, 0.4])
    assert not init.docker.is_done


def test_a_boot_program_that_ended_well_has_done_its_work(init: Init) -> None:
    init.boot.is_done = False

    init.ended(init.boot, 0)

    assert init.boot.is_done


def test_a_boot_program_that_failed_comes_back(init: Init, clock: HandClock) -> None:
    init.boot.is_done = False

    assert pauses(init, clock, init.boot, [3]) == pytest.approx([0.1])
    assert not init.boot.is_done


def test_a_long_healthy_life_forgives_earlier_failures(init: Init, clock: HandClock) -> None:
    pauses(init, clock, init.docker, [1, 1, 1, 1])
    init.docker.started_at = clock.seconds
    clock.seconds += HEALTHY_S

    init.ended(init.docker, 1)

    assert init.docker.due_at - clock.seconds == pytest.approx(0.1)
