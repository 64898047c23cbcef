"""Which host and path leads where, as Ingresses and Dnses say together; and who had it first. Pure.

Two objects that claim one path of one host are a conflict: the older object has it, the younger is
told. Order of arrival plays no part, so that every reader comes to the same roads.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from cubernetes.api.cubernetes.dns import Dns
from cubernetes.api.meta import Object, Ref
from cubernetes.api.networking.ingress import HTTPIngressPath, Ingress, IngressBackend, IngressTLS
from cubernetes.api.networking.ingressclass import GATEWAY, IngressClass
from cubernetes.api.networking.urls import WILDCARD, decoded, host_problem, path_problem

# How Ingresses named their class before there was a field for it.
CLASS_ANNOTATION = "kubernetes.io/ingress.class"
EVERY_HOST = ""
# Of a Service: the pods behind it that gateways lead nobody to, by name, with commas between them.
DRAINED = "gateway.cubernetes.io/drained"
# Of a gateway's Lease: the roads that were asked for most lately, and how often.
RATES = "gateway.cubernetes.io/rates"
_NEVER = datetime.max.replace(tzinfo=UTC)


class RoadKey(NamedTuple):
    """What a road is claimed by. path is decoded; a prefix has no slash at its end, except `/`.

    host is empty for every host that has no roads of its own.
    """

    host: str
    path: str
    is_exact: bool = False

    def __str__(self) -> str:
        form = "Exact" if self.is_exact else "Prefix"
        return f"{form} {self.path[:80]} of {self.host or 'every host'}"


class Road(NamedTuple):
    """A place, the port of a service that it leads to, and the object that says so."""

    place: RoadKey
    namespace: str
    service: str
    port: int | str
    owner: Ref


class HostTLS(NamedTuple):
    """That a host is served by TLS too, by which Secret, and the Ingress that says so.

    secret is empty where none is named.
    """

    namespace: str
    secret: str
    owner: Ref


class Claim(NamedTuple):
    """A road, or why there is none."""

    road: Road | None
    why: str = ""


@dataclass(frozen=True)
class Roads:
    """All roads, by place, in order; and what each object claims in vain, with the reasons.

    tls: the hosts that are served by TLS as well.
    """

    roads: tuple[Road, ...] = ()
    refused: Mapping[Ref, tuple[str, ...]] = field(default_factory=dict)
    tls: Mapping[str, HostTLS] = field(default_factory=dict)


def roads_of(
    ingresses: Iterable[Ingress], classes: Iterable[IngressClass], dnses: Iterable[Dns]
) -> Roads:
    """Return the roads of a cluster; the order of the arguments does not matter."""
    own = own_classes(classes)
    claimants: list[Ingress | Dns] = [one for one in ingresses if is_served(one, own)]
    claimants += [one for one in dnses if not one.metadata.is_deleted]
    held: dict[RoadKey, Road] = {}
    refused: dict[Ref, tuple[str, ...]] = {}
    for one in sorted(claimants, key=_age):
        claims = list(_ingress_claims(one) if isinstance(one, Ingress) else _dns_claims(one))
        whys = [why for claim in claims if (why := _taken(claim, held))]
        if whys:
            refused[one.ref] = tuple(whys)
    roads = tuple(held[place] for place in sorted(held))
    return Roads(roads, refused, _tls_of(roads, sorted(claimants, key=_age)))


def drained_of(annotations: Mapping[str, str]) -> frozenset[str]:
    """Return the pods of a Service that gateways lead nobody to."""
    return frozenset(annotations.get(DRAINED, "").split(",")) - {""}


def own_classes(classes: Iterable[IngressClass]) -> frozenset[str]:
    """Return the names of the classes that the gateway serves."""
    return frozenset(one.metadata.name for one in classes if one.spec.controller == GATEWAY)


def is_served(ingress: Ingress, own: frozenset[str]) -> bool:
    """Tell whether an Ingress is the gateway's: by its class, or for it has none."""
    meta = ingress.metadata
    name = ingress.spec.ingress_class_name or meta.annotations.get(CLASS_ANNOTATION, "")
    return not meta.is_deleted and (not name or name in own)


