"""What the controllers must be told."""

from cubernetes.client.connect import ClientSettings
from cubernetes.host.settings import Settings


class ControllersSettings(Settings, frozen=True, kw_only=True):
    """client: how to reach the API server. Ranges are the cluster's."""

    client: ClientSettings
    pod_range: str = "10.244.0.0/16"
    # The part of the pod range that each node gets: /24 is 254 addresses.
    node_prefix_length: int = 24
    # The addresses that services of type LoadBalancer are given: networks, addresses or ranges with
    # commas between them; empty gives none.
    load_balancer_pool: str = ""
    # Without a renewal of its lease for this long a node is not ready.
    node_silent_after_s: float = 10.0
    # Silent for this much longer, its pods that a controller replaces are given up. A pod's own
    # tolerationSeconds goes before.
    node_evict_after_s: float = 30.0
    # The same for pods that nobody replaces: the node has so long to come back with them.
    node_evict_bare_after_s: float = 300.0
    # Heard again for this long, it is ready again.
    node_steady_s: float = 4.0
    # A node is ready for so long before pods of Deployments that allow it move there.
    rebalance_steady_s: float = 60.0
    event_keep_s: float = 3600.0
    # So many finished pods stay in the cluster; beyond that the oldest go. 0: all stay.
    finished_pods_max: int = 12_500
    # Keys of one controller that are worked on at the same time.
    worker_count: int = 8
    # The lease that one of several instances holds; empty where there is only ever one.
    lease: str = "controllers"
    # Where a store with Prometheus' API answers planners that ask for metrics, such as
    # http://127.0.0.1:9090; empty: they get none, and hold.
    metrics_url: str = ""
    # By what pods know the API server, PEM; empty is what the client's `ca` names.
    root_ca: str = ""
    # /metrics and /livez on the loopback; 0 serves none.
    metrics_port: int = 0
