"""What is asked of systemd, by a systemd that refuses what the real one refuses."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from cubernetes.host.command import CommandFailed, Completed
from cubernetes.host.env import Env
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

    for program in (*PROGRAMS, *PROGRAMS):
        await systemd.stop(program)

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

    assert await systemd.condition("etcd") == condition


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


class Unread:
    """supervisorctl, whose server has not read of a program yet."""

    async def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", deadline_s: float = 30.0
    ) -> Completed:
        said = b"tsdb: ERROR (no such process)\n"
        raise CommandFailed(argv, 4, "", stdout=said)


async def test_a_program_that_supervisord_has_not_read_of_does_not_run() -> None:
    supervisord = Supervisord(Env(commands=Unread()))

    assert await supervisord._status("tsdb") == "tsdb STOPPED"
