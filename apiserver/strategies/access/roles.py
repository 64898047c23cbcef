"""Roles and bindings: nobody gives more than he has, unless a role says that he may. Pure."""

from collections.abc import Mapping
from typing import Any

from apiserver.auth.authorize import CONTROLLERS, MASTERS, Attempt
from apiserver.auth.rbac import EVERYTHING, is_allowed, rules_for, rules_of, uncovered
from apiserver.state.items import Seen
from apiserver.storage.store import Op
from apiserver.strategies.strategy import Cluster, Strategy
from cubernetes.api.errors import Forbidden
from cubernetes.api.meta import Object
from cubernetes.api.rbac.clusterrole import ClusterRole
from cubernetes.api.rbac.clusterrolebinding import ClusterRoleBinding
from cubernetes.api.rbac.role import Role
from cubernetes.api.rbac.rolebinding import RoleBinding
from cubernetes.api.rbac.rules import GROUP, PolicyRule
from cubernetes.host.web.messages import Identity


class Roles(Strategy[Any]):
    """Who writes rules has them himself, or the verb `escalate`."""

    def creation(
        self,
        cluster: Cluster,
        identity: Identity,
        new: Role | ClusterRole,
        seen: Seen,  # noqa: ARG002
    ) -> tuple[Role | ClusterRole, tuple[Op, ...]]:
        _check_rules(cluster, identity, new)
        return new, ()

    def check_change(
        self,
        cluster: Cluster,
        identity: Identity,
        old: Role | ClusterRole,
        new: Role | ClusterRole,
        seen: Seen,  # noqa: ARG002
    ) -> None:
        if _said_by(old) != _said_by(new):
            _check_rules(cluster, identity, new)
            if _gathers(old):
                _check_rules(cluster, identity, old)


class Bindings(Strategy[Any]):
    """Who gives a role has its rules himself, or the verb `bind` on it."""

    async def allocated(
        self,
        cluster: Cluster,
        new: RoleBinding | ClusterRoleBinding,
        taken: Mapping[str, str],  # noqa: ARG002
    ) -> RoleBinding | ClusterRoleBinding:
        """Wait where the role may be younger than memory."""
        if not _is_there(cluster, new):
            await cluster.caught_up()
        return new

    def creation(
        self,
        cluster: Cluster,
        identity: Identity,
        new: RoleBinding | ClusterRoleBinding,
        seen: Seen,  # noqa: ARG002
    ) -> tuple[RoleBinding | ClusterRoleBinding, tuple[Op, ...]]:
        _check_given(cluster, identity, new)
        return new, ()

    def check_change(
        self,
        cluster: Cluster,
        identity: Identity,
        old: RoleBinding | ClusterRoleBinding,
        new: RoleBinding | ClusterRoleBinding,
        seen: Seen,  # noqa: ARG002
    ) -> None:
        if old.subjects != new.subjects:
            _check_given(cluster, identity, new)


def _said_by(role: Role | ClusterRole) -> tuple[object, ...]:
    """Return what a role gives to others: by a label also to those who have another role."""
    if isinstance(role, ClusterRole):
        return role.rules, role.aggregation_rule, role.metadata.labels
    return (role.rules,)


def _gathers(role: Role | ClusterRole) -> bool:
    return isinstance(role, ClusterRole) and role.aggregation_rule is not None


def _check_rules(cluster: Cluster, identity: Identity, new: Role | ClusterRole) -> None:
    # What a role will gather, nobody knows: others give rules, and labels, later.
    rules = list(EVERYTHING if _gathers(new) else new.rules)
    resource, meta = new.resource, new.metadata
    attempt = Attempt("escalate", GROUP, resource.plural, "", meta.namespace, meta.name)
    _check_held(cluster, identity, new, rules, attempt)


def _check_given(
    cluster: Cluster, identity: Identity, new: RoleBinding | ClusterRoleBinding
) -> None:
    ref, namespace = new.role_ref, new.metadata.namespace
    plural = (Role if ref.kind == Role.resource.kind else ClusterRole).resource.plural
    attempt = Attempt("bind", GROUP, plural, "", namespace, ref.name)
    rules = list(rules_of(cluster, ref, namespace))
    # What a role that is not there yet will allow, nobody knows.
    unknown = [] if _is_there(cluster, new) else [EVERYTHING[0]]
    _check_held(cluster, identity, new, [*rules, *unknown], attempt)


def _is_there(cluster: Cluster, one: RoleBinding | ClusterRoleBinding) -> bool:
    """Whether the role that a binding gives is there."""
    ref = one.role_ref
    if ref.kind == Role.resource.kind:
        return cluster.find(Role, ref.name, one.metadata.namespace) is not None
    return cluster.find(ClusterRole, ref.name) is not None


def _check_held(
    cluster: Cluster, identity: Identity, new: Object, rules: list[PolicyRule], attempt: Attempt
) -> None:
    """Refuse what gives more than its author has.

    Raises: Forbidden: with a rule that he lacks.
    """
    if MASTERS in identity.groups or identity.user == CONTROLLERS:
        return
    if is_allowed(cluster, identity, attempt):
        return
    lacking = uncovered(list(rules_for(cluster, identity, new.metadata.namespace)), rules)
    if lacking is None:
        return
    resource, name = new.resource, new.metadata.name
    title = f'{resource.plural}.{resource.group} "{name}" is forbidden'
    told = (
        f'{title}: user "{identity.user}" is attempting to grant RBAC permissions not currently '
        f"held: {_text_of(lacking)}"
    )
    raise Forbidden(told, kind=resource.plural, group=resource.group, name=name)


def _text_of(rule: PolicyRule) -> str:
    words = {
        "APIGroups": rule.api_groups,
        "Resources": rule.resources,
        "ResourceNames": rule.resource_names,
        "NonResourceURLs": rule.non_resource_urls,
        "Verbs": rule.verbs,
    }
    said = (f"{name}:{list(one)}" for name, one in words.items() if one)
    return "{" + ", ".join(said) + "}"
