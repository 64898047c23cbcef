"""What the resolver must be told."""

from cubernetes.client.connect import ClientSettings
from cubernetes.host.names.machine import RESOLV_CONFS
from cubernetes.host.settings import Settings


class ResolverSettings(Settings, frozen=True, kw_only=True):
    """client: how to reach the API server. Ranges and the domain are the cluster's."""

    node_name: str
    client: ClientSettings
    cluster_domain: str = "cluster.local"
    service_range: str = "10.96.0.0/16"
    pod_range: str = "10.244.0.0/16"
    # Where questions are answered: an address of this node's loopback, the same on every node.
    address: str = "169.254.20.10"
    port: int = 53
    # How long clients may keep an answer about the cluster's names.
    ttl_s: int = 5
    # Whose name servers answer what is not the cluster's: the first of these files that names one.
    resolv_confs: tuple[str, ...] = RESOLV_CONFS
    # The file by which this machine's own programs find name servers: it is to name this one first.
    # Empty leaves the machine as it is.
    host_resolv_conf: str = ""
    # Where the cluster's names are kept for a start without an API server; empty keeps nothing.
    checkpoint: str = ""
    # /metrics and /livez on the loopback; 0 serves none.
    metrics_port: int = 0
