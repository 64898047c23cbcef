"""What every runtime driver promises the kubelet; run on the fake and on a real Docker engine."""

import asyncio
import hashlib
import io
import json
import os
import tarfile
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from kubelet.runtime.driver import (
    SANDBOX,
    Container,
    LogOptions,
    RuntimeDown,
    RuntimeDriver,
    RuntimeTrouble,
    State,
)
from tests.contract.runtime.worlds import (
    MEMORY_BYTES,
    FakeWorld,
    World,
    a_container,
    a_running,
    a_sandbox,
    all_logs,
    ended,
    followed,
    the,
    until,
)


@pytest.fixture
async def driver(world: World) -> AsyncIterator[RuntimeDriver]:
    made = world.driver()
    yield made
    await made.close()


async def test_a_started_pod_is_found_with_everything_it_was_made_from(
    world: World, driver: RuntimeDriver
) -> None:
    sandbox = await driver.start_sandbox(a_sandbox())
    spec = replace(a_container(world, "forever"), attempt=2)
    made = await driver.start_container(spec, sandbox.id)

    found = {c.name: c for c in await driver.containers()}
    assert found.keys() == {SANDBOX, "main"}
    main = found["main"]
    assert (main.id, main.state, main.attempt, main.spec_hash) == (made.id, State.RUNNING, 2, "h1")
    assert (main.pod_uid, main.pod_name, main.namespace) == ("0a-1b", "web-0", "default")
    assert main.pid > 0
    assert main.image_id == await driver.image_id(spec.image)
    (image,) = [one for one in await driver.images() if spec.image in one.names]
    assert image.size_bytes > 0
    assert main.created_at is not None
    assert main.started_at is not None
    assert main.finished_at is None
    assert found[SANDBOX].state is State.RUNNING


async def test_starting_twice_gives_the_same_containers(
    world: World, driver: RuntimeDriver
) -> None:
    first = await a_running(world, driver)
    second = await a_running(world, driver)

    assert first.id == second.id
    assert len(await driver.containers()) == 2


async def test_a_container_carries_the_devices_that_it_was_made_with(
    world: World, driver: RuntimeDriver
) -> None:
    sandbox = await driver.start_sandbox(a_sandbox())
    spec = replace(a_container(world, "forever"), held="example.com/gpu=a,b")
    made = await driver.start_container(spec, sandbox.id)
    assert {one.held for one in await driver.containers()} == {"", "example.com/gpu=a,b"}

    # One that could not start is made again with those that it is to have now.
    missing = replace(a_container(world, "is-missing"), name="other", held="example.com/gpu=a")
    for held in (missing.held, "example.com/gpu=b"):
        with pytest.raises(RuntimeTrouble):
            await driver.start_container(replace(missing, held=held), sandbox.id)
        found = {one.name: one.held for one in await driver.containers()}
        assert found == {SANDBOX: "", "main": made.held, "other": held}


async def test_a_new_driver_finds_what_an_old_one_made(world: World, driver: RuntimeDriver) -> None:
    made = await a_running(world, driver)
    other = world.driver()
    try:
        assert [(c.id, c.pid) for c in await other.containers()] == [
            (c.id, c.pid) for c in await driver.containers()
        ]
        assert (await a_running(world, other)).id == made.id
    finally:
        await other.close()


async def test_a_container_says_in_which_sandbox_it_was_made(
    world: World, driver: RuntimeDriver
) -> None:
    made = await a_running(world, driver)
    each = {one.name: one for one in await driver.containers()}

    assert each[made.name].sandbox_id == made.sandbox_id == each[SANDBOX].id
    assert each[SANDBOX].sandbox_id == ""


async def test_a_container_shares_the_processes_of_another_and_ends_with_it(
    world: World, driver: RuntimeDriver
) -> None:
    target = await a_running(world, driver)
    spec = replace(a_container(world, "forever"), name="look", target_id=target.id)
    look = await driver.start_container(spec, target.sandbox_id)
    world.kill(target)
    found = await ended(driver, look.id)
    assert (found.exit_code, found.signal) == (137, 9)

    late = replace(a_container(world, "forever"), name="late", target_id=target.id)
    with pytest.raises(RuntimeTrouble):
        await driver.start_container(late, target.sandbox_id)
    alone = await driver.start_container(replace(late, target_id=""), target.sandbox_id)
    assert alone.state is State.RUNNING


