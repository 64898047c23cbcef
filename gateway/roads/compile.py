"""Roads and services to the gateway's model. Pure.

A route whose service is missing is there all the same, and answers 503 until the service is: a path
that fell through to a shorter one would lead requests to a service that they are not for.
"""

import hashlib
from collections.abc import Iterable, Mapping
from itertools import groupby

from cubernetes.api.core.service import Service
from cubernetes.api.cubernetes.routepolicy import RoutePolicy
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.meta import Ref
from cubernetes.api.roads import HostTLS, Road, Roads
from gateway.roads.model import Choice, Host, Model, Policy, Route, SecretRef
from gateway.roads.policies import Policies, key_of
from gateway.roads.upstreams import Upstreams, Wanted

# The file of the gateway's own certificate, which no digest is called.
SELF_MADE = "self-made"
UNREAD = "it is not read, as too many are named; what the gateway has of it serves"


def secrets_of(roads: Roads) -> frozenset[SecretRef]:
    """Return the Secrets whose certificates are to be served."""
    told = roads.tls.values()
    return frozenset(SecretRef(one.namespace, one.secret) for one in told if one.secret)


def model_for(
    roads: Roads,
    services: Iterable[Service],
    pairs: Mapping[SecretRef, bytes | str | None] | None = None,
    policies: Iterable[RoutePolicy] = (),
    slices: Iterable[EndpointSlice] = (),
) -> Model:
    """Return what a gateway serves; the order of the arguments does not matter.

    pairs: a certificate and its key in PEM, or why there is none, by Secret; None for one that is
        not read, and those that are not known yet are not in it.
    """
    problems = {owner: list(whys) for owner, whys in roads.refused.items()}
    upstreams = Upstreams(services, slices)
    chooser = Policies(policies, roads.roads)
    hosts = []
    for name, group in groupby(roads.roads, key=lambda one: one.place.host):
        tls = roads.tls.get(name)
        routes = [
            _route(road, chooser.policy_for(road), upstreams, problems, has_tls=tls is not None)
            for road in group
        ]
        hosts.append(Host(name, tuple(routes), _file_of(tls)))
    for owner, why in chooser.unused:
        problems.setdefault(owner, []).append(why)
    return Model(
        tuple(hosts),
        upstreams.found,
        _certificates(roads, pairs or {}, problems),
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
    roads: Roads, pairs: Mapping[SecretRef, bytes | str | None], problems: dict[Ref, list[str]]
) -> Mapping[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    for host, tls in roads.tls.items():
        ref = SecretRef(tls.namespace, tls.secret)
        pair = pairs.get(ref) if tls.secret else None
        told = f"TLS of {host or 'every host'}: secret {tls.secret}:"
        if isinstance(pair, str):
            why = f"{told} {pair}; the self-made certificate serves"
            problems.setdefault(tls.owner, []).append(why)
            found[_file_of(tls)] = None
        elif pair is not None:
            found[_file_of(tls)] = pair
        elif ref in pairs:
            # What is on the disk may be good, and stays.
            problems.setdefault(tls.owner, []).append(f"{told} {UNREAD}")
    return found


def _route(
    road: Road,
    given: RoutePolicy | None,
    upstreams: Upstreams,
    problems: dict[Ref, list[str]],
    *,
    has_tls: bool,
) -> Route:
    label = f"{road.namespace}/{road.service}:{road.port}"
    policy = _policy(given, upstreams, problems) if given is not None else None
    if given is not None and not has_tls and _needs_tls(given, road):
        told = f"{road.place}: the host is not served by TLS"
        problems.setdefault(given.ref, []).append(told)
    wanted = Wanted(road.namespace, road.service, road.port)
    name, why = upstreams.name_of(wanted, given)
    if why:
        problems.setdefault(road.owner, []).append(f"{road.place}: {why}")
    return Route(road.place.path, road.place.is_exact, name, label, road.owner, policy)


def _needs_tls(given: RoutePolicy, road: Road) -> bool:
    """Tell whether a policy leads clients to a road's host by TLS."""
    redirect = given.spec.redirect
    is_led = redirect is not None and redirect.scheme == "https"
    is_here = redirect is not None and redirect.host in ("", road.place.host)
    return given.spec.tls is not None or (is_led and is_here)


def _policy(given: RoutePolicy, upstreams: Upstreams, problems: dict[Ref, list[str]]) -> Policy:
    namespace, choices, mirror = given.metadata.namespace, [], ""
    for index, backend in enumerate(given.spec.backends):
        wanted = Wanted(namespace, backend.service_name, backend.service_port)
        name, why = upstreams.name_of(wanted, given)
        if why:
            problems.setdefault(given.ref, []).append(f"backends[{index}]: {why}")
        if name:
            choices.append(Choice(backend, name))
    if given.spec.mirror is not None:
        wanted = Wanted(namespace, given.spec.mirror.service_name, given.spec.mirror.service_port)
        mirror, why = upstreams.name_of(wanted, None)
        if why:
            problems.setdefault(given.ref, []).append(f"mirror: {why}")
    return Policy(key_of(given), given.spec, given.ref, tuple(choices), mirror)
