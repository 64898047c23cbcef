"""OpenAPI v2: the same as our documents of v3, in its own words, as JSON and as protobuf."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from apiserver.about.openapi import gnostic
from apiserver.about.openapi.documents import document_of
from apiserver.about.openapi.swagger import swagger_of
from apiserver.routes import table
from apiserver.views.registry import kinds_shown
from cubernetes.api.registry import KINDS
from cubernetes.host.protowire import BYTES, fields

type Tree = dict[str, Any]

OF_KINDS = [route for route in table(KINDS) if route.kind is not None]
# Words of version 3, which a reader of version 2 does not know.
LATER = ("components", "oneOf", "allOf", "requestBody", "content")


@cache
def document() -> Tree:
    tree: Tree = json.loads(document_of(OF_KINDS, (*KINDS, *kinds_shown(KINDS))))
    return tree


@cache
def swagger() -> Tree:
    return swagger_of(document())


def keys_in(tree: object) -> Iterator[str]:
    match tree:
        case dict():
            for key, value in tree.items():
                yield key
                yield from keys_in(value)
        case list():
            for one in tree:
                yield from keys_in(one)


def test_no_word_of_version_3_is_left() -> None:
    assert not {key for key in keys_in(swagger()["paths"]) if key in LATER}
    for schema in swagger()["definitions"].values():
        assert not set(LATER) & schema.keys()
        for field in schema.get("properties", {}).values():
            assert not set(LATER) & field.keys()


def test_every_schema_is_there_with_each_of_its_fields() -> None:
    schemas = document()["components"]["schemas"]
    assert swagger()["definitions"].keys() == schemas.keys()
    for name, schema in schemas.items():
        made = swagger()["definitions"][name]
        assert made.get("properties", {}).keys() == schema.get("properties", {}).keys(), name
        assert made.get("required") == schema.get("required")
        for field, told in schema.get("properties", {}).items():
            below = made["properties"][field]
            assert below["description"] == told["description"]
            assert below.get("x-kubernetes-patch-merge-key") == told.get(
                "x-kubernetes-patch-merge-key"
            )
    referred = re.findall(r'"\$ref": "([^"]+)"', json.dumps(swagger()))
    assert {one.removeprefix("#/definitions/") for one in referred} <= schemas.keys()


def test_what_has_several_forms_is_a_text_as_kubernetes_says_it() -> None:
    definitions = swagger()["definitions"]
    assert definitions["io.cubernetes.meta.v1.Quantity"]["type"] == "string"
    either = definitions["io.cubernetes.meta.v1.IntOrString"]
    assert (either["type"], either["format"]) == ("string", "int-or-string")


def test_every_operation_has_its_parameters_and_its_body() -> None:
    for path, told in document()["paths"].items():
        for method, operation in told.items():
            if method == "parameters":
                continue
            made = swagger()["paths"][path][method]
            asked = [one["name"] for one in made["parameters"] if one["in"] == "query"]
            assert asked == [one["name"] for one in operation["parameters"]]
            bodies = [one for one in made["parameters"] if one["in"] == "body"]
            assert len(bodies) == ("requestBody" in operation)
            assert made["responses"].keys() == operation["responses"].keys()


class Message:
    """A message of protobuf, read by the numbers of its fields."""

    def __init__(self, content: bytes) -> None:
        self._found: dict[int, list[bytes | int]] = {}
        for number, kind, start, stop in fields(content):
            value = content[start:stop] if kind == BYTES else start
            self._found.setdefault(number, []).append(value)

    def all(self, *numbers: int) -> list["Message"]:
        """Return the messages at the end of a path of numbers."""
        found = [self]
        for number in numbers:
            found = [
                Message(value)
                for one in found
                for value in one._found.get(number, [])
                if isinstance(value, bytes)
            ]
        return found

    def texts(self, number: int) -> list[str]:
        return [one.decode() for one in self._found.get(number, []) if isinstance(one, bytes)]

    def text(self, number: int) -> str:
        (found,) = self.texts(number)
        return found

    def named(self, *numbers: int) -> dict[str, "Message"]:
        """Return entries of a name (1) and a value (2)."""
        return {one.text(1): one.all(2)[0] for one in self.all(*numbers)}


@pytest.fixture(scope="module")
def written() -> Message:
    head = gnostic.document_bytes({"swagger": "2.0", "info": {"title": "T", "version": "1"}})
    return Message(head + gnostic.document_bytes(swagger()))


def test_protobuf_says_of_each_schema_what_json_says(written: Message) -> None:
    """The numbers here are gnostic's own: nothing of our table reads what it wrote."""
    assert written.text(1) == "2.0"
    definitions = written.named(9, 1)
    assert definitions.keys() == swagger()["definitions"].keys()
    for name, told in swagger()["definitions"].items():
        schema = definitions[name]
        assert schema.texts(19) == told.get("required", [])
        if "type" in told:
            assert schema.all(22)[0].texts(1) == [told["type"]]
        properties = schema.named(25, 1)
        assert properties.keys() == told.get("properties", {}).keys()
        for field, below in told.get("properties", {}).items():
            assert properties[field].texts(1) == ([below["$ref"]] if "$ref" in below else [])
            assert properties[field].texts(4) == [below["description"]]
            if "items" in below:
                (item,) = properties[field].all(23, 1)
                assert item.texts(1) == (
                    [below["items"]["$ref"]] if "$ref" in below["items"] else []
                )
            extensions = {key: one.text(2) for key, one in properties[field].named(31).items()}
            assert {key: json.loads(one) for key, one in extensions.items()} == {
                key: one for key, one in below.items() if key.startswith("x-")
            }


def test_protobuf_says_which_parameters_a_patch_takes(written: Message) -> None:
    """By these kubectl finds whether a kind can be written dryly."""
    paths = written.named(8, 2)
    assert paths.keys() == swagger()["paths"].keys()
    for path, told in swagger()["paths"].items():
        if told.get("patch", {}).get("x-kubernetes-action") != "patch":
            continue  # or it is handed on to a pod
        (patch,) = paths[path].all(8)
        asked = [one.text(4) for one in patch.all(8, 1, 2, 3)]
        assert asked == [one["name"] for one in told["patch"]["parameters"] if one["in"] == "query"]
        assert "dryRun" in asked
        (body,) = patch.all(8, 1, 1)
        assert body.text(2) == "body"
        kinds = json.loads(patch.named(13)["x-kubernetes-group-version-kind"].text(2))
        assert kinds == told["patch"]["x-kubernetes-group-version-kind"]
        places = [one.text(4) for one in paths[path].all(9, 1, 2, 4)]
        assert places == re.findall(r"{(\w+)}", path)
