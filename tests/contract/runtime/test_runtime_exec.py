"""Commands in containers: what every runtime driver promises; on the fake and on a real Docker."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kubelet.runtime.docker_exec import note_of
from kubelet.runtime.driver import (
    Container,
    ExecSpec,
    Execution,
    Output,
    RuntimeDown,
    RuntimeDriver,
    RuntimeTrouble,
)
from tests.contract.runtime.worlds import (
    CAT,
    CLING,
    EXIT_3,
    LAST,
    SLEEP,
    SPEAK,
    DockerWorld,
    World,
    a_running,
    ended,
    until,
)


@pytest.fixture
async def driver(world: World) -> AsyncIterator[RuntimeDriver]:
    made = world.driver()
    yield made
    await made.close()


@pytest.fixture
async def container(world: World, driver: RuntimeDriver) -> Container:
    return await a_running(world, driver)


async def all_output(execution: Execution) -> tuple[bytes, bytes]:
    """Return what comes on stdout and on stderr, to their end."""
    told: list[Output] = []
    async with asyncio.timeout(60):
        while (output := await execution.read()) is not None:
            told.append(output)
    out, err = (b"".join(o.text for o in told if o.is_stderr is kind) for kind in (False, True))
    return out, err


async def test_what_a_command_writes_comes_on_its_own_stream(
    driver: RuntimeDriver, container: Container
) -> None:
    one = await driver.exec(container.id, ExecSpec(SPEAK))
    assert await all_output(one) == (b"out\n", b"err\n")
    assert await one.read() is None
    assert await one.exit_code() == 0
    await one.end()


async def test_a_stream_that_nobody_asked_for_is_dropped(
    driver: RuntimeDriver, container: Container
) -> None:
    one = await driver.exec(container.id, ExecSpec(SPEAK, stderr=False))
    assert await all_output(one) == (b"out\n", b"")
    await one.end()


async def test_an_exit_code_is_told(driver: RuntimeDriver, container: Container) -> None:
    one = await driver.exec(container.id, ExecSpec(EXIT_3))
    assert await all_output(one) == (b"", b"")
    assert await one.exit_code() == 3
    await one.end()


async def test_a_command_that_is_not_there_ends_with_127_and_says_so(
    driver: RuntimeDriver, container: Container
) -> None:
    one = await driver.exec(container.id, ExecSpec(("no-such-command",)))
    out, err = await all_output(one)
    assert b"no-such-command" in out + err
    assert await one.exit_code() == 127
    await one.end()


async def test_the_end_of_stdin_reaches_the_command_and_its_output_still_comes(
    driver: RuntimeDriver, container: Container
) -> None:
    one = await driver.exec(container.id, ExecSpec(CAT, stdin=True))
    await one.write(b"one\n")
    await one.write(b"two\n")
    await one.finish()
    assert await all_output(one) == (b"one\ntwo\n", b"")
    assert await one.exit_code() == 0
    await one.end()


async def test_without_stdin_a_command_reads_its_end_at_once(
    driver: RuntimeDriver, container: Container
) -> None:
    one = await driver.exec(container.id, ExecSpec(CAT))
    assert await all_output(one) == (b"", b"")
    assert await one.exit_code() == 0
    await one.end()


async def test_who_does_not_read_makes_the_command_wait_and_loses_nothing(
    driver: RuntimeDriver, container: Container
) -> None:
    """Far more than all buffers hold goes in; it is taken only as it is read again."""
    one = await driver.exec(container.id, ExecSpec(CAT, stdin=True))
    piece, count, given = b"x" * 65536, 320, 0

    async def give() -> None:
        nonlocal given
        for _ in range(count):
            await one.write(piece)
            given += 1
        await one.finish()

    giving = asyncio.create_task(give())
    seen = -1
    while given != seen:  # until it stands still, for nobody reads
        seen = given
        await asyncio.sleep(0.5)
    assert given < count / 2
    told, _ = await all_output(one)
    await giving
    assert len(told) == count * len(piece)
    assert await one.exit_code() == 0
    await one.end()


async def test_end_leaves_no_process(
    world: World, driver: RuntimeDriver, container: Container
) -> None:
    one = await driver.exec(container.id, ExecSpec(SLEEP, stdin=True))
    assert world.running_commands(container) == 1
    await one.end()
    assert world.running_commands(container) == 0
    await one.end()


async def test_what_does_not_heed_a_hangup_is_killed(
    world: World, driver: RuntimeDriver, container: Container
) -> None:
    one = await driver.exec(container.id, ExecSpec(CLING))
    assert await one.read() == Output(is_stderr=False, text=b"ready\n")
    await one.end()
    assert await one.exit_code() == 137
    assert world.running_commands(container) == 0


async def test_a_command_ends_with_its_container(
    driver: RuntimeDriver, container: Container
) -> None:
    one = await driver.exec(container.id, ExecSpec(LAST))
    assert await one.read() == Output(is_stderr=False, text=b"ready\n")
    await driver.stop(container.id, 0)
    assert await all_output(one) == (b"", b"")
    assert await one.exit_code() == 137
    await one.end()


async def test_what_a_driver_that_was_killed_has_left_is_ended_and_nothing_else(
    world: World, driver: RuntimeDriver, container: Container
) -> None:
    """A probe's command is begun as others are, and so are those of a session."""
    world.run_command(container, SLEEP)
    await driver.exec(container.id, ExecSpec(SLEEP))
    clinging = await driver.exec(container.id, ExecSpec(CLING, stdin=True))
    assert await clinging.read() == Output(is_stderr=False, text=b"ready\n")
    later = world.driver()
    own = await later.exec(container.id, ExecSpec(CAT, stdin=True))
    assert world.running_commands(container) == 4
    await later.end_left_commands()
    assert world.running_commands(container) == 2
    await own.write(b"alive\n")
    assert await own.read() == Output(is_stderr=False, text=b"alive\n")
    await own.end()
    await later.end_left_commands()
    assert world.running_commands(container) == 1
    await later.close()


