"""The certificates of a node: whom each names, whether it is good, and others in its place."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from ipaddress import IPv4Network
from pathlib import Path

from cubernetes.api.joining import CERTIFICATES
from cubernetes.host.durable.files import read_or_none
from cuberoot import layout, pki
from cuberoot.cluster import Cluster
from cuberoot.compile import READABLE
from cuberoot.host.journal import Journal
from cuberoot.layout import pair
from cuberoot.pki import Identity, Signed

SERVICE_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
CLUSTER, ETCD, FRONT = "cluster-ca", "etcd-ca", "front-ca"
# The authorities of a cluster, and the name that each gives itself. They outlive every renewal:
# all nodes know them by their keys.
AUTHORITIES = {
    CLUSTER: "cubernetes-ca",
    ETCD: "cubernetes-etcd-ca",
    FRONT: "cubernetes-front-ca",
}


def identities_of(cluster: Cluster) -> Mapping[str, tuple[Identity, str]]:
    """Return whom each certificate of a control plane names, and the authority that signs it."""
    here = (cluster.address, "127.0.0.1")
    names = (cluster.node_name, "localhost")
    service_ip = str(IPv4Network(cluster.service_range)[1])
    server = Identity("kube-apiserver", (), (*names, *SERVICE_NAMES), (*here, service_ip), True)
    node = f"system:node:{cluster.node_name}"
    serving = Identity(node, ("system:nodes",), names, here, is_server=True, is_client=False)
    proxy = Identity(f"system:proxy:{cluster.node_name}", ("system:proxies",))
    return {
        "etcd": (Identity("etcd", (), names, here, is_server=True), ETCD),
        "apiserver-etcd": (Identity("apiserver"), ETCD),
        "apiserver": (server, CLUSTER),
        "apiserver-kubelet": (Identity("system:apiserver"), CLUSTER),
        "scheduler": (Identity("system:scheduler"), CLUSTER),
        "controllers": (Identity("system:controllers"), CLUSTER),
        "admin": (Identity("kubernetes-admin", ("system:masters",)), CLUSTER),
        # For whoever follows the API server's metrics; it opens nothing else.
        "monitoring": (Identity("monitoring", ("system:monitoring",)), CLUSTER),
        "kubelet": (Identity(node, ("system:nodes",)), CLUSTER),
        "kubelet-serving": (serving, CLUSTER),
        "proxy": (proxy, CLUSTER),
    }


def names_of(cluster: Cluster) -> tuple[str, ...]:
    """Return the certificates of a node, its authorities left out."""
    return tuple(identities_of(cluster)) if cluster.is_control_plane else CERTIFICATES


def make(
    cluster: Cluster,
    journal: Journal,
    now: datetime,
    *,
    is_renewal: bool = False,
    folder: Path = layout.PKI,
) -> frozenset[str]:
    """Make the cluster's authorities where missing, and the control plane's certificates.

    Made are those that are not good; in a renewal, all. Returns the programs that must begin anew.
    A run that is cut between this and their beginning leaves them with what they have read, which
    is good for the rest of its life: `cuberoot renew` finishes it.
    """
    authorities = {
        name: _kept(name, title, journal, now, folder) for name, title in AUTHORITIES.items()
    }
    renewed = set()
    for name, (identity, authority) in identities_of(cluster).items():
        if is_renewal or not is_good(name, now, folder):
            write(name, pki.new_cert(identity, authorities[authority], now), journal, folder)
            renewed.add(name)
    return programs_of(renewed)


def programs_of(names: Iterable[str]) -> frozenset[str]:
    """Return whose the certificates are: `apiserver-etcd` is the API server's, for etcd."""
    return frozenset(name.partition("-")[0] for name in names)


def is_good(name: str, now: datetime, folder: Path = layout.PKI) -> bool:
    """Tell whether a certificate of this node is there, whole, and good for a while."""
    signed = _found(name, folder)
    return signed is not None and pki.is_good(signed, now)


def ends_at(cluster: Cluster, folder: Path = layout.PKI) -> datetime:
    """Return when the first of a node's certificates ends.

    Raises: OSError, ValueError: one is missing, or is none.
    """
    return min(pki.expires_at(pair(name, folder).cert.read_bytes()) for name in names_of(cluster))


def write(name: str, signed: Signed, journal: Journal, folder: Path = layout.PKI) -> None:
    """Write a pair. Cut in between, the two do not belong together, and are not good."""
    journal.file(pair(name, folder).key, signed.key)
    journal.file(pair(name, folder).cert, signed.cert, READABLE)


def _kept(name: str, title: str, journal: Journal, now: datetime, folder: Path) -> Signed:
    """Return an authority; make it where it is missing or half written."""
    signed = _found(name, folder)
    if signed is None:
        signed = pki.new_ca(title, now)
        write(name, signed, journal, folder)
    return signed


def _found(name: str, folder: Path) -> Signed | None:
    cert, key = read_or_none(pair(name, folder).cert), read_or_none(pair(name, folder).key)
    return None if cert is None or key is None else Signed(cert, key)
