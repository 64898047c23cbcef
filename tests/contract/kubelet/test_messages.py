"""What a container leaves as its last message, and what is told of its end, on virtual time."""

from dataclasses import replace

import pytest

from cubernetes.api.core.event import Event
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Resources
from cubernetes.api.meta import replaced
from cubernetes.api.quantities import Quantity
from kubelet.pod.decisions.postmortem import NEWS_S
from kubelet.runtime.driver import State
from kubelet.runtime.fake import Behaviour
from tests.contract.kubelet.test_kubelet import World, a_world, lived
from tests.given import a_container, a_pod

FALLS_BACK = "FallbackToLogsOnError"


def left_by(policy: str = "File", *others: str) -> Pod:
    main = replaced(a_container(), termination_message_policy=policy)
    pod = a_pod("web", node="n1", containers=(main, *(a_container(name) for name in others)))
    return replaced(pod, spec=replaced(pod.spec, restart_policy="Never"))


async def message(world: World) -> str:
    """Return what the first container left, once it has ended."""

    async def has_ended() -> bool:
        statuses = (await world.pod()).status.container_statuses
        return any(one.state.terminated for one in statuses[:1])

    await world.until(has_ended)
    ended = (await world.container()).state.terminated
    assert ended is not None
    return ended.message


def ends(code: int, *lines: bytes) -> Behaviour:
    return Behaviour(exits_after_s=1.0, exit_code=code, output=lines)


@pytest.mark.parametrize("code", [0, 1])
def test_what_a_container_wrote_into_its_file_is_its_message(code: int) -> None:
    async def story() -> None:
        async with a_world(web=ends(code, b"log\n")) as world:
            world.machine.disk.messages["main", 0] = b"no room"
            await world.make(left_by(FALLS_BACK))
            assert await message(world) == "no room"

    lived(story)


@pytest.mark.parametrize(
    ("policy", "code", "told"),
    [(FALLS_BACK, 1, "one\ntwo\n"), (FALLS_BACK, 0, ""), ("File", 1, "")],
)
def test_the_end_of_the_log_is_the_message_of_one_that_failed_and_left_none(
    policy: str, code: int, told: str
) -> None:
    async def story() -> None:
        async with a_world(web=ends(code, b"one\n", b"two\n")) as world:
            await world.make(left_by(policy))
            assert await message(world) == told

    lived(story)


def test_of_a_long_message_the_end_is_kept_as_of_a_long_log() -> None:
    async def story() -> None:
        lines = [b"%04d\n" % number for number in range(1000)]
        async with a_world(web=ends(1, *lines)) as world:
            await world.make(left_by(FALLS_BACK))
            assert await message(world) == b"".join(lines[-80:]).decode()

        async with a_world(web=ends(1, b"x" * 3000)) as world:
            await world.make(left_by(FALLS_BACK))
            assert await message(world) == "x" * 2048

        for others, kept in (((), 4096), (("b", "c", "d", "e", "f"), 2048)):
            async with a_world(web=ends(1)) as world:
                world.machine.disk.messages["main", 0] = b"a" + b"z" * 9000
                await world.make(left_by("File", *others))
                assert await message(world) == "z" * kept

    lived(story)


def test_a_kubelet_that_begins_again_tells_the_same_and_a_restart_moves_it_on() -> None:
    async def story() -> None:
        async with a_world(web=ends(1)) as world:
            world.machine.disk.messages["main", 0] = b"first"
            pod = left_by()
            await world.make(replaced(pod, spec=replaced(pod.spec, restart_policy="Always")))

            async def is_told() -> bool:
                statuses = (await world.pod()).status.container_statuses
                ends = [one.last_state.terminated for one in statuses]
                return any(end is not None and end.message == "first" for end in ends)

            await world.until(is_told)
            await world.end()
            world.begin()
            await world.env.clock.sleep(0.5)
            await world.until(is_told)

    lived(story)


async def deaths(world: World) -> list[str]:
    events = (await world.admin.list(Event, "default")).items
    return [one.message for one in events if one.reason == "ContainerDied"]


def a_mortal(name: str, image: str) -> Pod:
    resources = Resources(limits={"memory": Quantity("64Mi")})
    main = replaced(a_container("main", f"cubernetes/{image}:1"), resources=resources)
    pod = a_pod(name, containers=(main,))
    return replaced(pod, spec=replaced(pod.spec, restart_policy="Never"))


def test_an_end_for_want_of_memory_is_told_with_whose_limit_it_was() -> None:
    async def story() -> None:
        greedy = Behaviour(exits_after_s=20.0, oom_killed=True)
        async with a_world(greedy=greedy) as world:
            await world.make(a_mortal("web", "greedy"))
            await world.until(lambda: world.is_phase("Failed"))

            async def is_told() -> bool:
                return bool(await deaths(world))

            await world.until(is_told)
            (told,) = await deaths(world)
            assert told.startswith("Container main ended with code 137")
            assert "the kernel ended it at its own memory limit of 64Mi" in told

    lived(story)


