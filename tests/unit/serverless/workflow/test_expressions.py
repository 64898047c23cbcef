"""Expressions of workflows: what they mean, and that no text and no value ever breaks them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.serverless.expression import (
    CHARS_MAX,
    DEPTH_MAX,
    SUM_MAX,
    NotAnExpression,
    Unfit,
    parsed,
)

NAMES = {
    "input": {"a": 2, "words": ["x", "y"], "name": "shop", "none": None, "yes": True},
    "steps": {"tag-it": {"score": 0.75}},
}
WORDS = st.sampled_from(
    [
        "$.input.a",
        "$.input.words[1]",
        "$.steps.tag-it",
        "1",
        "0.5",
        '"x"',
        "null",
        "true",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        '"k":',
        ",",
        "and",
        "or",
        "not",
        "in",
        "len(",
        "+",
        "==",
        "<",
        ">=",
    ]
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$.input.a", 2),
        ("$.input.words[1]", "y"),
        ("$.input.words[2]", None),
        ("$.input.words[9]", None),
        ("$.input.absent.deeper[0]", None),
        ("$.steps.tag-it.score > 0.5 and not ($.input.a == 3)", True),
        ("1 == true", False),
        ("$.input.none or $.input.a", 2),
        ("$.input.none == null", True),
        ('"x" in $.input.words', True),
        ('"a" in $.input', True),
        ("len($.input.words) + 1", 3),
        ('$.input.name + "-" + $.input.words[0]', "shop-x"),
        ("[1] + [2, $.input.a]", [1, 2, 2]),
        ('{"a": $.input.a, "b": [not not true]}', {"a": 2, "b": [True]}),
        ("true or false and false", True),
        ('"\\u00e9\\n"', "é\n"),
        ("-1.5e1", -15.0),
    ],
)
def test_an_expression_has_its_value(text: str, value: Any) -> None:
    assert parsed(text).evaluate(NAMES) == value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "at its end: a value is missing"),
        ("1 +", "at its end: a value is missing"),
        ("$.input.a == ", "at its end: a value is missing"),
        ("(1", "at its end: ')' is missing"),
        ("1 2", "at character 3: '2' was not expected"),
        ("$.a ; 1", "at character 4"),
        ("open('x')", "at character"),
        ("{a: 1}", 'a name in "quotes" is missing'),
        ("$[0]", "a path begins with a name"),
        ("(" * (DEPTH_MAX + 2) + "1", f"nested deeper than {DEPTH_MAX}"),
        ("1" * (CHARS_MAX + 1), f"at most {CHARS_MAX}"),
    ],
)
def test_what_is_no_expression_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(NotAnExpression) as caught:
        parsed(text)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('1 < "x"', "< does not compare a number and a text"),
        ("true < 2", "< does not compare a truth and a number"),
        ('1 in "x"', "in does not compare a number and a text"),
        ('1 + "x"', "+ does not add a number and a text"),
        ("len(1)", "len of a number is none"),
    ],
)
def test_an_operator_that_does_not_suit_its_values_says_so(text: str, told: str) -> None:
    with pytest.raises(Unfit) as caught:
        parsed(text).evaluate(NAMES)
    assert str(caught.value) == told


def test_a_sum_has_its_limit() -> None:
    with pytest.raises(Unfit):
        parsed("$.a + $.a").evaluate({"a": "x" * (SUM_MAX // 2 + 1)})


def test_an_expression_says_what_it_asks_for() -> None:
    asked = parsed('$.input.a + len($.steps.tag[0].x) == {"a": $.item}')

    assert asked.paths == (("input", "a"), ("steps", "tag", "0", "x"), ("item",))


@given(st.lists(WORDS, max_size=30).map(" ".join) | st.text(max_size=60))
def test_any_text_has_a_value_or_a_reason(text: str) -> None:
    reason, value = "", None
    try:
        value = parsed(text).evaluate(NAMES)
    except (NotAnExpression, Unfit) as error:
        reason = str(error)

    assert reason or json.dumps(value)
