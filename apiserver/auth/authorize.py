"""Who may do what: fixed roles as a table, and nodes that see only what is theirs. Pure.

Each program has what its work needs and no more, so that a stolen certificate is worth little. The
answer is the text of a refusal, or nothing.
"""

from collections.abc import Mapping
from typing import NamedTuple

from cubernetes.api.coordination.lease import NODE_LEASE_NAMESPACE
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import Object
from cubernetes.host.web.messages import Identity

MASTERS = "system:masters"
NODES, NODE_PREFIX = "system:nodes", "system:node:"
PROXIES, PROXY_PREFIX = "system:proxies", "system:proxy:"
BOOTSTRAPPERS, BOOTSTRAP_PREFIX = "system:bootstrappers", "system:bootstrap:"
# Who may read what the server counts, and nothing else.
MONITORING = "system:monitoring"
SCHEDULER, CONTROLLERS = "system:scheduler", "system:controllers"

LEADERS_NAMESPACE = "kube-system"

READ = frozenset({"get", "list", "watch"})
WRITE = frozenset({"create", "update", "patch"})
CHANGE = frozenset({"update", "patch"})
REMOVE = frozenset({"delete", "deletecollection"})


# What `*` does not mean, for these are no objects: ways to become somebody, and who asks for what.
NO_OBJECTS = frozenset({"join", "tokens", "metrics"})


