"""Who may do what: fixed roles as a table, and nodes that see only what is theirs. Pure.

Each program has what its work needs and no more, so that a stolen certificate is worth little. What
a node may do with objects of a kind is said by the kind (`NodeAccess`, answered by its strategy).
The answer is the text of a refusal, or nothing.
"""

from typing import Any, NamedTuple, Protocol

from cubernetes.api.coordination.road import GATEWAY_ROAD, ROAD_NAMESPACE, road_lease_name
from cubernetes.api.events.event import Event as NewerEvent
from cubernetes.api.meta import Object
from cubernetes.api.registry import KINDS
from cubernetes.host.web.messages import Identity

MASTERS = "system:masters"
NODES, NODE_PREFIX = "system:nodes", "system:node:"
PROXIES, PROXY_PREFIX = "system:proxies", "system:proxy:"
GATEWAYS, GATEWAY_PREFIX = "system:gateways", "system:gateway:"
RESOLVERS, RESOLVER_PREFIX = "system:resolvers", "system:resolver:"
BOOTSTRAPPERS, BOOTSTRAP_PREFIX = "system:bootstrappers", "system:bootstrap:"
# Who may read what the server counts, and nothing else.
MONITORING = "system:monitoring"
SCHEDULER, CONTROLLERS = "system:scheduler", "system:controllers"
SERVERLESS = "system:serverless"
GPU = "system:gpu"

LEADERS_NAMESPACE = "kube-system"
# Where the instances of functions are, which are the functions' program's own.
INSTANCES_NAMESPACE = "cube-serverless"
# Where the keys are by which sites of GPU jobs are reached.
SITE_KEYS_NAMESPACE = "gpu-sites"

READ = frozenset({"get", "list", "watch"})
WRITE = frozenset({"create", "update", "patch"})
CHANGE = frozenset({"update", "patch"})
REMOVE = frozenset({"delete", "deletecollection"})


OWN_GROUP = "cubernetes.io"
# What `*` does not mean, for these are no objects: ways to become somebody, and who asks for what.
NO_OBJECTS = frozenset({"join", "tokens", "metrics"})
# What rules name. A custom kind of the same name is of another group, and is not meant.
NAMED = frozenset(
    {(kind.resource.group, kind.resource.plural) for kind in (*KINDS, NewerEvent)}
    | {(OWN_GROUP, word) for word in NO_OBJECTS}
)


class Attempt(NamedTuple):
    """What is attempted; group and subresource are empty where there is none.

    node is the value that a list or watch requires of the field that names an object's node; name
    that which a list or watch of what nodes read by name requires of metadata.name.
    """

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    node: str = ""

    def __str__(self) -> str:
        part = f"/{self.subresource}" if self.subresource else ""
        group = f'"{self.group}"'
        place = f' in the namespace "{self.namespace}"' if self.namespace else ""
        return f'{self.verb} resource "{self.resource}{part}" in API group {group}{place}'

    @property
    def is_of_no_object(self) -> bool:
        return self.group == OWN_GROUP and self.resource in NO_OBJECTS


class Rule(NamedTuple):
    """Allows verbs on resources, `pods` or `pods/status`; `*` is every resource of every group.

    namespace and name, where given, are the only ones where it holds.
    """

    verbs: frozenset[str]
    resources: tuple[str, ...]
    namespace: str = ""
    name: str = ""

    def allows(self, attempt: Attempt) -> bool:
        if attempt.verb not in self.verbs:
            return False
        part = f"/{attempt.subresource}" if attempt.subresource else ""
        is_ours = (attempt.group, attempt.resource) in NAMED
        named = is_ours and attempt.resource + part in self.resources
        meant = "*" + part in self.resources and not attempt.is_of_no_object
        is_here = self.namespace in ("", attempt.namespace) and self.name in ("", attempt.name)
        return is_here and (named or meant)


