"""A stranger's object is taken quickly where it is right, and explained where it is not."""

import gc
import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubernetes.api.bodies.envelopes import Listing
from cubernetes.api.coding import codec, schema
from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import ApiError, BadRequest, Invalid
from cubernetes.api.meta import Object
from cubernetes.api.notation import jsontext, yaml
from cubernetes.api.registry import KINDS
from tests import given as builders

FOREIGN = Path(__file__).resolve().parents[2] / "house" / "foreign"


def whole(kind: type[Object]) -> Object:
    tree = yaml.tree_of((FOREIGN / f"{kind.resource.singular}.yaml").read_bytes())
    return codec.served(kind, tree)


WHOLE: dict[str, Object] = {kind.resource.kind: whole(kind) for kind in KINDS}
MAPS = ("labels", "annotations", "matchLabels", "selector", "capacity", "allocatable",
        "requests", "limits", "nodeSelector", "data", "binaryData", "stringData",
        "images", "disruptedPods", "files", "parameters", "hard", "used", "steps",
        "openAPIV3Schema")  # fmt: skip
ODD: list[Any] = [
    *(True, False, 0, 1, -1, 2**31, 2**70, 0.0, 1.0, 1.5, "", "a", "1", "a\x00b", "\\u0000", "é"),
    *([], {}, ["a"], [1], {"a": 1}, {"a": "b"}, [{}], {"": ""}),
    *(
        "2006-01-02T15:04:05Z",
        "2006-01-02",
        "2006-01-02T15:04:05",
        1136214245,
        "1Gi",
        "-1",
        "x" * 300,
    ),
]


def places_in(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container of a tree with each of its keys."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield tree, key
        if isinstance(value, dict | list):
            yield from places_in(value)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[type[Object], dict[str, Any]]:
    """A whole object in which up to three places hold something odd."""
    kind = draw(st.sampled_from(KINDS))
    tree = codec.to_tree(WHOLE[kind.resource.kind])
    for _ in range(draw(st.integers(0, 3))):
        holder, key = draw(st.sampled_from([*places_in(tree)]))
        holder[key] = deepcopy(draw(st.sampled_from(ODD)))
        if isinstance(holder, dict) and draw(st.booleans()):
            holder["odd" if draw(st.booleans()) else key] = deepcopy(draw(st.sampled_from(ODD)))
    return kind, tree


@settings(max_examples=400, deadline=None)
@given(damaged())
def test_what_is_taken_quickly_is_what_the_full_check_finds_right(
    found: tuple[type[Object], dict[str, Any]],
) -> None:
    kind, tree = found

    try:
        # Numbers beyond 64 bits are refused as JSON, before anything is read of a kind.
        jsontext.tree_of(msgspec.json.encode(tree))
        model = codec.from_tree(kind, tree).model
    except ApiError:
        return

    plain = jsontext.without_nulls(tree)
    assert schema.check(kind, plain) == ((), ())
    assert codec.read(kind, codec.encode(model)).model == model


@settings(max_examples=400, deadline=None)
@given(damaged(), st.booleans())
def test_a_body_is_read_at_once_only_as_its_tree_is_read(
    found: tuple[type[Object], dict[str, Any]], has_blanks: bool
) -> None:
    kind, tree = found
    body = json.dumps(tree, separators=(", ", ": ") if has_blanks else (",", ":")).encode()

    model = codec.plainly_read(kind, body)

    if model is not None:
        # Strict: nothing may have been left out.
        reading = codec.from_tree(kind, jsontext.tree_of(body), "Strict")
        assert reading == codec.Reading(model)
        assert codec.encode(reading.model) == codec.encode(model)


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_what_our_own_programs_write_is_read_at_once(name: str) -> None:
    body = codec.encode(WHOLE[name])

    is_plain = b"null" not in body and jsontext.is_modest(body)
    assert codec.plainly_read(type(WHOLE[name]), body) == (WHOLE[name] if is_plain else None)


PLAIN = codec.encode(builders.a_pod("web"))
NAMED = b'"name":"web"'
OWNED = (
    b'{"manager":"kubectl","operation":"Update","apiVersion":"v1","time":"2026-01-01T00:00:00Z"}'
)


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        (NAMED, NAMED + b',"labels":null'),
        (NAMED, NAMED + b',"name":"web"'),
        (NAMED, NAMED + b',"nmae":"web"'),
        (NAMED, NAMED + b',"managedFields":[' + OWNED + b"]"),
        (NAMED, NAMED + b',"annotations":{"a":"\\u0000"}'),
        (NAMED, NAMED + b',"annotations":{"a":"' + b"{" * 65 + b'"}'),
        (NAMED, NAMED + b',"annotations":{"a":"\\ud800"}'),
        (NAMED, NAMED + b',"annotations":{"a":"\xff"}'),
        (NAMED, NAMED + b',"annotations":{"a":"1234567890123456789"}'),
        (NAMED, b'"name":7'),
        (b'"Pod"', b'"Node"'),
        (b'"v1"', b'"v2"'),
        (b'"Pod",', b'"Pod", '),
    ],
)
def test_a_body_with_something_to_be_told_of_is_not_read_at_once(
    part: bytes, instead: bytes
) -> None:
    assert codec.plainly_read(Pod, PLAIN) is not None

    assert codec.plainly_read(Pod, PLAIN.replace(part, instead, 1)) is None


