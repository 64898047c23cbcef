"""A store that is a little behind what was shown is brought beyond it; others are left alone."""

import logging
from pathlib import Path

import pytest

from apiserver.state.revisionmark import MARGIN, NEAR, RevisionMark
from apiserver.storage.memory import MemoryStore
from apiserver.storage.store import Put
from cubernetes.host.blocking import Threads
from cubernetes.host.env import Env


async def a_store(writes: int) -> MemoryStore:
    store = MemoryStore(Env())
    for _ in range(writes):
        await store.commit([], [Put("/cubernetes/x", b"")])
    return store


async def revision_of(store: MemoryStore) -> int:
    return (await store.get("/cubernetes/x"))[1]


def a_mark(file: Path | None) -> RevisionMark:
    return RevisionMark(file, Env().clock, Threads())


@pytest.mark.parametrize("behind", [1, 50, NEAR - 1])
async def test_a_store_that_is_a_little_behind_is_brought_beyond_the_mark(
    tmp_path: Path, behind: int
) -> None:
    store = await a_store(20)
    marked = await revision_of(store) + behind
    await a_mark(tmp_path / "mark").set(marked)

    await a_mark(tmp_path / "mark").overtake(store)

    assert marked + MARGIN <= await revision_of(store) <= marked + MARGIN + 1


@pytest.mark.parametrize("ahead", [0, 1, 1000])
async def test_a_store_that_is_not_behind_is_left_alone(tmp_path: Path, ahead: int) -> None:
    store = await a_store(20 + ahead)
    before = await revision_of(store)
    await a_mark(tmp_path / "mark").set(before - ahead)

    await a_mark(tmp_path / "mark").overtake(store)

    assert await revision_of(store) == before


async def test_far_behind_it_is_told_and_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = await a_store(1)
    before = await revision_of(store)
    await a_mark(tmp_path / "mark").set(before + NEAR + 1)

    with caplog.at_level(logging.ERROR):
        await a_mark(tmp_path / "mark").overtake(store)

    assert await revision_of(store) == before
    assert "the store went back in time" in caplog.text


@pytest.mark.parametrize("content", [None, b"", b"\0\0", b"twelve"])
async def test_without_a_mark_that_can_be_read_nothing_happens(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "mark"
    if content is not None:
        file.write_bytes(content)
    store = await a_store(3)
    before = await revision_of(store)

    await a_mark(file).overtake(store)
    await a_mark(None).overtake(store)

    assert await revision_of(store) == before


async def test_the_mark_never_goes_back(tmp_path: Path) -> None:
    mark = a_mark(tmp_path / "mark")
    await mark.set(7)
    await mark.set(5)
    assert (tmp_path / "mark").read_bytes() == b"7"


async def test_a_disk_that_takes_nothing_is_told_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mark = a_mark(tmp_path / "missing" / "mark")

    await mark.set(7)
    await mark.set(8)
    (tmp_path / "missing").mkdir()
    await mark.set(8)

    assert caplog.text.count("revision mark not set") == 1
    assert (tmp_path / "missing" / "mark").read_bytes() == b"8"