class Attempt(NamedTuple):
    """What is attempted; group and subresource are empty where there is none.

    node is the value that a list or watch of pods requires of spec.nodeName; name that which a list
    or watch of what nodes read by name requires of metadata.name.
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


class Rule(NamedTuple):
    """Allows verbs on resources, `pods` or `pods/status`; `*` is every resource.

    namespace, where given, is the only one where it holds.
    """

    verbs: frozenset[str]
    resources: tuple[str, ...]
    namespace: str = ""

    def allows(self, attempt: Attempt) -> bool:
        part = f"/{attempt.subresource}" if attempt.subresource else ""
        named = attempt.resource + part in self.resources
        meant = "*" + part in self.resources and attempt.resource not in NO_OBJECTS
        is_here = self.namespace in ("", attempt.namespace)
        return is_here and attempt.verb in self.verbs and (named or meant)


ROLES: dict[str, tuple[Rule, ...]] = {
    SCHEDULER: (
        Rule(READ, ("nodes", "pods", "namespaces")),
        Rule(frozenset({"create"}), ("pods/binding",)),
        Rule(CHANGE, ("pods/status",)),
        # Its own lease, and not those by which nodes show that they live.
        Rule(READ | WRITE, ("leases",), LEADERS_NAMESPACE),
        Rule(READ | WRITE, ("events",)),
    ),
    CONTROLLERS: (
        Rule(READ, ("*", "*/scale")),
        # Garbage goes, whatever its kind; owner references and finalizers are patched away.
        Rule(REMOVE | CHANGE, ("*",)),
        Rule(CHANGE, ("*/status", "namespaces/finalize")),
        Rule(frozenset({"create"}), ("pods", "endpointslices", "leases", "events")),
    ),
    PROXIES: (
        Rule(READ, ("services", "endpointslices", "nodes")),
        Rule(WRITE, ("events",)),
    ),
    BOOTSTRAPPERS: (Rule(frozenset({"create"}), ("join",)),),
    MONITORING: (Rule(frozenset({"get"}), ("metrics",)),),
}
# What every node may read: the cluster's shape is no secret among its members, and pods are given
# variables for services.
NODE_READS = Rule(READ, ("nodes", "services"))
NODE_EVENTS = Rule(WRITE, ("events",))
# What a node may read one by one, where a pod that is bound to it names it.
NAMED_RESOURCES: Mapping[str, str] = {"configmaps": "ConfigMap", "secrets": "Secret"}
NOT_NAMED = "no pod that is bound to this node names it"
# Labels by which workloads are kept apart: a node may not give them to itself.
RESTRICTED_LABELS = "node-restriction.kubernetes.io/"
NOT_BOUND = "the pod is not bound to this node"


def may(
    identity: Identity, attempt: Attempt, one: Object | None = None, *, is_named: bool = False
) -> str:
    """Return why an attempt is refused; empty where it is allowed.

    one is the object that is there now, for the identities whose rights depend on it. is_named says
    that a pod bound to the node names what it asks for.
    """
    if MASTERS in identity.groups:
        return ""
    if node := node_of(identity):
        why = _node_refusal(node, attempt, one, is_named=is_named)
    else:
        why = "" if any(rule.allows(attempt) for rule in _rules_of(identity)) else "no role allows"
    if not why:
        return ""
    return f'User "{identity.user}" cannot {attempt}: {why}'


def node_of(identity: Identity) -> str:
    """Return the node whose kubelet asks; empty for everybody else."""
    if NODES in identity.groups and identity.user.startswith(NODE_PREFIX):
        return identity.user.removeprefix(NODE_PREFIX)
    return ""


def acting_node(identity: Identity) -> str:
    """Return the node that acts as itself; empty for everybody else, administrators included."""
    return "" if MASTERS in identity.groups else node_of(identity)


def needs_object(identity: Identity, attempt: Attempt) -> bool:
    """Whether `may` must be given the object that is there."""
    is_pod = attempt.resource == "pods" and bool(attempt.name)
    return is_pod and bool(acting_node(identity))


def needs_name(identity: Identity, attempt: Attempt) -> bool:
    """Whether `may` must be told if a pod of the node names the object."""
    return attempt.resource in NAMED_RESOURCES and bool(acting_node(identity))


def _rules_of(identity: Identity) -> tuple[Rule, ...]:
    if identity.user in (SCHEDULER, CONTROLLERS):
        return ROLES[identity.user]
    if PROXIES in identity.groups and identity.user.startswith(PROXY_PREFIX):
        return ROLES[PROXIES]
    if BOOTSTRAPPERS in identity.groups and identity.user.startswith(BOOTSTRAP_PREFIX):
        return ROLES[BOOTSTRAPPERS]
    if MONITORING in identity.groups:
        return ROLES[MONITORING]
    return ()


def _node_refusal(node: str, attempt: Attempt, one: Object | None, *, is_named: bool) -> str:
    if NODE_READS.allows(attempt) or NODE_EVENTS.allows(attempt):
        return ""
    match attempt.resource:
        case "nodes":
            return _own_node(node, attempt)
        case "leases":
            return _own_lease(node, attempt)
        case "pods":
            return _own_pods(node, attempt, one)
        case "configmaps" | "secrets":
            return _named_object(attempt, is_named=is_named)
        case "join" if attempt.verb == "create" and not attempt.subresource:
            # To renew its certificates. Whose they are is in the body, which is looked at there.
            return ""
        case _:
            return "a node has no business there"


def _own_node(node: str, attempt: Attempt) -> str:
    if attempt.verb == "create" and not attempt.subresource:
        # The name is in the body; the strategy of nodes looks at it.
        return ""
    if attempt.verb in CHANGE and attempt.subresource in ("", "status"):
        return "" if attempt.name == node else "a node may change only itself"
    if attempt.verb == "delete" and not attempt.subresource:
        # So that a machine can leave its cluster (`cuberoot reset`) with what it has.
        return "" if attempt.name == node else "a node may remove only itself"
    return "a node may not do that to nodes"


def _own_lease(node: str, attempt: Attempt) -> str:
    if attempt.namespace != NODE_LEASE_NAMESPACE:
        return f"a node's lease is in {NODE_LEASE_NAMESPACE}"
    if attempt.verb == "create":
        return ""
    if attempt.verb in (CHANGE | {"get"}):
        return "" if attempt.name == node else "a node may use only its own lease"
    return "a node may not do that to leases"


def _named_object(attempt: Attempt, *, is_named: bool) -> str:
    if attempt.verb not in READ or attempt.subresource:
        return "a node may read what its pods name, nothing else"
    if not attempt.name or not attempt.namespace:
        return "a node must ask for one object, by name or with fieldSelector metadata.name=<name>"
    return "" if is_named else NOT_NAMED


def _own_pods(node: str, attempt: Attempt, one: Object | None) -> str:
    if attempt.verb in ("list", "watch"):
        is_own = attempt.node == node and not attempt.subresource
        return "" if is_own else "a node must ask with fieldSelector spec.nodeName=<itself>"
    allowed = {"": {"get", "delete"}, "status": {"get", *CHANGE}}
    if attempt.verb not in allowed.get(attempt.subresource, ()):
        return "a node may read, report and delete its pods, nothing else"
    if one is None:
        # Nothing is there to protect: the verb will say so.
        return ""
    is_own = isinstance(one, Pod) and one.spec.node_name == node
    return "" if is_own else NOT_BOUND
