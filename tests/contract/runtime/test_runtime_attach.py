"""Programs that clients attach to: what every driver promises; on the fake and on a real Docker."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from kubelet.runtime.driver import AttachSpec, Execution, RuntimeDriver, RuntimeTrouble, State
from tests.contract.runtime.worlds import (
    DockerWorld,
    World,
    a_container,
    a_running,
    a_sandbox,
    ended,
    the,
)

BOTH_WAYS = AttachSpec(stdin=True)
DEADLINE_S = 60.0


@pytest.fixture
async def driver(world: World) -> AsyncIterator[RuntimeDriver]:
    made = world.driver()
    yield made
    await made.close()


async def text_of(one: Execution, wanted: bytes) -> bytes:
    """Return what comes, once all that is wanted is in it."""
    text = b""
    async with asyncio.timeout(DEADLINE_S):
        while wanted not in text:
            output = await one.read()
            assert output is not None, text
            text += output.text
    return text


async def test_what_is_written_to_a_program_it_reads_and_its_words_come_back(
    world: World, driver: RuntimeDriver
) -> None:
    container = await a_running(world, driver, "echoes", has_stdin=True)
    one = await driver.attach(container.id, BOTH_WAYS)
    await one.write(b"one\n")
    assert await text_of(one, b"one\n") == b"one\n"
    await one.end()
    # It goes on, and the next client reaches it as well.
    found = await the(driver, container.id)
    assert found is not None
    assert found.state is State.RUNNING
    again = await driver.attach(container.id, BOTH_WAYS)
    await again.write(b"two\n")
    assert await text_of(again, b"two\n") == b"two\n"
    await again.end()


async def test_the_output_of_a_program_goes_on_when_a_client_has_written_all(
    world: World, driver: RuntimeDriver
) -> None:
    container = await a_running(world, driver, "echoes", has_stdin=True)
    one = await driver.attach(container.id, BOTH_WAYS)
    other = await driver.attach(container.id, BOTH_WAYS)

    await one.finish()
    await other.write(b"later\n")

    assert await text_of(one, b"later\n") == b"later\n"
    await one.end()
    await other.end()


async def test_an_input_that_is_for_one_client_ends_with_it(
    world: World, driver: RuntimeDriver
) -> None:
    container = await a_running(world, driver, "echoes", has_stdin=True, is_stdin_once=True)
    one = await driver.attach(container.id, replace(BOTH_WAYS, is_stdin_once=True))
    await one.write(b"one\n")
    await one.finish()
    assert await text_of(one, b"one\n") == b"one\n"
    async with asyncio.timeout(DEADLINE_S):
        assert await one.read() is None
        assert await one.exit_code() == 0
    await one.end()
    await ended(driver, container.id)


async def test_the_output_ends_with_the_container_however_that_ends(
    world: World, driver: RuntimeDriver
) -> None:
    container = await a_running(world, driver)
    one = await driver.attach(container.id, AttachSpec())
    await driver.stop(container.id, 0)
    async with asyncio.timeout(DEADLINE_S):
        assert await one.read() is None
        assert await one.exit_code() == 0
    await one.end()


async def test_what_does_not_run_cannot_be_attached_to(world: World, driver: RuntimeDriver) -> None:
    with pytest.raises(RuntimeTrouble) as absent:
        await driver.attach("f" * 64, BOTH_WAYS)
    assert absent.value.reason == "ContainerNotFound"
    container = await a_running(world, driver)
    await driver.stop(container.id, 0)
    await ended(driver, container.id)
    with pytest.raises(RuntimeTrouble) as over:
        await driver.attach(container.id, BOTH_WAYS)
    assert over.value.reason == "ContainerNotRunning"


@pytest.mark.docker
@pytest.mark.root
async def test_a_program_at_a_terminal_sees_its_size_and_every_key(docker: DockerWorld) -> None:
    driver = docker.driver()
    sandbox = await driver.start_sandbox(a_sandbox())
    script = "busybox stty raw -echo; exec 3<&0; (while busybox stty size <&3; do sleep 1; done) & "
    script += "cat"
    shell = replace(
        a_container(docker, "echoes"),
        command=("sh", "-c", script),
        has_stdin=True,
        has_terminal=True,
    )
    container = await driver.start_container(shell, sandbox.id)
    one = await driver.attach(container.id, AttachSpec(stdin=True, is_terminal=True))
    try:
        await one.resize(123, 45)
        await text_of(one, b"45 123")
        # The engine's own keys to let go of a session reach the program as others do.
        await one.write(b"\x10\x11.")
        await text_of(one, b"\x10\x11.")
    finally:
        await one.end()
        await driver.close()
