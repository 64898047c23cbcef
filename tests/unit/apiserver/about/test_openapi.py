"""The OpenAPI documents: whole, true to the models, and of one mind with the server's own check."""

import json
import re
from collections.abc import Iterator, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from apiserver.about.openapi.docstrings import told_by
from apiserver.about.openapi.documents import document_of
from apiserver.about.openapi.schemas import GROUP_VERSION_KIND
from apiserver.call import Route
from apiserver.routes import table
from cubernetes.api.coding import schema
from cubernetes.api.meta import Model, Object
from cubernetes.api.notation import jsontext, yaml
from cubernetes.api.patches import strategic
from cubernetes.api.quantities import QUANTITY_RULE
from cubernetes.api.registry import KINDS
from tests.unit.api.patches.json_schema import problems, resolved

type Tree = dict[str, Any]

ROOT = Path(__file__).parents[4]
MANIFESTS = sorted(
    [*(ROOT / "examples").rglob("*.yaml"), *(ROOT / "tests/house/foreign").iterdir()]
)

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)


def routes_of(kind: type[Object]) -> list[Route]:
    """Return every route of the kinds of a kind's group."""
    of_kinds = [(route, route.kind) for route in table(KINDS) if route.kind is not None]
    root = kind.resource.root
    return [route for route, each in of_kinds if each.resource.root == root]


@cache
def document(kind: type[Object]) -> Tree:
    tree: Tree = json.loads(document_of(routes_of(kind), KINDS))
    return tree


@cache
def schema_of(kind: type[Object]) -> Tree:
    """Return a kind's schema, found as kubectl finds it."""
    resource = kind.resource
    wanted = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    schemas = document(kind)["components"]["schemas"].values()
    (found,) = [one for one in schemas if wanted in one.get(GROUP_VERSION_KIND, ())]
    return cast(Tree, found)


def problems_of(tree: Tree, kind: type[Object]) -> list[str]:
    return list(problems(tree, schema_of(kind), document(kind)))


def models_in(found: inspect.Type) -> Iterator[inspect.StructType]:
    """Yield every model inside a type, each as often as it is there."""
    match found:
        case inspect.StructType():
            yield found
            for field in found.fields:
                yield from models_in(field.type)
        case inspect.VarTupleType():
            yield from models_in(found.item_type)
        case inspect.UnionType():
            for branch in found.types:
                yield from models_in(branch)


@every_kind
def test_every_field_of_every_kind_is_there_and_says_what_it_is(kind: type[Object]) -> None:
    def look(found: inspect.Type, told: Tree) -> None:
        told = resolved(told, document(kind))
        match found:
            case inspect.StructType():
                assert told["description"], found.cls
                assert told["properties"].keys() == {one.encode_name for one in found.fields}
                for field in found.fields:
                    below = told["properties"][field.encode_name]
                    assert below["description"], f"{found.cls.__name__}.{field.name}"
                    look(field.type, below)
            case inspect.VarTupleType():
                look(found.item_type, told["items"])
            case inspect.DictType():
                look(found.value_type, told["additionalProperties"])

    look(schema.type_of(kind), schema_of(kind))


@every_kind
def test_every_schema_is_referred_to_and_says_what_each_field_is(kind: type[Object]) -> None:
    """Those of lists, options and statuses as well, which no kind contains."""
    schemas = document(kind)["components"]["schemas"]
    referred = re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(document(kind)))
    assert set(referred) == schemas.keys()
    for name, one in schemas.items():
        assert one["description"], name
        for field, told in one.get("properties", {}).items():
            assert told["description"], f"{name}.{field}"


@every_kind
def test_a_docstring_tells_of_fields_that_there_are(kind: type[Object]) -> None:
    for found in models_in(schema.type_of(kind)):
        assert issubclass(found.cls, Model)
        names = {field.name for field in found.fields} | set(told_by(Object).fields)
        assert told_by(found.cls).fields.keys() <= names, found.cls


