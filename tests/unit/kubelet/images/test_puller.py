"""Pulls of a node: a limit, one pull for those that ask alike, and no login for anybody else."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from cubernetes.host.env import Env
from kubelet.images.pulled import PulledImages
from kubelet.images.puller import ALONE_S, LOGINS_S, WAITS, Puller
from kubelet.runtime.driver import Login, RuntimeTrouble, unheard
from kubelet.runtime.fake import FakeMachine, FakeRuntime
from tests.simulation.clock import sim_env
from tests.simulation.loop import run_simulated

ANN, BOB = Login("ann", "w"), Login("bob", "w")


class Registry(FakeRuntime):
    """A runtime whose pulls end when they are let to, or after so long."""

    def __init__(self, env: Env | None = None, refuses_after_s: float | None = None) -> None:
        super().__init__(FakeMachine(env or Env()))
        self.refuses_after_s = refuses_after_s
        self.asked: list[tuple[str, Login | None]] = []
        self.running_count = 0
        self.gate = asyncio.Event()
        self.here: dict[str, str] = {}

    async def image_id(self, image: str) -> str | None:
        return self.here.get(image)

    async def pull(
        self, image: str, login: Login | None = None, tell: Callable[[str], None] = unheard
    ) -> str:
        self.asked.append((image, login))
        self.running_count += 1
        try:
            tell("50%")
            if self.refuses_after_s is not None:
                await asyncio.sleep(self.refuses_after_s)
                raise RuntimeTrouble("ErrImagePull", "silence")
            await self.gate.wait()
        finally:
            self.running_count -= 1
        if login == BOB:
            raise RuntimeTrouble("ErrImagePull", "not bob")
        return image


class Shelf:
    """A disk, which may be full."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.trouble = ""

    def load_images(self) -> Sequence[str]:
        return self.ids

    def save_images(self, ids: Sequence[str]) -> None:
        if self.trouble:
            raise OSError(self.trouble)
        self.ids = list(ids)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def pulled(shelf: Shelf) -> PulledImages:
    return PulledImages(shelf, Env().blocking)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_no_more_pulls_than_allowed_are_under_way_and_the_others_say_that_they_wait(
    pulled: PulledImages,
) -> None:
    registry = Registry()
    puller, told = Puller(registry, Env().clock, 2, pulled), dict[str, str]()
    pulls = [
        asyncio.create_task(
            puller.pull(name, (), lambda text, name=name: told.__setitem__(name, text))  # type: ignore[misc]
        )
        for name in "abc"
    ]
    await settled()
    assert registry.running_count == 2
    assert told == {"a": "50%", "b": "50%", "c": WAITS}
    registry.gate.set()
    await asyncio.gather(*pulls)
    assert [image for image, _ in registry.asked] == ["a", "b", "c"]
    await puller.close()


async def test_askers_with_the_same_logins_share_a_pull_and_others_have_their_own(
    pulled: PulledImages,
) -> None:
    registry = Registry()
    puller = Puller(registry, Env().clock, 8, pulled)
    registry.gate.set()
    asks = (puller.pull("a", logins, unheard) for logins in ((ANN,), (ANN,), ()))
    await asyncio.gather(*asks)
    assert registry.asked == [("a", ANN), ("a", None)]
    await puller.close()


async def test_a_pull_goes_on_where_its_asker_has_gone(pulled: PulledImages) -> None:
    registry = Registry()
    puller = Puller(registry, Env().clock, 1, pulled)
    first = asyncio.create_task(puller.pull("a", (), unheard))
    await settled()
    first.cancel()
    await settled()
    registry.gate.set()
    await puller.pull("a", (), unheard)
    assert registry.asked == [("a", None)]
    await puller.close()
    assert registry.running_count == 0


async def test_the_next_login_is_tried_where_one_is_refused(pulled: PulledImages) -> None:
    registry = Registry()
    registry.gate.set()
    puller = Puller(registry, Env().clock, 1, pulled)
    await puller.pull("a", (BOB, ANN), unheard)
    assert [login for _, login in registry.asked] == [BOB, ANN]
    with pytest.raises(RuntimeTrouble, match="not bob"):
        await puller.pull("a", (BOB,), unheard)
    await puller.close()


async def test_what_a_pull_brought_is_written_down_and_what_was_here_is_not(
    shelf: Shelf, pulled: PulledImages
) -> None:
    registry = Registry()
    registry.gate.set()
    registry.here = {"owners": "owners", "moved": "before"}
    puller = Puller(registry, Env().clock, 1, pulled)
    for image in ("owners", "moved", "new"):
        await puller.pull(image, (), unheard)
    await puller.close()
    assert shelf.ids == ["moved", "new"]
    assert await PulledImages(shelf, Env().blocking).ids() == {"moved", "new"}


async def test_what_a_full_disk_does_not_take_is_written_down_later(
    shelf: Shelf, pulled: PulledImages
) -> None:
    await pulled.add("a")
    shelf.trouble = "no space left"
    await pulled.add("b")
    await pulled.add("c")
    assert shelf.ids == ["a"]
    assert await pulled.ids() == {"a", "b", "c"}
    shelf.trouble = ""
    await pulled.forget({"a", "b"})
    assert shelf.ids == ["c"]


def test_pulls_that_nobody_waits_for_any_more_hold_no_turn() -> None:
    async def story() -> None:
        registry, env = Registry(), sim_env("puller")
        puller = Puller(registry, env.clock, 1, PulledImages(Shelf(), env.blocking))
        gone = [asyncio.create_task(puller.pull(f"gone-{n}", (), unheard)) for n in range(200)]
        await settled()
        for one in gone:
            one.cancel()
        await settled()
        asked = asyncio.create_task(puller.pull("wanted", (), unheard))
        await asyncio.sleep(ALONE_S - 1)
        # The one under way goes on for a while.
        assert len(registry.asked) == 1
        assert registry.running_count == 1
        await asyncio.sleep(2)
        assert [image for image, _ in registry.asked[1:]] == ["wanted"]
        assert registry.running_count == 1
        registry.gate.set()
        await asked
        await puller.close()

    run_simulated(story())


def test_a_pull_that_is_asked_for_again_in_time_goes_on() -> None:
    async def story() -> None:
        registry, env = Registry(), sim_env("puller")
        puller = Puller(registry, env.clock, 1, PulledImages(Shelf(), env.blocking))
        first = asyncio.create_task(puller.pull("a", (), unheard))
        await settled()
        first.cancel()
        await asyncio.sleep(ALONE_S / 2)
        second = asyncio.create_task(puller.pull("a", (), unheard))
        await asyncio.sleep(ALONE_S * 2)
        assert registry.asked == [("a", None)]
        # And one that asks after it was given up has a pull of its own.
        second.cancel()
        await asyncio.sleep(ALONE_S * 2)
        assert registry.running_count == 0
        registry.gate.set()
        await puller.pull("a", (), unheard)
        assert registry.asked == [("a", None)] * 2
        await puller.close()

    run_simulated(story())


def test_a_registry_that_is_silent_is_not_asked_with_every_login() -> None:
    async def story() -> None:
        env = sim_env("puller")
        registry = Registry(env, refuses_after_s=LOGINS_S * 0.7)
        logins = [Login(f"user-{n}", "w") for n in range(16)]
        puller = Puller(registry, env.clock, 1, PulledImages(Shelf(), env.blocking))
        with pytest.raises(RuntimeTrouble, match="silence"):
            await puller.pull("a", logins, unheard)
        assert len(registry.asked) == 2
        await puller.close()

    run_simulated(story())
