"""How a role or binding that every cluster has is renewed where it exists, as in Kubernetes. Pure.

What an older server did not give is added, and nothing is taken away. An object whose annotation
says so is left alone.
"""

from apiserver.auth.rbac import uncovered
from cubernetes.api.meta import Object, replaced
from cubernetes.api.rbac.clusterrole import AggregationRule, ClusterRole
from cubernetes.api.rbac.clusterrolebinding import ClusterRoleBinding
from cubernetes.api.rbac.role import Role
from cubernetes.api.selectors import LabelSelector

AUTO_UPDATE = "rbac.authorization.kubernetes.io/autoupdate"


def renewed(old: Object, wanted: Object) -> Object:
    """Return old with what is wanted and not in it; old itself where that is nothing."""
    if old.metadata.is_deleted or old.metadata.annotations.get(AUTO_UPDATE) == "false":
        return old
    new = _with_parts(old, wanted)
    labels = {**wanted.metadata.labels, **old.metadata.labels}
    annotations = {**wanted.metadata.annotations, **old.metadata.annotations}
    metadata = replaced(old.metadata, labels=labels, annotations=annotations)
    return new if metadata == old.metadata else replaced(new, metadata=metadata)


def _with_parts(old: Object, wanted: Object) -> Object:
    match old, wanted:
        case ClusterRole(), ClusterRole() if wanted.aggregation_rule is not None:
            return _gathering(old, wanted.aggregation_rule)
        case ClusterRole() | Role(), ClusterRole() | Role():
            lacking = tuple(one for one in wanted.rules if uncovered(old.rules, [one]))
            return replaced(old, rules=(*old.rules, *lacking)) if lacking else old
        case ClusterRoleBinding(), ClusterRoleBinding() if old.role_ref == wanted.role_ref:
            absent = tuple(one for one in wanted.subjects if one not in old.subjects)
            return replaced(old, subjects=(*old.subjects, *absent)) if absent else old
        case _:
            return old


def _gathering(old: ClusterRole, wanted: AggregationRule) -> ClusterRole:
    before: tuple[LabelSelector, ...] = ()
    if old.aggregation_rule is not None:
        before = old.aggregation_rule.cluster_role_selectors
    lacking = tuple(one for one in wanted.cluster_role_selectors if one not in before)
    if not lacking:
        return old
    return replaced(old, aggregation_rule=AggregationRule(cluster_role_selectors=before + lacking))