ROLES: dict[str, tuple[Rule, ...]] = {
    SCHEDULER: (
        Rule(READ, ("nodes", "pods", "namespaces", "poddisruptionbudgets")),
        # Those that make room for a pod of higher priority.
        Rule(frozenset({"delete"}), ("pods",)),
        Rule(frozenset({"create"}), ("pods/binding",)),
        Rule(CHANGE, ("pods/status",)),
        # A claim that waits for its first consumer is told on which node that will be.
        Rule(READ, ("persistentvolumes", "persistentvolumeclaims", "storageclasses")),
        Rule(frozenset({"patch"}), ("persistentvolumeclaims",)),
        # Its own lease, and not those by which nodes show that they live.
        Rule(READ | WRITE, ("leases",), LEADERS_NAMESPACE),
        Rule(READ | WRITE, ("events",)),
    ),
    CONTROLLERS: (
        Rule(READ, ("*", "*/scale")),
        # Garbage goes, whatever its kind; owner references and finalizers are patched away.
        Rule(REMOVE | CHANGE, ("*",)),
        Rule(CHANGE, ("*/status", "namespaces/finalize")),
        # Pods that move to another node go as far as their budgets allow.
        Rule(frozenset({"create"}), ("pods/eviction",)),
        # One is kept of an AutoScaler's template.
        Rule(frozenset({"create"}), ("deployments",)),
        Rule(
            frozenset({"create"}),
            (
                "pods",
                "replicasets",
                "controllerrevisions",
                "jobs",
                "endpointslices",
                "persistentvolumes",
                "persistentvolumeclaims",
                # What every namespace has for its pods.
                "serviceaccounts",
                "configmaps",
                "leases",
                "events",
            ),
        ),
    ),
    PROXIES: (
        Rule(READ, ("services", "endpointslices", "nodes")),
        # Which nodes live that could announce an address.
        Rule(READ, ("leases",), LEADERS_NAMESPACE),
    ),
    # And the Lease of the node's gateway: `_rules_of`.
    GATEWAYS: (
        Rule(READ, ("ingresses", "ingressclasses", "dnses", "routepolicies")),
        Rule(READ, ("services", "endpointslices")),
        Rule(frozenset({"get"}), ("nodes",)),
        Rule(WRITE, ("events",)),
    ),
    RESOLVERS: (
        Rule(READ, ("services", "endpointslices", "namespaces", "dnses")),
        Rule(READ, ("configmaps",), LEADERS_NAMESPACE, "resolver"),
    ),
    SERVERLESS: (
        Rule(READ, ("functions", "functionrevisions", "routes", "triggers", "workflows")),
        Rule(CHANGE, ("functions/status", "functionrevisions/status")),
        Rule(CHANGE, ("routes/status", "triggers/status", "workflows/status")),
        Rule(frozenset({"create", "delete"}), ("functionrevisions",)),
        # Of functions' variables: by the name that a Function gives, never as a list.
        Rule(frozenset({"get"}), ("secrets",)),
        Rule(READ | WRITE | REMOVE, ("pods",), INSTANCES_NAMESPACE),
        Rule(frozenset({"create"}), ("namespaces",)),
        Rule(frozenset({"get", "delete"}), ("namespaces",), name=INSTANCES_NAMESPACE),
    ),
    GPU: (
        Rule(READ, ("gpujobs", "gpusites", "gpuqueues")),
        Rule(CHANGE, ("gpujobs/status", "gpusites/status", "gpuqueues/status")),
        # Finalizers go by patch; a job goes when it has been kept for long enough.
        Rule(frozenset({"patch", "delete"}), ("gpujobs",)),
        Rule(frozenset({"create"}), ("gpuqueues",)),
        # A site's finalizer goes as a job's does. Its key is in a namespace of its own.
        Rule(frozenset({"patch"}), ("gpusites",)),
        Rule(frozenset({"get"}), ("secrets",), SITE_KEYS_NAMESPACE),
        # How many devices our own nodes have.
        Rule(READ, ("nodes",)),
        # Jobs at stand-ins and on our nodes are pods in their namespaces, with files beside them.
        Rule(READ | REMOVE | frozenset({"create", "patch"}), ("pods",)),
        Rule(frozenset({"create", "get", "delete"}), ("configmaps",)),
        Rule(READ | WRITE, ("leases",), LEADERS_NAMESPACE),
        Rule(READ | WRITE, ("events",)),
    ),
    BOOTSTRAPPERS: (Rule(frozenset({"create"}), ("join",)),),
    MONITORING: (Rule(frozenset({"get"}), ("metrics",)),),
}
# Labels by which workloads are kept apart: a node may not give them to itself.
RESTRICTED_LABELS = "node-restriction.kubernetes.io/"
NO_BUSINESS = "a node has no business there"


class NodeAccess(Protocol):
    """What a kind lets nodes do with its objects.

    node_field: the field that names an object's node; empty: objects belong to no node.
    is_read_where_named: whether a node may read those that a pod bound to it names, one by one.
    """

    @property
    def node_field(self) -> str: ...

    @property
    def is_read_where_named(self) -> bool: ...

    def access_refusal(self, node: str, attempt: Attempt, one: Any, *, is_named: bool) -> str:
        """Return why a node may not attempt this; empty where it may.

        one: the object that is there now, where the kind has a node_field and the attempt a name.
        is_named: whether a pod bound to the node names it, where that is asked.
        """
        ...


