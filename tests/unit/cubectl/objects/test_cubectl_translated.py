"""What documents of the platform before this one mean here, field by field."""

from typing import Any

import pytest

from cubectl.objects.forerunner import Translated, translated, with_script
from cubernetes.api.notation.jsontext import Tree

KEPT = {"name": "calc", "namespace": "shop", "labels": {"a": "b"}, "annotations": {"c": "d"}}


def ours(kind: str, metadata: Tree, spec: Tree) -> Tree:
    version = "serverless.cubernetes.io/v1"
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def an_action(**fields: Any) -> Tree:
    return {"apiVersion": "v1", "kind": "Action", "metadata": KEPT} | fields


def an_ingress(**spec: Any) -> Tree:
    return {"apiVersion": "justtest/v1", "kind": "Ingress", "metadata": KEPT, "spec": spec}


def test_an_action_is_a_function_that_may_call_others() -> None:
    spec = {"invokeActions": ("add", "sub"), "other": 1}

    assert translated(an_action(spec=spec)) == Translated(
        ours("Function", KEPT, {"calls": ["add", "sub"]}), "an Action is applied as a Function"
    )
    for told in ({}, {"spec": None}, {"spec": "x"}, {"spec": {"invokeActions": None}}):
        found = translated(an_action(**told))
        assert found is not None
        assert found.tree["spec"] == {"calls": []}


def test_an_ingress_that_invokes_an_action_is_a_route() -> None:
    assert translated(an_ingress(invokeAction="calc", trigger="/c", httpType="get")) == Translated(
        ours("Route", KEPT, {"path": "/c", "function": "calc", "methods": ["GET"]}),
        "an Ingress with invokeAction is applied as a Route",
    )
    for method in ({}, {"httpType": None}, {"httpType": ""}):
        bare = translated(an_ingress(invokeAction="calc", **method))
        assert bare is not None
        assert bare.tree["spec"] == {"path": None, "function": "calc"}


def test_only_names_labels_and_annotations_are_taken_over() -> None:
    found = translated(an_action(metadata={**KEPT, "uid": "3f0c", "generation": 2}))
    assert found is not None
    assert found.tree["metadata"] == KEPT
    nothing: tuple[Any, ...] = (None, "name", {})
    for metadata in nothing:
        found = translated(an_action(metadata=metadata))
        assert found is not None
        assert found.tree["metadata"] == {}


@pytest.mark.parametrize(
    "tree",
    [
        an_action(apiVersion="actions.example.com/v1"),
        an_action(apiVersion=None),
        an_action(kind="Pod"),
        an_ingress(trigger="/c"),
        an_ingress(invokeAction="calc") | {"apiVersion": "networking.k8s.io/v1"},
        an_ingress(invokeAction="calc") | {"kind": "Service"},
        an_ingress() | {"spec": "invokeAction"},
        an_ingress() | {"spec": None},
        {},
    ],
)
def test_a_document_of_today_is_none_of_the_forerunners(tree: Tree) -> None:
    assert translated(tree) is None


def test_a_dot_in_the_version_alone_makes_no_group_of_today() -> None:
    assert translated(an_action(apiVersion="v1.1")) is None
    assert translated(an_action(apiVersion="justtest/v1.1")) is not None
    assert translated(an_action(apiVersion="a.b/c/v1")) is None


def test_a_script_is_the_function_s_only_file() -> None:
    tree = ours("Function", KEPT, {"calls": ["add"], "files": {"old.py": ""}})

    assert with_script(tree, "code") == ours(
        "Function", KEPT, {"calls": ["add"], "files": {"action.py": "code"}}
    )
