"""What roles allow, and whom bindings mean: the types that the four kinds share."""

from collections.abc import Iterator
from typing import Annotated

import msgspec

from cubernetes.api import names
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Model, immutable, replaced, shown

GROUP = "rbac.authorization.k8s.io"
ROLE_KINDS = ("Role", "ClusterRole")
# The groups of the kinds of subjects that there are.
SUBJECT_GROUPS = {"ServiceAccount": "", "User": GROUP, "Group": GROUP}
RULE_COUNT_MAX, WORD_COUNT_MAX, WORD_CHARS_MAX = 1000, 1000, 253

type Words = Annotated[tuple[str, ...], msgspec.Meta(max_length=WORD_COUNT_MAX)]


class PolicyRule(Model):
    """What may be done to what; `*` is everything.

    verbs: what may be done: get, list, watch, create, update, patch, delete, deletecollection.
    api_groups: the groups of the resources; the empty text is the core group.
    resources: the resources, in the plural: `pods`, `pods/log`, `*/scale`.
    resource_names: the only objects that are meant; empty is all.
    non_resource_urls: paths that are no object's, such as `/metrics`; a `*` at the end is all
        below. Only in a ClusterRole.
    """

    verbs: Words = shown(())
    api_groups: Words = ()
    resources: Words = ()
    resource_names: Words = ()
    non_resource_urls: Words = msgspec.field(name="nonResourceURLs", default=())


class Subject(Model):
    """Who is given a role.

    kind: User, Group or ServiceAccount.
    api_group: the group of the kind; left out, the one that the kind has.
    name: the name.
    namespace: the namespace of a ServiceAccount.
    """

    kind: str
    api_group: str = ""
    name: str
    namespace: str = ""


class RoleRef(Model):
    """The role that is given.

    api_group: `rbac.authorization.k8s.io`.
    kind: Role or ClusterRole.
    name: its name; a Role is in the namespace of the binding.
    """

    api_group: str = shown("")
    kind: str
    name: str


type Rules = Annotated[tuple[PolicyRule, ...], msgspec.Meta(max_length=RULE_COUNT_MAX)]
type Subjects = Annotated[tuple[Subject, ...], msgspec.Meta(max_length=RULE_COUNT_MAX)]


def rule_problems(rules: Rules, *, is_namespaced: bool) -> Iterator[Problem]:
    """Yield what is wrong with the rules of a role."""
    for index, rule in enumerate(rules):
        field = f"rules[{index}]"
        if not rule.verbs:
            yield _required(f"{field}.verbs", "verbs must contain at least one value")
        if rule.non_resource_urls:
            if is_namespaced:
                message = "namespaced rules cannot apply to non-resource URLs"
                yield Problem(f"{field}.nonResourceURLs", message)
            if rule.api_groups or rule.resources or rule.resource_names:
                message = "rules cannot apply to both regular resources and non-resource URLs"
                yield Problem(f"{field}.nonResourceURLs", message)
            continue
        if not rule.api_groups:
            message = "resource rules must supply at least one api group"
            yield _required(f"{field}.apiGroups", message)
        if not rule.resources:
            message = "resource rules must supply at least one resource"
            yield _required(f"{field}.resources", message)


def defaulted_subject(one: Subject) -> Subject:
    """Fill in the group of a subject's kind."""
    group = one.api_group or SUBJECT_GROUPS.get(one.kind, "")
    return replaced(one, api_group=group)


def defaulted_ref(one: RoleRef) -> RoleRef:
    return replaced(one, api_group=one.api_group or GROUP)


def binding_problems(ref: RoleRef, subjects: Subjects, kinds: tuple[str, ...]) -> Iterator[Problem]:
    """Yield what is wrong with a binding; kinds: those of roles that it may give."""
    if ref.api_group != GROUP:
        yield _unknown("roleRef.apiGroup", (GROUP,))
    if ref.kind not in kinds:
        yield _unknown("roleRef.kind", kinds)
    if not names.is_role_name(ref.name):
        yield Problem("roleRef.name", names.ROLE_RULE)
    for index, one in enumerate(subjects):
        yield from _subject_problems(one, f"subjects[{index}]")


def _subject_problems(one: Subject, field: str) -> Iterator[Problem]:
    if one.kind not in SUBJECT_GROUPS:
        yield _unknown(f"{field}.kind", tuple(SUBJECT_GROUPS))
        return
    if one.api_group != SUBJECT_GROUPS[one.kind]:
        yield _unknown(f"{field}.apiGroup", (SUBJECT_GROUPS[one.kind],))
    if not one.name:
        yield _required(f"{field}.name", "is required")
    if one.kind == "ServiceAccount" and not one.namespace:
        yield _required(f"{field}.namespace", "is required")


def ref_problems(old: RoleRef, new: RoleRef) -> Iterator[Problem]:
    """Yield that a binding gives another role than before: it must be made anew."""
    yield from immutable("roleRef", old, new)


def _required(field: str, message: str) -> Problem:
    return Problem(field, message, "FieldValueRequired")


def _unknown(field: str, known: tuple[str, ...]) -> Problem:
    listed = ", ".join(repr(one) for one in known)
    return Problem(field, f"must be one of {listed}", "FieldValueNotSupported")