def may(
    identity: Identity,
    attempt: Attempt,
    access: NodeAccess | None = None,
    one: Object | None = None,
    *,
    is_named: bool = False,
) -> str:
    """Return why an attempt is refused; empty where it is allowed.

    access is what the kind says of nodes, None where the resource is no kind's. one is the object
    that is there now, for the identities whose rights depend on it. is_named says that a pod bound
    to the node names what it asks for, or an Ingress what a gateway does.
    """
    if MASTERS in identity.groups:
        return ""
    if not (node := node_of(identity)):
        why = "" if any(rule.allows(attempt) for rule in _rules_of(identity)) else "no role allows"
        if why and is_named and access is not None and needs_name(identity, access):
            why = access.access_refusal(GATEWAYS, attempt, None, is_named=is_named)
    elif access is not None:
        why = access.access_refusal(node, attempt, one, is_named=is_named)
    else:
        # To renew its certificates. Whose they are is in the body, which is looked at there.
        is_renewal = attempt[:4] == ("create", OWN_GROUP, "join", "")
        why = "" if is_renewal else NO_BUSINESS
    if not why:
        return ""
    return f'User "{identity.user}" cannot {attempt}: {why}'


def node_of(identity: Identity) -> str:
    """Return the node whose kubelet asks; empty for everybody else."""
    if NODES in identity.groups and identity.user.startswith(NODE_PREFIX):
        return identity.user.removeprefix(NODE_PREFIX)
    return ""


def gateway_of(identity: Identity) -> str:
    """Return the node whose gateway asks; empty for everybody else."""
    if GATEWAYS in identity.groups and identity.user.startswith(GATEWAY_PREFIX):
        return identity.user.removeprefix(GATEWAY_PREFIX)
    return ""


def acting_node(identity: Identity) -> str:
    """Return the node that acts as itself; empty for everybody else, administrators included."""
    return "" if MASTERS in identity.groups else node_of(identity)


def acting_gateway(identity: Identity) -> str:
    """Return the node whose gateway acts as itself; empty for everybody else."""
    return "" if MASTERS in identity.groups else gateway_of(identity)


def needs_object(identity: Identity, attempt: Attempt, access: NodeAccess) -> bool:
    """Whether `may` must be given the object that is there."""
    return bool(access.node_field and attempt.name and acting_node(identity))


def needs_name(identity: Identity, access: NodeAccess) -> bool:
    """Whether `may` must be told if something names the object for the reader."""
    return access.is_read_where_named and bool(reader_of(identity))


def reader_of(identity: Identity) -> str:
    """Return for whom objects are named that are read one by one: a node, or every gateway."""
    if MASTERS in identity.groups:
        return ""
    return node_of(identity) or (GATEWAYS if gateway_of(identity) else "")


def _rules_of(identity: Identity) -> tuple[Rule, ...]:
    if identity.user in (SCHEDULER, CONTROLLERS, SERVERLESS, GPU):
        return ROLES[identity.user]
    if PROXIES in identity.groups and identity.user.startswith(PROXY_PREFIX):
        node = identity.user.removeprefix(PROXY_PREFIX)
        return (*ROLES[PROXIES], _road("proxy", node), _announcer(node))
    if node := gateway_of(identity):
        road = _road(GATEWAY_ROAD, node)
        # A gateway that is disabled deletes its Lease, so that no pod waits for it.
        return (*ROLES[GATEWAYS], road._replace(verbs=road.verbs | {"delete"}))
    if RESOLVERS in identity.groups and identity.user.startswith(RESOLVER_PREFIX):
        return ROLES[RESOLVERS]
    if BOOTSTRAPPERS in identity.groups and identity.user.startswith(BOOTSTRAP_PREFIX):
        return ROLES[BOOTSTRAPPERS]
    if MONITORING in identity.groups:
        return ROLES[MONITORING]
    return ()


def _road(program: str, node: str) -> Rule:
    """Return the rule by which a road keeps its own Lease: by its path, never by a POST."""
    name = road_lease_name(program, node)
    return Rule(WRITE | {"get"}, ("leases",), ROAD_NAMESPACE, name)


def _announcer(node: str) -> Rule:
    """Return the rule by which a proxy shows that its node can announce addresses."""
    return Rule(WRITE, ("leases",), LEADERS_NAMESPACE, f"announcer-{node}")
