"""What a node knows of its cluster, kept in one file: everything else is compiled from it."""

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

import msgspec

from cubernetes.api.coding import codec
from cubernetes.api.coding.refusals import invalid
from cubernetes.api.core.node import ROLE_LABEL, Node, NodeAddress, NodeStatus, is_address
from cubernetes.api.errors import Problem
from cubernetes.api.meta import ObjectMeta
from cubernetes.api.notation import jsontext, yaml
from cubernetes.api.quantities import Quantity
from cubernetes.host.settings import Settings
from tsdb.settings import Chosen

API_PORT = 6443
# Only an administrator may give a role: a node that could would draw others' secrets to itself.
CONTROL_PLANE_LABEL = f"{ROLE_LABEL}control-plane"
# In a node's manifest: the optional programs that it is to run, with commas between them.
PROGRAMS_ANNOTATION = "cubernetes.io/programs"
# There too: what logs of containers that are gone may hold of its disk, such as 64Mi; 0 keeps none.
KEPT_LOGS_ANNOTATION = "cubernetes.io/kept-logs"
KEPT_LOGS_BYTES_MAX = 1 << 40

# Of the routers of Weave.
PASSWORD_CHARS_MIN, PASSWORD_CHARS_MAX = 12, 256

type Role = Literal["control-plane", "worker"]
type ProxyBackend = Literal["iptables", "nftables"]
type PodSecurity = Literal["privileged", "baseline", "restricted"]
type NetworkKind = Literal["vxlan", "weave", "cni"]


class Ranges(NamedTuple):
    """What a cluster gives out: addresses of services and pods, node ports, a pool, names.

    domain: under which the names are; empty: what an earlier run said, else DOMAIN.
    """

    services: str
    pods: str
    node_ports: str
    load_balancer_pool: str
    domain: str = ""


DOMAIN = "cluster.local"


class PodNetwork(NamedTuple):
    """How pods are wired: by us, or by the CNI plugins of a configuration list (its text).

    weave_password: what the routers of the kind weave know each other by.
    """

    kind: NetworkKind = "vxlan"
    cni_config: str = ""
    weave_password: str = ""


class Cluster(Settings, frozen=True, kw_only=True):
    """servers are `https://address:port`. python is the interpreter that runs the programs."""

    role: Role
    node_name: str
    address: str
    # In which a worker follows its address where that changes; empty: it stays.
    address_network: str = ""
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    servers: tuple[str, ...]
    service_range: str = "10.96.0.0/16"
    pod_range: str = "10.244.0.0/16"
    # Under which the names of services are; and where every node answers questions about names.
    cluster_domain: str = DOMAIN
    resolver_address: str = "169.254.20.10"
    # Whether this machine's own programs find the cluster's names too: by its resolv.conf.
    host_names: bool = True
    # On the control plane: the ports that services may have on every node, and the addresses of
    # those of type LoadBalancer.
    node_port_range: str = "30000-32767"
    load_balancer_pool: str = ""
    # On the control plane: the Pod Security level of namespaces that say none.
    pod_security: PodSecurity = "privileged"
    # The pod network of every node; of the kind cni, which plugins it calls, and of the kind weave,
    # what its routers know each other by.
    network: NetworkKind = "vxlan"
    cni_config: str = ""
    weave_password: str = ""
    # What this node's proxy writes its rules in.
    proxy_backend: ProxyBackend = "iptables"
    python: str
    etcd: str = ""
    # How large the store's file may get: beyond 8 GiB etcd itself advises against it.
    store_quota_bytes: Annotated[int, msgspec.Meta(ge=16 << 20, le=8 << 30)] = 2 << 30
    supervision: Literal["systemd", "supervisord"] = "supervisord"
    # What logs of containers that are gone may hold of this node's disk; None: the kubelet's own.
    kept_logs_bytes: int | None = None
    # The optional programs that this node runs.
    enabled: tuple[str, ...] = ()
    # Others' brokers of Kafka, `host:port`, which functions use in place of one of ours.
    brokers: tuple[str, ...] = ()
    # What an operator has chosen of the time-series store: retention, limits, other engines.
    tsdb: Chosen = Chosen()

    @property
    def is_control_plane(self) -> bool:
        return self.role == "control-plane"

    @property
    def pod_network(self) -> PodNetwork:
        return PodNetwork(self.network, self.cni_config, self.weave_password)


