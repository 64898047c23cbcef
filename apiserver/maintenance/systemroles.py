"""The roles of the system that charts and other programs bind, as Kubernetes has them.

What everybody who is known may do is decided by the routes; these say it as objects, for those who
ask what they may. The cluster's own programs need none of them.
"""

from apiserver.maintenance.roles import ANNOTATIONS, LABELS, READ
from cubernetes.api.meta import Object, ObjectMeta
from cubernetes.api.rbac.clusterrole import ClusterRole
from cubernetes.api.rbac.clusterrolebinding import ClusterRoleBinding
from cubernetes.api.rbac.role import Role
from cubernetes.api.rbac.rules import GROUP, PolicyRule, RoleRef, Subject

HEALTH = ("/healthz", "/livez", "/readyz", "/version", "/version/")
# No wildcards: what is measured is asked for by paths below `/apis`, and is not for everybody.
DISCOVERY = ("/api", "/apis", "/openapi/v2", "/openapi/v3")
METRICS = ("/metrics", "/metrics/slis")
AUTHENTICATION, AUTHORIZATION = "authentication.k8s.io", "authorization.k8s.io"
STORAGE = "storage.k8s.io"


def _rule(verbs: tuple[str, ...], group: str, *resources: str) -> PolicyRule:
    return PolicyRule(verbs=verbs, api_groups=(group,), resources=resources)


# Events are of two groups, and are written by either.
EVENTS = PolicyRule(
    verbs=("create", "update", "patch"), api_groups=("", "events.k8s.io"), resources=("events",)
)


def _paths(*paths: str) -> PolicyRule:
    return PolicyRule(verbs=("get",), non_resource_urls=paths)


def _meta(name: str, namespace: str = "") -> ObjectMeta:
    return ObjectMeta(name=name, namespace=namespace, labels=LABELS, annotations=ANNOTATIONS)


def _role(name: str, *rules: PolicyRule) -> ClusterRole:
    return ClusterRole(metadata=_meta(f"system:{name}"), rules=rules)


def _given(name: str, *groups: str) -> ClusterRoleBinding:
    """Return a binding of a role to groups, by the role's name."""
    subjects = (Subject(kind="Group", api_group=GROUP, name=f"system:{one}") for one in groups)
    return ClusterRoleBinding(
        metadata=_meta(f"system:{name}"),
        subjects=tuple(subjects),
        role_ref=RoleRef(api_group=GROUP, kind="ClusterRole", name=f"system:{name}"),
    )


SYSTEM_ROLES: tuple[Object, ...] = (
    _role(
        "basic-user",
        _rule(("create",), AUTHORIZATION, "selfsubjectaccessreviews", "selfsubjectrulesreviews"),
        _rule(("create",), AUTHENTICATION, "selfsubjectreviews"),
    ),
    _given("basic-user", "authenticated"),
    _role("discovery", _paths(*DISCOVERY, *HEALTH)),
    _given("discovery", "authenticated"),
    _role("public-info-viewer", _paths(*HEALTH)),
    _given("public-info-viewer", "authenticated", "unauthenticated"),
    _role("monitoring", _paths(*HEALTH[:3], *(f"{one}/*" for one in HEALTH[:3]), *METRICS)),
    _given("monitoring", "monitoring"),
    # For servers that are shown a token, and ask whose it is and what it may.
    _role(
        "auth-delegator",
        _rule(("create",), AUTHENTICATION, "tokenreviews"),
        _rule(("create",), AUTHORIZATION, "subjectaccessreviews"),
    ),
    _role(
        "persistent-volume-provisioner",
        _rule((*READ, "create", "delete"), "", "persistentvolumes"),
        _rule((*READ, "update"), "", "persistentvolumeclaims"),
        _rule(READ, STORAGE, "storageclasses"),
        _rule(("watch",), "", "events"),
        EVENTS,
    ),
    _role(
        "node-problem-detector",
        _rule(("get",), "", "nodes"),
        _rule(("patch",), "", "nodes/status"),
        EVENTS,
    ),
    _role(
        "heapster",
        _rule(READ, "", "events", "namespaces", "nodes", "pods"),
        _rule(READ, "extensions", "deployments"),
    ),
    # What extension API servers bind. The ConfigMap itself is not here: nobody is in front of them.
    Role(
        metadata=_meta("extension-apiserver-authentication-reader", "kube-system"),
        rules=(
            PolicyRule(
                verbs=READ,
                api_groups=("",),
                resources=("configmaps",),
                resource_names=("extension-apiserver-authentication",),
            ),
        ),
    ),
)
