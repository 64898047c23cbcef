"""nginx's container under a real Docker: which image it is made of, and that nothing stays."""

import asyncio
import io
import json
import tarfile
from functools import partial
from pathlib import Path

import pytest

from cubernetes.client.connect import ClientSettings
from cubernetes.host.env import Env
from cubernetes.host.exchange import NoAnswer, exchange
from gateway.nginx.container import ContainerNginx, layers_in
from gateway.nginx.driver import Driver
from gateway.nginx.requestlog import RequestLog
from gateway.nginx.text import Facts, configuration_for
from gateway.nginx.tree import Tree
from gateway.requests import line_of
from gateway.roads.model import Model
from gateway.settings import GatewaySettings
from images.build import Entry, Image, archive_of
from tests.contract.gateway.test_run import DEADLINE_S, until
from tests.contract.gateway.world import ARCHIVE, WORKERS_GID, reason_to_skip
from tests.contract.runtime.private_docker import BUSYBOX, PrivateDocker
from tests.ports import free_ports

pytestmark = [pytest.mark.root]
IMAGE = "cubernetes/paper:1"
# It ends when it is told to, as nginx does.
NGINX = b"#!/bin/busybox sh\ntrap 'exit 0' TERM QUIT\n/bin/busybox sleep 600 & wait\n"


def an_archive(path: Path, content: str) -> Path:
    """Write an archive of an image that sleeps in nginx's place."""
    entries = (
        Entry("bin/busybox", BUSYBOX.resolve().read_bytes()),
        Entry("usr/sbin/nginx", NGINX),
        Entry("etc/version", content.encode()),
    )
    path.write_bytes(archive_of(Image("paper", (), lambda: entries)))
    return path


async def test_an_image_that_was_built_anew_is_taken_and_nothing_of_it_stays(
    engine: PrivateDocker, tmp_path: Path
) -> None:
    """The image has one name for ever: Docker kept the first one that it was ever given."""
    nginx = ContainerNginx(engine.socket, "paper", IMAGE, tmp_path, 1)
    assert not await nginx.has_image()
    for version in ("one", "two"):
        archive = an_archive(tmp_path / "paper.tar", version)
        layers = layers_in(archive)
        assert not await nginx.has_image(layers)
        await nginx.load(archive.read_bytes())
        assert await nginx.has_image(layers)
        assert await nginx.ensure()
        assert not await nginx.ensure()
        assert await asyncio.to_thread(version_in, engine) == version

    await nginx.remove()
    await nginx.remove_image()
    await nginx.remove_image()

    assert json.loads(engine.request("GET", "/containers/json?all=1")) == []
    assert not await nginx.has_image()


@pytest.mark.skipif(bool(reason_to_skip()), reason=f"no nginx: {reason_to_skip()}")
async def test_the_log_of_requests_is_read_from_the_memory_of_the_container(
    engine: PrivateDocker, tmp_path: Path
) -> None:
    http_port, https_port, status_port = free_ports(3)
    facts = Facts(http_port=http_port, https_port=https_port, status_port=status_port)
    image = GatewaySettings(client=ClientSettings(servers=(), ca=""), node_name="n1").image
    nginx = ContainerNginx(engine.socket, "real", image, tmp_path, status_port)
    driver = Driver(nginx, Tree(tmp_path, WORKERS_GID), Env())
    assert await nginx.request_log() is None
    await nginx.load(ARCHIVE.read_bytes())
    opened = RequestLog()
    for _ in range(2):
        await driver.begin(configuration_for(Model(), facts))
        await until(partial(is_answered, http_port))
        await until(partial(is_read, opened, await driver.request_log()))
        # The next container has another file.
        await nginx.remove()
        # Where a try was given up before, there is a line more.
        while opened.take(None):
            opened.counted()
        assert opened.take(None) is None
    await nginx.remove_image()


async def is_answered(port: int) -> bool:
    try:
        answer = await exchange(("127.0.0.1", port), "GET /none", deadline_s=DEADLINE_S)
    except NoAnswer:
        return False
    return answer.code == 404


async def is_read(opened: RequestLog, path: Path | None) -> bool:
    lines = [line_of(one) for one in opened.take(path) or ()]
    opened.counted()
    return any(one is not None and one.status == 404 for one in lines)


def version_in(docker: PrivateDocker) -> str:
    got = docker.request("GET", "/containers/paper/archive?path=/etc/version")
    with tarfile.open(fileobj=io.BytesIO(got)) as opened:
        found = opened.extractfile("version")
        assert found is not None
        return found.read().decode()


def test_what_is_no_archive_has_no_layers(tmp_path: Path) -> None:
    assert layers_in(tmp_path / "none.tar") == ()