def password_of(content: bytes) -> str:
    """Return the password in a file. Raises: ValueError: says what a password is."""
    form = f"must hold {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} printable ASCII characters"
    text = content.decode("ascii", errors="replace").rstrip("\n")
    is_long_enough = PASSWORD_CHARS_MIN <= len(text) <= PASSWORD_CHARS_MAX
    if not (is_long_enough and text.isascii() and text.isprintable()):
        raise ValueError(f"{form}, in one line")
    return text


def node_of(manifest: bytes | None, host_name: str, address: str) -> Node:
    """Return the Node that a manifest describes, completed by what the machine says.

    A manifest is a Node in YAML or JSON: metadata.name, metadata.labels, the annotations that name
    optional programs and the room of kept logs, and an InternalIP among status.addresses.
    Everything else in it is refused by name, since nothing would heed it.

    Raises:
        BadRequest, Invalid: with every problem and its field.
    """
    node = Node(metadata=ObjectMeta(name=host_name))
    if manifest is not None:
        tree = yaml.tree_of(manifest)
        node = codec.from_tree(Node, tree).model
        problems = [*node.problems(), *_unheeded(tree), *_annotations(node)]
        if problems:
            raise invalid("Node", node.metadata.name, problems)
    if not node.address:
        addresses = (NodeAddress(type="InternalIP", address=address),)
        node = Node(metadata=node.metadata, status=NodeStatus(addresses=addresses))
    if not is_address(node.address):
        where = "status.addresses"
        problem = Problem(where, "needs an InternalIP: this machine's address could not be found")
        raise invalid("Node", node.metadata.name, [problem])
    return node


HEEDED = {
    "": {"apiVersion", "kind", "metadata", "status"},
    "metadata": {"name", "labels", "annotations"},
    "status": {"addresses"},
}


def _unheeded(tree: jsontext.Tree) -> list[Problem]:
    problems = []
    for part, known in HEEDED.items():
        within = tree if not part else tree.get(part, {})
        prefix = f"{part}." if part else ""
        problems += [
            Problem(f"{prefix}{key}", "is not heeded in a node's manifest", "FieldValueForbidden")
            for key in sorted(within.keys() - known)
        ]
    return problems


def _annotations(node: Node) -> list[Problem]:
    known = (PROGRAMS_ANNOTATION, KEPT_LOGS_ANNOTATION)
    what = f"is not heeded in a node's manifest: {' and '.join(known)} are"
    problems = [
        Problem(f"metadata.annotations[{key}]", what, "FieldValueForbidden")
        for key in sorted(node.metadata.annotations.keys() - {*known})
    ]
    try:
        kept_logs_bytes_in(node)
    except ValueError as error:
        problems.append(Problem(f"metadata.annotations[{KEPT_LOGS_ANNOTATION}]", str(error)))
    return problems


def kept_logs_bytes_in(node: Node) -> int | None:
    """Return what a manifest says that kept logs may hold of the disk; None where it says nothing.

    Raises: ValueError: says the accepted form.
    """
    text = node.metadata.annotations.get(KEPT_LOGS_ANNOTATION)
    if text is None:
        return None
    size_bytes = Quantity(text).amount
    if not 0 <= size_bytes <= KEPT_LOGS_BYTES_MAX:
        raise ValueError(f"must be a size from 0 to 1Ti, such as 64Mi, not {text[:40]!r}")
    return int(size_bytes)
