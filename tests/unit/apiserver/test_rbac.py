"""What roles allow: Kubernetes' rules, rule by rule, and that nobody gives what he has not."""

from collections.abc import Iterable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.auth.accounts import Account
from apiserver.auth.authorize import Attempt
from apiserver.auth.rbac import (
    allows,
    allows_path,
    is_allowed,
    is_meant,
    rules_for,
    uncovered,
)
from cubernetes.api.meta import Object, ObjectMeta
from cubernetes.api.rbac.clusterrole import AggregationRule, ClusterRole
from cubernetes.api.rbac.clusterrolebinding import ClusterRoleBinding
from cubernetes.api.rbac.role import Role
from cubernetes.api.rbac.rolebinding import RoleBinding
from cubernetes.api.rbac.rules import PolicyRule, RoleRef, Subject
from cubernetes.api.selectors import LabelSelector
from cubernetes.host.web.messages import ANONYMOUS, Identity

JANE = Identity("jane", ("shop",))
TILL = Account("shop", "till").identity
GET_PODS = Attempt("get", "", "pods", "", "shop", "web")


class Objects:
    """Roles and bindings at hand."""

    def __init__(self, *objects: Object) -> None:
        self._objects = objects

    def objects(self, kind: type[Object]) -> Iterable[Object]:
        return [one for one in self._objects if isinstance(one, kind)]

    def within(self, kind: type[Object], namespace: str) -> Iterable[Object]:
        return [one for one in self.objects(kind) if one.metadata.namespace == namespace]

    def find[K: Object](self, kind: type[K], name: str, namespace: str = "") -> K | None:
        found = (one for one in self.objects(kind) if one.ref[1:] == (namespace, name))
        return cast(K | None, next(iter(found), None))


def rule(verbs: str, groups: str, resources: str, names: str = "") -> PolicyRule:
    def words(text: str) -> tuple[str, ...]:
        return tuple("" if one == "core" else one for one in text.split())

    return PolicyRule(
        verbs=words(verbs),
        api_groups=words(groups),
        resources=words(resources),
        resource_names=words(names),
    )


def meta(name: str, namespace: str = "", **labels: str) -> ObjectMeta:
    return ObjectMeta(name=name, namespace=namespace, labels=labels)


READS_PODS = rule("get list watch", "core", "pods")


@pytest.mark.parametrize(
    ("one", "attempt", "expected"),
    [
        (READS_PODS, GET_PODS, True),
        (READS_PODS, GET_PODS._replace(verb="delete"), False),
        (READS_PODS, GET_PODS._replace(group="metrics.k8s.io"), False),
        (READS_PODS, GET_PODS._replace(subresource="log"), False),
        (rule("get", "core", "pods/log"), GET_PODS._replace(subresource="log"), True),
        (rule("get", "core", "pods/log"), GET_PODS, False),
        (rule("get", "core", "*/log"), GET_PODS._replace(subresource="log"), True),
        (rule("get", "core", "*/log"), GET_PODS, False),
        (rule("get", "core", "*"), GET_PODS._replace(subresource="log"), True),
        (rule("*", "*", "*"), Attempt("escalate", "x", "roles"), True),
        (rule("get", "core", "pods", "web"), GET_PODS, True),
        (rule("get", "core", "pods", "web"), GET_PODS._replace(name="db"), False),
        (rule("list", "core", "pods", "web"), Attempt("list", "", "pods"), False),
        (READS_PODS, Attempt("*", "", "pods"), False),
    ],
)
def test_a_rule_allows_what_it_says_and_nothing_else(
    one: PolicyRule, attempt: Attempt, expected: bool
) -> None:
    assert allows(one, attempt) == expected