def heard_of_memory(world: World) -> None:
    """Let the engine say of every container that has ended that memory was the reason."""
    for life in world.machine.runtime.lives.values():
        if life.container.state is State.EXITED:
            life.container = replace(life.container, oom_killed=True)


def test_whose_limit_it_was_is_told_also_where_the_engine_says_so_after_the_end() -> None:
    async def story() -> None:
        async with a_world(greedy=Behaviour(exits_after_s=20.0, exit_code=137)) as world:
            await world.make(a_mortal("web", "greedy"))
            await world.until(lambda: world.is_phase("Failed"))
            assert await deaths(world) == []
            heard_of_memory(world)

            async def is_told() -> bool:
                return bool(await deaths(world))

            assert await world.until(is_told) < NEWS_S + 2
            await world.env.clock.sleep(30)
            (told,) = await deaths(world)
            assert "at its own memory limit of 64Mi" in told

    lived(story)


def test_an_end_is_told_without_that_news_and_once_more_where_it_comes_later_still() -> None:
    async def story() -> None:
        async with a_world(greedy=Behaviour(exits_after_s=20.0, exit_code=137)) as world:
            await world.make(a_mortal("web", "greedy"))
            await world.until(lambda: world.is_phase("Failed"))

            async def are_told() -> int:
                return len(await deaths(world))

            async def is_told() -> bool:
                return await are_told() == 1

            await world.until(is_told)
            assert "limit" not in (await deaths(world))[0]
            await world.env.clock.sleep(30)
            assert await is_told()
            heard_of_memory(world)

            async def is_told_again() -> bool:
                return await are_told() == 2

            await world.until(is_told_again)
            assert ["its own memory limit" in one for one in sorted(await deaths(world))] == [
                False,
                True,
            ]

    lived(story)


def test_an_end_that_is_not_told_yet_is_told_when_its_pod_is_deleted() -> None:
    async def story() -> None:
        async with a_world(bad=Behaviour(exits_after_s=20.0, exit_code=3)) as world:
            await world.make(a_mortal("web", "bad"))
            await world.until(lambda: world.is_phase("Failed"))
            assert await deaths(world) == []
            await world.admin.delete(Pod, "web", "default")

            async def is_told() -> bool:
                return ["code 3" in one for one in await deaths(world)] == [True]

            await world.until(is_told)

    lived(story)


def test_an_end_that_was_wanted_and_one_that_went_well_are_not_told() -> None:
    async def story() -> None:
        done, bad = Behaviour(exits_after_s=5.0), Behaviour(exits_after_s=30.0, exit_code=3)
        async with a_world(done=done, bad=bad) as world:
            await world.make(a_mortal("done", "done"))
            await world.make(a_pod("gone"))
            await world.until(lambda: world.is_phase("Running", "gone"))
            await world.admin.delete(Pod, "gone", "default")
            await world.until(lambda: world.is_gone("gone"))
            await world.until(lambda: world.is_phase("Succeeded", "done"))
            # The one that is told shows that what came before it would have been.
            await world.make(a_mortal("bad", "bad"))

            async def is_told() -> bool:
                return bool(await deaths(world))

            await world.until(is_told)
            assert ["code 3" in one for one in await deaths(world)] == [True]

    lived(story)


def test_an_end_is_told_once_also_by_a_kubelet_that_begins_again() -> None:
    async def story() -> None:
        async with a_world(bad=Behaviour(exits_after_s=5.0, exit_code=3)) as world:
            await world.make(a_mortal("web", "bad"))

            async def is_told() -> bool:
                return bool(await deaths(world))

            await world.until(is_told)
            await world.end()
            world.begin()
            await world.make(a_pod("next"))
            await world.until(lambda: world.is_phase("Running", "next"))
            await world.env.clock.sleep(30)  # of the simulated clock: until events are written
            events = (await world.admin.list(Event, "default")).items
            assert [one.count for one in events if one.reason == "ContainerDied"] == [1]

    lived(story)


def test_an_end_that_a_change_of_the_image_brings_is_not_told() -> None:
    async def story() -> None:
        async with a_world(bad=Behaviour(exits_after_s=5.0, exit_code=3)) as world:
            await world.make(a_pod("web"))
            await world.until(lambda: world.is_phase("Running"))
            image = {"containers": [{"name": "main", "image": "cubernetes/other:1"}]}
            await world.admin.patch(Pod, "web", "default", {"spec": image})

            async def runs_again() -> bool:
                one = await world.container()
                return one.restart_count == 1 and one.ready

            await world.until(runs_again)
            ended = (await world.container()).last_state.terminated
            assert ended is not None
            assert ended.exit_code != 0
            # The one that is told shows that what came before it would have been.
            await world.make(a_mortal("bad", "bad"))

            async def is_told() -> bool:
                return bool(await deaths(world))

            await world.until(is_told)
            assert ["code 3" in one for one in await deaths(world)] == [True]

    lived(story)
