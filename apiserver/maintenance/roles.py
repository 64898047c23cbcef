"""The roles that every cluster has: cluster-admin, admin, edit and view, as Kubernetes has them."""

from apiserver.maintenance.renewal import AUTO_UPDATE
from cubernetes.api.meta import Object, ObjectMeta
from cubernetes.api.rbac.clusterrole import AggregationRule, ClusterRole
from cubernetes.api.rbac.clusterrolebinding import ClusterRoleBinding
from cubernetes.api.rbac.rules import GROUP, PolicyRule, RoleRef, Subject
from cubernetes.api.selectors import LabelSelector

LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
ANNOTATIONS = {AUTO_UPDATE: "true"}
LABEL = "rbac.authorization.k8s.io/aggregate-to-"
READ = ("get", "list", "watch")
WRITE = ("create", "delete", "deletecollection", "patch", "update")
# What of each group is of use in a namespace. Not who may do what, and no secrets.
RESOURCES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "",
        (
            "configmaps", "endpoints", "persistentvolumeclaims", "pods", "serviceaccounts",
            "services",
        ),
    ),
    (
        "apps",
        (
            "daemonsets", "deployments", "deployments/scale", "replicasets", "replicasets/scale",
            "statefulsets", "statefulsets/scale",
        ),
    ),
    ("autoscaling", ("horizontalpodautoscalers",)),
    ("batch", ("cronjobs", "jobs")),
    ("networking.k8s.io", ("ingresses",)),
    ("policy", ("poddisruptionbudgets",)),
)  # fmt: skip
# What is read beside it, and written by nobody.
SHOWN = ("events", "limitranges", "namespaces", "pods/log", "pods/status", "resourcequotas")


def _rule(verbs: tuple[str, ...], group: str, *resources: str) -> PolicyRule:
    return PolicyRule(verbs=verbs, api_groups=(group,), resources=resources)


VIEWED = (
    *(_rule(READ, group, *resources) for group, resources in RESOURCES),
    _rule(READ, "", *SHOWN),
    _rule(READ, "discovery.k8s.io", "endpointslices"),
    _rule(READ, "metrics.k8s.io", "nodes", "pods"),
)
EDITED = (
    *(_rule(WRITE, group, *resources) for group, resources in RESOURCES),
    _rule((*READ, *WRITE), "", "secrets"),
    _rule(("create", "get"), "", "pods/attach", "pods/exec", "pods/portforward"),
    _rule((*READ, *WRITE), "", "pods/proxy", "services/proxy"),
    _rule(("create",), "", "pods/eviction", "serviceaccounts/token"),
)
ADMINISTERED = (
    _rule((*READ, *WRITE), GROUP, "roles", "rolebindings"),
    _rule(("create",), "authorization.k8s.io", "localsubjectaccessreviews"),
)
EVERYTHING = (
    PolicyRule(verbs=("*",), api_groups=("*",), resources=("*",)),
    PolicyRule(verbs=("*",), non_resource_urls=("*",)),
)


def _meta(name: str, part_of: str = "") -> ObjectMeta:
    """Return what one of these says of itself; part_of: whose rules it adds to."""
    labels = {**LABELS, **({LABEL + part_of: "true"} if part_of else {})}
    return ObjectMeta(name=name, labels=labels, annotations=ANNOTATIONS)


def _gathering(name: str, part_of: str = "") -> ClusterRole:
    """Return a role that has the rules of all that are labelled for it."""
    chosen = LabelSelector(match_labels={LABEL + name: "true"})
    return ClusterRole(
        metadata=_meta(name, part_of),
        aggregation_rule=AggregationRule(cluster_role_selectors=(chosen,)),
    )


def _part(name: str, rules: tuple[PolicyRule, ...]) -> ClusterRole:
    """Return the rules that a gathering role has in every cluster."""
    return ClusterRole(metadata=_meta(f"system:aggregate-to-{name}", name), rules=rules)


ROLES: tuple[Object, ...] = (
    ClusterRole(metadata=_meta("cluster-admin"), rules=EVERYTHING),
    _part("view", VIEWED),
    _part("edit", EDITED),
    _part("admin", ADMINISTERED),
    _gathering("view", "edit"),
    _gathering("edit", "admin"),
    _gathering("admin"),
    ClusterRoleBinding(
        metadata=_meta("cluster-admin"),
        subjects=(Subject(kind="Group", api_group=GROUP, name="system:masters"),),
        role_ref=RoleRef(api_group=GROUP, kind="ClusterRole", name="cluster-admin"),
    ),
)
