"""Images that lie on a node as archives: found by their names, loaded before anything is pulled."""

import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
from collections.abc import AsyncIterable, Callable
from pathlib import Path

import pytest

from cubernetes.host.env import Env
from kubelet.images.archives import Archives, archive_of
from kubelet.images.pulled import PulledImages
from kubelet.images.puller import LOGINS_S, Puller
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


MANY = json.dumps([{"RepoTags": [f"many:{index}" for index in range(9999)]}]).encode()


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
@pytest.mark.parametrize("part", [0.4, 0.9])
def test_an_archive_that_is_cut_is_none_and_holds_up_no_other(
    tmp_path: Path, pack: Callable[[bytes], bytes], part: float
) -> None:
    write_archive(tmp_path / "a.tar", manifest=MANY)
    packed = pack((tmp_path / "a.tar").read_bytes())
    (tmp_path / "a.tar").write_bytes(packed[: int(len(packed) * part)])
    write_archive(tmp_path / "b.tar", TOOLS)

    assert archive_of(TOOLS, [tmp_path]) == tmp_path / "b.tar"


def test_an_archive_that_is_broken_is_read_and_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_archive(tmp_path / "a.tar", manifest=b"[" * 200_000)
    for _ in range(3):
        assert archive_of(TOOLS, [tmp_path]) is None
    assert len([one for one in caplog.records if "not an archive" in one.getMessage()]) == 1

    write_archive(tmp_path / "a.tar", TOOLS)
    assert archive_of(TOOLS, [tmp_path]) == tmp_path / "a.tar"


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


async def test_an_archive_that_is_not_loaded_is_not_told_to_be_absent(
    machine: FakeMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load may take longer than logins may: the registry is asked all the same."""
    write_archive(tmp_path / "tools.tar", TOOLS)
    asked_at_s = iter((0.0, LOGINS_S * 2))

    class Slow(FakeRuntime):
        async def load(self, archive: AsyncIterable[bytes]) -> None:
            raise RuntimeTrouble("ErrImagePull", "an archive: no room")

    env, runtime = Env(), Slow(machine)
    monkeypatch.setattr(runtime._clock, "monotonic", lambda: next(asked_at_s, LOGINS_S * 2))
    archives = Archives(runtime, env.blocking, [tmp_path])
    puller = Puller(runtime, runtime._clock, 1, PulledImages(Shelf(), env.blocking), archives)
    with pytest.raises(RuntimeTrouble) as trouble:
        await puller.pull(TOOLS, (), lambda _: None)

    assert str(trouble.value) == f"an archive: no room; {TOOLS}: no such repository"


async def test_an_image_that_is_here_is_asked_of_its_registry(
    machine: FakeMachine, tmp_path: Path
) -> None:
    """By `imagePullPolicy: Always` somebody wants what the registry has now."""
    write_archive(tmp_path / "tools.tar", TOOLS)
    machine.images.add(TOOLS)

    with pytest.raises(RuntimeTrouble, match=r"no such repository\Z"):
        await a_puller(machine, tmp_path).pull(TOOLS, (), lambda _: None)
