"""Logs that outlive their containers: kept as those go, and bounded."""

from pathlib import Path

from cubernetes.api.bodies.postmortem import PostMortem
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import replaced
from kubelet.eviction.room import MachineRoom, Share
from kubelet.keptlogs.folders import collected
from kubelet.keptlogs.retention import LIVES_MAX, PRESSED_BYTES_MAX, Kept, Life
from kubelet.keptlogs.shelf import KeptLogs
from kubelet.keptlogs.stories import Stories
from kubelet.runtime.driver import LogOptions
from kubelet.runtime.fake import Behaviour, FakeRuntime
from tests.contract.kubelet.test_kubelet import World, a_world, lived
from tests.given import a_pod

SPEAKS = Behaviour(output=(b"hello\n",))
SHORT = Behaviour(exits_after_s=1.0, exit_code=1, output=(b"hello\n",))


def shelf_of(world: World, folder: Path) -> KeptLogs:
    return KeptLogs(folder, FakeRuntime(world.machine.runtime), world.env)


async def text_of(shelf: KeptLogs, one: Kept) -> bytes:
    return b"".join([piece async for piece in shelf.log_of(one.life, LogOptions())])


async def started(world: World, folder: Path) -> None:
    """Let the kubelet live with a folder for logs."""
    await world.end()
    world.machine.kept_logs = folder
    world.begin()


