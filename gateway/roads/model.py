"""The gateway's model: hosts, their routes, and the upstreams that these lead to. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from cubernetes.api.cubernetes.routepolicy import PolicyBackend, PolicyBalancing, RoutePolicySpec
from cubernetes.api.meta import Ref


class SecretRef(NamedTuple):
    """A Secret by its place."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Server(NamedTuple):
    """Where requests are sent to. is_drained: sessions that have begun there alone."""

    address: str
    port: int
    is_drained: bool = False


class Upstream(NamedTuple):
    """A port of a service: its cluster IP, or its endpoints where a policy balances or one is out.

    name is unique, and safe in any configuration. owner is the policy, where it is for one.
    """

    name: str
    servers: tuple[Server, ...]
    balancing: PolicyBalancing | None = None
    owner: Ref | None = None


class Choice(NamedTuple):
    """An upstream for a part of a road's requests."""

    backend: PolicyBackend
    upstream: str


class Policy(NamedTuple):
    """What a RoutePolicy says of a road. key is unique, and safe in any configuration.

    mirror is the upstream that is sent copies; empty where there is none. client_ca: the file of
    the authorities of its clients' certificates; empty where it has none.
    """

    key: str
    spec: RoutePolicySpec
    owner: Ref
    choices: tuple[Choice, ...] = ()
    mirror: str = ""
    client_ca: str = ""


class Route(NamedTuple):
    """A path of a host. upstream is empty where its service is not there: 503.

    label is what metrics call its service: `namespace/name:port`.
    """

    path: str
    is_exact: bool
    upstream: str
    label: str
    owner: Ref
    policy: Policy | None = None


class Host(NamedTuple):
    """A host and its routes, in order. name is empty for every host that has none of its own.

    certificate: the file that is served by TLS; empty where the host is served without alone.
    client_ca: the file of the authorities whose certificates clients may show; empty: none is
        asked for.
    min_version: the oldest version of TLS, empty for that of all hosts.
    """

    name: str
    routes: tuple[Route, ...]
    certificate: str = ""
    client_ca: str = ""
    min_version: str = ""


@dataclass(frozen=True)
class Model:
    """What a gateway serves. problems: what it does not, by object, with the reasons.

    certificates: the pair in PEM of each file, None for the self-made one. A file whose Secret is
        not known yet is not among them: what is on the disk stays. Those of authorities are called
        by their content, so that other ones are another configuration.
    """

    hosts: tuple[Host, ...] = ()
    upstreams: tuple[Upstream, ...] = ()
    certificates: Mapping[str, bytes | None] = field(default_factory=dict, repr=False)
    problems: dict[Ref, tuple[str, ...]] = field(default_factory=dict)

    @property
    def files(self) -> frozenset[str]:
        """Return what the hosts' certificates and authorities are called."""
        hosts = self.hosts
        return frozenset({one.certificate for one in hosts} | {one.client_ca for one in hosts})
