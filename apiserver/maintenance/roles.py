"""The roles that every cluster has: cluster-admin, admin, edit and view, as Kubernetes has them."""

from cubernetes.api.meta import Object, ObjectMeta
from cubernetes.api.rbac.clusterrole import AggregationRule, ClusterRole
from cubernetes.api.rbac.clusterrolebinding import ClusterRoleBinding
from cubernetes.api.rbac.rules import GROUP, PolicyRule, RoleRef, Subject
from cubernetes.api.selectors import LabelSelector

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
    *VIEWED,
    *(_rule(WRITE, group, *resources) for group, resources in RESOURCES),
    _rule((*READ, *WRITE), "", "secrets"),
    _rule(("create", "get"), "", "pods/attach", "pods/exec", "pods/portforward"),
    _rule((*READ, *WRITE), "", "pods/proxy", "services/proxy"),
    _rule(("create",), "", "pods/eviction", "serviceaccounts/token"),
)
ADMINISTERED = (
    *EDITED,
    _rule((*READ, *WRITE), GROUP, "roles", "rolebindings"),
    _rule(("create",), "authorization.k8s.io", "localsubjectaccessreviews"),
)
EVERYTHING = (
    PolicyRule(verbs=("*",), api_groups=("*",), resources=("*",)),
    PolicyRule(verbs=("*",), non_resource_urls=("*",)),
)


def _role(name: str, rules: tuple[PolicyRule, ...]) -> ClusterRole:
    """Return a role that has the rules of all that are labelled for it, beside its own."""
    chosen = LabelSelector(match_labels={LABEL + name: "true"})
    return ClusterRole(
        metadata=ObjectMeta(name=name),
        rules=rules,
        aggregation_rule=AggregationRule(cluster_role_selectors=(chosen,)),
    )


ROLES: tuple[Object, ...] = (
    ClusterRole(metadata=ObjectMeta(name="cluster-admin"), rules=EVERYTHING),
    _role("view", VIEWED),
    _role("edit", EDITED),
    _role("admin", ADMINISTERED),
    ClusterRoleBinding(
        metadata=ObjectMeta(name="cluster-admin"),
        subjects=(Subject(kind="Group", api_group=GROUP, name="system:masters"),),
        role_ref=RoleRef(api_group=GROUP, kind="ClusterRole", name="cluster-admin"),
    ),
)