@every_kind
def test_every_route_is_an_operation_with_a_name_of_its_own(kind: type[Object]) -> None:
    paths = document(kind)["paths"]
    told = {
        (method.upper(), pattern): operation
        for pattern, path in paths.items()
        for method, operation in path.items()
        if method != "parameters"
    }
    assert told.keys() == {(route.method, route.pattern) for route in routes_of(kind)}
    assert len({one["operationId"] for one in told.values()}) == len(told)
    for (_, pattern), operation in told.items():
        assert operation[GROUP_VERSION_KIND]["kind"]
        places = [one["name"] for one in paths[pattern].get("parameters", ())]
        assert places == re.findall(r"{(\w+)}", pattern)


@every_kind
def test_every_patch_of_a_kind_says_that_it_can_be_tried(kind: type[Object]) -> None:
    """kubectl takes the first operation of the kind: another's, handed on, made it ask again."""
    resource = kind.resource
    own = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    for path in document(kind)["paths"].values():
        patch = path.get("patch")
        if patch and patch[GROUP_VERSION_KIND] == own:
            assert {"dryRun", "fieldValidation"} <= {one["name"] for one in patch["parameters"]}


@every_kind
def test_lists_merge_as_the_server_merges_them(kind: type[Object]) -> None:
    """kubectl computes its patches by what stands here: it must be what patches do, everywhere."""

    def look(told: Tree, above: str) -> None:
        for name, field in resolved(told, document(kind)).get("properties", {}).items():
            merges = name_of_merge(above, name) if field.get("type") == "array" else (None, None)
            key, by = "x-kubernetes-patch-merge-key", "x-kubernetes-patch-strategy"
            assert (field.get(key), field.get(by)) == merges, f"{above}.{name}"
            look(field.get("items", field), name)

    look(schema_of(kind), "")


def name_of_merge(above: str, name: str) -> tuple[str | None, str | None]:
    if key := strategic.merge_key(above, name):
        return key, "merge"
    return None, "merge" if (above, name) in strategic.MERGED_SETS else None


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_manifest_is_as_its_schema_says(path: Path) -> None:
    documents = yaml.documents(path.read_bytes())
    assert documents
    for each in documents:
        kind = KINDS.of(each.tree["apiVersion"], each.tree["kind"])
        assert kind is not None
        assert problems_of(jsontext.without_nulls(each.tree), kind) == []


def foreign(kind: type[Object]) -> Tree:
    path = ROOT / "tests/house/foreign" / f"{kind.resource.singular}.yaml"
    tree: Tree = jsontext.without_nulls(yaml.tree_of(path.read_bytes()))
    return tree


def places_in(value: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    children: Sequence[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    for key, child in children:
        yield (*at, key)
        yield from places_in(child, (*at, key))


def spoilt(tree: Tree, place: Sequence[str | int], junk: object) -> Tree:
    """Return a tree with something else in one place; with nothing there where junk is None."""
    copy = deepcopy(tree)
    above: Any = copy
    for key in place[:-1]:
        above = above[key]
    if junk is None:
        del above[place[-1]]
    else:
        above[place[-1]] = junk
    return copy


NOON = "2026-01-01T12:00:00Z"
JUNK: tuple[object, ...] = (
    None, "x", "", NOON, "2026-01-01T12:00:00", 0, -1, 7, 70_000, 2**40, 1.5, True, {}, [], ["x"],
)  # fmt: skip


@given(data=st.data(), kind=st.sampled_from(KINDS), junk=st.sampled_from(JUNK))
def test_the_schema_refuses_what_the_server_refuses(
    data: st.DataObject, kind: type[Object], junk: object
) -> None:
    whole = foreign(kind)
    place = data.draw(st.sampled_from(list(places_in(whole))))
    tree = spoilt(whole, place, junk)

    _, wrong = schema.check(kind, tree)

    said = problems_of(tree, kind)
    # How an amount is written, the server alone can say.
    if [one.message for one in wrong] != [QUANTITY_RULE] or not isinstance(junk, str):
        assert bool(said) == bool(wrong), (place, junk, said, wrong)
