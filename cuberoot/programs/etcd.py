"""etcd: the store, of one member. Pure."""

from cuberoot import layout
from cuberoot.cluster import Cluster
from cuberoot.layout import pair
from cuberoot.program import ETCD, Certificate, Health, Identity, Machine, Port, Program

CLIENT_PORT = 2379
PEER_PORT = 2380


def command(cluster: Cluster) -> tuple[str, ...]:
    """Return etcd's command line: mTLS on both ports, one member, history kept for 10 minutes.

    With one member there is nobody to elect: the short election makes it answer within 0.1 s of
    its start (measured: 0.07-0.11 s, against 1.1-1.8 s by default).
    """
    server, ca = pair("etcd"), str(layout.ETCD_CA.cert)
    peer = f"https://{cluster.address}:{PEER_PORT}"
    client = f"https://127.0.0.1:{CLIENT_PORT}"
    options = {
        "name": cluster.node_name,
        "data-dir": str(layout.ETCD_STATE),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"{cluster.node_name}={peer}",
        "client-cert-auth": "true",
        "trusted-ca-file": ca,
        "cert-file": str(server.cert),
        "key-file": str(server.key),
        "peer-client-cert-auth": "true",
        "peer-trusted-ca-file": ca,
        "peer-cert-file": str(server.cert),
        "peer-key-file": str(server.key),
        "heartbeat-interval": "10",
        "election-timeout": "50",
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": "10m",
        "quota-backend-bytes": str(cluster.store_quota_bytes),
        "max-txn-ops": "128",
        "log-level": "warn",
    }
    return (cluster.etcd, *(f"--{key}={value}" for key, value in options.items()))


def _identity(machine: Machine) -> Identity:
    return Identity("etcd", (), machine.names, machine.addresses, is_server=True)


def _health(_cluster: Cluster) -> Health:
    url = f"https://127.0.0.1:{CLIENT_PORT}/health"
    return Health(url, layout.ETCD_CA.cert, pair("apiserver-etcd"))


PROGRAM = Program(
    name="etcd",
    place="control-plane",
    command=command,
    certificates=(Certificate("etcd", ETCD, _identity),),
    ports=(Port(CLIENT_PORT, is_closed=True), Port(PEER_PORT, is_closed=True)),
    health=_health,
)
