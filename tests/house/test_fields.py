"""Every field that the API accepts works: a table names the test that shows what it does.

tests/house/fields.toml has a table for each model, and in it a line for each field: the test, or
one of the few reasons of `REASONS`. Only the envelope of a kind (`ENVELOPE`) needs no line.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import pytest
from msgspec import inspect

from apiserver.about.openapi.docstrings import told_by
from cubernetes.api.bodies.accounts import TokenRequest
from cubernetes.api.bodies.envelopes import Binding, DeleteOptions, Eviction, Scale
from cubernetes.api.bodies.joining import JoinRequest, TokenWish
from cubernetes.api.coding.schema import type_of
from cubernetes.api.meta import Model, Object
from cubernetes.api.registry import KINDS
from tests.house.sources import none, sources

TABLE = Path(__file__).parent / "fields.toml"
# Bodies that clients send beside objects.
BODIES: tuple[type, ...] = (
    DeleteOptions,
    Binding,
    Eviction,
    Scale,
    JoinRequest,
    TokenWish,
    TokenRequest,
)
ENVELOPE = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
# Why a field may do without a test, and what its line in the docstring must then say.
REASONS = {
    "kept for clients": re.compile("[Kk]ept for clients"),
    "repeats another field": re.compile("[Nn]othing but `"),
    "takes one value": re.compile(""),
}


def models() -> Mapping[str, inspect.StructType]:
    """Return every model that a client may send, by its name."""
    found: dict[str, inspect.StructType] = {}
    for root in (*KINDS, *BODIES):
        _collect(type_of(root), found)
    return found


def _collect(found: inspect.Type, into: dict[str, inspect.StructType]) -> None:
    match found:
        case inspect.UnionType():
            for one in found.types:
                _collect(one, into)
        case inspect.VarTupleType():
            _collect(found.item_type, into)
        case inspect.DictType():
            _collect(found.value_type, into)
        case inspect.StructType() if found.cls.__name__ not in into:
            into[found.cls.__name__] = found
            for field in found.fields:
                _collect(field.type, into)


MODELS = models()
LISTED: Mapping[str, Mapping[str, str]] = tomllib.loads(TABLE.read_text())
# Searched as text: every process that collects tests would parse all of them.
TESTS = frozenset(
    f"{one.path}::{name}"
    for one in sources()
    if one.path.startswith("tests/")
    for name in re.findall(r"^ *(?:async )?def (test_\w+)\(", one.text, re.MULTILINE)
)


def fields_of(model: str) -> Iterator[inspect.Field]:
    """Yield the fields of a model that need a line."""
    found = MODELS[model]
    is_envelope = issubclass(found.cls, Object) or found.cls in BODIES
    skipped = ENVELOPE if is_envelope else frozenset()
    yield from (one for one in found.fields if one.encode_name not in skipped)


def test_every_accepted_field_names_the_test_that_shows_its_effect() -> None:
    none(
        [
            f'under [{model}] in tests/house/fields.toml: {field.encode_name} = "tests/...::test_"'
            for model in MODELS
            for field in fields_of(model)
            if field.encode_name not in LISTED.get(model, {})
        ],
        "add a line that names the test which shows what the field does; without effect, refuse it",
    )


def test_the_table_names_only_fields_that_there_are() -> None:
    none(
        [
            f"[{model}] {field}"
            for model, lines in LISTED.items()
            for field in lines
            if model not in MODELS or field not in {one.encode_name for one in fields_of(model)}
        ],
        "remove the line, or mend its name",
    )


def test_the_table_names_tests_that_there_are() -> None:
    none(
        [
            f"[{model}] {field.encode_name}: {line}"
            for model, field, line in lines()
            if line not in REASONS and line not in TESTS
        ],
        f"name a test as file::function, or give one of the reasons {sorted(REASONS)}",
    )


def lines() -> Iterator[tuple[str, inspect.Field, str]]:
    """Yield each line of the table: the model, the field, and what stands there."""
    for model in MODELS:
        for field in fields_of(model):
            if line := LISTED.get(model, {}).get(field.encode_name):
                yield model, field, line


def test_a_field_without_an_effect_says_so_to_its_readers() -> None:
    """`kubectl explain` prints what the docstring says: nobody may learn of it by trying."""
    none(
        [
            f"{model}.{field.name}: its line in the docstring must match {REASONS[line].pattern!r}"
            for model, field, line in lines()
            if line in REASONS and not REASONS[line].search(_told(model, field))
        ],
        "say it in the docstring of the model",
    )


def _told(model: str, field: inspect.Field) -> str:
    return told_by(cast(type[Model], MODELS[model].cls)).fields.get(field.name, "")


@pytest.mark.parametrize(
    ("model", "field"),
    [
        pytest.param(model, field, id=f"{model}.{field.encode_name}")
        for model, field, line in lines()
        if line == "takes one value"
    ],
)
def test_a_field_that_takes_one_value_refuses_every_other(model: str, field: inspect.Field) -> None:
    values = {one for one in _literals(field.type) if one}
    assert len(values) == 1, f"{model}.{field.encode_name} takes {values}: show what each does"


def _literals(found: inspect.Type) -> Iterator[object]:
    match found:
        case inspect.VarTupleType():
            yield from _literals(found.item_type)
        case inspect.UnionType():
            for one in found.types:
                yield from _literals(one)
        case inspect.LiteralType():
            yield from found.values
        case inspect.NoneType():
            return
        case _:
            yield from ("any", "text")
