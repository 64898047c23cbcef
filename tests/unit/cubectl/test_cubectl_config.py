"""`cubectl config`: what is told of kubeconfig files, and how their contexts are changed."""

from pathlib import Path

import pytest

from cubernetes.api.notation import yaml
from tests.unit.cubectl.test_cubectl_kubeconfig import a_config, a_user
from tests.unit.cubectl.tinyserver import Said, TinyServer, run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config"
    secret = a_user(token="very-secret")
    path.write_text(yaml.text_of(a_config(users=secret)))
    path.chmod(0o640)
    return path


def config(file: Path, line: str) -> Said:
    return run(TinyServer(), f"config {line} --kubeconfig {file}")


def test_what_is_in_use_is_told(file: Path) -> None:
    assert config(file, "current-context").out == "main\n"
    rows = [line.split() for line in config(file, "get-contexts").out.splitlines()]
    assert rows == [
        ["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"],
        ["*", "main", "c", "u"],
        ["other", "c", "u", "shop"],
    ]
    assert config(file, "get-contexts -o name").out == "main\nother\n"
    assert config(file, "get-clusters").out == "NAME\nc\n"
    assert config(file, "get-users").out == "NAME\nu\n"


def test_secrets_are_shown_only_where_they_are_asked_for(file: Path) -> None:
    told, raw = config(file, "view"), config(file, "view --raw")
    assert ("very-secret" in told.out, "REDACTED" in told.out) == (False, True)
    assert "DATA+OMITTED" in told.out
    assert "very-secret" in raw.out
    assert "shop" in told.out
    assert "shop" not in config(file, "view --minify").out


def test_another_context_is_used_from_then_on(file: Path) -> None:
    assert config(file, "use-context other").out == 'Switched to context "other".\n'
    assert config(file, "current-context").out == "other\n"
    assert file.stat().st_mode & 0o777 == 0o640
    assert [one.name for one in file.parent.iterdir()] == ["config"]
    assert yaml.tree_of(file.read_bytes())["users"] == a_user(token="very-secret")

    missing = config(file, "use-context nobody")
    assert (missing.code, "no context exists" in missing.err) == (1, True)
    assert config(file, "current-context").out == "other\n"


def test_a_context_is_changed_or_made(file: Path) -> None:
    said = config(file, "set-context --current -n blue")
    assert said.out == 'Context "main" modified.\n'
    made = config(file, "set-context new --cluster c --user u -n red")
    assert made.out == 'Context "new" created.\n'
    rows = [line.split() for line in config(file, "get-contexts --no-headers").out.splitlines()]
    assert rows == [
        ["*", "main", "c", "u", "blue"],
        ["new", "c", "u", "red"],
        ["other", "c", "u", "shop"],
    ]


def test_of_several_files_the_one_that_has_a_context_is_changed(file: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.write_text(yaml.text_of({"contexts": [{"name": "far", "context": {"cluster": "x"}}]}))
    paths = {"KUBECONFIG": f"{file}:{second}"}
    run(TinyServer(), "config set-context far -n green", environment=paths)
    told = run(TinyServer(), "config get-contexts far --no-headers", environment=paths)
    assert told.out.split() == ["far", "x", "green"]
    assert "green" in second.read_text()
    assert "far" not in file.read_text()


@pytest.mark.parametrize("line", ["use-context", "set-context", "view main", "rename-context a b"])
def test_a_wrong_command_line_is_told(file: Path, line: str) -> None:
    assert config(file, line).code == 2
