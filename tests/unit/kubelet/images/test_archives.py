"""Images that lie on a node as archives: found by their names, loaded before anything is pulled."""

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from cubernetes.host.env import Env
from kubelet.images.archives import Archives, archive_of
from kubelet.images.pulled import PulledImages
from kubelet.images.puller import Puller
from kubelet.runtime.driver import RuntimeTrouble
from kubelet.runtime.fake import Behaviour, FakeMachine, FakeRuntime
from tests.unit.kubelet.images.test_puller import Shelf

TOOLS = "cubernetes/tools:1"


def write_archive(path: Path, *names: str, manifest: bytes | None = None) -> None:
    content = manifest if manifest is not None else json.dumps([{"RepoTags": names}]).encode()
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("manifest.json")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))


def test_an_archive_is_found_by_what_it_says_that_it_holds(tmp_path: Path) -> None:
    apart = tmp_path / "apart"
    apart.mkdir()
    write_archive(tmp_path / "web.tar", "cubernetes/web:1")
    write_archive(apart / "any-name.tar", TOOLS, "other:latest")

    assert archive_of(TOOLS, [tmp_path, apart]) == apart / "any-name.tar"
    assert archive_of("other", [tmp_path, apart]) == apart / "any-name.tar"
    assert archive_of("cubernetes/tools:2", [tmp_path, apart]) is None
    assert archive_of(TOOLS, [tmp_path, tmp_path / "absent"]) is None


def test_of_two_archives_the_newer_one_is_taken(tmp_path: Path) -> None:
    for name, at in (("a.tar", 200), ("b.tar", 100)):
        write_archive(tmp_path / name, TOOLS)
        os.utime(tmp_path / name, (at, at))

    assert archive_of(TOOLS, [tmp_path]) == tmp_path / "a.tar"


@pytest.mark.parametrize("manifest", [b"", b"{", b"[1]", b'[{"RepoTags": null}]', b"[{}]", b"3"])
def test_an_archive_that_says_nothing_is_none(tmp_path: Path, manifest: bytes) -> None:
    write_archive(tmp_path / "a.tar", manifest=manifest)
    (tmp_path / "b.tar").write_bytes(b"no tar")
    (tmp_path / "c.tar").mkdir()

    assert archive_of(TOOLS, [tmp_path]) is None


@pytest.fixture
def machine() -> FakeMachine:
    return FakeMachine(Env(), {TOOLS: Behaviour(pull_s=0.0, pull_error="no such repository")})


def a_puller(machine: FakeMachine, folder: Path) -> Puller:
    env, runtime = Env(), FakeRuntime(machine)
    archives = Archives(runtime, env.blocking, [folder])
    return Puller(runtime, env.clock, 1, PulledImages(Shelf(), env.blocking), archives)


async def test_an_image_is_loaded_where_there_is_an_archive(
    machine: FakeMachine, tmp_path: Path
) -> None:
    write_archive(tmp_path / "tools.tar", TOOLS)
    told: list[str] = []

    await a_puller(machine, tmp_path).pull(TOOLS, (), told.append)

    assert TOOLS in machine.images
    assert f"loading {tmp_path}/tools.tar" in told


async def test_an_image_of_ours_that_is_nowhere_says_what_makes_it(
    machine: FakeMachine, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeTrouble) as trouble:
        await a_puller(machine, tmp_path).pull(TOOLS, (), lambda _: None)

    assert "no such repository; no archive of it is in" in str(trouble.value)
    assert "scripts/build-images var/images tools makes it" in str(trouble.value)


async def test_an_image_that_is_here_is_asked_of_its_registry(
    machine: FakeMachine, tmp_path: Path
) -> None:
    """By `imagePullPolicy: Always` somebody wants what the registry has now."""
    write_archive(tmp_path / "tools.tar", TOOLS)
    machine.images.add(TOOLS)

    with pytest.raises(RuntimeTrouble, match="no such repository"):
        await a_puller(machine, tmp_path).pull(TOOLS, (), lambda _: None)
