"""Roles that every cluster has are renewed where they exist: added to, and never cut."""

from typing import Any

import pytest

from apiserver.maintenance.renewal import AUTO_UPDATE, renewed
from apiserver.maintenance.roles import ROLES
from apiserver.maintenance.systemroles import SYSTEM_ROLES
from cubernetes.api.meta import Object, ObjectMeta, replaced
from cubernetes.api.rbac.clusterrole import ClusterRole
from cubernetes.api.rbac.clusterrolebinding import ClusterRoleBinding
from cubernetes.api.rbac.rules import PolicyRule, RoleRef, Subject
from tests.given import NOW


def rule(verb: str, resource: str) -> PolicyRule:
    return PolicyRule(verbs=(verb,), api_groups=("",), resources=(resource,))


def a_role(*rules: PolicyRule, **meta: Any) -> ClusterRole:
    return ClusterRole(metadata=ObjectMeta(name="view", **meta), rules=rules)


def a_binding(role: str, *users: str) -> ClusterRoleBinding:
    subjects = tuple(Subject(kind="User", name=one) for one in users)
    ref = RoleRef(kind="ClusterRole", name=role)
    return ClusterRoleBinding(metadata=ObjectMeta(name="b"), subjects=subjects, role_ref=ref)


@pytest.mark.parametrize("one", [*ROLES, *SYSTEM_ROLES], ids=lambda one: one.metadata.name)
def test_what_is_as_it_should_be_is_not_written(one: Object) -> None:
    assert renewed(one, one) is one
    assert one.metadata.annotations[AUTO_UPDATE] == "true"


def test_rules_that_are_missing_are_added_and_those_of_others_stay() -> None:
    theirs, wide = rule("delete", "pods"), rule("*", "nodes")
    new = renewed(a_role(theirs, wide), a_role(rule("get", "nodes"), rule("get", "pods")))
    assert isinstance(new, ClusterRole)
    assert new.rules == (theirs, wide, rule("get", "pods"))


def test_labels_and_notes_are_added_and_none_is_changed() -> None:
    old = a_role(labels={"a": "theirs", "c": "3"})
    new = renewed(old, a_role(labels={"a": "1", "b": "2"}, annotations={AUTO_UPDATE: "true"}))
    assert new.metadata.labels == {"a": "theirs", "b": "2", "c": "3"}
    assert new.metadata.annotations == {AUTO_UPDATE: "true"}


def test_a_role_of_an_older_server_begins_to_gather_and_keeps_what_it_gathered() -> None:
    (view,) = (one for one in ROLES if one.metadata.name == "view")
    assert isinstance(view, ClusterRole)
    new = renewed(a_role(rule("get", "pods")), view)
    assert isinstance(new, ClusterRole)
    assert new.aggregation_rule == view.aggregation_rule
    assert new.metadata.labels == view.metadata.labels
    assert renewed(new, view) is new


def test_subjects_that_are_missing_are_added_of_a_binding_of_the_same_role_alone() -> None:
    new = renewed(a_binding("view", "joe"), a_binding("view", "jane"))
    assert isinstance(new, ClusterRoleBinding)
    assert [one.name for one in new.subjects] == ["joe", "jane"]
    other = a_binding("edit", "joe")
    assert renewed(other, a_binding("view", "jane")) is other


def test_what_is_on_its_way_out_or_says_so_is_left_alone() -> None:
    wanted = a_role(rule("get", "pods"), labels={"a": "1"})
    for old in (
        a_role(annotations={AUTO_UPDATE: "false"}),
        replaced(a_role(), metadata=ObjectMeta(name="view", deletion_timestamp=NOW)),
    ):
        assert renewed(old, wanted) is old
