"""The gateway's model: hosts, their routes, and the upstreams that these lead to. Pure."""

from dataclasses import dataclass, field
from typing import NamedTuple

from cubernetes.api.meta import Ref


class Upstream(NamedTuple):
    """A port of a service, and its cluster IP. name is unique, and safe in any configuration."""

    name: str
    address: str
    port: int


class Route(NamedTuple):
    """A path of a host. upstream is empty where its service is not there: 503.

    label is what metrics call its service: `namespace/name:port`.
    """

    path: str
    is_exact: bool
    upstream: str
    label: str
    owner: Ref


class Host(NamedTuple):
    """A host and its routes, in order. name is empty for every host that has none of its own."""

    name: str
    routes: tuple[Route, ...]


@dataclass(frozen=True)
class Model:
    """What a gateway serves. problems: what it does not, by object, with the reasons."""

    hosts: tuple[Host, ...] = ()
    upstreams: tuple[Upstream, ...] = ()
    problems: dict[Ref, tuple[str, ...]] = field(default_factory=dict)
