"""Revisions of a workload: whose they are, their order, their templates, and the way back."""

from typing import Any

import pytest

from cubectl.objects.rollouts import (
    before,
    cause_of,
    owned_by,
    revision_in,
    revision_of,
    template_of,
    undone,
)
from cubectl.session import Failed
from cubernetes.api.notation.jsontext import Tree

REVISION = "deployment.kubernetes.io/revision"
CAUSE = "kubernetes.io/change-cause"
WEB: Tree = {"kind": "Deployment", "metadata": {"name": "web", "uid": "u1"}, "spec": {}}


def a_set(revision: object, *owners: Tree, **fields: Any) -> Tree:
    metadata = {"name": f"web-{revision}", "annotations": {REVISION: revision}}
    return {
        "kind": "ReplicaSet",
        "metadata": {**metadata, "ownerReferences": list(owners)},
    } | fields


def owner(uid: str, *, is_controller: bool = True) -> Tree:
    return {"uid": uid, "controller": is_controller}


def test_a_revision_is_the_number_that_its_kind_keeps_and_0_where_there_is_none() -> None:
    assert revision_of({"kind": "ControllerRevision", "revision": 7}) == 7
    assert revision_of({"kind": "ControllerRevision"}) == 0
    assert revision_of(a_set("12")) == 12
    for text in ("", "x", "-1", "1.5", "9" * 18, None):
        assert revision_of(a_set(text)) == 0
    assert revision_of(a_set("9" * 17)) == int("9" * 17)
    nothing: tuple[Tree, ...] = ({}, {"annotations": None}, {"annotations": {}})
    for metadata in nothing:
        assert revision_of({"metadata": metadata}) == 0


def test_a_cause_is_what_was_noted() -> None:
    assert cause_of({"metadata": {"annotations": {CAUSE: "kubectl apply"}}}) == "kubectl apply"
    for notes in ({}, None, {CAUSE: ""}):
        assert cause_of({"metadata": {"annotations": notes}}) == "<none>"
    assert cause_of({"metadata": {}}) == "<none>"


def test_its_revisions_are_those_that_it_controls_the_oldest_first() -> None:
    ten, nine = a_set("10", owner("u2", is_controller=False), owner("u1")), a_set("9", owner("u1"))
    strangers = [
        a_set("1", owner("u2")),
        a_set("2", owner("u1", is_controller=False)),
        a_set("3", {"uid": "u1"}),
        {"metadata": {"ownerReferences": None}},
        {"metadata": {}},
    ]

    assert owned_by(WEB, [ten, *strangers, nine]) == [nine, ten]


def test_a_revision_is_found_by_its_number_or_refused() -> None:
    sets = [a_set("1"), a_set("2")]

    assert revision_in(sets, 2) is sets[1]
    assert before(WEB, sets, 1) is sets[0]
    with pytest.raises(Failed, match=r"^unable to find the specified revision$"):
        revision_in(sets, 3)
    with pytest.raises(Failed, match=r"^unable to find specified revision 3 in history$"):
        before(WEB, sets, 3)


def test_without_a_number_the_way_leads_to_the_last_but_one() -> None:
    sets = [a_set("1"), a_set("2"), a_set("3")]

    assert before(WEB, sets, 0) is sets[1]
    assert before(WEB, sets[:2], 0) is sets[0]
    for few in (sets[:1], []):
        with pytest.raises(Failed, match=r'^no rollout history found for deployment "web"$'):
            before(WEB, few, 0)


def test_a_template_is_told_as_its_workload_had_it() -> None:
    labels = {"app": "web", "pod-template-hash": "h1"}
    template = {"metadata": {"labels": labels, "annotations": {"a": "b"}}, "spec": {"x": 1}}

    assert template_of({"kind": "ReplicaSet", "spec": {"template": template}}) == {
        "metadata": {"labels": {"app": "web"}, "annotations": {"a": "b"}},
        "spec": {"x": 1},
    }
    for metadata in ({}, {"metadata": None}, {"metadata": {"labels": None}}):
        bare = {"spec": {"template": {**metadata, "spec": {}}}}
        assert template_of(bare) == {"metadata": {"labels": {}}, "spec": {}}
    recorded = {"$patch": "replace", **template}
    revised = {"kind": "ControllerRevision", "data": {"spec": {"template": recorded}}}
    assert template_of(revised) == template


def test_a_deployment_goes_back_with_the_annotations_of_the_revision_but_its_own_number() -> None:
    template: Tree = {"metadata": {"labels": {}}, "spec": {"x": 1}}
    own = {REVISION: "2", "own": "x", CAUSE: "second"}
    tree: Tree = {**WEB, "metadata": {"name": "web", "annotations": own}, "spec": {"replicas": 3}}
    one = a_set("1", spec={"template": template})
    one["metadata"]["annotations"] |= {CAUSE: "first", "theirs": "y"}

    assert undone(tree, one) == {
        "kind": "Deployment",
        "metadata": {
            "name": "web",
            "annotations": {REVISION: "2", CAUSE: "first", "theirs": "y"},
        },
        "spec": {"replicas": 3, "template": template},
    }


def test_annotations_may_be_absent_on_both_sides() -> None:
    template: Tree = {"metadata": {"labels": {}}, "spec": {}}
    for metadata in ({}, {"annotations": None}):
        one: Tree = {"metadata": metadata, "spec": {"template": template}}
        tree: Tree = {"kind": "Deployment", "metadata": {"name": "web", **metadata}, "spec": {}}
        assert undone(tree, one)["metadata"] == {"name": "web", "annotations": {}}


def test_another_workload_keeps_its_annotations() -> None:
    tree: Tree = {"kind": "DaemonSet", "metadata": {"annotations": {"a": "b"}}, "spec": {"y": 2}}
    template: Tree = {"metadata": {}, "spec": {"x": 1}}
    one: Tree = {"kind": "ControllerRevision", "data": {"spec": {"template": template}},
                 "metadata": {"annotations": {"c": "d"}}}  # fmt: skip

    assert undone(tree, one) == {**tree, "spec": {"y": 2, "template": template}}
