"""Kubeconfig files: where they are looked for, what is read, and what is said of bad ones."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from cubectl.connection.kubeconfig import Access, KubeconfigWrong, access_by
from cubernetes.api.notation.jsontext import Tree


def a_config(**changes: Any) -> Tree:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "main",
        "contexts": [
            {"name": "main", "context": {"cluster": "c", "user": "u"}},
            {"name": "other", "context": {"cluster": "c", "user": "u", "namespace": "shop"}},
        ],
        "clusters": [
            {"name": "c", "cluster": {
                "server": "https://192.0.2.1:6443",
                "certificate-authority-data": base64.b64encode(b"CA").decode(),
            }}
        ],
        "users": [{"name": "u", "user": {"client-certificate": "u.crt", "client-key": "u.key"}}],
        **changes,
    }  # fmt: skip


def a_user(**fields: str) -> list[Tree]:
    return [{"name": "u", "user": fields}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "u.crt").write_bytes(b"CERT")
    (tmp_path / "u.key").write_bytes(b"KEY")
    (tmp_path / "config").write_text(json.dumps(a_config()))
    (tmp_path / "config").chmod(0o600)
    return tmp_path


def test_embedded_data_and_paths_beside_the_file_are_read(folder: Path) -> None:
    access = access_by({}, path=str(folder / "config"))

    assert (access.server, access.ca) == ("https://192.0.2.1:6443", b"CA")
    assert (access.cert, access.key, access.namespace) == (b"CERT", b"KEY", "default")
    assert access.warnings == ()


def test_yaml_is_read_as_well(folder: Path) -> None:
    text = "\n".join(f"{key}: {json.dumps(value)}" for key, value in a_config().items())
    (folder / "config").write_text(text)

    assert access_by({"KUBECONFIG": str(folder / "config")}).ca == b"CA"


def test_a_context_is_chosen_by_name_and_the_server_by_hand(folder: Path) -> None:
    access = access_by({}, path=str(folder / "config"), context="other", server="https://x:1")

    assert (access.namespace, access.server) == ("shop", "https://x:1")


def test_of_several_files_the_first_that_says_something_wins(folder: Path) -> None:
    only_context = {"current-context": "other"}
    (folder / "first").write_text(json.dumps(only_context))
    listed = f"{folder / 'absent'}:{folder / 'first'}:{folder / 'config'}"

    assert access_by({"KUBECONFIG": listed}).namespace == "shop"


def test_a_server_by_hand_needs_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cubectl.connection.kubeconfig.DEFAULT_PATHS", (str(tmp_path / "none"),))

    assert access_by({}, server="https://x:1") == Access(server="https://x:1")
    with pytest.raises(KubeconfigWrong, match="use --kubeconfig"):
        access_by({})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"current-context": ""}, "current-context: is empty"),
        ({"current-context": "gone"}, "contexts: there is no context 'gone'"),
        ({"clusters": []}, "clusters: there is no cluster 'c'"),
        ({"users": None}, "users: there is no user 'u'"),
        ({"clusters": [{"name": "c", "cluster": {}}]}, "server: is required"),
        ({"users": a_user(**{"client-key-data": "%"})}, "client-key-data: is not base64"),
        ({"users": a_user(**{"client-key": "gone.key"})}, "gone.key: No such file"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_field(folder: Path, changes: Tree, told: str) -> None:
    (folder / "config").write_text(json.dumps(a_config(**changes)))

    with pytest.raises(KubeconfigWrong) as raised:
        access_by({}, path=str(folder / "config"))

    assert str(raised.value).startswith(f"{folder / 'config'}: ")
    assert told in str(raised.value)


@pytest.mark.parametrize("content", [b"{", b"a: [", b"\xff\xfe", b"- 1"])
def test_a_file_that_is_no_kubeconfig_is_named_with_the_place(folder: Path, content: bytes) -> None:
    (folder / "config").write_bytes(content)

    with pytest.raises(KubeconfigWrong, match=r"config: .*(line|byte|document)"):
        access_by({}, path=str(folder / "config"))


def test_w55_a_secret_that_others_may_read_is_warned_of(folder: Path) -> None:
    (folder / "config").write_text(json.dumps(a_config(users=a_user(token="t"))))
    (folder / "config").chmod(0o644)

    (warning,) = access_by({}, path=str(folder / "config")).warnings

    assert "chmod 600" in warning


def test_secrets_do_not_show_in_a_repr(folder: Path) -> None:
    access = access_by({}, path=str(folder / "config"))

    assert "KEY" not in repr(access)
