"""What is asked of systemd, which refuses what the real one refuses, and of supervisord."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from cubernetes.host.command import CommandFailed, Completed
from cubernetes.host.env import Env
from cuberoot import layout
from cuberoot.host.supervision import Condition, Supervisord, Systemd, protect

PROGRAMS = ("etcd", "kubelet")


class Manager:
    """systemctl, as far as it is used: units are files, active ones have a state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.enabled: set[str] = set()
        self.states: dict[str, str] = {}

    async def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", deadline_s: float = 30.0
    ) -> Completed:
        verb, units = argv[1], [word for word in argv[2:] if not word.startswith("--")]
        if verb == "show":
            return Completed(self.states.get(units[0], "inactive").encode() + b"\n", b"")
        for unit in units:
            if not (self.folder / unit).exists() and self.states.get(unit) is None:
                raise CommandFailed(argv, 1, f"Unit {unit} not found.")
            match verb:
                case "enable":
                    self.enabled.add(unit)
                case "disable":
                    self.enabled.discard(unit)
                case "start":
                    self.states[unit] = "active"
                case "stop":
                    self.states.pop(unit, None)
                case _:
                    raise AssertionError(argv)
        return Completed(b"", b"")


class WithoutJournal:
    async def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", deadline_s: float = 30.0
    ) -> Completed:
        raise CommandFailed(argv, 1, "No journal files were found.")


@pytest.fixture
def manager(tmp_path: Path) -> Manager:
    for program in PROGRAMS:
        (tmp_path / f"cube-{program}.service").touch()
    return Manager(tmp_path)


@pytest.fixture
def systemd(manager: Manager) -> Systemd:
    return Systemd(PROGRAMS, manager, manager.folder)


async def test_what_is_prepared_starts_with_the_machine_and_so_does_what_was_stopped(
    systemd: Systemd, manager: Manager
) -> None:
    await systemd.prepare()
    await systemd.start("kubelet")
    await systemd.stop("kubelet")

    assert manager.enabled == {"cube-etcd.service", "cube-kubelet.service"}
    assert manager.states == {}


async def test_stopping_may_be_repeated_and_needs_no_unit(
    systemd: Systemd, manager: Manager
) -> None:
    (manager.folder / "cube-etcd.service").unlink()
    await systemd.start("kubelet")

    for _ in range(2):
        await systemd.stop(*PROGRAMS)

    assert manager.states == {}


async def test_closing_finishes_where_a_removal_was_cut(systemd: Systemd, manager: Manager) -> None:
    await systemd.prepare()
    (manager.folder / "cube-etcd.service").unlink()
    manager.enabled.discard("cube-etcd.service")

    await systemd.close()
    assert manager.enabled == set()
    (manager.folder / "cube-kubelet.service").unlink()
    await systemd.close()


@pytest.mark.parametrize(
    ("state", "condition"),
    [
        ("active", "running"),
        ("activating", "failing"),  # between two attempts
        ("failed", "failing"),
        ("deactivating", "stopped"),
        ("inactive", "stopped"),
    ],
)
async def test_a_condition_is_what_systemd_makes_of_a_unit(
    systemd: Systemd, manager: Manager, state: str, condition: Condition
) -> None:
    manager.states["cube-etcd.service"] = state

    assert await systemd.conditions("etcd") == {"etcd": condition}


async def test_where_no_journal_can_be_read_that_is_said_and_nothing_raised(
    tmp_path: Path,
) -> None:
    words = await Systemd(PROGRAMS, WithoutJournal(), tmp_path).last_words("etcd")

    assert words == "journalctl ended with 1: No journal files were found."


def test_the_kernel_is_told_to_end_a_protected_process_last(tmp_path: Path) -> None:
    (tmp_path / "oom_score_adj").write_text("0\n")
    protect(tmp_path)
    assert (tmp_path / "oom_score_adj").read_text() == "-999"


def test_a_machine_that_grants_no_protection_runs_its_programs_all_the_same(tmp_path: Path) -> None:
    protect(tmp_path / "gone")
    assert not (tmp_path / "gone").exists()


async def test_a_retired_program_does_not_start_with_the_machine_and_may_be_retired_again(
    systemd: Systemd, manager: Manager
) -> None:
    await systemd.prepare()
    await systemd.start("etcd")
    await systemd.start("kubelet")

    await systemd.retire("etcd")
    (manager.folder / "cube-etcd.service").unlink()
    await systemd.retire("etcd")

    assert manager.enabled == {"cube-kubelet.service"}
    assert manager.states == {"cube-kubelet.service": "active"}


class Control:
    """supervisorctl, which says something of each program and ends with a code."""

    def __init__(self, said: str, code: int) -> None:
        self.said, self.code = said, code
        self.told: list[Sequence[str]] = []

    async def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", deadline_s: float = 30.0
    ) -> Completed:
        words = argv[argv.index("-c") + 2 :]
        self.told.append(words)
        if words[0] == "status" and self.code:
            raise CommandFailed(argv, self.code, "", stdout=self.said.encode())
        return Completed(self.said.encode(), b"")


@pytest.fixture
async def socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """A supervisord that can be reached, and says nothing."""
    path = tmp_path / "supervisor.sock"
    monkeypatch.setattr(layout, "SUPERVISORD_SOCKET", path)
    async with await asyncio.start_unix_server(lambda _, writer: writer.close(), path):
        yield


STATUS = """\
etcd                             RUNNING   pid 85, uptime 0:00:24
proxy                            BACKOFF   Exited too quickly
kubelet                          STOPPED   Nov 29 06:36 PM
tsdb: ERROR (no such process)
"""


@pytest.mark.parametrize("code", [3, 4])
async def test_one_question_finds_what_is_to_be_stopped_and_one_word_stops_it(
    socket: None, code: int
) -> None:
    """The last one is left by a cut `enable`: supervisord has not read of it."""
    control = Control(STATUS, code)
    supervisord = Supervisord(Env(commands=control))
    programs = ("tsdb", "proxy", "kubelet", "etcd")

    assert await supervisord.conditions(*programs) == {
        "tsdb": "stopped",
        "proxy": "failing",
        "kubelet": "stopped",
        "etcd": "running",
    }
    control.told.clear()
    await supervisord.stop(*programs)

    assert control.told == [["status", *programs], ["stop", "proxy", "etcd"]]


@pytest.mark.parametrize(("said", "code"), [("unix:///x refused connection\n", 4), (STATUS, 1)])
async def test_a_supervisord_that_does_not_say_a_state_is_an_error(
    socket: None, said: str, code: int
) -> None:
    with pytest.raises(CommandFailed):
        await Supervisord(Env(commands=Control(said, code))).conditions("etcd", "kubelet")


async def test_where_no_supervisord_is_everything_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "SUPERVISORD_SOCKET", tmp_path / "none.sock")
    control = Control("", 0)

    await Supervisord(Env(commands=control)).stop("etcd")

    assert control.told == []
