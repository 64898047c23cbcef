"""Where everything of ours stands on a node. Pure."""

from pathlib import Path
from typing import NamedTuple

CONFIG = Path("/etc/cubernetes")
STATE = Path("/var/lib/cubernetes")
LOGS = Path("/var/log/cubernetes")
RUN = Path("/run/cubernetes")

PKI = CONFIG / "pki"
SETTINGS = CONFIG / "settings"
CLUSTER_FILE = CONFIG / "cluster.json"
JOURNAL = CONFIG / "journal.json"
PENDING = CONFIG / "pending.json"
ADMIN_CONFIG = CONFIG / "admin.conf"
# A boot without systemd runs this file (the lab's does, a container's may).
BOOT = CONFIG / "boot"
SUPERVISORD_CONFIG = CONFIG / "supervisord.conf"
SUPERVISORD_SOCKET = RUN / "supervisord.sock"
SUPERVISORD_PID = RUN / "supervisord.pid"
ETCD_STATE = STATE / "etcd"
TSDB_STATE = STATE / "tsdb"
APISERVER_STATE = STATE / "apiserver.revision"
PROXY_CHECKPOINT = STATE / "proxy.checkpoint"
RESOLVER_CHECKPOINT = STATE / "resolver.checkpoint"
KUBELET_STATE = STATE / "kubelet"
GATEWAY_STATE = STATE / "gateway"
WEAVE_STATE = STATE / "weave"
WEAVE_RUN = RUN / "weave"
SERVERLESS_STATE = STATE / "serverless"
KAFKA_STATE = STATE / "kafka"
# What scripts/install-kafka has put beside this code.
KAFKA_JARS = Path(__file__).resolve().parents[1] / "var" / "kafka"
# What scripts/build-images has made, beside this code.
IMAGES = Path(__file__).resolve().parents[1] / "var" / "images"
UNITS = Path("/etc/systemd/system")
# The slice of all pods (cgroup_root of kubelet/runtime), and what holds for each pod's below it.
SLICE = UNITS / "cubernetes.slice"
POD_SLICES = UNITS / "cubernetes-.slice.d/cubernetes.conf"


class Pair(NamedTuple):
    """A certificate and its key, PEM."""

    cert: Path
    key: Path


def pair(name: str, folder: Path = PKI) -> Pair:
    return Pair(folder / f"{name}.crt", folder / f"{name}.key")


CLUSTER_CA = pair("cluster-ca")
ETCD_CA = pair("etcd-ca")
SERVICE_ACCOUNTS = pair("service-accounts")
SERVICE_ACCOUNTS_RETIRED = PKI / "service-accounts-retired"


def settings_file(program: str) -> Path:
    return SETTINGS / f"{program}.json"


def unit_file(program: str) -> Path:
    return UNITS / f"cube-{program}.service"


def log_file(program: str) -> Path:
    return LOGS / f"{program}.log"
