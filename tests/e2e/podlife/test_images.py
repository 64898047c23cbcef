"""Our own images do what the tour and the tests rely on, in real containers."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from cubernetes.host.clock import SystemClock
from lab.host.node import Ended, Node
from lab.lab import Lab
from lab.wait import until

pytestmark = [pytest.mark.lab, pytest.mark.root]

DEADLINE_S = 60.0
BUSYBOX, PAUSE, WEB = "cubernetes/busybox:1", "cubernetes/pause:1", "cubernetes/web:1"
STRESS = "cubernetes/stress:1"


@pytest.fixture(scope="module")
def node(boot_lab: Callable[[str, int], AbstractContextManager[Lab]]) -> Iterator[Node]:
    with boot_lab("img", 1) as booted:
        yield booted.node("n1")


async def docker(node: Node, *words: str, check: bool = True) -> Ended:
    return await node.run(["docker", *words], check=check)


async def remove(node: Node, *names: str) -> None:
    await docker(node, "rm", "-f", *names)


async def exit_code(node: Node, name: str) -> int:
    return int((await docker(node, "wait", name)).stdout)


async def test_web_names_its_pod_its_address_and_the_path(node: Node) -> None:
    alone = ("--network", "none", "--hostname", "web-1")
    await docker(node, "run", "-d", "--name", "sandbox", *alone, PAUSE)
    joined = ("--network", "container:sandbox")
    await docker(node, "run", "-d", "--name", "web", *joined, "-e", "TEXT=hi", "-e", "PORT=81", WEB)

    ask = ["run", "--rm", *joined, BUSYBOX, "wget", "-qO-", "http://127.0.0.1:81/a?b"]
    said = await docker(node, *ask)

    assert said.stdout == "hi web-1 127.0.0.1 /a?b\n"
    log = (await docker(node, "logs", "web")).stdout
    assert log == "web: web-1 listens on port 81\n127.0.0.1 /a?b\n"

    await docker(node, "stop", "web", "sandbox")
    assert await exit_code(node, "web") == 0
    assert await exit_code(node, "sandbox") == 0
    await remove(node, "web", "sandbox")


async def test_web_kills_itself_when_told_to(node: Node) -> None:
    await docker(node, "run", "-d", "--name", "dying", "--network", "none", WEB, "-exit-after", "1")

    assert await exit_code(node, "dying") == 1
    await remove(node, "dying")


async def test_web_refuses_what_it_does_not_know(node: Node) -> None:
    ended = await docker(node, "run", "--rm", "--network", "none", WEB, "-what", check=False)

    assert ended.code == 2
    assert "usage: web" in ended.stderr


async def test_pause_buries_the_orphans_of_its_pod(node: Node) -> None:
    await docker(node, "run", "-d", "--name", "holder", "--network", "none", PAUSE)
    # The inner shell ends at once; its child, an orphan then, ends a moment later.
    # One that nobody buries stays for ever.
    wait = "for i in $(seq 50); do ps -o stat | grep -q ^Z || break; sleep 0.2; done"
    orphan = f"(sleep 0.2 &); sleep 1; {wait}; ps -o stat,comm | grep -c ^Z"
    joined = ("--pid", "container:holder", "--network", "none")

    counted = await docker(node, "run", "--rm", *joined, BUSYBOX, "sh", "-c", orphan, check=False)

    assert counted.stdout == "0\n"
    await remove(node, "holder")


async def test_stress_dies_of_its_memory_limit_and_ends_well_without(node: Node) -> None:
    memory = ("-memory", "64", "-seconds", "60")
    limit = ("-m", "16m", "--memory-swap", "16m")
    killed = await docker(
        node, "run", "--name", "greedy", "--network", "none", *limit, STRESS, *memory, check=False
    )
    assert killed.code == 1
    kills = ("--filter", "event=oom", "--filter", "container=greedy")

    async def is_told() -> bool:
        """Whether the engine tells of a kill; of one that it missed it never hears, but of a next.

        It asks the control group, which may be gone with its only process before it does.
        """
        told = await docker(node, "events", "--since", "10m", "--until", "0s", *kills)
        if not told.stdout:
            again = await docker(node, "start", "--attach", "greedy", check=False)
            assert again.code == 1
        return bool(told.stdout)

    await until(is_told, SystemClock(), DEADLINE_S, lambda: "the kernel's kill was not told")

    brief = ("-cpu", "1", "-memory", "8", "-seconds", "1")
    await docker(node, "run", "--rm", "--network", "none", STRESS, *brief)
    await remove(node, "greedy")


@pytest.mark.parametrize("image", [PAUSE, WEB, STRESS])
async def test_what_needs_no_root_has_none(node: Node, image: str) -> None:
    said = await docker(node, "inspect", "-f", "{{.Config.User}}", image)

    assert said.stdout == "65532:65532\n"


async def test_stress_workers_share_what_they_are_given(node: Node) -> None:
    start = ("run", "-d", "--name", "half", "--network", "none", "--cpus", "0.05")
    await docker(node, *start, STRESS, "-cpu", "2")
    container = (await docker(node, "inspect", "-f", "{{.Id}}", "half")).stdout.strip()

    async def throttled() -> bool:
        # Version 1 of control groups, then version 2.
        places = [f"/sys/fs/cgroup/{tree}docker/{container}/cpu.stat" for tree in ("cpu/", "")]
        said = await node.run(["cat", *places], check=False)
        counts = [line.split()[1] for line in said.stdout.splitlines() if "nr_throttled" in line]
        return counts != [] and int(counts[0]) > 0

    await until(throttled, SystemClock(), DEADLINE_S, lambda: "two workers never met their limit")
    await remove(node, "half")
