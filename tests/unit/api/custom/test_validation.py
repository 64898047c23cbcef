"""What is wrong with a value by its schema: each word of a schema, beside a value that fits."""

from typing import Any

import pytest

from cubernetes.api.custom.validation import problems

LIST = {"type": "array", "items": {"type": "string"}}
BOTH = [{"required": ["a"]}, {"required": ["b"]}]
KEYED = {
    "type": "array",
    "items": {"type": "object"},
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
}


@pytest.mark.parametrize(
    ("shape", "right", "wrong", "told"),
    [
        ({"type": "string"}, "a", 1, 'x in body must be of type string: "integer"'),
        ({"type": "integer"}, 3.0, 3.5, 'x in body must be of type integer: "number"'),
        ({"type": "integer"}, 3, True, 'x in body must be of type integer: "boolean"'),
        ({"type": "number"}, 3, "3", 'x in body must be of type number: "string"'),
        ({"type": "boolean"}, False, 0, 'x in body must be of type boolean: "integer"'),
        ({"type": "object"}, {}, [], 'x in body must be of type object: "array"'),
        ({"type": "string", "nullable": True}, None, 1, 'must be of type string: "integer"'),
        ({"type": "string"}, "", None, 'x in body must be of type string: "null"'),
        ({"x-kubernetes-int-or-string": True}, "5%", 1.5, "must be of type integer,string"),
        ({"type": "string", "enum": ["a"]}, "a", "b", 'supported values: "a"'),
        ({"enum": [1]}, 1, True, "supported values: 1"),
        ({"type": "string", "maxLength": 2}, "ab", "abc", "may not be more than 2 bytes"),
        ({"type": "string", "minLength": 2}, "ab", "a", "should be at least 2 chars long"),
        ({"type": "string", "pattern": "^a"}, "ab", "ba", "should match '^a'"),
        ({"type": "integer", "minimum": 1}, 1, 0, "should be greater than or equal to 1"),
        ({"type": "integer", "maximum": 1}, 1, 2, "should be less than or equal to 1"),
        (
            {"type": "number", "minimum": 1, "exclusiveMinimum": True},
            1.1, 1, "should be greater than 1",
        ),
        (
            {"type": "number", "maximum": 1, "exclusiveMaximum": True},
            0.9, 1, "should be less than 1",
        ),
        ({"type": "number", "multipleOf": 0.5}, 1.5, 1.2, "should be a multiple of 0.5"),
        ({"type": "number", "multipleOf": 0.01}, 1.7e308, 0.005, "should be a multiple of 0.01"),
        ({"type": "number"}, 1, 10**400, "x in body must be of type number"),
        ({"type": "integer", "format": "int32"}, 2**31 - 1, 2**31, "must be of type int32"),
        ({**LIST, "maxItems": 1}, ["a"], ["a", "b"], "must have at most 1 items"),
        ({**LIST, "minItems": 1}, ["a"], [], "should have at least 1 items"),
        (LIST, ["a"], [1], 'x[0] in body must be of type string: "integer"'),
        ({**LIST, "x-kubernetes-list-type": "set"}, ["a", "b"], ["a", "a"], ""),
        (KEYED, [{"name": "a"}, {"name": "b"}], [{"name": "a"}, {"name": "a", "b": 1}], ""),
        ({"type": "object", "required": ["a"]}, {"a": 1}, {}, ""),
        ({"type": "object", "maxProperties": 1}, {"a": 1}, {"a": 1, "b": 2}, "at most 1 items"),
        ({"type": "object", "minProperties": 1}, {"a": 1}, {}, "at least 1 properties"),
        (
            {"type": "object", "additionalProperties": {"type": "integer"}},
            {"a": 1}, {"a": "b"}, 'x.a in body must be of type integer: "string"',
        ),
        ({"anyOf": BOTH}, {"a": 1, "b": 1}, {}, "must validate at least one schema (anyOf)"),
        ({"oneOf": BOTH}, {"a": 1}, {"a": 1, "b": 1}, "one and only one schema (oneOf)"),
        ({"allOf": BOTH}, {"a": 1, "b": 1}, {"a": 1}, ""),
        ({"not": {"required": ["a"]}}, {}, {"a": 1}, "must not validate the schema (not)"),
        (
            {"type": "string", "format": "date-time"},
            "2026-01-01T00:00:00.5Z", "2026-01-01", "must be of type date-time",
        ),
        ({"type": "string", "format": "date"}, "2026-01-31", "2026-02-31", "of type date"),
        ({"type": "string", "format": "ipv4"}, "10.0.0.1", "10.0.0", "of type ipv4"),
        ({"type": "string", "format": "ipv6"}, "::1", "10.0.0.1", "of type ipv6"),
        ({"type": "string", "format": "cidr"}, "10.0.0.0/8", "10.0.0.0/99", "of type cidr"),
        (
            {"type": "string", "format": "uuid"},
            "5f0e6f0e-1b34-4c53-8a53-0a86d3a2b1aa", "5f0e", "of type uuid",
        ),
    ],
)  # fmt: skip
def test_a_word_of_a_schema_is_held_to(shape: Any, right: Any, wrong: Any, told: str) -> None:
    assert list(problems(shape, right, "x")) == []
    (found,) = problems(shape, wrong, "x")
    assert told in found.message
    assert found.field.startswith("x")


@pytest.mark.parametrize("pattern", ["(a+)+$", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_no_pattern_takes_more_time_than_its_text_is_long(pattern: str) -> None:
    """A matcher that goes back would take longer than the sun shines."""
    shape = {"type": "string", "pattern": pattern}

    assert len(list(problems(shape, "a" * 5000 + "!", "x"))) == 1
