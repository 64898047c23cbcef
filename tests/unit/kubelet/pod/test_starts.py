"""Turns for starting: never too many, containers first, and none is ever lost."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from kubelet.pod.starts import Starts


class Work:
    """Starts things that end when they are told, and notes the order in which they began."""

    def __init__(self, at_once: int) -> None:
        self.starts = Starts(at_once)
        self.begun: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def ask(self, name: str) -> None:
        self.ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._start(name))
        await settle()

    async def end(self, name: str) -> None:
        self.ends[name].set()
        await settle()

    @property
    def running(self) -> list[str]:
        return [name for name in self.begun if not self.tasks[name].done()]

    async def _start(self, name: str) -> None:
        is_container = name.startswith("c")
        async with self.starts.container() if is_container else self.starts.sandbox():
            self.begun.append(name)
            await self.ends[name].wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_container_that_waits_goes_before_a_sandbox_that_came_earlier() -> None:
    work = Work(at_once=1)
    for name in ("s1", "s2", "s3", "c1", "c2"):
        await work.ask(name)

    for name in ("s1", "c1", "c2", "s2", "s3"):
        assert work.running == [name]
        await work.end(name)


async def test_who_is_cancelled_while_it_waits_takes_no_turn() -> None:
    work = Work(at_once=1)
    for name in ("s1", "c1", "s2"):
        await work.ask(name)

    work.tasks["c1"].cancel()
    await work.end("s1")

    assert work.running == ["s2"]
    await work.end("s2")


async def test_who_is_cancelled_as_its_turn_comes_hands_it_on() -> None:
    work = Work(at_once=1)
    for name in ("s1", "c1", "s2"):
        await work.ask(name)

    work.ends["s1"].set()
    # s1 ends and hands its turn to c1, which has not run yet when it is cancelled.
    await asyncio.sleep(0)
    work.tasks["c1"].cancel()
    await settle()

    assert work.running == ["s2"]
    await work.end("s2")


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from("sc"), st.sampled_from("aec")), max_size=40),
)
def test_turns_are_neither_exceeded_nor_lost(at_once: int, acts: list[tuple[str, str]]) -> None:
    async def live() -> None:
        work = Work(at_once)
        for number, (kind, act) in enumerate(acts):
            waiting = [name for name, task in work.tasks.items() if not task.done()]
            if act == "a" or not waiting:
                await work.ask(f"{kind}{number}")
            elif act == "e" and work.running:
                await work.end(work.running[0])
            else:
                work.tasks[waiting[-1]].cancel()
                await settle()
            alive = sum(not task.done() for task in work.tasks.values())
            assert len(work.running) == min(at_once, alive)
        for name in work.tasks:
            await work.end(name)
        await asyncio.gather(*work.tasks.values(), return_exceptions=True)

    asyncio.run(live())
