"""The certificates of a node: whom each names, whether it is good, and others in its place."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from cubernetes.host.durable.files import read_or_none
from cuberoot import layout, pki
from cuberoot.cluster import Cluster
from cuberoot.compile import READABLE
from cuberoot.host.journal import Journal
from cuberoot.layout import pair
from cuberoot.pki import Signed
from cuberoot.program import (
    ACCOUNTS,
    CLUSTER,
    ETCD,
    FRONT,
    Authority,
    Certificate,
    Identity,
    Machine,
)
from cuberoot.registry import PROGRAMS, programs_of

# The authorities of a cluster, and the name that each gives itself. They outlive every renewal:
# all nodes know them by their keys.
AUTHORITIES: dict[Authority, str] = {
    CLUSTER: "cubernetes-ca",
    ETCD: "cubernetes-etcd-ca",
    FRONT: "cubernetes-front-ca",
    ACCOUNTS: "cubernetes-service-accounts",
}


# Those of people and tools, which no program of ours reads.
PERSONAL = (
    Certificate("admin", CLUSTER, lambda _: Identity("kubernetes-admin", ("system:masters",))),
    # Its holder may read the API server's metrics; it opens nothing else.
    Certificate("monitoring", CLUSTER, lambda _: Identity("monitoring", ("system:monitoring",))),
)
OWNERS = {certificate.name: one.name for one in PROGRAMS for certificate in one.certificates}


def certificates_of(cluster: Cluster) -> tuple[Certificate, ...]:
    """Return the certificates of a node, its authorities left out."""
    own = tuple(one for program in programs_of(cluster) for one in program.certificates)
    return (*own, *PERSONAL) if cluster.is_control_plane else own


def names_of(cluster: Cluster) -> tuple[str, ...]:
    """Return the names of a node's certificates."""
    return tuple(one.name for one in certificates_of(cluster))


def machine_of(cluster: Cluster) -> Machine:
    """Return how the certificates of a control plane name it."""
    return Machine(
        cluster.node_name,
        (cluster.node_name, "localhost"),
        (cluster.address, "127.0.0.1"),
        cluster.service_range,
        cluster.cluster_domain,
    )


def make(
    cluster: Cluster,
    journal: Journal,
    now: datetime,
    *,
    is_renewal: bool = False,
    folder: Path = layout.PKI,
) -> None:
    """Make the cluster's authorities where missing, and the control plane's certificates.

    Made are those that are not good; in a renewal, all.
    """
    authorities = {
        name: _kept(name, title, journal, now, folder) for name, title in AUTHORITIES.items()
    }
    machine = machine_of(cluster)
    for name, authority, identity in certificates_of(cluster):
        if is_renewal or not is_good(name, now, folder):
            signed = pki.new_cert(identity(machine), authorities[authority], now)
            write(name, signed, journal, folder)


def replace_token_key(journal: Journal, now: datetime, folder: Path = layout.PKI) -> None:
    """Put another key in the place of the one that signs tokens of service accounts.

    Of the old one the public half stays, by which its tokens are known until they end. It is
    written first: cut in between, the old key signs on.
    """
    old = _found(ACCOUNTS, folder)
    if old is not None:
        place = folder / layout.SERVICE_ACCOUNTS_RETIRED.name
        journal.file(place / f"{int(now.timestamp())}.pub", pki.public_key(old.key), READABLE)
    write(ACCOUNTS, pki.new_ca(AUTHORITIES[ACCOUNTS], now), journal, folder)


def made_for(
    cluster: Cluster, now: datetime, *, is_renewal: bool = False, folder: Path = layout.PKI
) -> frozenset[str]:
    """Return whose certificates `make` makes: these must begin anew."""
    names = (name for name, _, _ in certificates_of(cluster))
    return owners_of(one for one in names if is_renewal or not is_good(one, now, folder))


def owners_of(names: Iterable[str]) -> frozenset[str]:
    """Return whose the certificates are: a program's, or a person's, who has its name."""
    return frozenset(OWNERS.get(name, name) for name in names)


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
    """Return an authority; make it where it is missing or half written, complete an older one."""
    found = _found(name, folder)
    signed = pki.new_ca(title, now) if found is None else pki.completed(found)
    if signed != found:
        write(name, signed, journal, folder)
    return signed


def _found(name: str, folder: Path) -> Signed | None:
    cert, key = read_or_none(pair(name, folder).cert), read_or_none(pair(name, folder).key)
    return None if cert is None or key is None else Signed(cert, key)