def test_the_log_of_a_deleted_pod_is_kept(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world(web=SPEAKS) as world:
            await started(world, tmp_path)
            await world.make(a_pod("web"))
            await world.until(lambda: world.is_phase("Running"))
            pod = await world.pod()
            await world.admin.delete(Pod, "web", "default")
            await world.until(world.is_gone)

            shelf = shelf_of(world, tmp_path)
            (one,) = await shelf.of_pod("default", "web")
            made = pod.metadata.creation_timestamp
            assert made is not None
            assert one.life[2:] == (int(made.timestamp()), pod.metadata.uid, "main", 0, True)
            assert await text_of(shelf, one) == b"hello\n"
            assert await shelf.of_pod("default", "other") == []
            assert await shelf.of_pod("..", "default") == []
            assert world.machine.runtime.lives == {}

    lived(story)


def test_of_a_container_that_is_started_again_and_again_the_last_lives_are_kept(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with a_world(web=SHORT) as world:
            await started(world, tmp_path)
            await world.make(a_pod("web"))

            async def is_old() -> bool:
                statuses = (await world.pod()).status.container_statuses
                return bool(statuses) and statuses[0].restart_count > LIVES_MAX + 3

            await world.until(is_old, limit_s=600)
            await world.env.clock.sleep(5)
            kept = await shelf_of(world, tmp_path).of_pod("default", "web")
            count = (await world.container()).restart_count
            in_runtime = {one.container.attempt for one in world.machine.runtime.lives.values()}
            oldest = min({count, count - 1} & in_runtime)
            assert sorted(one.life.attempt for one in kept) == [
                oldest - back for back in range(LIVES_MAX, 0, -1)
            ]

    lived(story)


def test_a_log_that_cannot_be_kept_holds_up_no_end(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world(web=SPEAKS) as world:
            (tmp_path / "file").touch()
            await started(world, tmp_path / "file")
            await world.make(a_pod("web"))
            await world.until(lambda: world.is_phase("Running"))
            await world.admin.delete(Pod, "web", "default")
            await world.until(world.is_gone)
            assert world.machine.runtime.lives == {}

    lived(story)


def test_what_is_too_much_goes_with_its_folders(tmp_path: Path) -> None:
    for pod in ("old", "new"):
        place = tmp_path / f"default/{pod}/7.u-{pod}/main/0"
        place.mkdir(parents=True)
        (place / "container.log").write_bytes(b"x" * 60)
    (tmp_path / "default/old/lost+found").mkdir()

    assert collected(tmp_path, 0.0, 200) == 120
    assert collected(tmp_path, 0.0, 100) == 60
    assert collected(tmp_path, 0.0, 0) == 0
    # What is not ours stays.
    assert [path.name for path in (tmp_path / "default").rglob("*")] == ["old", "lost+found"]
    assert collected(tmp_path / "absent", 0.0, 0) == 0


def test_a_node_that_is_short_of_disk_keeps_little(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world() as world:
            place = tmp_path / "default/big/7.u1/main/0"
            place.mkdir(parents=True)
            with (place / "container.log").open("wb") as file:
                file.truncate(PRESSED_BYTES_MAX + 1)
            await started(world, tmp_path)
            await world.env.clock.sleep(120)
            assert place.exists()

            world.machine.room = MachineRoom(disk=Share(1, 100))

            async def is_gone() -> bool:
                return not place.exists()

            await world.until(is_gone, limit_s=300)

    lived(story)


def test_how_a_container_ended_is_kept_with_its_last_lines_when_its_pod_is_gone(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with a_world(web=SHORT) as world:
            await started(world, tmp_path / "logs")
            pod = a_pod("web")
            await world.make(replaced(pod, spec=replaced(pod.spec, restart_policy="Never")))
            await world.until(lambda: world.is_phase("Failed"))
            uid = (await world.pod()).metadata.uid
            await world.admin.delete(Pod, "web", "default")
            await world.until(world.is_gone)
            stories = shelf_of(world, tmp_path / "logs").stories

            async def are_kept() -> bool:
                return await stories.of_pod("default", "web") != []

            await world.until(are_kept)
            (one,) = await stories.of_pod("default", "web")
            assert (one.uid, one.container, one.attempt, one.exit_code) == (uid, "main", 0, 1)
            assert one.story.startswith("Container main ended with code 1 after 1 s")
            assert one.log == ("hello",)
            assert await stories.of_pod("..", "web") == []

    lived(story)


def test_records_of_ends_are_as_few_as_logs_and_a_broken_one_hides_no_other(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with a_world() as world:
            stories = Stories(tmp_path, world.env)
            for attempt in range(LIVES_MAX + 2):
                life = Life("default", "web", 7, "u1", "main", attempt)
                told = PostMortem(uid="u1", made_at=7, container="main", attempt=attempt)
                await stories.keep(life, told)
            found = await stories.of_pod("default", "web")
            assert [one.attempt for one in found] == [4, 3, 2]

            life = Life("default", "web", 7, "u1", "main", 4)
            (tmp_path / life.path / "post-mortem.json").write_text("{")
            found = await stories.of_pod("default", "web")
            assert [one.attempt for one in found] == [3, 2]

    lived(story)


def test_one_more_record_of_an_end_is_kept_without_a_look_at_those_before(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world() as world:
            stories = Stories(tmp_path, world.env)

            async def keep(uid: str, attempt: int) -> None:
                life = Life("default", "web", 7, uid, "main", attempt)
                told = PostMortem(uid=uid, made_at=7, container="main", attempt=attempt)
                await stories.keep(life, told)

            await keep("u1", 0)
            others = [Life("default", "other", 7, "u2", "main", one) for one in range(9)]
            for life in others:
                (tmp_path / life.path).mkdir(parents=True)
            await keep("u1", 1)
            assert all((tmp_path / life.path).is_dir() for life in others)
            # What a kubelet finds as it starts is judged once.
            stories = Stories(tmp_path, world.env)
            await keep("u1", 2)
            assert [(tmp_path / one.path).is_dir() for one in others].count(True) == LIVES_MAX

    lived(story)


def test_what_cannot_be_kept_of_an_end_holds_up_nobody(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world() as world:
            (tmp_path / "file").touch()
            life = Life("default", "web", 7, "u1", "main", 0)
            told = PostMortem(uid="u1", made_at=7, container="main", attempt=0)
            for folder in (tmp_path / "file", None):
                await Stories(folder, world.env).keep(life, told)
            assert (tmp_path / "file").read_bytes() == b""
            assert await Stories(None, world.env).of_pod("default", "web") == []

    lived(story)
