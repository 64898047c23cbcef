"""YAML as people mean it, and what it must never do to us."""

import json
from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import assume, given
from hypothesis import strategies as st

from cubernetes.api.errors import BadRequest
from cubernetes.api.notation.yaml import documents, tree_of

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**15), 10**15),
    st.text(
        alphabet=st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Co", "Cn")),
        max_size=12,
    ),
)
TREES = st.dictionaries(
    st.text(alphabet="abcdefgh", min_size=1, max_size=5),
    st.recursive(
        SCALARS,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.text(alphabet="abc", min_size=1, max_size=3), inner, max_size=3),
        ),
        max_leaves=10,
    ),
    max_size=4,
)


@given(TREES)
def test_json_is_yaml(tree: dict[str, Any]) -> None:
    assert tree_of(json.dumps(tree, ensure_ascii=False).encode()) == tree


def texts_in(tree: Any) -> list[str]:
    if isinstance(tree, dict | list):
        inner = tree.values() if isinstance(tree, dict) else tree
        return [text for one in inner for text in texts_in(one)]
    return [tree] if isinstance(tree, str) else []


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@given(TREES)
def test_what_is_dumped_quoted_is_read_back(tree: dict[str, Any]) -> None:
    # Who writes here speaks YAML 1.1, where some numbers of 1.2 need no quotes to be text: 0E0.
    assume(not any(is_number(text) for text in texts_in(tree)))
    text = pyyaml.safe_dump(tree, default_style=None, allow_unicode=True)
    assert tree_of(text.encode()) == tree or "'" in text or '"' in text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("010", "010"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("=", "="),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("-3", -3),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("'1'", "1"),
        ('"true"', "true"),
        ("500m", "500m"),
        ("1.2.3.4", "1.2.3.4"),
    ],
)
def test_a_scalar_is_what_yaml_1_2_says(text: str, value: object) -> None:
    found = tree_of(f"a: {text}".encode())["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: &x 1", "anchors and aliases are not accepted at line 1, column 4"),
        ("a: *x", "anchors and aliases"),
        ("a: !!python/object:os.system {}", "tags"),
        ("a: !x 1", "tags"),
        ("<<: {a: 1}", "merge keys"),
        ("a: 1\nb: 2\na: 3", 'duplicate field "a" at line 3, column 1'),
        ("[a]: 1", "a key must be a plain text"),
        ("? {a: b}\n: c", "a key must be a plain text"),
        ("a: [", "line"),
        ("a: b: c", "line 1"),
        ("\ta: b", "line 1"),
        ("a: " + "9" * 5000, "number out of range"),
        ("a: 1e999", "number out of range"),
        ("[" * 200, "nesting deeper than 64 at line 1"),
        ("a: 1\n---\nb: 2", "expected one YAML document, found 2"),
        ("- a", "expected an object"),
        ("just text", "expected an object"),
        ("", "found 0"),
        ("a: \x00", "not valid YAML"),
    ],
)
def test_what_is_refused_says_why_and_where(text: str, told: str) -> None:
    with pytest.raises(BadRequest) as refused:
        tree_of(text.encode())
    assert told in refused.value.message


def test_a_file_holds_several_documents_each_with_its_line() -> None:
    text = "a: 1\n---\n# nothing\n---\nb:\n  - c\n---\n"
    assert [(one.tree, one.line) for one in documents(text)] == [({"a": 1}, 1), ({"b": ["c"]}, 5)]


@pytest.mark.parametrize(
    ("bomb", "said"),
    [
        ("[" * 1_000_000, "nesting deeper than 64 at line 1, column 65"),
        ("{a: " * 300_000, "nesting deeper than 64 at line 1, column 257"),
        ("a: [" + "x," * 300_000 + "]", "more than 100000 nodes at line 1, column 199999"),
        (
            "a: &a [x]\n" + "b: [" + "*a," * 100_000 + "]",
            "anchors and aliases are not accepted at line 1, column 4",
        ),
        ("- " * 500_000, "nesting deeper than 64 at line 1, column 129"),
    ],
)
def test_a_bomb_is_refused_where_it_passes_a_limit(bomb: str, said: str) -> None:
    """The place in the refusal is how far the text was read: what is behind it costs nothing."""
    with pytest.raises(BadRequest, match=f"{said}$"):
        tree_of(bomb.encode())


@given(st.binary(max_size=200))
def test_any_bytes_are_a_tree_or_a_bad_request(body: bytes) -> None:
    try:
        found = tree_of(body)
    except BadRequest:
        return
    assert isinstance(found, dict)


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("0400", 0o400),
        ("0o440", 0o440),
        ("0", 0),
        ("256", 256),
        ('"0400"', "0400"),
        ("0800", "0800"),
    ],
)
@pytest.mark.parametrize("field", ["mode", "defaultMode"])
def test_permission_bits_may_be_octal_and_nothing_else(
    field: str, text: str, mode: int | str
) -> None:
    assert tree_of(f"{field}: {text}".encode()) == {field: mode}
    assert tree_of(b"pin: 0400") == {"pin": "0400"}
