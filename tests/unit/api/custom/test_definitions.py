"""Definitions of custom kinds: which schemas are structural, and what else is refused."""

from datetime import UTC, datetime
from typing import Any

import pytest

from cubernetes.api.apiextensions.customresourcedefinition import CustomResourceDefinition
from cubernetes.api.apiextensions.definedkinds import kinds_of, version_rank
from cubernetes.api.apiextensions.naming import status_of
from cubernetes.api.coding import codec
from cubernetes.api.custom.structural import schema_problems
from cubernetes.api.meta import replaced
from tests.definitions import GROUP, SCALE, SHAPE, a_definition, a_version

TEXT = {"type": "string"}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def read(tree: Any) -> CustomResourceDefinition:
    return codec.from_tree(CustomResourceDefinition, tree).model.defaulted()


def fields(tree: Any) -> list[str]:
    """Return the fields of what is wrong with a definition."""
    return [one.field for one in read(tree).problems()]


def of_schema(shape: Any) -> dict[str, str]:
    """Return what is wrong with the schema of a field `f`."""
    whole = {"type": "object", "properties": {"f": shape}}
    return {
        one.field.removeprefix("s.properties[f]"): one.message
        for one in schema_problems(whole, "s")
    }


def test_a_definition_as_operators_write_it_is_right() -> None:
    assert fields(a_definition()) == []
    assert list(schema_problems(SHAPE, "s")) == []


@pytest.mark.parametrize(
    ("shape", "field"),
    [
        ({}, ".type"),
        ({"type": "text"}, ".type"),
        ({"type": "array"}, ".items"),
        ({"type": "array", "items": [TEXT]}, ".items"),
        ({"type": "object", "properties": {"a": {}}}, ".properties[a].type"),
        (
            {"type": "object", "properties": {"a": TEXT}, "additionalProperties": TEXT},
            ".additionalProperties",
        ),
        ({"type": "object", "additionalProperties": False}, ".additionalProperties"),
        ({"type": "array", "items": TEXT, "uniqueItems": True}, ".uniqueItems"),
        ({"$ref": "#/a", "type": "object"}, ".$ref"),
        ({"type": "string", "pattern": "("}, ".pattern"),
        ({"type": "string", "maxLenght": 3}, ".maxLenght"),
        ({"type": "string", "maxLength": "3"}, ".maxLength"),
        ({"type": "string", "anyOf": [{"default": "a"}]}, ".anyOf[0].default"),
        ({"type": "integer", "x-kubernetes-int-or-string": True}, ".type"),
        ({"type": "string", "x-kubernetes-list-type": "set"}, ".type"),
        (
            {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"},
            ".x-kubernetes-list-map-keys",
        ),
        ({"type": "string", "pattern": 5}, ".pattern"),
        ({"type": "string", "format": []}, ".format"),
        ({"type": "string", "description": 5}, ".description"),
        ({"type": "string", "title": {}}, ".title"),
        ({"type": "string", "nullable": "yes"}, ".nullable"),
        ({"type": "number", "exclusiveMinimum": 5}, ".exclusiveMinimum"),
        ({"type": "number", "multipleOf": 10**400}, ".multipleOf"),
        ({"x-kubernetes-int-or-string": "true"}, ".x-kubernetes-int-or-string"),
        ({"type": "string", "x-kubernetes-validations": 5}, ".x-kubernetes-validations"),
        ({"type": "object", "required": [{}], "default": {"a": 1}}, ".required"),
        ({"type": "object", "properties": 5, "default": {"a": 1}}, ".properties"),
        (
            {
                "type": "array",
                "items": {"type": "object", "properties": 5, "required": 5},
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": [{}],
            },
            ".x-kubernetes-list-map-keys",
        ),
        ({"type": "string", "anyOf": [{"pattern": 5}]}, ".anyOf[0].pattern"),
        ({"type": "integer", "default": "many"}, ".default"),
        ({"type": "integer", "default": 0, "minimum": 1}, ".default"),
    ],
)
def test_a_schema_that_is_not_structural_is_refused_by_its_field(shape: Any, field: str) -> None:
    assert field in of_schema(shape)


def test_keys_of_a_list_are_always_there() -> None:
    items = {"type": "object", "properties": {"name": TEXT, "port": TEXT}, "required": ["port"]}
    listed = {"type": "array", "items": items, "x-kubernetes-list-type": "map"}

    assert of_schema({**listed, "x-kubernetes-list-map-keys": ["port"]}) == {}
    told = of_schema({**listed, "x-kubernetes-list-map-keys": ["name"]})
    assert list(told) == [".items.properties[name].default"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"conversion": {"strategy": "Webhook", "webhook": {}}}, "spec.conversion.strategy"),
        ({"conversion": {"webhook": {"a": 1}}}, "spec.conversion.webhook"),
        ({"preserveUnknownFields": True}, "spec.preserveUnknownFields"),
    ],
)
def test_what_is_not_built_is_refused_by_its_name(changes: Any, field: str) -> None:
    assert fields(a_definition(**changes)) == [field]


