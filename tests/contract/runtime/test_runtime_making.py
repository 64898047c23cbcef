"""What is made beside what starts: nothing of it runs early, and who comes later finds it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from kubelet.runtime.driver import SANDBOX, PartlySilent, RuntimeDriver, RuntimeTrouble, State
from tests.contract.runtime.worlds import World, a_container, a_running, a_sandbox, the, until


@pytest.fixture
async def driver(world: World) -> AsyncIterator[RuntimeDriver]:
    made = world.driver()
    yield made
    await made.close()


async def test_a_sandbox_is_not_started_before_what_its_maker_waits_for(
    world: World, driver: RuntimeDriver
) -> None:
    seen: list[str] = []

    async def passes(container_id: str) -> None:
        (made,) = await driver.containers()
        assert made.state is State.CREATED
        seen.append(container_id)

    async def fails(container_id: str) -> None:
        await passes(container_id)
        raise ValueError("not yet")

    with pytest.raises(ValueError, match="not yet"):
        await driver.start_sandbox(a_sandbox(), fails)
    (left,) = await driver.containers()
    assert left.state is State.CREATED
    made = await driver.start_sandbox(a_sandbox(), passes)
    assert seen == [made.id] * 2
    assert made.state is State.RUNNING


async def test_a_container_is_made_while_its_sandbox_does_not_run_yet(
    world: World, driver: RuntimeDriver
) -> None:
    spec, made_ids = a_container(world, "forever"), list[str]()

    async def makes(sandbox_id: str) -> None:
        made_ids.append(await driver.make_container(spec, sandbox_id))
        made_ids.append(await driver.make_container(spec, sandbox_id))

    sandbox = await driver.start_sandbox(a_sandbox(), makes)
    assert made_ids[0] == made_ids[1]
    made = await the(driver, made_ids[0])
    assert made is not None
    assert (made.state, made.sandbox_id) == (State.CREATED, sandbox.id)

    started = await driver.start_container(spec, sandbox.id, made_ids[0])
    assert (started.id, started.state) == (made.id, State.RUNNING)
    assert len(await driver.containers()) == 2


async def test_a_container_that_was_made_is_found_by_a_driver_that_did_not_make_it(
    world: World, driver: RuntimeDriver
) -> None:
    spec = a_container(world, "forever")
    sandbox = await driver.start_sandbox(a_sandbox())
    made_id = await driver.make_container(spec, sandbox.id)
    other = world.driver()
    try:
        assert (await other.start_container(spec, sandbox.id)).id == made_id
    finally:
        await other.close()


async def test_a_container_that_was_made_for_an_ended_sandbox_is_made_anew(
    world: World, driver: RuntimeDriver
) -> None:
    spec = a_container(world, "forever")
    first = await driver.start_sandbox(a_sandbox())
    made_id = await driver.make_container(spec, first.id)
    await driver.stop(first.id, 0)
    await driver.remove(first.id)
    second = await driver.start_sandbox(a_sandbox())
    started = await driver.start_container(spec, second.id)
    assert started.id != made_id
    assert started.sandbox_id == second.id
    assert await the(driver, made_id) is None


async def test_a_made_container_that_somebody_removed_is_told_and_made_by_the_next_try(
    world: World, driver: RuntimeDriver
) -> None:
    spec = a_container(world, "forever")
    sandbox = await driver.start_sandbox(a_sandbox())
    made_id = await driver.make_container(spec, sandbox.id)
    await driver.remove(made_id)
    with pytest.raises(RuntimeTrouble) as told:
        await driver.start_container(spec, sandbox.id, made_id)
    assert told.value.reason == "RunContainerError"
    assert (await driver.start_container(spec, sandbox.id)).state is State.RUNNING


async def test_a_container_that_the_runtime_is_silent_on_hides_no_other_pods(
    world: World, driver: RuntimeDriver
) -> None:
    main, other = await a_running(world, driver), await driver.start_sandbox(a_sandbox("other"))
    later = world.driver()
    try:
        async with world.silent_on(main), asyncio.timeout(8):
            for _ in range(2):  # the second list waits for nothing
                with pytest.raises(PartlySilent) as raised:
                    await later.containers()
                assert [*raised.value.why] == [main.pod_uid]
                found = {(one.pod_uid, one.name): one for one in raised.value.found}
                assert found.keys() == {(main.pod_uid, SANDBOX), ("other", SANDBOX)}
                assert found["other", SANDBOX] == other

        async def is_told() -> bool | None:
            try:
                return (await the(later, main.id) == main) or None
            except PartlySilent:  # what was asked meanwhile has not come back yet
                return None

        assert await until(is_told)
    finally:
        await later.close()
