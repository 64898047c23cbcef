"""What every kind must have: adding one is a file, two manifests and a line in the registry."""

import ast
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cubernetes.api.coding import codec
from cubernetes.api.errors import BadRequest
from cubernetes.api.meta import Object, replaced
from cubernetes.api.notation import yaml
from cubernetes.api.registry import KINDS
from tests.house.sources import ROOT, none, of_rooms

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EXAMPLES = ROOT / "examples"
# As other tools write them: null for what is absent, server's fields included.
FOREIGN = Path(__file__).parent / "foreign"


def given(kind: type[Object]) -> Object:
    """Return an object of a kind with most of its fields filled."""
    content = (FOREIGN / f"{kind.resource.singular}.yaml").read_bytes()
    return codec.from_tree(kind, yaml.tree_of(content)).model


every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)


def test_no_two_kinds_answer_to_one_name() -> None:
    words = Counter(
        word
        for kind in KINDS
        for word in (kind.resource.singular, kind.resource.plural, *kind.resource.short_names)
    )
    none([word for word, count in words.items() if count > 1], "a name means one kind")


@every_kind
def test_a_kind_has_a_file_of_its_own_in_the_room_of_its_group(kind: type[Object]) -> None:
    group = kind.resource.group.split(".")[0] or "core"
    assert kind.__module__ == f"cubernetes.api.{group}.{kind.resource.singular}"


@every_kind
def test_a_kind_is_found_by_each_of_its_names(kind: type[Object]) -> None:
    one = kind.resource
    for word in (one.kind, one.singular, one.plural, one.plural.upper(), *one.short_names):
        assert KINDS.named(word) is kind
    assert KINDS.of(one.api_version, one.kind) is kind


@every_kind
def test_a_kind_survives_the_wire(kind: type[Object]) -> None:
    one = given(kind)

    content = codec.encode(one)

    assert codec.decode(kind, content) == one
    assert codec.read(kind, content).model == one
    assert codec.encode(codec.decode(kind, content)) == content


@every_kind
def test_a_kind_says_which_it_is_on_the_wire(kind: type[Object]) -> None:
    tree = codec.to_tree(given(kind))

    assert (tree["apiVersion"], tree["kind"]) == (kind.resource.api_version, kind.resource.kind)


@every_kind
def test_a_kind_fills_in_its_defaults_once(kind: type[Object]) -> None:
    once = given(kind).defaulted()

    assert once.defaulted() == once


@every_kind
def test_a_kind_tells_its_columns(kind: type[Object]) -> None:
    titles = [column.title for column in kind.columns]

    assert titles[0] in ("Name", "Last Seen")
    assert len(titles) == len(set(titles))
    for column in kind.columns:
        assert isinstance(column.cell(given(kind), NOW), str | int)


@every_kind
def test_a_kind_is_a_value(kind: type[Object]) -> None:
    one = given(kind)
    twin = codec.decode(kind, codec.encode(one))

    assert one == twin
    assert one is not twin
    with pytest.raises(AttributeError):
        one.kind = "Other"  # type: ignore[misc]


@every_kind
def test_a_kind_is_named_as_kubernetes_names_it(kind: type[Object]) -> None:
    """A manifest that another tool printed is read, nulls and server's fields included."""
    assert list(given(kind).defaulted().problems()) == []


@every_kind
def test_an_unknown_field_is_refused_by_its_path(kind: type[Object]) -> None:
    tree = codec.to_tree(given(kind))
    tree["metadata"]["lables"] = {}

    with pytest.raises(BadRequest, match=r'unknown field "metadata\.lables"'):
        codec.from_tree(kind, tree)


@every_kind
def test_a_kind_has_an_example(kind: type[Object]) -> None:
    path = EXAMPLES / f"{kind.resource.singular}.yaml"
    kinds = {each.tree.get("kind") for each in yaml.documents(path.read_bytes())}

    assert kind.resource.kind in kinds


@pytest.mark.parametrize(
    "path",
    [pytest.param(each, id=each.name) for each in sorted(EXAMPLES.rglob("*.yaml"))],
)
def test_an_example_is_right(path: Path) -> None:
    documents = yaml.documents(path.read_bytes())
    assert documents
    for document in documents:
        tree = document.tree
        kind = KINDS.of(tree["apiVersion"], tree["kind"])
        assert kind is not None, tree["kind"]
        one = codec.from_tree(kind, tree).model
        assert list(placed(one).defaulted().problems()) == []


def placed(one: Object) -> Object:
    """Put an object where the API server would put it: into the default namespace."""
    if not one.resource.namespaced or one.metadata.namespace:
        return one
    return replaced(one, metadata=replaced(one.metadata, namespace="default"))


# Rooms of the API server that may know a kind: by contract in .importlinter, and here by its name.
KNOWING = ("strategies", "subresources", "maintenance", "enrolment", "auth")
# Kubernetes' protobuf has no names on the wire: its numbers stand in one table.
TABLES = frozenset({"apiserver/wire/protomessages.py"})


def test_generic_modules_of_the_api_server_name_no_kind() -> None:
    words = {word for kind in KINDS for word in (kind.resource.kind, kind.resource.plural)}
    found = [
        f"{one.path}:{node.lineno}: {node.value!r}"
        for one in of_rooms()
        if one.room == "apiserver" and one.path not in TABLES
        if not one.path.removeprefix("apiserver/").startswith(KNOWING)
        for node in one.nodes
        if isinstance(node, ast.Constant) and node.value in words
    ]
    none(found, "what one kind asks for stands in its strategy or its subresource")
