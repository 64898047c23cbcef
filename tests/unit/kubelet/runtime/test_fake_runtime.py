"""The fake's own switches: trouble as it was seen on real engines."""

import asyncio
from dataclasses import replace

import pytest

from cubernetes.host.env import Env
from kubelet.runtime.driver import ContainerSpec, RuntimeDown, RuntimeTrouble, SandboxSpec, State
from kubelet.runtime.fake import Behaviour, FakeMachine, FakeRuntime
from tests.clocks import SteppedClock

POD = SandboxSpec("u1", "web-0", "default", "web-0", "pause:1")
MAIN = ContainerSpec("u1", "web-0", "default", "main", "app:1")


def a_machine(behaviour: Behaviour | None = None) -> FakeMachine:
    behaviours = {"app:1": behaviour or Behaviour()}
    return FakeMachine(Env(clock=SteppedClock()), behaviours, ["pause:1", "app:1"])


async def test_a_lost_reply_leaves_the_deed_done() -> None:
    machine = a_machine()
    driver = FakeRuntime(machine)
    machine.lost_reply_count = 1
    with pytest.raises(RuntimeDown):
        await driver.start_sandbox(POD)

    (found,) = await driver.containers()
    assert found.state is State.RUNNING
    assert (await driver.start_sandbox(POD)).id == found.id


async def test_a_hanging_runtime_costs_its_deadline() -> None:
    machine = a_machine()
    machine.is_hung = True
    with pytest.raises(RuntimeDown):
        await FakeRuntime(machine).containers()
    assert machine.clock.monotonic() == pytest.approx(10.0)


async def test_a_driver_that_dies_in_mid_start_leaves_a_half_made_container() -> None:
    machine = a_machine(Behaviour(start_s=0.05))
    driver = FakeRuntime(machine)
    sandbox = await driver.start_sandbox(POD)
    task = asyncio.create_task(driver.start_container(MAIN, sandbox.id))
    for _ in range(10):
        if len(machine.lives) == 2:
            break
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    half = machine.found("u1", "main", 0)
    assert half is not None
    assert half.container.state is State.CREATED

    again = await FakeRuntime(machine).start_container(MAIN, sandbox.id)
    assert (again.id, again.state) == (half.container.id, State.RUNNING)


async def test_a_reboot_ends_everything_without_a_signal() -> None:
    machine = a_machine()
    driver = FakeRuntime(machine)
    sandbox = await driver.start_sandbox(POD)
    await driver.start_container(MAIN, sandbox.id)
    machine.reboot()

    found = await driver.containers()
    assert {(c.state, c.exit_code, c.signal) for c in found} == {(State.EXITED, 255, 0)}


async def test_a_container_in_a_dead_sandbox_is_not_made() -> None:
    driver = FakeRuntime(a_machine())
    sandbox = await driver.start_sandbox(POD)
    await driver.stop(sandbox.id, 0)
    with pytest.raises(RuntimeTrouble, match="sandbox"):
        await driver.start_container(MAIN, sandbox.id)


async def test_a_pull_brings_the_image_and_takes_its_time() -> None:
    machine = a_machine()
    machine.behaviours["far/away:2"] = Behaviour(pull_s=7.0)
    driver = FakeRuntime(machine)
    assert await driver.image_id("far/away:2") is None
    pulled = await driver.pull("far/away:2")
    assert await driver.image_id("far/away:2") == pulled
    assert machine.clock.monotonic() > 7


async def test_the_same_acts_give_the_same_containers() -> None:
    async def life() -> list[object]:
        machine = a_machine(Behaviour(exits_after_s=3, exit_code=1))
        driver = FakeRuntime(machine)
        sandbox = await driver.start_sandbox(POD)
        for attempt in range(3):
            await driver.start_container(replace(MAIN, attempt=attempt), sandbox.id)
        found = list(await driver.containers())
        machine.close()
        return list[object](found)

    assert await life() == await life()
