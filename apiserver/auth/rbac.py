"""What roles that are bound to a client allow, as Kubernetes' RBAC decides it. Pure.

A rule allows; nothing forbids. Beside the fixed roles of `authorize.py` this is what everybody has
who is no node: programs, accounts and people.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Protocol, cast

from apiserver.auth.accounts import AUTHENTICATED, Account
from apiserver.auth.authorize import MASTERS, Attempt
from cubernetes.api.meta import Object
from cubernetes.api.rbac.clusterrole import ClusterRole, sources_of
from cubernetes.api.rbac.clusterrolebinding import ClusterRoleBinding
from cubernetes.api.rbac.role import Role
from cubernetes.api.rbac.rolebinding import RoleBinding
from cubernetes.api.rbac.rules import PolicyRule, RoleRef, Subject
from cubernetes.host.web.messages import ANONYMOUS, Identity

ALL = "*"
# Comparisons of one part of a rule with one rule, in one decision.
COMPARISONS_MAX = 500_000
# Who may do everything needs no rule; told where rules are listed.
EVERYTHING = (
    PolicyRule(verbs=(ALL,), api_groups=(ALL,), resources=(ALL,)),
    PolicyRule(verbs=(ALL,), non_resource_urls=(ALL,)),
)


class Bound(Protocol):
    """Where roles and bindings are found."""

    def objects(self, kind: type[Object]) -> Iterable[Object]: ...

    def within(self, kind: type[Object], namespace: str) -> Iterable[Object]: ...

    def find[K: Object](self, kind: type[K], name: str, namespace: str = "") -> K | None: ...


def is_allowed(bound: Bound, identity: Identity, attempt: Attempt) -> bool:
    """Whether a role that is bound to a client allows what it attempts."""
    if attempt.is_of_no_object:
        return False
    return any(allows(rule, attempt) for rule in rules_for(bound, identity, attempt.namespace))


def is_path_allowed(bound: Bound, identity: Identity, verb: str, path: str) -> bool:
    """Whether a role that is bound to a client allows a path that is no object's."""
    return any(allows_path(rule, verb, path) for rule in rules_for(bound, identity, ""))


def rules_for(bound: Bound, identity: Identity, namespace: str) -> Iterator[PolicyRule]:
    """Yield the rules that hold for a client in a namespace; in none: those of the cluster."""
    if MASTERS in identity.groups:
        yield from EVERYTHING
        return
    bindings: list[ClusterRoleBinding | RoleBinding] = [
        *cast(Iterable[ClusterRoleBinding], bound.objects(ClusterRoleBinding))
    ]
    if namespace:
        bindings += cast(Iterable[RoleBinding], bound.within(RoleBinding, namespace))
    for one in bindings:
        if any(is_meant(subject, identity) for subject in one.subjects):
            yield from rules_of(bound, one.role_ref, one.metadata.namespace)


def rules_of(bound: Bound, ref: RoleRef, namespace: str) -> Sequence[PolicyRule]:
    """Return the rules of the role that a binding gives; none where there is no such role."""
    if ref.kind == Role.resource.kind:
        role = bound.find(Role, ref.name, namespace)
        return role.rules if role is not None else ()
    found = bound.find(ClusterRole, ref.name)
    return rules_of_cluster_role(bound, found) if found is not None else ()


def rules_of_cluster_role(bound: Bound, role: ClusterRole) -> Sequence[PolicyRule]:
    """Return a role's rules: its own, or those of the roles that its aggregation chooses.

    What a controller has written of them into the role is not asked, for it may be late.
    """
    if role.aggregation_rule is None:
        return role.rules
    every = cast(Iterable[ClusterRole], bound.objects(ClusterRole))
    return [rule for one in sources_of(role, every) for rule in one.rules]


def is_meant(subject: Subject, identity: Identity) -> bool:
    """Whether a binding's subject is this client."""
    match subject.kind:
        case "User":
            return identity.user == subject.name
        case "Group":
            return subject.name in groups_of(identity)
        case "ServiceAccount":
            return identity.user == Account(subject.namespace, subject.name).user
        case _:
            return False


def groups_of(identity: Identity) -> tuple[str, ...]:
    """Return a client's groups: everybody who is known is in one."""
    known = () if identity.user == ANONYMOUS.user else (AUTHENTICATED,)
    return (*identity.groups, *known)


def allows(rule: PolicyRule, attempt: Attempt) -> bool:
    """Whether a rule allows what is attempted on objects."""
    part = f"/{attempt.subresource}" if attempt.subresource else ""
    words = (ALL, attempt.resource + part, ALL + part if part else ALL)
    return (
        _has(rule.verbs, attempt.verb)
        and _has(rule.api_groups, attempt.group)
        and any(one in rule.resources for one in words)
        and (not rule.resource_names or attempt.name in rule.resource_names)
    )


def allows_path(rule: PolicyRule, verb: str, path: str) -> bool:
    """Whether a rule allows a path that is no object's."""
    return _has(rule.verbs, verb) and any(_leads_to(one, path) for one in rule.non_resource_urls)


def uncovered(owned: Sequence[PolicyRule], wanted: Iterable[PolicyRule]) -> PolicyRule | None:
    """Return a rule of which a part is in none of the owned rules; None: all are covered.

    Rules that would take long to compare count as not covered.
    """
    left = COMPARISONS_MAX
    for rule in wanted:
        left -= _part_count(rule) * len(owned)
        if left < 0:
            return rule
        for part in _parts(rule):
            if not any(_covers(one, part) for one in owned):
                return part
    return None


def _part_count(rule: PolicyRule) -> int:
    things = len(rule.api_groups) * len(rule.resources) * (len(rule.resource_names) or 1)
    return len(rule.verbs) * (things + len(rule.non_resource_urls))


def _parts(rule: PolicyRule) -> Iterator[PolicyRule]:
    """Yield rules of one verb and one thing each, that together say what a rule says."""
    for verb, url in product(rule.verbs, rule.non_resource_urls):
        yield PolicyRule(verbs=(verb,), non_resource_urls=(url,))
    names = rule.resource_names or ("",)
    things = product(rule.verbs, rule.api_groups, rule.resources, names)
    for verb, group, resource, name in things:
        yield PolicyRule(
            verbs=(verb,),
            api_groups=(group,),
            resources=(resource,),
            resource_names=(name,) if name else (),
        )


def _covers(owned: PolicyRule, part: PolicyRule) -> bool:
    """Whether a rule says all that a part of one verb and one thing says."""
    if not _has(owned.verbs, part.verbs[0]):
        return False
    if part.non_resource_urls:
        return any(_leads_to(one, part.non_resource_urls[0]) for one in owned.non_resource_urls)
    resource = part.resources[0]
    _, slash, subresource = resource.partition("/")
    words = (ALL, resource, f"{ALL}/{subresource}" if slash else ALL)
    is_named = not owned.resource_names or (
        bool(part.resource_names) and part.resource_names[0] in owned.resource_names
    )
    is_there = any(one in owned.resources for one in words)
    return is_named and is_there and _has(owned.api_groups, part.api_groups[0])


def _has(words: Sequence[str], word: str) -> bool:
    return ALL in words or word in words


def _leads_to(pattern: str, path: str) -> bool:
    is_open = pattern.endswith(ALL)
    return pattern == path or (is_open and path.startswith(pattern.rstrip(ALL)))
