"""What is said of an image that the engine refuses."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kubelet.runtime.docker_api import DockerApi, EngineError
from kubelet.runtime.docker_pull import Pulls
from kubelet.runtime.driver import RuntimeTrouble


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
