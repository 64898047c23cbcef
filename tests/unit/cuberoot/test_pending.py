"""Which programs must begin anew is not forgotten, wherever a run of cuberoot is cut."""

from pathlib import Path

import pytest

from cubernetes.host.env import Env
from cuberoot.apply import Programs
from cuberoot.host.journal import Journal
from cuberoot.host.pending import Pending
from cuberoot.host.supervision import Condition
from tests.unit.cuberoot.test_compile import MASTER


class Cut(Exception):
    """The run ends here."""


class Supervised:
    """Programs that only note what is done to them; starts may be cut after some."""

    def __init__(self, starts_left: int = 99) -> None:
        self.starts_left = starts_left
        self.done: list[str] = []
        self.stopped: set[str] = set()

    async def prepare(self) -> None:
        self.done.append("prepare")

    async def start(self, program: str) -> None:
        if self.starts_left == 0:
            raise Cut
        self.starts_left -= 1
        self.done.append(f"start {program}")

    async def stop(self, *programs: str) -> None:
        self.done += [f"stop {program}" for program in programs]

    async def retire(self, program: str) -> None:
        self.done.append(f"retire {program}")

    async def conditions(self, *programs: str) -> dict[str, Condition]:
        return {one: "stopped" if one in self.stopped else "running" for one in programs}

    async def last_words(self, program: str) -> str:
        return program

    async def close(self) -> None:
        self.done.append("close")


def pending_in(folder: Path) -> Pending:
    """Return what a new run of cuberoot finds on the disk."""
    return Pending(Journal(folder / "journal.json"), folder / "pending.json")


async def refreshed(folder: Path, supervised: Supervised) -> list[str]:
    programs = Programs(MASTER, Env(), lambda _: None, pending_in(folder), supervised)
    await programs.refresh()
    return supervised.done[1:]


async def test_a_run_that_is_cut_is_finished_by_the_next_one(tmp_path: Path) -> None:
    pending_in(tmp_path).add(("controllers", "kubelet"))
    with pytest.raises(Cut):
        await refreshed(tmp_path, Supervised(starts_left=1))

    assert pending_in(tmp_path).names == {"kubelet"}
    assert await refreshed(tmp_path, Supervised()) == ["stop kubelet", "start kubelet"]
    assert pending_in(tmp_path).names == set()
    assert await refreshed(tmp_path, Supervised()) == []


async def test_what_is_stopped_begins_anew_when_it_is_started(tmp_path: Path) -> None:
    pending_in(tmp_path).add(("scheduler",))
    supervised = Supervised()
    supervised.stopped = {"scheduler"}

    assert await refreshed(tmp_path, supervised) == []
    assert pending_in(tmp_path).names == {"scheduler"}


def test_what_another_run_has_added_meanwhile_stays(tmp_path: Path) -> None:
    first = pending_in(tmp_path)
    pending_in(tmp_path).add(("kubelet",))
    pending_in(tmp_path).add(("proxy",))
    first.done("kubelet")
    first.done("etcd")

    assert pending_in(tmp_path).names == {"proxy"}


def test_the_note_is_ours_and_is_removed_with_the_rest(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    pending_in(folder).add(("proxy",))
    assert (folder / "pending.json").exists()

    Journal(folder / "journal.json").undo()

    assert not folder.exists()
