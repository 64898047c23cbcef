"""What a program of a node is, as a value: registry.py lists one for each. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from cubernetes.client.connect import ClientSettings
from cubernetes.host.settings import Settings
from cuberoot import layout
from cuberoot.cluster import Cluster, NetworkKind
from cuberoot.layout import Pair, pair

type Place = Literal["control-plane", "every-node"]
type Authority = Literal["cluster-ca", "etcd-ca", "front-ca", "service-accounts"]

CLUSTER: Authority = "cluster-ca"
ETCD: Authority = "etcd-ca"
FRONT: Authority = "front-ca"
# Its key signs tokens of service accounts, no certificate.
ACCOUNTS: Authority = "service-accounts"


class Identity(NamedTuple):
    """The subject of a certificate: CN, Os, and for servers their names and addresses."""

    user: str
    groups: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    is_server: bool = False
    is_client: bool = True


class Machine(NamedTuple):
    """A node, as its certificates name it."""

    node_name: str
    names: tuple[str, ...]
    addresses: tuple[str, ...]
    service_range: str
    cluster_domain: str


class Certificate(NamedTuple):
    """name: of its files. Every node's are asked for in a join, so the API server knows them."""

    name: str
    authority: Authority
    identity: Callable[[Machine], Identity]


class Port(NamedTuple):
    """A TCP port that a program listens on. is_closed: pods do not reach it, on any node."""

    number: int
    is_closed: bool = False


class Metrics(NamedTuple):
    """Where a program serves its metrics on the loopback."""

    port: int
    scheme: Literal["http", "https"] = "http"


class Health(NamedTuple):
    """An address that answers 200 as soon as a program is ready; own and ca: for https.

    deadline_s: how long that may take.
    """

    url: str
    ca: Path | None = None
    own: Pair | None = None
    deadline_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program of a node.

    settings: None where its command line says everything, which `command` returns then; else it
    is started as `python -m NAME --settings FILE`.
    after: the programs that it needs on its own node; the registry lists them before it.
    units_before: units of systemd that are not ours, and start before it.
    health: where it is told that the program is ready, before the next one is started.
    reset: the module that takes away what the program made on its node, if it made anything.
    is_optional: it runs where it was enabled.
    companions: other optional programs that are enabled and disabled with it.
    network: it runs where that is the cluster's pod network; None: with every one.
    """

    name: str
    place: Place
    settings: "Callable[[Site], Settings] | None" = None
    command: Callable[[Cluster], tuple[str, ...]] | None = None
    certificates: tuple[Certificate, ...] = ()
    after: tuple[str, ...] = ()
    units_before: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    metrics: Metrics | None = None
    health: Callable[[Cluster], Health] | None = None
    reset: str = ""
    is_optional: bool = False
    companions: tuple[str, ...] = ()
    network: NetworkKind | None = None

    @property
    def port_numbers(self) -> tuple[int, ...]:
        """Return every port that the program has, that of its metrics included."""
        numbers = [one.number for one in self.ports]
        numbers += [self.metrics.port] if self.metrics else []
        return tuple(dict.fromkeys(numbers))

    def argv(self, cluster: Cluster) -> tuple[str, ...]:
        """Return the command line."""
        if self.command is not None:
            return self.command(cluster)
        settings = str(layout.settings_file(self.name))
        return (cluster.python, "-m", self.name, "--settings", settings)


class Site(NamedTuple):
    """What settings are made of: the cluster, the programs of this node, and all that there are."""

    cluster: Cluster
    here: tuple[Program, ...]
    known: tuple[Program, ...]


def client_for(program: str, cluster: Cluster) -> ClientSettings:
    """Return how a program reaches the API server, with the certificate of its name."""
    own = pair(program)
    return ClientSettings(
        servers=cluster.servers,
        ca=str(layout.CLUSTER_CA.cert),
        cert=str(own.cert),
        key=str(own.key),
    )
