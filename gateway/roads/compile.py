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


def authorities_of(policies: Iterable[RoutePolicy]) -> frozenset[SecretRef]:
    """Return the Secrets that hold authorities of clients' certificates."""
    return frozenset(ref for one in policies if (ref := _authority_of(one)) is not None)


def _authority_of(policy: RoutePolicy) -> SecretRef | None:
    tls = policy.spec.tls
    if tls is None or tls.client_certificates is None:
        return None
    return SecretRef(policy.metadata.namespace, tls.client_certificates.secret_name)


def model_for(
    roads: Roads,
    services: Iterable[Service],
    pairs: Mapping[SecretRef, bytes | str | None] | None = None,
    policies: Iterable[RoutePolicy] = (),
    slices: Iterable[EndpointSlice] = (),
    authorities: Mapping[SecretRef, bytes | str | None] | None = None,
) -> Model:
    """Return what a gateway serves; the order of the arguments does not matter.

    pairs: a certificate and its key in PEM, or why there is none, by Secret; None for one that is
        not read, and those that are not known yet are not in it.
    authorities: the same of authorities of clients' certificates.
    """
    problems = {owner: list(whys) for owner, whys in roads.refused.items()}
    upstreams = Upstreams(services, slices)
    known = Authorities(authorities or {})
    chooser = Policies(policies, roads.roads)
    hosts = []
    for name, group in groupby(roads.roads, key=lambda one: one.place.host):
        tls = roads.tls.get(name)
        routes = [
            _route(road, chooser.policy_for(road), upstreams, known, problems, has_tls=bool(tls))
            for road in group
        ]
        client_ca = known.of_host(name, routes, problems) if tls is not None else ""
        hosts.append(Host(name, tuple(routes), _file_of(tls), client_ca, _min_version(routes)))
    for owner, why in chooser.unused:
        problems.setdefault(owner, []).append(why)
    return Model(
        tuple(hosts),
        upstreams.found,
        {**_certificates(roads, pairs or {}, problems), **known.files},
        {owner: tuple(dict.fromkeys(problems[owner])) for owner in sorted(problems)},
    )


class Authorities:
    """Authorities of clients' certificates: a file each, called by its content."""

    def __init__(self, known: Mapping[SecretRef, bytes | str | None]) -> None:
        self._known = known
        self.files: dict[str, bytes] = {}

    def file_of(self, policy: RoutePolicy) -> tuple[str, str]:
        """Return the file of a policy's authorities; or an empty name, and why there is none."""
        if (ref := _authority_of(policy)) is None:
            return "", ""
        content = self._known.get(ref)
        if not isinstance(content, bytes):
            return "", f"client certificates: secret {ref.name}: {content or 'it is not read'}"
        name = hashlib.sha256(content).hexdigest()[:32]
        self.files[name] = content
        return name, ""

    def of_host(self, host: str, routes: Iterable[Route], problems: dict[Ref, list[str]]) -> str:
        """Return the file by which a host asks for certificates: TLS has one for all its roads."""
        found = ""
        for policy in (one.policy for one in routes if one.policy and one.policy.client_ca):
            found = found or policy.client_ca
            if policy.client_ca != found:
                told = f"{host}: has another authority by another policy; its roads answer 403"
                problems.setdefault(policy.owner, []).append(told)
        return found


def _min_version(routes: Iterable[Route]) -> str:
    """Return the strictest version that policies of a host's roads ask for."""
    found = (one.policy.spec.tls for one in routes if one.policy is not None)
    return max((tls.min_version for tls in found if tls is not None), default="")


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
    known: Authorities,
    problems: dict[Ref, list[str]],
    *,
    has_tls: bool,
) -> Route:
    label = f"{road.namespace}/{road.service}:{road.port}"
    policy = _policy(given, upstreams, known, problems) if given is not None else None
    if given is not None and not has_tls and _needs_tls(given, road):
        told = f"{road.place}: the host is not served by TLS"
        problems.setdefault(given.ref, []).append(told)
    wanted = Wanted(road.namespace, road.service, road.port)
    name, why = upstreams.name_of(wanted, given)
    if why:
        problems.setdefault(road.owner, []).append(f"{road.place}: {why}")
    if given is not None and given.spec.fallback is not None and not upstreams.is_served(wanted):
        spare = given.spec.fallback
        wanted = Wanted(road.namespace, spare.service_name, spare.service_port)
        name, why = upstreams.name_of(wanted, given)
        if why:
            problems.setdefault(given.ref, []).append(f"fallback: {why}")
    return Route(road.place.path, road.place.is_exact, name, label, road.owner, policy)


def _needs_tls(given: RoutePolicy, road: Road) -> bool:
    """Tell whether a policy leads clients to a road's host by TLS."""
    redirect = given.spec.redirect
    is_led = redirect is not None and redirect.scheme == "https"
    is_here = redirect is not None and redirect.host in ("", road.place.host)
    return given.spec.tls is not None or (is_led and is_here)


def _policy(
    given: RoutePolicy, upstreams: Upstreams, known: Authorities, problems: dict[Ref, list[str]]
) -> Policy:
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
    client_ca, why = known.file_of(given)
    if why:
        problems.setdefault(given.ref, []).append(why)
    return Policy(key_of(given), given.spec, given.ref, tuple(choices), mirror, client_ca)
