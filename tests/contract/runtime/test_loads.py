"""An archive on its way to an engine: what is its own trouble is not told as the engine's."""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import pytest
from aiohttp import web

from cubernetes.host.blocking import DEADLINE_S, Key
from cubernetes.host.env import Env
from kubelet.images import archives
from kubelet.images.archives import Archives
from kubelet.runtime.docker_api import DockerApi
from kubelet.runtime.driver import RuntimeDriver, RuntimeTrouble
from kubelet.runtime.pulls import docker_pull
from kubelet.runtime.pulls.docker_pull import Pulls
from tests.unit.kubelet.images.test_archives import TOOLS, write_archive


class Disk:
    """A disk that gives the first piece of an archive, and fails at the next."""

    def __init__(self) -> None:
        self.reads = 0

    async def run[T](self, key: Key, work: Callable[[], T], *, deadline_s: float = DEADLINE_S) -> T:
        self.reads += key[0] == "image archive"
        if self.reads == 3:
            raise OSError(errno.EIO, "Input/output error")
        return await Env().blocking.run(key, work, deadline_s=deadline_s)


async def ping(_: web.Request) -> web.Response:
    return web.Response(headers={"Api-Version": "1.41"})


@pytest.fixture
async def pulls(tmp_path: Path) -> AsyncIterator[Pulls]:
    """An engine that takes archives and never says what has become of them."""
    is_over = asyncio.Event()

    async def load(_: web.Request) -> web.Response:
        await is_over.wait()
        return web.Response()

    app = web.Application()
    app.router.add_get("/_ping", ping)
    app.router.add_post("/v1.41/images/load", load)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "engine")).start()
    api = DockerApi(tmp_path / "engine")
    try:
        yield Pulls(api)
    finally:
        is_over.set()
        await api.close()
        await runner.cleanup()


async def test_a_disk_that_fails_within_an_upload_is_not_an_engine_that_is_down(
    pulls: Pulls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "PIECE_BYTES", 100)
    write_archive(tmp_path / "a.tar", TOOLS)
    loader = Archives(cast("RuntimeDriver", pulls), Disk(), [tmp_path])

    with pytest.raises(OSError, match="Input/output error"):
        await loader.load(TOOLS, lambda _: None)


async def test_a_load_without_an_end_fails_the_pull_and_not_the_engine(
    pulls: Pulls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_pull, "LOAD_MAX_S", 0.2)
    write_archive(tmp_path / "a.tar", TOOLS)
    loader = Archives(cast("RuntimeDriver", pulls), Env().blocking, [tmp_path])

    with pytest.raises(RuntimeTrouble, match="an archive: not loaded after") as trouble:
        await loader.load(TOOLS, lambda _: None)
    assert trouble.value.reason == "ErrImagePull"