@pytest.mark.parametrize(("program", "code"), [("succeeds", 0), ("fails-3", 3)])
async def test_an_exit_code_is_kept(
    world: World, driver: RuntimeDriver, program: str, code: int
) -> None:
    made = await a_running(world, driver, program)
    found = await ended(driver, made.id)

    assert (found.exit_code, found.signal, found.oom_killed, found.pid) == (code, 0, False, 0)
    assert found.started_at is not None
    assert found.finished_at is not None
    assert found.started_at <= found.finished_at


async def test_a_container_that_has_ended_is_not_started_again_under_its_attempt(
    world: World, driver: RuntimeDriver
) -> None:
    made = await a_running(world, driver, "fails-3")
    await ended(driver, made.id)

    again = await a_running(world, driver, "fails-3")
    assert (again.id, again.state, again.exit_code) == (made.id, State.EXITED, 3)


async def test_a_container_over_its_memory_is_told_as_such(
    world: World, driver: RuntimeDriver
) -> None:
    sandbox = await driver.start_sandbox(a_sandbox())
    spec = replace(a_container(world, "eats-memory"), memory_limit_bytes=MEMORY_BYTES)

    async with followed(driver):
        made = await driver.start_container(spec, sandbox.id)
        found = await ended(driver, made.id)

        async def is_told() -> Container | None:  # that may come after the end itself
            found = await the(driver, made.id)
            return found if found is not None and found.oom_killed else None

        told = await until(is_told, 30)

    assert (found.exit_code, found.signal) == (137, 9)
    assert (told.exit_code, told.signal) == (137, 9)


async def test_a_kill_from_outside_is_told_as_a_signal(world: World, driver: RuntimeDriver) -> None:
    made = await a_running(world, driver)
    world.kill(made)

    found = await ended(driver, made.id)
    assert (found.exit_code, found.signal, found.oom_killed) == (137, 9, False)


async def test_stop_asks_first(world: World, driver: RuntimeDriver) -> None:
    made = await a_running(world, driver)
    await driver.stop(made.id, 20)

    found = await the(driver, made.id)
    assert found is not None
    assert (found.state, found.exit_code, found.signal) == (State.EXITED, 143, 15)
    await driver.stop(made.id, 20)


async def test_stop_kills_when_the_grace_is_over(world: World, driver: RuntimeDriver) -> None:
    made = await a_running(world, driver, "is-deaf")
    async with asyncio.timeout(60):
        await driver.stop(made.id, 1)

    found = await the(driver, made.id)
    assert found is not None
    assert (found.state, found.signal) == (State.EXITED, 9)


async def test_a_sandbox_needs_no_grace(world: World, driver: RuntimeDriver) -> None:
    sandbox = await driver.start_sandbox(a_sandbox())
    async with asyncio.timeout(60):
        await driver.stop(sandbox.id, 60)

    found = await the(driver, sandbox.id)
    assert found is not None
    assert found.state is State.EXITED


async def test_an_ended_sandbox_is_made_anew(world: World, driver: RuntimeDriver) -> None:
    first = await driver.start_sandbox(a_sandbox())
    await driver.stop(first.id, 0)
    second = await driver.start_sandbox(a_sandbox())

    assert second.id != first.id
    assert second.state is State.RUNNING
    assert [c.id for c in await driver.containers()] == [second.id]


async def test_removing_a_running_or_an_absent_container_is_fine(
    world: World, driver: RuntimeDriver
) -> None:
    made = await a_running(world, driver, "is-deaf")
    await driver.remove(made.id)
    await driver.remove(made.id)
    await driver.stop(made.id, 1)

    assert [c.name for c in await driver.containers()] == [SANDBOX]


async def test_one_removal_may_meet_another(world: World, driver: RuntimeDriver) -> None:
    made = await a_running(world, driver)
    await asyncio.gather(*(driver.remove(made.id) for _ in range(4)))

    assert await the(driver, made.id) is None


