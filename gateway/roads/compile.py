"""Roads and services to the gateway's model. Pure.

A route whose service is missing is there all the same, and answers 503 until the service is: a path
that fell through to a shorter one would lead requests to a service that they are not for.
"""

import hashlib
from collections.abc import Iterable, Mapping
from itertools import groupby

from cubernetes.api.core.node import is_address
from cubernetes.api.core.service import Service, ServicePort
from cubernetes.api.meta import Ref
from cubernetes.api.roads import HostTLS, Road, Roads
from gateway.roads.model import Host, Model, Route, SecretRef, Upstream

type ByKey = Mapping[tuple[str, str], Service]


# The file of the gateway's own certificate, which no digest is called.
SELF_MADE = "self-made"


def secrets_of(roads: Roads) -> frozenset[SecretRef]:
    """Return the Secrets whose certificates are to be served."""
    told = roads.tls.values()
    return frozenset(SecretRef(one.namespace, one.secret) for one in told if one.secret)


def model_for(
    roads: Roads, services: Iterable[Service], pairs: Mapping[SecretRef, bytes | str] | None = None
) -> Model:
    """Return what a gateway serves; the order of the arguments does not matter.

    pairs: a certificate and its key in PEM, or why there is none, by Secret; those that are not
        known yet are not in it.
    """
    by_key = {(one.metadata.namespace, one.metadata.name): one for one in services}
    problems = {owner: list(whys) for owner, whys in roads.refused.items()}
    upstreams: dict[str, Upstream] = {}
    hosts = []
    for name, group in groupby(roads.roads, key=lambda one: one.place.host):
        routes = [_route(road, by_key, upstreams, problems) for road in group]
        hosts.append(Host(name, tuple(routes), _file_of(roads.tls.get(name))))
    certificates = _certificates(roads, pairs or {}, problems)
    return Model(
        tuple(hosts),
        tuple(upstreams[name] for name in sorted(upstreams)),
        certificates,
        {owner: tuple(dict.fromkeys(problems[owner])) for owner in sorted(problems)},
    )


def _file_of(tls: HostTLS | None) -> str:
    """Return a name by a Secret's place, that no other has and any file system takes."""
    if tls is None:
        return ""
    if not tls.secret:
        return SELF_MADE
    return hashlib.sha256(f"{tls.namespace}/{tls.secret}".encode()).hexdigest()[:32]


def _certificates(
    roads: Roads, pairs: Mapping[SecretRef, bytes | str], problems: dict[Ref, list[str]]
) -> Mapping[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    for host, tls in roads.tls.items():
        pair = pairs.get(SecretRef(tls.namespace, tls.secret)) if tls.secret else None
        if isinstance(pair, str):
            told = f"TLS of {host or 'every host'}: secret {tls.secret}: {pair}"
            problems.setdefault(tls.owner, []).append(f"{told}; the self-made certificate serves")
            found[_file_of(tls)] = None
        elif pair is not None:
            found[_file_of(tls)] = pair
    return found


def _route(
    road: Road, services: ByKey, upstreams: dict[str, Upstream], problems: dict[Ref, list[str]]
) -> Route:
    label = f"{road.namespace}/{road.service}:{road.port}"
    found = upstream_of(road, services.get((road.namespace, road.service)))
    if isinstance(found, str):
        problems.setdefault(road.owner, []).append(f"{road.place}: {found}")
    else:
        upstreams[found.name] = found
    name = "" if isinstance(found, str) else found.name
    return Route(road.place.path, road.place.is_exact, name, label, road.owner)


def upstream_of(road: Road, service: Service | None) -> Upstream | str:
    """Return where a road leads, or why it leads nowhere now."""
    if service is None or service.metadata.is_deleted:
        return f"there is no service {road.service}"
    port = _port(road.port, service)
    if port is None:
        return f"service {road.service} has no port {road.port}"
    if port.protocol != "TCP":
        return f"port {road.port} of service {road.service} is {port.protocol}, no TCP"
    address = service.spec.cluster_ip
    if not is_address(address):
        return f"service {road.service} has no cluster IP"
    # No part of the name has an underscore in it: two upstreams never have one name.
    name = f"{road.namespace}_{road.service}_{port.port}"
    return Upstream(name, address, port.port)


def _port(wanted: int | str, service: Service) -> ServicePort | None:
    for port in service.spec.ports:
        if wanted in (port.port, port.name or None):
            return port
    return None