async def test_what_was_left_waits_until_the_runtime_answers_again(
    world: World, driver: RuntimeDriver, container: Container
) -> None:
    await driver.exec(container.id, ExecSpec(SLEEP))
    later = world.driver()
    world.lose_runtime()
    try:
        with pytest.raises(RuntimeDown):
            await later.end_left_commands()
    finally:
        world.return_runtime()
    await later.end_left_commands()
    assert world.running_commands(container) == 0
    await later.close()


@pytest.mark.docker
@pytest.mark.root
async def test_a_command_dies_that_kubelet_and_engine_have_both_left(docker: DockerWorld) -> None:
    """The engine that comes back knows no exec of the one before, though they run on."""
    driver = docker.driver()
    container = await a_running(docker, driver)
    await driver.exec(container.id, ExecSpec(SLEEP))
    notes = docker.engine.folder / "run/commands"

    async def learnt() -> int | None:
        (file,) = notes.iterdir()
        return note_of(file.read_text()).process.pid or None

    pid = await until(learnt)
    docker.engine.kill()
    docker.engine.start()
    assert Path(f"/proc/{pid}").exists()
    later = docker.driver()
    await later.end_left_commands()

    async def is_gone() -> bool | None:
        return None if Path(f"/proc/{pid}").exists() else True

    assert await until(is_gone)
    assert list(notes.iterdir()) == []
    await later.close()
    await driver.close()


async def test_where_nothing_can_run_it_is_refused(
    world: World, driver: RuntimeDriver, container: Container
) -> None:
    with pytest.raises(RuntimeTrouble) as absent:
        await driver.exec("f" * 64, ExecSpec(CAT))
    assert absent.value.reason == "ContainerNotFound"
    await driver.stop(container.id, 0)
    await ended(driver, container.id)
    with pytest.raises(RuntimeTrouble) as over:
        await driver.exec(container.id, ExecSpec(CAT))
    assert over.value.reason == "ContainerNotRunning"
    world.lose_runtime()
    try:
        with pytest.raises(RuntimeDown):
            await driver.exec(container.id, ExecSpec(CAT))
    finally:
        world.return_runtime()


@pytest.mark.docker
@pytest.mark.root
async def test_a_terminal_has_the_size_that_it_is_given(docker: DockerWorld) -> None:
    driver = docker.driver()
    container = await a_running(docker, driver)
    command = ("sh", "-c", "while read line; do busybox stty size; done")
    one = await driver.exec(container.id, ExecSpec(command, stdin=True, tty=True))
    try:
        await one.resize(123, 45)
        await one.write(b"?\r")
        text = b""
        async with asyncio.timeout(60):
            while b"45 123" not in text:
                output = await one.read()
                assert output is not None, text
                text += output.text
        # The terminal's own way to end an input.
        await one.write(b"\x04")
        await all_output(one)
        assert await one.exit_code() == 0
    finally:
        await one.end()
        await driver.close()
