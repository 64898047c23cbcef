"""Selectors in their query form: what they mean, and that reading one is never slow."""

from collections.abc import Sequence
from typing import Literal

import pytest

from cubernetes.api.core.event import Event, EventSource, ObjectReference
from cubernetes.api.core.node import Node, NodeSpec
from cubernetes.api.errors import BadRequest
from cubernetes.api.meta import ObjectMeta
from cubernetes.api.selectors import LabelSelector, Requirement, parse, parse_fields

type Operator = Literal["In", "NotIn", "Exists", "DoesNotExist"]

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


@pytest.mark.parametrize(
    ("expressions", "matches"),
    [
        ((("tier", "In", ("a", "b")),), True),
        ((("tier", "In", ("b",)),), False),
        ((("tier", "NotIn", ("b",)), ("old", "NotIn", ("x",))), True),
        ((("tier", "NotIn", ("a",)),), False),
        ((("app", "Exists", ()), ("old", "DoesNotExist", ())), True),
        ((("old", "Exists", ()),), False),
        ((("app", "DoesNotExist", ()),), False),
    ],
)
def test_match_expressions_hold_beside_match_labels(
    expressions: Sequence[tuple[str, Operator, tuple[str, ...]]], matches: bool
) -> None:
    requirements = tuple(
        Requirement(key=key, operator=operator, values=values)
        for key, operator, values in expressions
    )
    labels = {"app": "web", "tier": "a"}
    whole = LabelSelector(match_labels={"app": "web"}, match_expressions=requirements)
    other = LabelSelector(match_labels={"app": "db"}, match_expressions=requirements)
    assert whole.selector.matches(labels) is matches
    assert not other.selector.matches(labels)


def test_an_event_is_found_by_each_part_of_what_it_is_about() -> None:
    event = Event(
        involved_object=ObjectReference(
            api_version="v1", kind="Pod", namespace="shop", name="web-0", uid="u-1",
            resource_version="7", field_path="spec.containers{main}",
        ),
        reason="Started", type="Warning", source=EventSource(component="kubelet"),
    )  # fmt: skip
    found = {field: read(event) for field, read in Event.selectable.items()}
    assert found == {
        "involvedObject.apiVersion": "v1",
        "involvedObject.kind": "Pod",
        "involvedObject.namespace": "shop",
        "involvedObject.name": "web-0",
        "involvedObject.uid": "u-1",
        "involvedObject.resourceVersion": "7",
        "involvedObject.fieldPath": "spec.containers{main}",
        "reason": "Started",
        "type": "Warning",
        "source": "kubelet",
    }
