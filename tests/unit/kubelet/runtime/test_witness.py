"""What the engine calls running, checked against a /proc of our own making."""

from pathlib import Path

import pytest

from kubelet.runtime.driver import Container, State
from kubelet.runtime.found.witness import CONFIRM_S, Witness
from tests.clocks import START, SteppedClock
from tests.simulation.clock import AtOnce

ID = "5d" * 32


def a_process(proc: Path, pid: int, *, ticks: int = 500, group: str = f"/pods/{ID}") -> None:
    folder = proc / str(pid)
    folder.mkdir(exist_ok=True)
    tail = f"1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {ticks} 0"
    (folder / "stat").write_text(f"{pid} (sh) S {tail}")
    (folder / "cgroup").write_text(f"0::{group}\n")


def a_container(pid: int = 7, state: State = State.RUNNING) -> Container:
    return Container(ID, "u", "web", "default", "main", 0, state, "app:1", "sha256:1", pid=pid)


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def witness(clock: SteppedClock, tmp_path: Path) -> Witness:
    return Witness(clock, AtOnce(), tmp_path)


async def misses(witness: Witness, container: Container) -> bool:
    return witness.misses(container, await witness.look([container]))


async def verdict(witness: Witness, container: Container) -> Container:
    return witness.verdict(container, await witness.look([container]))


async def test_a_process_that_is_there_is_believed(witness: Witness, tmp_path: Path) -> None:
    a_process(tmp_path, 7)
    assert (await verdict(witness, a_container())) == a_container()


async def test_one_that_is_missing_gets_time_to_be_explained_and_is_then_dead(
    witness: Witness, clock: SteppedClock
) -> None:
    assert (await verdict(witness, a_container())).state is State.RUNNING
    clock.passed_s += CONFIRM_S
    found = await verdict(witness, a_container())
    assert (found.state, found.exit_code, found.signal, found.pid) == (State.EXITED, 137, 9, 0)
    assert found.finished_at == START


@pytest.mark.parametrize("change", ["other group", "other start"])
async def test_a_pid_that_went_to_another_is_no_proof_of_life(
    witness: Witness, clock: SteppedClock, tmp_path: Path, change: str
) -> None:
    a_process(tmp_path, 7)
    assert not await misses(witness, a_container())
    if change == "other group":
        a_process(tmp_path, 7, group="/other")
    else:
        a_process(tmp_path, 7, ticks=501)
    assert await misses(witness, a_container())


async def test_a_container_that_was_started_again_is_another_process(
    witness: Witness, tmp_path: Path
) -> None:
    a_process(tmp_path, 7)
    a_process(tmp_path, 8, ticks=900)
    assert not await misses(witness, a_container(7))
    assert not await misses(witness, a_container(8))


async def test_one_that_comes_back_was_never_gone(
    witness: Witness, clock: SteppedClock, tmp_path: Path
) -> None:
    assert await misses(witness, a_container())
    a_process(tmp_path, 7)
    clock.passed_s += 10
    assert (await verdict(witness, a_container())).state is State.RUNNING


async def test_what_has_ended_needs_no_witness(witness: Witness) -> None:
    assert not await misses(witness, a_container(state=State.EXITED))


async def test_where_the_kernel_does_not_tell_the_engine_is_believed(
    clock: SteppedClock, tmp_path: Path
) -> None:
    blocking = AtOnce()
    witness = Witness(clock, blocking, tmp_path)
    blocking.hanging.add(("proc", "witness"))
    clock.passed_s += CONFIRM_S
    assert await verdict(witness, a_container()) == a_container()
    assert not await misses(witness, a_container())
