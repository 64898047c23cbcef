"""A container that the engine cannot tell of holds up its own pod and no other."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kubelet.observer import Observer
from kubelet.runtime.docker_api import Silent
from kubelet.runtime.driver import (
    Container,
    PartlySilent,
    RuntimeDown,
    RuntimeTrouble,
    State,
)
from kubelet.runtime.found.looks import ASKED_AT_ONCE, Line, Looks
from kubelet.runtime.found.witness import Witness
from tests.clocks import SteppedClock
from tests.simulation.clock import AtOnce

LOOK_S = 0.05
EXITED = State.EXITED.value


def a_container(name: str) -> Container:
    image = ("app:1", "sha256:1")
    return Container(name, f"pod-{name}", name, "default", "main", 0, State.EXITED, *image)


class Engine:
    """Tells of containers, but of those that hang; counts who asks."""

    def __init__(self) -> None:
        self.hanging: dict[str, asyncio.Event] = {}
        self.troubles: dict[str, Exception] = {}
        self.asked: list[str] = []
        self.codes: dict[str, int] = {}

    async def inspected(self, container_id: str) -> Container | None:
        self.asked.append(container_id)
        if container_id in self.hanging:
            await self.hanging[container_id].wait()
        if container_id in self.troubles:
            raise self.troubles[container_id]
        return replace(a_container(container_id), exit_code=self.codes.get(container_id, 0))


class Runtime:
    """A runtime that lists a, b and c."""

    def __init__(self, looks: Looks) -> None:
        self._looks = looks

    async def containers(self) -> object:
        return await self._looks.all_of({one: Line(EXITED, f"pod-{one}") for one in "abc"})


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
async def looks(engine: Engine, tmp_path: Path) -> AsyncIterator[Looks]:
    made = Looks(Witness(SteppedClock(), AtOnce(), tmp_path), engine.inspected, LOOK_S)
    yield made
    await made.close()


@pytest.fixture
def observer(looks: Looks) -> Observer:
    return Observer(Runtime(looks))  # type: ignore[arg-type]  # only listing is asked of it


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  what is asked is a state, no event
            await asyncio.sleep(0)


async def refused(asked: Awaitable[object]) -> PartlySilent:
    with pytest.raises(PartlySilent) as raised:
        await asked
    return raised.value


async def test_a_container_that_hangs_leaves_the_others_known(
    engine: Engine, observer: Observer
) -> None:
    engine.hanging["b"] = asyncio.Event()
    listing = await observer.listing()

    assert [one.id for one in (*listing.of_pod("pod-a"), *listing.of_pod("pod-c"))] == ["a", "c"]
    assert listing.of_pod("pod-none") == ()
    with pytest.raises(RuntimeDown, match="not known: no answer in time"):
        listing.of_pod("pod-b")
    assert listing.silent_pods == ["pod-b"]
    # Who needs all of them is not told of some.
    assert "of 1 pods: pod pod-b: it is still asked" in str(await refused(observer.found()))


async def test_a_list_does_not_wait_again_for_what_is_still_asked(
    engine: Engine, looks: Looks
) -> None:
    engine.hanging["b"] = asyncio.Event()
    await refused(Runtime(looks).containers())
    loop = asyncio.get_running_loop()
    began_s = loop.time()

    for _ in range(20):
        assert (await refused(Runtime(looks).containers())).why == {"pod-b": "it is still asked"}
    assert loop.time() - began_s < 20 * LOOK_S
    assert engine.asked.count("b") == 1


async def test_what_has_answered_late_is_known_to_the_next_list(
    engine: Engine, looks: Looks
) -> None:
    engine.hanging["b"] = asyncio.Event()
    await refused(Runtime(looks).containers())
    engine.codes["b"] = 7
    engine.hanging["b"].set()

    partly: list[PartlySilent] = []

    async def found_whole() -> list[Container]:
        while True:
            try:
                return [*await looks.all_of({one: Line(EXITED, f"pod-{one}") for one in "abc"})]
            except PartlySilent as error:
                partly.append(error)

    async with asyncio.timeout(20):
        found = await found_whole()
    # At no moment is it neither among those found nor among those not known.
    told = [([one.id for one in each.found], list(each.why)) for each in partly]
    assert told == [(["a", "c"], ["pod-b"])] * len(partly)
    assert [(one.id, one.exit_code) for one in found] == [("a", 0), ("b", 7), ("c", 0)]


async def test_many_that_hang_take_no_turn_from_one_that_is_told_of(
    engine: Engine, looks: Looks
) -> None:
    hanging = [f"hangs-{index}" for index in range(ASKED_AT_ONCE)]
    engine.hanging = {name: asyncio.Event() for name in hanging}
    listed = {name: Line(EXITED, f"pod-{name}") for name in (*hanging, "well")}
    error = await refused(looks.all_of(listed))

    assert [one.id for one in error.found] == ["well"]
    assert sorted(error.why) == [f"pod-{name}" for name in hanging]
    assert sorted(engine.asked) == sorted(listed)


@pytest.mark.parametrize(
    "trouble", [Silent("no answer"), RuntimeTrouble("InspectContainerError", "layer not known")]
)
async def test_an_error_about_one_container_is_of_its_pod(
    engine: Engine, looks: Looks, trouble: Exception
) -> None:
    engine.troubles["b"] = trouble
    error = await refused(Runtime(looks).containers())

    assert error.why == {"pod-b": str(trouble)}
    assert [one.id for one in error.found] == ["a", "c"]
    # It is asked again by each list: an error is remembered of nothing.
    await refused(Runtime(looks).containers())
    assert engine.asked.count("b") == 2


async def test_an_engine_that_is_away_is_away_for_all(engine: Engine, looks: Looks) -> None:
    engine.troubles = {"b": RuntimeDown("refused"), "c": RuntimeDown("refused")}
    with pytest.raises(RuntimeDown, match=r"^refused$"):
        await Runtime(looks).containers()


async def test_a_list_that_is_given_up_asks_for_nothing_more(engine: Engine, looks: Looks) -> None:
    engine.hanging["b"] = asyncio.Event()
    listing = asyncio.ensure_future(Runtime(looks).containers())
    await until(lambda: "c" in engine.asked)
    listing.cancel()
    await asyncio.wait([listing])

    engine.hanging.clear()
    assert len(await looks.all_of({"b": Line(EXITED, "pod-b")})) == 1
    assert engine.asked.count("b") == 2
