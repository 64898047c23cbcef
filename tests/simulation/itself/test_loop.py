"""The loop under every simulation: asyncio's tools work on it, and a seed decides every order."""

import asyncio
from collections.abc import AsyncGenerator
from itertools import count

import pytest

from tests.simulation.loop import Deadlock, Livelock, SimLoop, TimeLimit, run_simulated, sim_loop


def now_s() -> float:
    return asyncio.get_running_loop().time()


def test_waiting_costs_no_time() -> None:
    async def main() -> float:
        await asyncio.sleep(86_400)
        return now_s()

    assert run_simulated(main(), limit_s=90_000) == 86_400


def test_queues_conditions_and_task_groups_work() -> None:
    async def main() -> list[int]:
        queue: asyncio.Queue[int] = asyncio.Queue(1)
        condition, got = asyncio.Condition(), list[int]()

        async def give() -> None:
            for number in range(5):
                await queue.put(number)

        async def take() -> None:
            while len(got) < 5:
                got.append(await queue.get())
            async with condition:
                condition.notify_all()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(give())
            tasks.create_task(take())
            async with condition:
                await condition.wait_for(lambda: len(got) == 5)
        return got

    assert run_simulated(main()) == [0, 1, 2, 3, 4]


def test_a_timeout_ends_what_is_under_way() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await asyncio.Event().wait()
        return now_s()

    assert run_simulated(main()) == 3


def test_a_generator_that_is_left_is_closed() -> None:
    closed: list[float] = []

    async def numbers() -> AsyncGenerator[int]:
        try:
            while True:
                yield 1
        finally:
            await asyncio.sleep(1)
            closed.append(now_s())

    async def main() -> None:
        async for _ in numbers():
            break
        await asyncio.sleep(5)

    run_simulated(main())

    assert closed == [1.0]


def order_of(seed: str) -> tuple[list[int], int]:
    async def main() -> list[int]:
        order: list[int] = []

        async def note(number: int) -> None:
            await asyncio.sleep(0.5)
            order.append(number)

        await asyncio.gather(*(note(number) for number in range(8)))
        return order

    loop: SimLoop = sim_loop(seed)
    order = loop.run(main(), limit_s=10)
    loop.close()
    return order, loop.trace


def test_the_seed_decides_who_comes_first() -> None:
    assert order_of("a") == order_of("a")
    assert len({tuple(order_of(str(seed))[0]) for seed in range(20)}) > 10


def test_waiting_for_nobody_is_told() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run_simulated(main())


def test_a_life_without_end_is_told() -> None:
    async def main() -> None:
        for _ in count():
            await asyncio.sleep(1)

    with pytest.raises(TimeLimit):
        run_simulated(main(), limit_s=60)


def test_work_that_lets_no_time_pass_is_told() -> None:
    async def main() -> None:
        for _ in count():
            await asyncio.sleep(0)

    with pytest.raises(Livelock):
        run_simulated(main())


def test_an_exception_that_nobody_takes_is_told() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)

    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run_simulated(main())
