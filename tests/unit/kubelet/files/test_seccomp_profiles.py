"""Seccomp profiles come from one folder of the node, whatever their paths and links say."""

from pathlib import Path

import pytest

from kubelet.files.profiles import PROFILE_BYTES_MAX, read_profile
from kubelet.runtime.driver import RuntimeTrouble

PROFILE = '{"defaultAction": "SCMP_ACT_ALLOW",\n "syscalls": []}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "seccomp"
    (made / "profiles").mkdir(parents=True)
    (made / "profiles" / "audit.json").write_text(PROFILE)
    (tmp_path / "outside.json").write_text(PROFILE)
    return made


def test_a_profile_is_read_as_json_without_blanks(folder: Path) -> None:
    (folder / "link.json").symlink_to("profiles/audit.json")
    for path in ("profiles/audit.json", "./profiles//audit.json", "link.json"):
        assert read_profile(folder, path) == '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[]}'


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("../outside.json", "leads out"),
        ("profiles/../../outside.json", "leads out"),
        ("link.json", "leads out"),
        ("absolute.json", "leads out"),
        ("missing.json", "No such file"),
        ("profiles", "not a file"),
        ("text.json", "not JSON"),
        ("list.json", "no defaultAction"),
        ("huge.json", "more than"),
    ],
)
def test_what_is_no_profile_is_told_and_read_no_further(folder: Path, path: str, why: str) -> None:
    (folder / "link.json").symlink_to("../outside.json")
    (folder / "absolute.json").symlink_to(folder.parent / "outside.json")
    (folder / "text.json").write_text("{")
    (folder / "list.json").write_text("[]")
    (folder / "huge.json").write_text(" " * (PROFILE_BYTES_MAX + 1))
    with pytest.raises(RuntimeTrouble, match=why) as told:
        read_profile(folder, path)
    assert told.value.reason == "CreateContainerConfigError"


def test_without_the_folder_there_is_no_profile(tmp_path: Path) -> None:
    with pytest.raises(RuntimeTrouble, match="No such file"):
        read_profile(tmp_path / "seccomp", "a.json")
