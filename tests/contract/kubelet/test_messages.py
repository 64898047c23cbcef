"""What a container leaves as its last message, on a fake runtime and virtual time."""

import pytest

from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import replaced
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
