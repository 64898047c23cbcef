"""The kubelet's settings."""

from collections.abc import Mapping

import msgspec

from cubernetes.api.storagewords import LOCAL_FOLDERS
from cubernetes.client.connect import ClientSettings
from cubernetes.host.cni.conflist import PATHS as CNI_PATHS
from cubernetes.host.names.machine import RESOLV_CONFS
from cubernetes.host.settings import Settings

KEPT_LOGS_BYTES = 256 << 20


class ServingSettings(Settings, frozen=True, kw_only=True):
    """The HTTPS endpoint for container logs: only the holder of `client_name` may ask."""

    port: int = 10250
    cert: str
    key: str
    client_ca: str
    client_name: str = "system:apiserver"


class KubeletSettings(Settings, frozen=True, kw_only=True):
    """node_name and address: as the other nodes know this one. Spans in seconds."""

    node_name: str
    address: str
    # In which the address may change while the node lives; empty: it stays.
    address_network: str = ""
    client: ClientSettings
    serving: ServingSettings | None = None
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    root: str = "/var/lib/cubernetes/kubelet"
    # In memory: empty after each boot.
    run: str = "/run/cubernetes/kubelet"
    # Volumes that are made for claims: one folder each.
    volumes_root: str = LOCAL_FOLDERS
    runtime: str = "docker"
    runtime_socket: str = "/var/run/docker.sock"
    network: str = "vxlan"
    # Of the network "cni": the configuration list as text, and where the plugins' programs are.
    cni_config: str = ""
    cni_paths: tuple[str, ...] = CNI_PATHS
    # Configuration lists of the networks that pods may ask for beside it, and what an administrator
    # says of which pods may, where the file is there; read each time.
    cni_networks: str = "/etc/cni/net.d"
    networks_file: str = "/etc/cubernetes/networks.json"
    # Of the whole cluster: a packet that claims to come from there must come in by a pod's wire.
    pod_range: str = "10.244.0.0/16"
    # TCP ports of nodes at which pods have no business: etcd's two and the kubelet's.
    closed_ports: tuple[int, ...] = (2379, 2380, 10250)
    pause_image: str = "cubernetes/pause:1"
    pod_limit: int = 110
    # What an administrator says of this node's devices, where the file is there; read again and
    # again.
    devices_file: str = "/etc/cubernetes/devices.json"
    # Where this node answers questions about names, and the cluster's domain; none: pods ask whom
    # the node asks.
    dns_servers: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    resolv_confs: tuple[str, ...] = RESOLV_CONFS
    lease_renew_s: float = 2.0
    lease_duration_s: int = 10
    relist_s: float = 10.0
    vigil_s: float = 2.0
    # How long a deleted pod serves on at most until no road leads to it; never over half its grace.
    drain_s: float = 10.0
    node_status_s: float = 60.0
    # What an administrator says of when pods are evicted, where the file is there; read again
    # and again.
    eviction_file: str = "/etc/cubernetes/eviction.json"
    # What an administrator reserves of this node, and which unsafe sysctls pods may set; the same.
    reserves_file: str = "/etc/cubernetes/kubelet.json"
    # What logs of containers that are gone hold of the disk, all of them together; 0 keeps none.
    kept_logs_bytes_max: int = KEPT_LOGS_BYTES
    # Between two looks at what the machine has left, and at what pods hold of the disk.
    eviction_look_s: float = 5.0
    parallel_starts: int = 4
    parallel_pulls: int = 4
    # Folders of images' archives, where an image is looked for before it is pulled.
    image_archives: tuple[str, ...] = ()
    # /metrics and /livez on the loopback; 0 serves none.
    metrics_port: int = 0
    # Ports of other programs of this node (`6443/TCP`): no pod may take them as host ports.
    ports_in_use: tuple[str, ...] = ()


class WeaveSettings(Settings, frozen=True, kw_only=True):
    """The node's Weave router. node_name, address, address_network: as in the kubelet's.

    peers: addresses that it connects to at first. state: its database. run: its working directory.
    """

    node_name: str
    address: str
    address_network: str = ""
    password: str
    peers: tuple[str, ...] = ()
    state: str = "/var/lib/cubernetes/weave"
    run: str = "/run/cubernetes/weave"
