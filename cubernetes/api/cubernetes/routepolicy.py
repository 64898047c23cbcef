"""RoutePolicy: how requests of some roads are led: limits, redirects, canaries, balancing."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from cubernetes.api import names
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Model, Object, PortNumber, age_of, shown, wire
from cubernetes.api.networking.urls import host_problem, path_problem
from cubernetes.api.resource import Resource

BACKENDS_MAX = 8
ATTEMPTS_MAX = 5
BODY_BYTES_MAX = 10 << 30
# A body that is copied is held whole.
MIRRORED_BODY_BYTES_MAX = 16 << 20
type Span = Annotated[int, msgspec.Meta(ge=1, le=3600)]
type Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]
type Rate = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
# nginx counts them in 16 bits.
type Connections = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
# What stands in a configuration beside other words: nothing that could mean anything there.
_VALUE = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
VALUE_RULE = "must be 1 to 64 letters, digits, '.', '_' and '-'"
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}\Z")
HEADER_RULE = "must be a letter, then at most 63 letters, digits and '-'"
_COOKIE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}\Z")
COOKIE_RULE = "must be a letter, then at most 63 letters, digits and '_'"
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._~/-]*\Z")
PLAIN_PATH_RULE = "must be a path of letters, digits and '.', '_', '~', '-', '/' alone"


class PolicyTarget(Model):
    """Whose roads it is for; the narrower of two policies goes first, then the older.

    kind: Ingress or Dns, for their roads; Service, for every road that leads to it.
    name: the object, in the namespace of the policy.
    host: only roads of this host.
    path: only the road of this path, as the object writes it.
    """

    kind: Literal["Ingress", "Dns", "Service"]
    name: str
    host: str = ""
    path: str = ""


class PolicyMatch(Model):
    """A header or a cookie, and its value; letters match in either case.

    name: what it is called.
    value: what it must be.
    """

    name: str
    value: str


class PolicyBackend(Model):
    """Another service of the namespace for a part of the requests.

    service_name: the service.
    service_port: which of its ports, by number or name.
    weight: percent of the requests; 0 is none but those of header and cookie.
    header: requests with this header go here.
    cookie: requests with this cookie go here.
    """

    service_name: str
    service_port: PortNumber | str
    weight: Percent = 0
    header: PolicyMatch | None = None
    cookie: PolicyMatch | None = None


class PolicyMirror(Model):
    """A service of the namespace that is sent a copy; its answers are dropped, after 1 s at most.

    service_name: the service.
    service_port: which of its ports, by number or name.
    """

    service_name: str
    service_port: PortNumber | str


class PolicyRedirect(Model):
    """Where clients are sent instead; what is left out stays as it was asked for.

    A request that asks for that very place already goes to the service.

    scheme: http or https.
    host: another host.
    path: another path, with no query.
    code: 301 and 308 are for ever, 302 and 307 for now; 307 and 308 keep the method.
    """

    scheme: Literal["", "http", "https"] = ""
    host: str = ""
    path: str = ""
    code: Literal[301, 302, 307, 308] = 302


class PolicyFallback(Model):
    """A service of the namespace that has the requests while the road's has no ready endpoint.

    service_name: the service.
    service_port: which of its ports, by number or name.
    """

    service_name: str
    service_port: PortNumber | str


class PolicyTimeouts(Model):
    """How long the gateway waits for the service, in seconds.

    connect_s: for a connection.
    read_s: between two reads of an answer.
    send_s: between two writes of a request.
    """

    connect_s: Span = wire("connectSeconds", 5)
    read_s: Span = wire("readSeconds", 60)
    send_s: Span = wire("sendSeconds", 60)


class PolicyLimits(Model):
    """What one client's address may do; beyond it is 429, and 413 for a body.

    requests_per_second: how many requests on average.
    burst: how many more at once.
    connections: how many requests at the same time.
    body_bytes: how long a request's body may be; 1 MiB where no policy says, 16 MiB with a mirror.
    """

    requests_per_second: Rate | None = None
    burst: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    connections: Connections | None = None
    body_bytes: Annotated[int, msgspec.Meta(ge=1, le=BODY_BYTES_MAX)] | None = None


class PolicyHash(Model):
    """By what a request chooses its endpoint, the same each time.

    by: source is the client's address; header and cookie are those of `name`.
    name: the header's or the cookie's name.
    """

    by: Literal["source", "header", "cookie"] = "source"
    name: str = ""


class PolicyPassive(Model):
    """When an endpoint that fails requests is left out for a while, though it says it is ready.

    failures: so many attempts that failed within the window leave it out.
    window_s: the window, and for how long it is left out, in seconds.
    """

    failures: Annotated[int, msgspec.Meta(ge=1, le=1000)] = shown(1)
    window_s: Span = wire("windowSeconds", 10)


class PolicyBalancing(Model):
    """How the gateway chooses among the service's endpoints, without its cluster IP.

    algorithm: RoundRobin; LeastConnections; RandomTwo takes the less busy of two; Hash.
    hash: by what, with Hash; the client's address where it is left out.
    session_cookie: a cookie of this name leads a client to the endpoint that it had first.
    attempts: endpoints that a request of an idempotent method is tried at, one after the other.
    passive: endpoints that fail are left out for a while; without it readiness alone decides.
    """

    algorithm: Literal["RoundRobin", "LeastConnections", "RandomTwo", "Hash"] = shown("RoundRobin")
    hash: PolicyHash | None = None
    session_cookie: str = ""
    attempts: Annotated[int, msgspec.Meta(ge=1, le=ATTEMPTS_MAX)] = 3
    passive: PolicyPassive | None = None


class PolicyClientCertificates(Model):
    """Whether clients show a certificate of an authority, as TLS has it.

    secret_name: a Secret of the namespace; its `ca.crt` has the authorities, in PEM.
    mode: Require refuses requests without one (403); Optional lets the service decide, by the
        header X-SSL-Client-Verify. Both refuse a certificate of another authority (400).
    """

    secret_name: str
    mode: Literal["Require", "Optional"] = shown("Require")


class PolicyTLS(Model):
    """What goes for hosts that are served by TLS.

    redirect: requests without TLS are sent to the same place with it (308).
    hsts_s: for how many seconds browsers ask for nothing without TLS; 0 says nothing. What the
        service says of it goes first.
    min_version: the oldest version that clients may speak, the strictest of a host's policies;
        TLSv1.2 where none says.
    client_certificates: whether clients show a certificate.
    """

    redirect: bool = False
    hsts_s: Annotated[int, msgspec.Meta(ge=0, le=63_072_000)] = wire("hstsSeconds", 0)
    min_version: Literal["", "TLSv1.2", "TLSv1.3"] = ""
    client_certificates: PolicyClientCertificates | None = None


class RoutePolicySpec(Model):
    """How requests of some roads are led. What is left out stays as it is without a policy.

    target: whose roads.
    backends: other services for a part of the requests; the rest goes where the road leads.
    mirror: a service that is sent copies.
    redirect: clients are sent elsewhere.
    rewrite_prefix: what stands in the path that the service is asked for, instead of the road's.
    timeouts: how long the gateway waits.
    limits: what one client may do.
    balancing: how an endpoint is chosen.
    tls: what goes for hosts with TLS.
    backend_protocol: what the services speak. HTTPS and GRPCS are TLS, with any certificate.
    fallback: a service for requests while the road's has no ready endpoint.
    """

    target: PolicyTarget
    backends: Annotated[tuple[PolicyBackend, ...], msgspec.Meta(max_length=BACKENDS_MAX)] = ()
    mirror: PolicyMirror | None = None
    redirect: PolicyRedirect | None = None
    rewrite_prefix: str = ""
    timeouts: PolicyTimeouts | None = None
    limits: PolicyLimits | None = None
    balancing: PolicyBalancing | None = None
    tls: PolicyTLS | None = None
    backend_protocol: Literal["HTTP", "HTTPS", "GRPC", "GRPCS"] = shown("HTTP")
    fallback: PolicyFallback | None = None


def _target(one: "RoutePolicy", _: object) -> str:
    target = one.spec.target
    place = f" {target.host}{target.path}" if target.host or target.path else ""
    return f"{target.kind.lower()}/{target.name}{place}"


def _says(one: "RoutePolicy", _: object) -> str:
    spec = one.spec
    said = {
        "backends": spec.backends,
        "mirror": spec.mirror,
        "redirect": spec.redirect,
        "rewrite": spec.rewrite_prefix,
        "timeouts": spec.timeouts,
        "limits": spec.limits,
        "balancing": spec.balancing,
        "tls": spec.tls,
        spec.backend_protocol.lower(): spec.backend_protocol != "HTTP",
        "fallback": spec.fallback,
    }
    return ",".join(name for name, value in said.items() if value) or "<none>"


class RoutePolicy(Object):
    resource = Resource("cubernetes.io", "v1", "RoutePolicy", "routepolicies", ("rp",))
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Target", _target),
        Column("Says", _says),
        Column("Age", age_of),
    )

    api_version: str = shown("cubernetes.io/v1")
    kind: str = shown("RoutePolicy")
    spec: RoutePolicySpec

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        spec = self.spec
        yield from _target_problems(spec.target)
        for index, one in enumerate(spec.backends):
            yield from _backend_problems(one, f"spec.backends[{index}]")
        if sum(one.weight for one in spec.backends) > 100:
            yield Problem("spec.backends", "weights are percent: at most 100 in all")
        if spec.mirror is not None:
            yield from _service_problems(spec.mirror, "spec.mirror")
            if spec.backend_protocol.startswith("GRPC"):
                yield Problem("spec.mirror", "must be left out with gRPC, whose calls are streams")
        if spec.fallback is not None:
            yield from _service_problems(spec.fallback, "spec.fallback")
        yield from _redirect_problems(spec)
        if spec.rewrite_prefix:
            yield from _path_problems(spec.rewrite_prefix, "spec.rewritePrefix")
        yield from _balancing_problems(spec.balancing)
        yield from _limits_problems(spec)
        yield from _tls_problems(spec)


def _backend_problems(one: PolicyBackend, where: str) -> Iterator[Problem]:
    yield from _service_problems(one, where)
    for name, match in (("header", one.header), ("cookie", one.cookie)):
        if match is not None:
            yield from _name_problems(name, match.name, f"{where}.{name}.name")
            if _VALUE.match(match.value) is None:
                yield Problem(f"{where}.{name}.value", VALUE_RULE)


def _limits_problems(spec: RoutePolicySpec) -> Iterator[Problem]:
    if (limits := spec.limits) is None:
        return
    if limits.burst and not limits.requests_per_second:
        yield Problem("spec.limits.burst", "has a meaning with requestsPerSecond alone")
    if spec.mirror is not None and (limits.body_bytes or 0) > MIRRORED_BODY_BYTES_MAX:
        told = f"must be at most {MIRRORED_BODY_BYTES_MAX} with a mirror, whose copy is held whole"
        yield Problem("spec.limits.bodyBytes", told)


def _tls_problems(spec: RoutePolicySpec) -> Iterator[Problem]:
    if (tls := spec.tls) is None:
        return
    if tls.min_version and spec.target.path:
        told = "is agreed on before a path is asked for: spec.target.path must be empty"
        yield Problem("spec.tls.minVersion", told)
    shown_by = tls.client_certificates
    if shown_by is not None and not names.is_subdomain(shown_by.secret_name):
        yield Problem("spec.tls.clientCertificates.secretName", names.SUBDOMAIN_RULE)


def _target_problems(target: PolicyTarget) -> Iterator[Problem]:
    rule = names.LABEL_RULE if target.kind == "Service" else names.SUBDOMAIN_RULE
    fits = names.is_label if target.kind == "Service" else names.is_subdomain
    if not fits(target.name):
        yield Problem("spec.target.name", rule)
    if target.host and (why := host_problem(target.host, may_be_wildcard=True)):
        yield Problem("spec.target.host", why)
    if target.path and (why := path_problem(target.path)):
        yield Problem("spec.target.path", why)


def _service_problems(
    one: PolicyBackend | PolicyMirror | PolicyFallback, where: str
) -> Iterator[Problem]:
    if not names.is_label(one.service_name):
        yield Problem(f"{where}.serviceName", names.LABEL_RULE)
    if isinstance(one.service_port, str) and not names.is_label(one.service_port):
        rule = "must be a number from 1 to 65535 or the name of a port of the service"
        yield Problem(f"{where}.servicePort", rule)


def _redirect_problems(spec: RoutePolicySpec) -> Iterator[Problem]:
    redirect, target, tls = spec.redirect, spec.target, spec.tls
    if redirect is None:
        return
    if redirect.host and (why := host_problem(redirect.host, may_be_wildcard=False)):
        yield Problem("spec.redirect.host", why)
    if redirect.path:
        yield from _path_problems(redirect.path, "spec.redirect.path")
    if not (redirect.scheme or redirect.host or redirect.path):
        told = "needs one of scheme, host and path: else it leads back to itself"
        yield Problem("spec.redirect", told, "FieldValueRequired")
        return
    is_same_host = redirect.host in ("", target.host)
    if not redirect.scheme and is_same_host and redirect.path in ("", target.path):
        yield Problem("spec.redirect", "leads to its target, and so back to itself")
    is_kept = tls is not None and (tls.redirect or tls.hsts_s > 0)
    if redirect.scheme == "http" and is_same_host and is_kept:
        yield Problem(
            "spec.redirect.scheme", "must not be http where spec.tls keeps clients at https"
        )


def _path_problems(path: str, where: str) -> Iterator[Problem]:
    if why := path_problem(path):
        yield Problem(where, why)
    elif _PLAIN_PATH.match(path) is None:
        yield Problem(where, PLAIN_PATH_RULE)


def _balancing_problems(balancing: PolicyBalancing | None) -> Iterator[Problem]:
    if balancing is None:
        return
    chosen = balancing.hash
    if chosen is not None and balancing.algorithm != "Hash":
        yield Problem("spec.balancing.hash", "has a meaning with the algorithm Hash alone")
    if chosen is not None and (chosen.by == "source") == bool(chosen.name):
        yield Problem("spec.balancing.hash.name", "goes with header and cookie, and only there")
    elif chosen is not None and chosen.name:
        yield from _name_problems(chosen.by, chosen.name, "spec.balancing.hash.name")
    if balancing.session_cookie:
        where = "spec.balancing.sessionCookie"
        yield from _name_problems("cookie", balancing.session_cookie, where)


def _name_problems(what: str, name: str, where: str) -> Iterator[Problem]:
    form, rule = (_HEADER, HEADER_RULE) if what == "header" else (_COOKIE, COOKIE_RULE)
    if form.match(name) is None:
        yield Problem(where, rule)
