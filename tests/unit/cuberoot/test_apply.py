"""Cleaning a node: a program that cannot take everything away is told in a sentence."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cubernetes.host.command import CommandFailed, Completed
from cubernetes.host.env import Env
from cuberoot.apply import NotClean, clean_node
from tests.unit.cuberoot.test_compile import WORKER

STORY = {"level": "error", "message": "program cannot go on", "why": "containers: no answer"}


class Resets:
    """Runs no program: the resets that fail say so as a program's log does."""

    def __init__(self, *failing: str) -> None:
        self._failing = failing
        self.asked: list[str] = []

    async def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", deadline_s: float = 30.0
    ) -> Completed:
        self.asked.append(argv[2])
        if argv[2] in self._failing:
            raise CommandFailed(
                argv, 1, json.dumps({"message": "begun"}) + "\n" + json.dumps(STORY)
            )
        return Completed(b"", b"")


def written(folder: Path) -> Callable[[str], Path]:
    """Write settings for each program; return where they are."""
    for program in ("kubelet", "proxy"):
        (folder / program).touch()
    return lambda program: folder / program


async def test_what_one_program_leaves_is_told_in_its_words_and_the_others_do_their_part(
    tmp_path: Path,
) -> None:
    settings_file = written(tmp_path)
    commands, said = Resets("kubelet.reset"), list[str]()

    with pytest.raises(NotClean) as refused:
        await clean_node(WORKER, Env(commands=commands), said.append, settings_file)

    assert sorted(commands.asked) == ["kubelet.reset", "proxy.reset"]
    assert str(refused.value).splitlines()[0] == "kubelet: containers: no answer"
    assert "proxy: what it made is removed" in said


async def test_a_clean_node_is_told_so(tmp_path: Path) -> None:
    said = list[str]()
    await clean_node(WORKER, Env(commands=Resets()), said.append, written(tmp_path))
    assert len(said) == 2
