"""What the proxy must be told."""

from typing import Literal

from cubernetes.client.connect import ClientSettings
from cubernetes.host.packetfilter.iptables import Choice
from cubernetes.host.settings import Settings


class ProxySettings(Settings, frozen=True, kw_only=True):
    """client: how to reach the API server. Ranges are the cluster's, not this node's."""

    client: ClientSettings
    # The node whose rules these are: where a service's policy is Local, its endpoints answer.
    # Without a name nothing is acknowledged, and no pod waits for these rules.
    node_name: str = ""
    pod_range: str = "10.244.0.0/16"
    service_range: str = "10.96.0.0/16"
    # What the rules are written in: see docs/services.md.
    backend: Literal["iptables", "nftables"] = "iptables"
    # Which iptables to use; auto keeps to the kind that this machine's rules are in.
    iptables: Choice = "auto"
    # Changes that come together are applied together: no sooner than this after the last apply.
    apply_interval_s: float = 0.02
    # Where the rules are kept for a start without an API server; empty keeps nothing.
    checkpoint: str = ""
    # How long the API may take to answer before the node goes on from its checkpoint.
    checkpoint_after_s: float = 5.0
    # How often the kernel's rules are compared with ours, and repaired: within five seconds, but
    # for a machine with so many that reading them would take too much of its time.
    check_interval_s: float = 4.0
    # /metrics and /livez on the loopback; 0 serves none.
    metrics_port: int = 0