async def test_logs_are_what_was_written(world: World, driver: RuntimeDriver) -> None:
    made = await a_running(world, driver, "talks")

    async def holds() -> bytes | None:
        found = await all_logs(driver, made.id, LogOptions())
        return found if found.count(b"\n") == 3 else None

    assert sorted((await until(holds)).splitlines()) == [b"one", b"three", b"two"]
    assert (await all_logs(driver, made.id, LogOptions(tail_count=1))).count(b"\n") == 1
    stamped = await all_logs(driver, made.id, LogOptions(timestamps=True))
    assert all(line.split(b" ")[0][:1].isdigit() for line in stamped.splitlines())
    assert len(stamped.splitlines()) == 3
    assert (await all_logs(driver, made.id, LogOptions(since_ns=1))).count(b"\n") == 3
    out, err = LogOptions(stream="stdout"), LogOptions(stream="stderr")
    assert await all_logs(driver, made.id, out) == b"one\nthree\n"
    assert await all_logs(driver, made.id, err) == b"two\n"
    last = await all_logs(driver, made.id, LogOptions(stream="stdout", tail_count=1))
    assert last == b"three\n"


async def test_logs_outlive_the_container_and_follow_ends_with_it(
    world: World, driver: RuntimeDriver
) -> None:
    made = await a_running(world, driver, "talks")
    following = asyncio.create_task(all_logs(driver, made.id, LogOptions(follow=True)))
    await asyncio.sleep(0.3)
    assert not following.done()
    await driver.stop(made.id, 5)

    async with asyncio.timeout(60):
        assert (await following).count(b"\n") == 3
    assert (await all_logs(driver, made.id, LogOptions())).count(b"\n") == 3


async def test_a_follower_may_leave(world: World, driver: RuntimeDriver) -> None:
    made = await a_running(world, driver, "talks")
    async with (
        asyncio.timeout(60),
        aclosing(driver.logs(made.id, LogOptions(follow=True))) as pieces,
    ):
        async for piece in pieces:
            assert piece
            break


async def test_logs_of_nothing_are_refused(world: World, driver: RuntimeDriver) -> None:
    with pytest.raises(RuntimeTrouble) as trouble:
        await all_logs(driver, "0" * 64, LogOptions())
    assert trouble.value.reason == "ContainerNotFound"


async def test_a_log_that_was_kept_outlives_its_container(
    world: World, driver: RuntimeDriver, tmp_path: Path
) -> None:
    made = await a_running(world, driver, "talks")
    await driver.stop(made.id, 5)
    before = await all_logs(driver, made.id, LogOptions(timestamps=True))
    assert before.count(b"\n") == 3
    folder = tmp_path / "default" / "web"
    for _ in range(2):  # a kubelet that ended in between does it again
        await driver.keep_log(made.id, folder)
    await driver.remove(made.id)
    await driver.keep_log(made.id, tmp_path / "none")

    async def kept(options: LogOptions) -> bytes:
        async with asyncio.timeout(60):
            return b"".join([piece async for piece in driver.kept_log(folder, options)])

    assert await kept(LogOptions(timestamps=True)) == before
    assert await kept(LogOptions(stream="stdout", tail_count=1)) == b"three\n"
    assert await kept(LogOptions(follow=True)) == await kept(LogOptions())
    assert not (tmp_path / "none").exists()


async def test_events_name_the_pods_with_news(world: World, driver: RuntimeDriver) -> None:
    async with asyncio.timeout(60), aclosing(driver.events()) as events:
        assert await anext(events) == ""
        made = await a_running(world, driver)
        assert await anext(events) == "0a-1b"
        assert await anext(events) == "0a-1b"
        await driver.remove(made.id)
        assert await anext(events) == "0a-1b"


