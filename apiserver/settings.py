"""What the API server is told: where it listens, its keys, its store, and every limit by name."""

from typing import Literal

import msgspec

from cubernetes.host.settings import Settings as SettingsBase


class Limits(SettingsBase, frozen=True, kw_only=True):
    """What one request, one client and the whole server may use. Times in seconds."""

    body_bytes_max: int = 3 * 1024 * 1024
    # etcd takes 1.5 MiB in one request; the rest is for the other keys of a transaction.
    object_bytes_max: int = 1024 * 1024
    # Connections; strangers are all without a client certificate, also before TLS is through.
    connections_max: int = 10_000
    strangers_max: int = 2000
    strangers_of_address_max: int = 512
    header_deadline_s: float = 10.0
    body_deadline_s: float = 30.0
    request_deadline_s: float = 60.0
    # How long a read waits for the cache to reach the revision that it must not be behind.
    freshness_deadline_s: float = 3.0
    # Seats of requests under way, and bytes of bodies in memory; gate.py says who has which part.
    in_flight_max: int = 320
    bodies_bytes_max: int = 128 * 1024 * 1024
    # How many requests of one user (or of one stranger's address) wait for a turn, and how long.
    waiting_per_user_max: int = 500
    turn_deadline_s: float = 15.0
    watches_per_user_max: int = 1000
    # Sessions of exec: each has two connections, and lasts for as long as its command.
    exec_sessions_max: int = 256
    # Fewer than a kubelet takes: nobody alone has all places of a node.
    exec_sessions_per_user_max: int = 48
    # Requests that are handed on to pods, services and nodes, until their answer has ended.
    proxied_max: int = 512
    proxied_per_user_max: int = 96
    # How many changes of a kind a watch may be behind before it is cut off.
    events_max: int = 2048
    watch_timeout_s: int = 1800
    watch_timeout_s_max: int = 86_400
    # For one piece of a stream or a long list, to a client that reads slowly.
    write_deadline_s: float = 20.0
    # A caller that must miss nothing (deletion of a namespace) waits for at most this long.
    bookmark_interval_s: float = 2.0
    # What a node writes of an object, and how much every second: its quota of the store.
    node_object_bytes_max: int = 64 * 1024
    node_write_bytes_per_s: int = 32 * 1024
    node_write_burst_bytes: int = 4 * 1024 * 1024
    # The same for everybody else, each user apart.
    write_bytes_per_s: int = 16 * 1024 * 1024
    write_burst_bytes: int = 256 * 1024 * 1024
    # Wrong bootstrap tokens in a minute, from one address or with one id.
    token_failures_max: int = 30


class Settings(SettingsBase, frozen=True, kw_only=True):
    """Paths are of PEM files. Without etcd_servers there is no durable store: tests only."""

    listen_address: str = "0.0.0.0"  # noqa: S104  the API is for every node
    listen_port: int = 6443
    advertise_addresses: tuple[str, ...] = ()
    cert: str = ""
    key: str = ""
    client_ca: str = ""
    # The key by which certificates of joining nodes are signed.
    client_ca_key: str = ""
    # The key that signs tokens of service accounts; without one pods are given none.
    account_key: str = ""
    # A folder of public keys that signed before, each by the second in which it was retired
    # (`1767225600.pub`); the tokens of each are good until the longest-lived of them has ended.
    account_keys_retired: str = ""
    # Who tokens say has signed them, and for whom they are unless somebody else is asked for.
    account_issuer: str = "https://kubernetes.default.svc.cluster.local"
    # How long a token lives at most, whatever is asked for.
    account_token_s_max: int = 365 * 24 * 3600
    # The certificate with which this server asks kubelets for logs, and the CA of theirs.
    kubelet_cert: str = ""
    kubelet_key: str = ""
    kubelet_ca: str = ""
    # What is audited of strangers; empty writes it where everything else is written.
    strangers_log: str = ""
    strangers_log_bytes_max: int = 1024 * 1024
    # Where the highest revision that was shown is remembered; empty remembers none.
    state: str = ""
    etcd_servers: tuple[str, ...] = ()
    etcd_ca: str = ""
    etcd_cert: str = ""
    etcd_key: str = ""
    # The quota that etcd was given (--quota-backend-bytes); its own default unless it was told.
    etcd_quota_bytes: int = 2 << 30
    service_range: str = "10.96.0.0/16"
    pod_range: str = "10.244.0.0/16"
    # The ports of every node that services may have: both ends belong to it.
    node_port_range: str = "30000-32767"
    # How the nodes wire pods, of the kind cni the configuration list, and of the kind weave its
    # password: joining nodes are told.
    network: str = "vxlan"
    cni_config: str = ""
    weave_password: str = ""
    # Under which the names of services are; joining nodes are told it.
    cluster_domain: str = "cluster.local"
    # The Pod Security level that namespaces without a label enforce, and those that enforce none.
    pod_security: Literal["privileged", "baseline", "restricted"] = "privileged"
    pod_security_exempt: tuple[str, ...] = ()
    # Where a store with Prometheus' API answers custom.metrics.k8s.io and external.metrics.k8s.io,
    # such as http://127.0.0.1:9090; empty: they are not answered.
    metrics_url: str = ""
    # Where the program of GPU jobs tells what they have written, with the certificate of
    # gpu.cubernetes; empty: outputs of jobs at sites outside of the cluster are not served.
    jobs_url: str = ""
    limits: Limits = msgspec.field(default_factory=Limits)