@pytest.mark.parametrize(
    ("url", "path", "expected"),
    [
        ("/metrics", "/metrics", True),
        ("/metrics", "/metrics/targets", False),
        ("/metrics/*", "/metrics/targets", True),
        ("*", "/anything", True),
        ("/metrics*", "/metrics", True),
        ("/metrics/*", "/metricsx", False),
    ],
)
def test_a_path_is_allowed_whole_or_as_all_that_is_below(
    url: str, path: str, expected: bool
) -> None:
    one = PolicyRule(verbs=("get",), non_resource_urls=(url,))

    assert allows_path(one, "get", path) == expected
    assert not allows_path(one, "put", path)


@pytest.mark.parametrize(
    ("subject", "identity", "expected"),
    [
        (Subject(kind="User", name="jane"), JANE, True),
        (Subject(kind="User", name="joe"), JANE, False),
        (Subject(kind="Group", name="shop"), JANE, True),
        (Subject(kind="Group", name="jane"), JANE, False),
        (Subject(kind="Group", name="system:authenticated"), JANE, True),
        (Subject(kind="Group", name="system:authenticated"), ANONYMOUS, False),
        (Subject(kind="ServiceAccount", name="till", namespace="shop"), TILL, True),
        (Subject(kind="ServiceAccount", name="till", namespace="other"), TILL, False),
        (Subject(kind="Group", name="system:serviceaccounts:shop"), TILL, True),
    ],
)
def test_a_subject_means_a_user_a_group_or_an_account(
    subject: Subject, identity: Identity, expected: bool
) -> None:
    assert is_meant(subject, identity) == expected


def a_binding(role_kind: str, role: str, namespace: str = "") -> Object:
    ref, subjects = RoleRef(kind=role_kind, name=role), (Subject(kind="User", name="jane"),)
    kind: Any = RoleBinding if namespace else ClusterRoleBinding
    return cast(Object, kind(metadata=meta("b", namespace), subjects=subjects, role_ref=ref))


def test_a_role_holds_in_its_namespace_and_a_cluster_role_where_it_is_bound() -> None:
    role = Role(metadata=meta("reader", "shop"), rules=(READS_PODS,))
    wide = ClusterRole(metadata=meta("reader"), rules=(READS_PODS,))
    elsewhere = GET_PODS._replace(namespace="other")

    def may(attempt: Attempt, *objects: Object) -> bool:
        return is_allowed(Objects(*objects), JANE, attempt)

    local = a_binding("Role", "reader", "shop")
    assert may(GET_PODS, role, local)
    assert not may(elsewhere, role, local)
    assert not may(GET_PODS, wide, local)
    assert not may(GET_PODS, local)
    assert may(GET_PODS, wide, a_binding("ClusterRole", "reader", "shop"))
    assert not may(elsewhere, wide, a_binding("ClusterRole", "reader", "shop"))
    assert may(elsewhere, wide, a_binding("ClusterRole", "reader"))
    assert not is_allowed(Objects(role, local), TILL, GET_PODS)


def test_an_aggregated_role_has_the_rules_of_all_that_are_labelled_for_it() -> None:
    chosen = AggregationRule(
        cluster_role_selectors=(LabelSelector(match_labels={"to": "monitoring"}),)
    )
    monitoring = ClusterRole(metadata=meta("monitoring"), aggregation_rule=chosen)
    labelled = ClusterRole(metadata=meta("a", to="monitoring"), rules=(READS_PODS,))
    other = ClusterRole(metadata=meta("b", to="view"), rules=(rule("get", "core", "nodes"),))
    objects = Objects(monitoring, labelled, other, a_binding("ClusterRole", "monitoring"))

    assert list(rules_for(objects, JANE, "")) == [READS_PODS]


def test_a_role_gathers_also_of_roles_that_gather_and_none_for_ever_or_by_hand() -> None:
    def gathering(name: str, of: str, **labels: str) -> ClusterRole:
        chosen = (LabelSelector(match_labels={"to": of}),)
        return ClusterRole(
            metadata=meta(name, **labels),
            rules=(rule("*", "*", "*"),),
            aggregation_rule=AggregationRule(cluster_role_selectors=chosen),
        )

    admin, edit = gathering("admin", "admin", to="edit"), gathering("edit", "edit", to="admin")
    part = ClusterRole(metadata=meta("a", to="edit"), rules=(READS_PODS,))
    objects = Objects(admin, edit, part, a_binding("ClusterRole", "admin"))

    assert list(rules_for(objects, JANE, "")) == [READS_PODS]