def an_archive(name: str) -> bytes:
    """Return an image of nothing, as `docker save` writes one."""
    layer, whole = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w"):
        pass
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = {"architecture": "amd64", "os": "linux", "config": {},
              "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]}}  # fmt: skip
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for path, content in (
            ("config.json", json.dumps(config).encode()),
            ("layer.tar", layer.getvalue()),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return whole.getvalue()


async def in_pieces(content: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(content), 1000):
        yield content[at : at + 1000]


async def test_an_image_comes_of_an_archive(driver: RuntimeDriver) -> None:
    name = f"cubernetes/archived-{os.getpid()}:1"
    await driver.load(in_pieces(an_archive(name)))
    try:
        assert await driver.image_id(name) is not None
    finally:
        for image in await driver.images():
            if name in image.names:
                await driver.remove_image(image)


async def test_what_is_no_archive_of_an_image_is_refused(driver: RuntimeDriver) -> None:
    with pytest.raises(RuntimeTrouble) as trouble:
        await driver.load(in_pieces(b"no archive" * 500))
    assert trouble.value.reason == "ErrImagePull"


async def test_an_image_that_is_nowhere_cannot_be_pulled(
    world: World, driver: RuntimeDriver
) -> None:
    # A name under .invalid resolves nowhere, by its standard: no packet finds a registry.
    for image in ["nowhere/missing:1"] if isinstance(world, FakeWorld) else ["none.invalid/x:1"]:
        assert await driver.image_id(image) is None
        with pytest.raises(RuntimeTrouble) as trouble:
            await driver.pull(image)
        assert trouble.value.reason == "ErrImagePull"
        assert image in str(trouble.value)


@pytest.mark.parametrize(
    "image",
    [
        "",
        "UPPER",
        "a b",
        "../../info",
        "busybox:1?x=1",
        "x:",
        "registry..example.com/app:1",
        "a..b/c",
    ],
)
async def test_what_names_no_image_is_refused(
    world: World, driver: RuntimeDriver, image: str
) -> None:
    for ask in (driver.pull, driver.image_id):
        with pytest.raises(RuntimeTrouble) as trouble:
            await ask(image)
        assert trouble.value.reason == "InvalidImageName"


async def test_a_container_of_an_absent_image_is_not_made(
    world: World, driver: RuntimeDriver
) -> None:
    sandbox = await driver.start_sandbox(a_sandbox())
    spec = replace(a_container(world, "forever"), image="not/here:1")
    with pytest.raises(RuntimeTrouble) as trouble:
        await driver.start_container(spec, sandbox.id)
    assert trouble.value.reason == "CreateContainerError"
    assert "not/here:1" in str(trouble.value)


async def test_a_command_that_is_missing_is_told_each_time(
    world: World, driver: RuntimeDriver
) -> None:
    for _ in range(2):
        with pytest.raises(RuntimeTrouble) as trouble:
            await a_running(world, driver, "is-missing")
        assert trouble.value.reason == "RunContainerError"
        assert "/no/such/program" in str(trouble.value)

    main = next(c for c in await driver.containers() if c.name == "main")
    assert main.state is State.CREATED
    assert "/no/such/program" in main.error


async def test_containers_outlive_the_runtime_and_are_the_same_after(
    world: World, driver: RuntimeDriver
) -> None:
    await a_running(world, driver)
    before = [(c.id, c.pid, c.state) for c in await driver.containers()]

    world.lose_runtime()
    try:
        with pytest.raises(RuntimeDown):
            await driver.containers()
        with pytest.raises(RuntimeDown):
            await driver.start_sandbox(a_sandbox("other"))
        with pytest.raises(RuntimeDown):
            async with aclosing(driver.events()) as events:
                await anext(events)
    finally:
        world.return_runtime()

    assert [(c.id, c.pid, c.state) for c in await driver.containers()] == before


async def test_a_stream_of_events_ends_with_its_runtime(
    world: World, driver: RuntimeDriver
) -> None:
    async with asyncio.timeout(60), aclosing(driver.events()) as events:
        assert await anext(events) == ""
        world.lose_runtime()
        try:
            assert [event async for event in events] == []
        finally:
            await asyncio.to_thread(world.return_runtime)


async def test_the_runtime_names_itself(world: World, driver: RuntimeDriver) -> None:
    version = await driver.version()
    assert version.name in {"fake", "docker"}
    assert version.version
    assert version.api_version


async def test_what_a_container_writes_is_told_in_bytes(
    world: World, driver: RuntimeDriver
) -> None:
    sandbox = await driver.start_sandbox(a_sandbox())
    talks = await driver.start_container(a_container(world, "talks"), sandbox.id)

    async def has_written() -> bool:
        return await driver.disk_bytes(talks.id) > 0

    await until(has_written)
    with pytest.raises(RuntimeTrouble) as trouble:
        await driver.disk_bytes("0" * 64)
    assert trouble.value.reason == "ContainerNotFound"


async def test_an_image_that_a_container_has_is_not_removed(
    world: World, driver: RuntimeDriver
) -> None:
    sandbox = await driver.start_sandbox(a_sandbox())
    spec = a_container(world, "forever")
    await driver.start_container(spec, sandbox.id)
    (image,) = [one for one in await driver.images() if spec.image in one.names]
    assert image.id == await driver.image_id(spec.image)
    with pytest.raises(RuntimeTrouble) as trouble:
        await driver.remove_image(image)
    assert trouble.value.reason == "ImageRemoveError"
    assert await driver.image_id(spec.image) == image.id