@pytest.mark.parametrize(
    ("definition", "field"),
    [
        (a_definition(group="example"), "spec.group"),
        (a_definition(names={"plural": "CronTabs"}), "spec.names.plural"),
        (a_definition(names={"shortNames": ["C T"]}), "spec.names.shortNames[0]"),
        (a_definition(names={"listKind": "CronTab"}), "spec.names.listKind"),
        (a_definition(a_version("v1"), a_version("v1", storage=False)), "spec.versions[1].name"),
        (a_definition(a_version("v1", storage=False)), "spec.versions"),
        (a_definition(a_version(deprecationWarning="a")), "spec.versions[0].deprecationWarning"),
        (a_definition(a_version(schema={})), "spec.versions[0].schema.openAPIV3Schema"),
        (
            a_definition(a_version(selectableFields=[{"jsonPath": "{"}])),
            "spec.versions[0].selectableFields[0].jsonPath",
        ),
        (
            a_definition(
                a_version(subresources={"scale": SCALE | {"specReplicasPath": ".status.replicas"}})
            ),
            "spec.versions[0].subresources.scale.specReplicasPath",
        ),
        (a_definition(group="a.k8s.io"), "metadata.annotations[api-approved.kubernetes.io]"),
    ],
)
def test_what_is_wrong_with_a_definition_is_told_by_its_field(definition: Any, field: str) -> None:
    assert field in fields(definition)


def test_a_definition_is_called_as_its_kind_is() -> None:
    other = a_definition()
    other["metadata"]["name"] = "other"

    assert fields(other) == ["metadata.name"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"scope": "Cluster"}, "spec.scope"),
        ({"names": {"kind": "Other", "listKind": "OtherList"}}, "spec.names.kind"),
    ],
)
def test_what_a_kind_is_may_not_change(changes: Any, field: str) -> None:
    old, new = read(a_definition()), read(a_definition(**changes))

    assert [one.field for one in new.update_problems(old)] == [field]


def test_versions_stand_in_the_order_of_their_age() -> None:
    named = ["foo10", "v1", "v1alpha1", "v2beta1", "v10", "v1beta2", "foo1"]

    assert sorted(named, key=version_rank) == [
        "v10", "v1", "v2beta1", "v1beta2", "v1alpha1", "foo1", "foo10"
    ]  # fmt: skip


def named(**names: object) -> CustomResourceDefinition:
    """Return a definition that asks for names, and has those that nobody else has."""
    one = read(a_definition(names=names))
    return replaced(one, status=status_of(one, (), (), NOW))


def test_a_kind_is_served_on_under_its_names_whatever_it_asks_for_beside_them() -> None:
    first = named()
    second = named(plural="others", kind="Other", shortNames=["o"])
    names = replaced(first.spec.names, short_names=("ct", "o"))
    greedy = replaced(first, spec=replaced(first.spec, names=names))
    told = status_of(greedy, (second,), (), NOW)

    assert [one.status for one in told.conditions] == ["False", "True"]
    assert told.accepted_names.short_names == ("ct",)
    alone = status_of(greedy, (), (), NOW)
    assert alone.accepted_names.short_names == ("ct", "o")


def test_a_kind_in_a_group_that_the_server_has_now_is_served_no_more() -> None:
    told = status_of(named(), (), (GROUP,), NOW)

    assert {one.type: one.status for one in told.conditions} == {
        "NamesAccepted": "False", "Established": "False"
    }  # fmt: skip


def test_the_stored_version_comes_first_and_unserved_ones_have_no_verbs() -> None:
    both = a_definition(a_version("v1", served=False), a_version("v2"))
    one = read(both)
    stored, other = kinds_of(replaced(one, status=status_of(one, (), (), NOW)))

    assert (stored.resource.version, stored.resource.verbs) == ("v1", ())
    assert (other.resource.version, other.stored_as) == ("v2", stored)
