"""Selectors in their query form: what they mean, and that reading one is never slow."""

import pytest

from cubernetes.api.core.node import Node, NodeSpec
from cubernetes.api.errors import BadRequest
from cubernetes.api.meta import ObjectMeta
from cubernetes.api.selectors import parse, parse_fields

BLANKS = " " * 100_000


@pytest.mark.parametrize(
    "text", [f"{BLANKS}=", f"a={BLANKS}(", f"a{BLANKS}x", f"!{BLANKS}!", f"a{BLANKS}in{BLANKS}x"]
)
@pytest.mark.timeout(5)  # trying every way to share the blanks out takes minutes
def test_blanks_cost_no_more_than_other_letters(text: str) -> None:
    with pytest.raises(BadRequest):
        parse(text)
    with pytest.raises(BadRequest):
        parse_fields(text, {})


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        (" app = web , tier in ( a , b ) , ! old ", True),
        ("app==web,tier notin (c)", True),
        ("tier!=a", False),
        ("old", False),
    ],
)
def test_a_selector_means_what_kubernetes_means(text: str, matches: bool) -> None:
    assert parse(text).matches({"app": "web", "tier": "a"}) is matches


def test_a_field_that_is_true_or_false_is_asked_for_as_json_writes_it() -> None:
    node = Node(metadata=ObjectMeta(name="n1"), spec=NodeSpec(unschedulable=True))
    (term,) = parse_fields(" spec.unschedulable == true ", Node.selectable)

    assert Node.selectable[term.field](node) == term.value
