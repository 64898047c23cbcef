"""ConfigMaps and Secrets: which keys and how much, what never changes, what a type asks for."""

import base64
from typing import Any

import pytest

from cubernetes.api.coding import codec
from cubernetes.api.coding.refusals import invalid
from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.data.configdata import DATA_BYTES_MAX, decoded, is_key
from cubernetes.api.core.secret import Secret
from cubernetes.api.errors import Invalid
from cubernetes.api.meta import ObjectMeta, replaced
from tests.given import NOW

META = ObjectMeta(name="shop", namespace="default")


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def a_map(**fields: Any) -> ConfigMap:
    return ConfigMap(metadata=META, **fields)


def a_secret(**fields: Any) -> Secret:
    return Secret(metadata=META, **fields)


def fields_of(one: ConfigMap | Secret) -> list[str]:
    return [problem.field for problem in one.defaulted().problems()]


@pytest.mark.parametrize("key", ["a", "A.b-c_9", ".hidden", "x" * 253])
def test_a_key_may_be_the_name_of_a_file(key: str) -> None:
    assert is_key(key)
    assert fields_of(a_map(data={key: "x"})) == []


@pytest.mark.parametrize("key", ["", ".", "..", "..a", "a/b", "ä", "a b", "a\n", "x" * 254])
def test_a_key_that_could_leave_its_folder_is_refused_by_its_path(key: str) -> None:
    assert fields_of(a_map(data={key: "x"})) == [f"data[{key[:100]}]"]
    assert fields_of(a_map(binary_data={key: "eA=="})) == [f"binaryData[{key[:100]}]"]
    assert fields_of(a_secret(string_data={key: "x"})) == [f"data[{key[:100]}]"]


def test_a_mebibyte_of_values_is_taken_and_a_byte_more_is_not() -> None:
    half = DATA_BYTES_MAX // 2
    binary = base64.b64encode(b"x" * half).decode()
    assert fields_of(a_map(data={"a": "é" * (half // 2)}, binary_data={"b": binary})) == []
    assert fields_of(a_map(data={"a": "x" * (half + 1)}, binary_data={"b": binary})) == ["data"]
    assert fields_of(a_secret(string_data={"a": "x" * DATA_BYTES_MAX})) == []
    assert fields_of(a_secret(string_data={"a": "x" * (DATA_BYTES_MAX + 1)})) == ["data"]


def test_bytes_are_base64_and_kept_without_line_ends() -> None:
    assert fields_of(a_secret(data={"a": "%%%"})) == ["data[a]"]
    assert fields_of(a_map(binary_data={"a": "eA"})) == ["binaryData[a]"]
    assert a_secret(data={"a": "eHh4\neHh4\n"}).defaulted().data == {"a": "eHh4eHh4"}
    assert decoded("eHh4") == b"xxx"


def test_a_key_stands_in_one_of_the_two_maps() -> None:
    assert fields_of(a_map(data={"a": "x"}, binary_data={"a": "eA=="})) == ["binaryData[a]"]


def test_texts_become_data_over_what_is_there_and_are_not_kept() -> None:
    made = a_secret(data={"a": b64("old"), "b": b64("b")}, string_data={"a": "new"}).defaulted()
    assert (made.data, made.string_data) == ({"a": b64("new"), "b": b64("b")}, {})
    assert made.type == "Opaque"
    assert a_secret(type="").defaulted().type == "Opaque"


@pytest.mark.parametrize(
    ("kind", "texts", "wrong"),
    [
        ("kubernetes.io/tls", {"tls.crt": "x"}, ["data[tls.key]"]),
        ("kubernetes.io/tls", {"tls.crt": "x", "tls.key": ""}, []),
        ("kubernetes.io/ssh-auth", {}, ["data[ssh-privatekey]"]),
        ("kubernetes.io/basic-auth", {}, ["data[username]"]),
        ("kubernetes.io/basic-auth", {"password": "x"}, []),
        ("kubernetes.io/dockerconfigjson", {}, ["data[.dockerconfigjson]"]),
        ("kubernetes.io/dockerconfigjson", {".dockerconfigjson": "{"}, ["data[.dockerconfigjson]"]),
        ("kubernetes.io/dockerconfigjson", {".dockerconfigjson": "{}"}, []),
        ("example.com/own", {}, []),
    ],
)
def test_a_type_asks_for_its_keys(kind: str, texts: dict[str, str], wrong: list[str]) -> None:
    assert fields_of(a_secret(type=kind, string_data=texts)) == wrong


def test_a_secrets_value_stands_in_no_refusal() -> None:
    texts = {".dockerconfigjson": "hunter2"}
    bad = a_secret(type="kubernetes.io/dockerconfigjson", string_data=texts).defaulted()
    said = " ".join(problem.message for problem in bad.problems())
    assert said
    assert "hunter2" not in said
    assert b64("hunter2") not in said


def test_what_is_immutable_never_changes_again() -> None:
    def wrong(old: ConfigMap | Secret, **changes: Any) -> list[str]:
        return [one.field for one in replaced(old, **changes).update_problems(old)]  # type: ignore[arg-type]

    frozen = a_map(data={"a": "x"}, immutable=True)
    assert wrong(frozen, data={"a": "y"}) == ["data"]
    assert wrong(frozen, binary_data={"b": "eA=="}) == ["binaryData"]
    assert wrong(frozen, immutable=None) == ["immutable"]
    assert wrong(frozen, immutable=False, data={}) == ["immutable", "data"]
    assert wrong(frozen, metadata=replaced(META, labels={"a": "b"})) == []
    assert wrong(a_map(data={"a": "x"}), data={}, immutable=True) == []
    assert wrong(a_secret(data={"a": "eA=="}, immutable=True), data={}) == ["data"]
    assert wrong(a_secret(), type="example.com/own") == ["type"]


def test_columns_are_those_of_kubernetes() -> None:
    def row(one: ConfigMap | Secret) -> list[tuple[str, str | int]]:
        return [(column.title, column.cell(one, NOW)) for column in one.columns]

    made = replaced(META, creation_timestamp=NOW)
    settings = replaced(a_map(data={"a": "x"}, binary_data={"b": "eA=="}), metadata=made)
    assert row(settings) == [("Name", "shop"), ("Data", 2), ("Age", "0s")]
    secret = replaced(a_secret(data={"a": "eA=="}), metadata=made)
    assert row(secret) == [("Name", "shop"), ("Type", "Opaque"), ("Data", 1), ("Age", "0s")]


def taken(tree: dict[str, Any]) -> Secret:
    """Read a Secret as the API server does. Raises: Invalid."""
    secret = codec.from_tree(Secret, tree).model.defaulted()
    if problems := list(secret.problems()):
        raise invalid("Secret", "db", problems, secret)
    return secret


@pytest.mark.parametrize(
    "wrong",
    [
        {"data": {"password": "hunter2!!"}},
        {"data": {"password": 8675309}},
        {"stringData": {"password": 8675309}},
        {"data": "aHVudGVyMg=="},
        {"data": {"bad key/": "aHVudGVyMg=="}},
    ],
    ids=str,
)
def test_a_refusal_names_the_field_of_a_secret_and_never_its_value(wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refused:
        taken({"metadata": {"name": "db"}, **wrong})

    assert next(iter(wrong)) in refused.value.message
    for value in ("hunter2", "8675309", "aHVudGVyMg"):
        assert value not in refused.value.message
