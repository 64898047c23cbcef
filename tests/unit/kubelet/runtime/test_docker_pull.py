"""What is said of an image that the engine refuses, and what is left of it."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from kubelet.runtime.docker_api import DockerApi, EngineError
from kubelet.runtime.driver import LocalImage, RuntimeTrouble
from kubelet.runtime.pulls.docker_pull import Pulls


class Refusing(DockerApi):
    """An engine that answers every call with one status."""

    def __init__(self, status: int) -> None:
        super().__init__(Path("/nowhere"))
        self._status = status

    async def call(self, method: str, path: str, **_: Any) -> Any:
        raise EngineError(self._status, f"{method} {path} is refused")


@pytest.mark.parametrize(
    ("status", "reason"), [(400, "InvalidImageName"), (500, "ImageInspectError")]
)
def test_a_name_that_only_the_engine_refuses_is_told_as_no_image(status: int, reason: str) -> None:
    # Longer than the engine takes, and else well formed.
    with pytest.raises(RuntimeTrouble) as trouble:
        asyncio.run(Pulls(Refusing(status)).image_id("a" * 300))
    assert trouble.value.reason == reason


class Tagged(DockerApi):
    """An engine with one image, which a container has: by a tag it drops tags, but not the last."""

    def __init__(self, *tags: str) -> None:
        super().__init__(Path("/nowhere"))
        self.tags = [*tags]

    async def call(self, method: str, path: str, **_: Any) -> Any:
        name = unquote(path.removeprefix("/images/"))
        if method != "DELETE" or name not in {"sha256:1", *self.tags}:
            raise EngineError(404, "no such image")
        if name == "sha256:1" or len(self.tags) == 1:
            raise EngineError(409, "a container has it")
        self.tags.remove(name)


def test_an_image_that_is_not_removed_keeps_all_its_names() -> None:
    tags = ("app:1", "app:2")
    engine = Tagged(*tags)
    with pytest.raises(RuntimeTrouble, match="a container has it") as trouble:
        asyncio.run(Pulls(engine).remove_image(LocalImage(tags, 1, "sha256:1")))
    assert trouble.value.reason == "ImageRemoveError"
    assert engine.tags == [*tags]


def test_an_image_that_is_gone_is_removed_and_its_name_stays_with_another() -> None:
    engine = Tagged("app:1", "app:2")
    asyncio.run(Pulls(engine).remove_image(LocalImage(("app:1",), 1, "sha256:2")))
    assert engine.tags == ["app:1", "app:2"]
