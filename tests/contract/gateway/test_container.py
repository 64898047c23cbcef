"""nginx's container under a real Docker: which image it is made of, and that nothing stays."""

import asyncio
import io
import json
import tarfile
from pathlib import Path

import pytest

from gateway.nginx.container import ContainerNginx, layers_in
from images.build import Entry, Image, archive_of
from tests.contract.runtime.private_docker import BUSYBOX, PrivateDocker

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
    nginx = ContainerNginx(engine.socket, "paper", IMAGE, tmp_path, tmp_path / "run", 1)
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


def version_in(docker: PrivateDocker) -> str:
    got = docker.request("GET", "/containers/paper/archive?path=/etc/version")
    with tarfile.open(fileobj=io.BytesIO(got)) as opened:
        found = opened.extractfile("version")
        assert found is not None
        return found.read().decode()


def test_what_is_no_archive_has_no_layers(tmp_path: Path) -> None:
    assert layers_in(tmp_path / "none.tar") == ()
