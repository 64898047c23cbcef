"""Pulls of a node: a limit, one pull for those that ask alike, and no login for anybody else."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from cubernetes.host.env import Env
from kubelet.images.pulled import PulledImages
from kubelet.images.puller import WAITS, Puller
from kubelet.runtime.driver import Login, RuntimeTrouble, unheard
from kubelet.runtime.fake import FakeMachine, FakeRuntime

ANN, BOB = Login("ann", "w"), Login("bob", "w")


class Registry(FakeRuntime):
    """A runtime whose pulls end when they are let to."""

    def __init__(self) -> None:
        super().__init__(FakeMachine(Env()))
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
