"""Settings that another version of a program wrote."""

from pathlib import Path

import pytest

from cubernetes.host.env import Env
from cubernetes.host.program import main
from cubernetes.host.settings import (
    Settings,
    SettingsInvalid,
    read_known_settings,
    read_settings,
    settings_bytes,
)


class Older(Settings, frozen=True, kw_only=True):
    name: str
    gone: int = 1


class Newer(Settings, frozen=True, kw_only=True):
    name: str
    added: int = 7


class Demanding(Settings, frozen=True, kw_only=True):
    name: str
    wanted: str


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "settings.json"
    path.write_bytes(settings_bytes(Older(name="n1", gone=5)))
    return path


def test_a_file_of_another_version_is_read_by_its_writer_and_what_is_left_out_is_told(
    file: Path,
) -> None:
    assert read_known_settings(Newer, file) == (Newer(name="n1"), ("gone",))
    file.write_bytes(settings_bytes(Newer(name="n2", added=3)))
    assert read_known_settings(Newer, file) == (Newer(name="n2", added=3), ())


@pytest.mark.parametrize("text", ["[]", "{", '{"gone": 1}', '{"name": 5, "gone": 1}'])
def test_what_is_wrong_beside_that_is_refused_still(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(SettingsInvalid, match=str(file)):
        read_known_settings(Newer, file)


@pytest.mark.parametrize(("kind", "told"), [(Newer, "unknown field `gone`"), (Demanding, "`gone`")])
def test_a_program_that_cannot_read_its_file_says_in_one_line_what_mends_it(
    file: Path, kind: type[Settings], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run(settings: Settings, env: Env) -> None:
        raise AssertionError((settings, env))

    assert main("kubelet", kind, run, ["--settings", str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"kubelet: {file}: ")
    assert told in line
    assert "`cuberoot start` writes it anew" in line


def test_a_field_that_is_missing_is_named(file: Path) -> None:
    file.write_text('{"name": "n1"}')
    with pytest.raises(SettingsInvalid, match="missing required field `wanted`"):
        read_settings(Demanding, file)