def _tls_of(roads: Iterable[Road], claimants: Iterable[Ingress | Dns]) -> Mapping[str, HostTLS]:
    """Return the certificate of each host: that of the oldest Ingress with a road there.

    An Ingress without a road at a host has no say in its certificate.
    """
    hosts: dict[Ref, dict[str, None]] = {}
    for road in roads:
        hosts.setdefault(road.owner, {})[road.place.host] = None
    found: dict[str, HostTLS] = {}
    for one in claimants:
        if not isinstance(one, Ingress) or not one.spec.tls:
            continue
        for host in hosts.get(one.ref, ()):
            entry = _tls_entry(one.spec.tls, host)
            if entry is not None:
                told = HostTLS(one.metadata.namespace, entry.secret_name, one.ref)
                found.setdefault(host, told)
    return {host: found[host] for host in sorted(found)}


def _tls_entry(entries: Iterable[IngressTLS], host: str) -> IngressTLS | None:
    """Return the entry for a host: one that names it, then a wildcard, then one for every host."""
    wildcard = f"{WILDCARD}{host.partition('.')[2]}"
    some = list(entries)
    for name in (host, wildcard):
        for one in some:
            if name in one.hosts:
                return one
    return next((one for one in some if not one.hosts), None)


def _age(one: Object) -> tuple[datetime, str, str, str]:
    meta = one.metadata
    return meta.creation_timestamp or _NEVER, meta.namespace, meta.name, one.kind


def _taken(claim: Claim, held: dict[RoadKey, Road]) -> str:
    """Give a claim its place, where it is free; return why not."""
    if claim.road is None:
        return claim.why
    road = claim.road
    holder = held.setdefault(road.place, road)
    if holder is road or holder == road:
        return ""
    return f"{road.place}: leads to {holder.service} of {holder.owner}, which is older"


def _ingress_claims(ingress: Ingress) -> Iterator[Claim]:
    """Yield the claims of the rules first: `defaultBackend` has what they leave."""
    spec = ingress.spec
    for rule in spec.rules:
        for one in rule.http.paths if rule.http is not None else ():
            yield _ingress_claim(ingress, rule.host, one)
    if spec.default_backend is None:
        return
    claimed = {
        rule.host
        for rule in spec.rules
        for one in (rule.http.paths if rule.http is not None else ())
        if one.path_type != "Exact" and one.path in ("", "/")
    }
    hosts = dict.fromkeys(rule.host for rule in spec.rules) or {EVERY_HOST: None}
    for host in hosts:
        if host not in claimed:
            yield _backend_claim(ingress, RoadKey(host, "/"), spec.default_backend)


def _ingress_claim(ingress: Ingress, host: str, one: HTTPIngressPath) -> Claim:
    path = one.path or "/"
    is_exact = one.path_type == "Exact"
    if why := _unfit(host, path, may_be_wildcard=True):
        return Claim(None, why)
    return _backend_claim(ingress, _place(host, path, is_exact=is_exact), one.backend)


def _backend_claim(ingress: Ingress, place: RoadKey, backend: IngressBackend) -> Claim:
    service = backend.service
    if service is None:
        return Claim(None, f"{place}: leads to no service, and nothing else is served")
    port = service.port.number or service.port.name
    namespace = ingress.metadata.namespace
    return Claim(Road(place, namespace, service.name, port, ingress.ref))


def _dns_claims(dns: Dns) -> Iterator[Claim]:
    host = dns.spec.host
    for one in dns.spec.paths:
        if why := _unfit(host, one.path, may_be_wildcard=False):
            yield Claim(None, why)
            continue
        place = _place(host, one.path, is_exact=one.path_type == "Exact")
        namespace = dns.metadata.namespace
        yield Claim(Road(place, namespace, one.service_name, one.service_port, dns.ref))


def _place(host: str, path: str, *, is_exact: bool) -> RoadKey:
    text = decoded(path)
    return RoadKey(host, text if is_exact else text.rstrip("/") or "/", is_exact)


def _unfit(host: str, path: str, *, may_be_wildcard: bool) -> str:
    """Return why a host or a path is not served: what an older version stored is looked at too."""
    if host and (why := host_problem(host, may_be_wildcard=may_be_wildcard)):
        return f"host {host[:80]!r} {why}"
    why = path_problem(path)
    return f"path {path[:80]!r} {why}" if why else ""