def test_no_role_lets_anybody_join_or_make_tokens_of_nodes() -> None:
    everything = ClusterRole(metadata=meta("all"), rules=(rule("*", "*", "*"),))
    objects = Objects(everything, a_binding("ClusterRole", "all"))

    assert is_allowed(objects, JANE, GET_PODS)
    assert not is_allowed(objects, JANE, Attempt("create", "cubernetes.io", "join"))
    assert not is_allowed(objects, JANE, Attempt("list", "cubernetes.io", "tokens"))
    assert is_allowed(objects, JANE, Attempt("list", "example.com", "tokens"))


@pytest.mark.parametrize(
    ("owned", "wanted", "expected"),
    [
        ([READS_PODS], READS_PODS, True),
        ([READS_PODS], rule("get delete", "core", "pods"), False),
        ([rule("get", "core", "pods"), rule("list", "core", "pods")],
         rule("get list", "core", "pods"), True),
        ([rule("*", "*", "*")], rule("escalate", "x", "y/z", "n"), True),
        ([READS_PODS], rule("*", "core", "pods"), False),
        ([READS_PODS], rule("get", "*", "pods"), False),
        ([READS_PODS], rule("get", "core", "*"), False),
        ([READS_PODS], rule("get", "core", "pods", "web"), True),
        ([rule("get", "core", "pods", "web")], READS_PODS, False),
        ([rule("get", "core", "pods", "web")], rule("get", "core", "pods"), False),
        ([rule("get", "core", "pods", "web")], rule("get", "core", "pods", "web db"), False),
        ([rule("get", "core", "*/log")], rule("get", "core", "pods/log"), True),
        ([rule("get", "core", "pods")], rule("get", "core", "pods/log"), False),
        ([], PolicyRule(verbs=("get",), non_resource_urls=("/x",)), False),
        ([PolicyRule(verbs=("get",), non_resource_urls=("/x/*",))],
         PolicyRule(verbs=("get",), non_resource_urls=("/x/y",)), True),
        ([PolicyRule(verbs=("get",), non_resource_urls=("/x/y",))],
         PolicyRule(verbs=("get",), non_resource_urls=("/x/*",)), False),
    ],
)  # fmt: skip
def test_what_somebody_gives_he_must_have(
    owned: list[PolicyRule], wanted: PolicyRule, expected: bool
) -> None:
    assert (uncovered(owned, [wanted]) is None) == expected


def test_a_rule_that_says_very_much_is_not_compared_for_ever() -> None:
    words = tuple(f"w{index}" for index in range(1000))
    huge = PolicyRule(verbs=words, api_groups=words, resources=words, resource_names=words)

    assert uncovered([READS_PODS], [huge]) is huge


WORDS = st.lists(st.sampled_from(["*", "a", "b"]), min_size=1, max_size=2).map(tuple)
NAMES = st.lists(st.sampled_from(["a", "b"]), max_size=2).map(tuple)
RULES = st.builds(PolicyRule, verbs=WORDS, api_groups=WORDS, resources=WORDS, resource_names=NAMES)
ATTEMPTS = st.builds(
    Attempt,
    verb=st.sampled_from(["a", "b", "c"]),
    group=st.sampled_from(["a", "b", "c"]),
    resource=st.sampled_from(["a", "b", "c"]),
    name=st.sampled_from(["", "a", "b", "c"]),
)


@given(owned=st.lists(RULES, max_size=3), wanted=RULES, attempt=ATTEMPTS)
def test_whoever_gives_what_is_covered_gives_nothing_that_he_may_not_do(
    owned: list[PolicyRule], wanted: PolicyRule, attempt: Attempt
) -> None:
    if uncovered(owned, [wanted]) is None and allows(wanted, attempt):
        assert any(allows(one, attempt) for one in owned)