def test_a_null_within_a_map_of_anything_is_an_absence_also_there() -> None:
    crd = WHOLE["CustomResourceDefinition"]
    tree = codec.to_tree(crd)
    shape = tree["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    shape["properties"] = {"size": {"type": "integer", "default": None}}
    tree["spec"]["versions"] = tree["spec"]["versions"][:1]
    body = msgspec.json.encode(tree)
    assert jsontext.is_modest(body)

    assert codec.plainly_read(type(crd), body) is None


def test_a_field_may_stand_where_others_write_it() -> None:
    pod = b'{"kind":"Pod","apiVersion":"v1","spec":{"containers":[]},"metadata":{"name":"web"}}'

    found = codec.plainly_read(Pod, pod)

    assert found is not None
    assert found.metadata.name == "web"


def test_the_collector_does_not_walk_through_models() -> None:
    for whole in WHOLE.values():
        assert not gc.is_tracked(whole)
        assert not gc.is_tracked(whole.metadata)


def test_metadata_of_another_type_is_refused_like_anything_else() -> None:
    with pytest.raises(Invalid, match="metadata: Invalid value: true: must be an object"):
        codec.from_tree(Pod, codec.to_tree(builders.a_pod()) | {"metadata": True})


def test_a_nul_is_refused_by_its_field() -> None:
    tree = codec.to_tree(builders.a_pod())
    tree["metadata"]["annotations"] = {"note": "a\x00b"}

    with pytest.raises(Invalid, match="NUL"):
        codec.from_tree(Pod, tree)


def test_a_text_that_only_looks_like_a_nul_is_taken() -> None:
    tree = codec.to_tree(builders.a_pod())
    tree["metadata"]["annotations"] = {"note": "\\u0000"}

    assert codec.from_tree(Pod, tree).model.metadata.annotations == {"note": "\\u0000"}


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_depth_counts_whatever_the_brackets(opening: str) -> None:
    closing = "]" if opening == "[" else "}"

    def nested(depth: int) -> bytes:
        inner = opening * depth + "1" + closing * depth
        return f'{{"a":{inner}}}'.encode()

    assert jsontext.tree_of(nested(jsontext.DEPTH_MAX))
    with pytest.raises(BadRequest, match="nesting deeper than 64"):
        jsontext.tree_of(nested(jsontext.DEPTH_MAX + 1))


def test_brackets_within_a_text_are_no_depth() -> None:
    assert jsontext.tree_of(b'{"a":"' + b"[" * 100 + b'"}') == {"a": "[" * 100}


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_what_a_later_version_wrote_is_read_as_far_as_it_is_known(name: str) -> None:
    whole = WHOLE[name]
    later = _with_news(codec.to_tree(whole))
    listed = {"kind": "List", "metadata": {"resourceVersion": "7", "news": 1}, "items": [later]}

    assert codec.decode(type(whole), msgspec.json.encode(later)) == whole
    of_kind: Any = cast(Any, Listing)[type(whole)]
    listing: Any = codec.decode(of_kind, msgspec.json.encode(listed))
    assert listing.items == (whole,)


def test_what_is_of_another_type_is_not_read() -> None:
    with pytest.raises(msgspec.ValidationError):
        codec.decode(Pod, b'{"spec": {"containers": "none", "news": 1}}')


def _with_news(tree: Any) -> Any:
    """Return the tree with a new field in every object that is not a map of anything."""
    if isinstance(tree, list):
        return [_with_news(one) for one in tree]
    if not isinstance(tree, dict):
        return tree
    # Variables are a list, and a map in a function.
    maps = (*MAPS, "env") if isinstance(tree.get("env"), dict) else MAPS
    news = {key: value if key in maps else _with_news(value) for key, value in tree.items()}
    return {**news, "news": [{"of": "tomorrow"}]}


# JSON with a number in it, in places that are passed over quickly or not.
AROUND = pytest.mark.parametrize(
    "body", ['{{"a":{}}}', '{{"e123":"e999","b":[1,{}]}}', '{{"a": {} }}']
)


@AROUND
@pytest.mark.parametrize(
    "number",
    ["9223372036854775808", "-9223372036854775809", "1e400", "1.5E+400", "1.0e400", "-0.1e0999"],
)
def test_a_number_beyond_64_bits_is_refused_wherever_it_stands(body: str, number: str) -> None:
    with pytest.raises(BadRequest, match="number out of range"):
        jsontext.tree_of(body.format(number).encode())


@AROUND
@pytest.mark.parametrize(
    "number", ["9223372036854775807", "-9223372036854775808", "1e308", "1e-400", "0.1E+300"]
)
def test_a_number_of_64_bits_is_taken_wherever_it_stands(body: str, number: str) -> None:
    assert jsontext.tree_of(body.format(number).encode())


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=3), JSON_VALUES))
def test_a_body_is_read_alike_however_it_was_written(tree: dict[str, Any]) -> None:
    """One without blanks is read in another way than one with them."""
    plain = msgspec.json.encode(tree)
    spaced = json.dumps(tree, ensure_ascii=True, indent=1).encode()

    read = jsontext.tree_of(plain)
    assert read == tree
    assert read == jsontext.tree_of(spaced) == jsontext.tree_of(plain + b"\n")
    assert repr(read) == repr(jsontext.tree_of(spaced))


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":1}',
        b'{"a":{"b":[{"c":1,"c":1}]}}',
        b'{"a":"\\ud800"}',
        b'{"a":NaN}',
        b'{"a":1}{}',
        b'{"a":"\xff"}',
        b"[1]",
        b"1",
        b"",
    ],
)
def test_what_is_wrong_with_a_body_without_blanks_is_found(body: bytes) -> None:
    with pytest.raises(BadRequest):
        jsontext.tree_of(body)
