"""What RoutePolicies say, as nginx's directives: at the top, and in a road's location. Pure.

Every name that stands bare is a key of ours; every text from outside is a token made by `quoted`.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from cubernetes.api.cubernetes.routepolicy import (
    PolicyBalancing,
    PolicyMatch,
    PolicyRedirect,
    PolicyTimeouts,
    RoutePolicySpec,
)
from gateway.nginx.quoting import quoted
from gateway.roads.model import Choice, Host, Policy, Route

HTTPS_PORT = 443
NOWHERE = "return 503;"
GRPC = ("grpc", "grpcs")
# Bodies up to here are read whole before the service is asked, so that another endpoint may be.
# Longer ones are passed on as they come: what nginx holds of them is in memory.
HELD_BODY_BYTES_MAX = 1 << 20
# A client's connection takes its next request once the copy of the one before has ended.
MIRROR_S = 1
# Shared by all workers: the state of a limit by client, and what they know of an upstream.
LIMIT_ZONE = "1m"
# An upstream's zone: a server takes about 0.9 KiB of it.
UPSTREAM_KIB, SERVER_KIB = 256, 2


def shared_lines(policy: Policy) -> Iterator[str]:
    """Yield what stands at the top for a policy, once for all its roads."""
    limits, tls, key = policy.spec.limits, policy.spec.tls, policy.key
    if limits is not None and limits.requests_per_second:
        zone = f"zone=cube_rate_{key}:{LIMIT_ZONE} rate={limits.requests_per_second}r/s"
        yield f"limit_req_zone $binary_remote_addr {zone};"
    if limits is not None and limits.connections:
        yield f"limit_conn_zone $binary_remote_addr zone=cube_connections_{key}:{LIMIT_ZONE};"
    if policy.spec.redirect is not None:
        source, target = _redirect_place(policy.spec.redirect)
        # An expression: other values are compared without regard to case.
        yield f'map "{source}" $cube_moved_{key} {{ default 1; {quoted(target)} ""; }}'
    if tls is not None and tls.hsts_s:
        # Where the service says something of its own, that alone is said.
        said = '"$https$upstream_http_strict_transport_security"'
        yield f'map {said} $cube_hsts_{key} {{ default ""; on "max-age={tls.hsts_s}"; }}'
    if parts := _weighted(policy):
        yield f'split_clients "$request_id" $cube_part_{key} {{'
        for one in parts:
            yield f"  {one.backend.weight}% {quoted(one.upstream)};"
        yield '  * "";'
        yield "}"


def chosen_lines(route: Route, policy: Policy) -> Iterator[str]:
    """Yield the variables by which a road's requests go to one of several upstreams.

    Each has the answer of the one before where it has none of its own: a cookie goes before a
    header, both before weights, and what is left goes where the road leads, which may be nowhere.
    """
    before, part = quoted(route.upstream), f"$cube_part_{policy.key}"
    for step in _steps(policy):
        name = _variable(route, policy, step.name)
        if step.match is None:
            yield f'map {part} {name} {{ default {part}; "" {before}; }}'
        else:
            source = _source(step.kind, step.match.name)
            # Behind a sign: no value is one of map's own words.
            wanted, upstream = quoted(f"={step.match.value}"), quoted(step.upstream)
            yield f'map "={source}" {name} {{ default {before}; {wanted} {upstream}; }}'
        before = name


def target_line(route: Route) -> str:
    """Return where a road's requests go: an upstream, one of several, or nowhere, which is 503."""
    upstream = _chosen(route) or route.upstream
    scheme = route.policy.spec.backend_protocol.lower() if route.policy is not None else "http"
    way = "grpc" if scheme in GRPC else "proxy"
    return f"{way}_pass {quoted(f'{scheme}://{upstream}')};" if upstream else NOWHERE


def location_lines(route: Route, policy: Policy, host: Host, https_port: int) -> Iterator[str]:
    """Yield what a road's location says before it leads anywhere."""
    spec = policy.spec
    if spec.tls is not None and spec.tls.redirect and host.certificate:
        port = "" if https_port == HTTPS_PORT else f":{https_port}"
        target = quoted(f"https://$host{port}$request_uri")
        yield f"if ($scheme = http) {{ return 308 {target}; }}"
    if spec.tls is not None and spec.tls.hsts_s:
        yield f"add_header Strict-Transport-Security $cube_hsts_{policy.key} always;"
    yield from _client_lines(policy, host)
    if spec.redirect is not None:
        told = f"return {spec.redirect.code} {_redirected(spec.redirect, https_port)};"
        yield f"if ($cube_moved_{policy.key}) {{ {told} }}"
    yield from _limits(spec, policy.key)
    way = "grpc" if spec.backend_protocol.lower() in GRPC else "proxy"
    yield from _timeouts(spec, way)
    if spec.balancing is not None:
        yield f"{way}_next_upstream_tries {spec.balancing.attempts};"
    if policy.mirror:
        yield f"mirror {quoted(mirror_path(policy))};"
    # Before the path's exchange, which ends what nginx decides here.
    if (chosen := _chosen(route)) and not route.upstream:
        yield f'if ({chosen} = "") {{ {NOWHERE} }}'
    if spec.rewrite_prefix:
        yield from _rewritten(route, spec.rewrite_prefix)


def mirror_lines(policy: Policy) -> Iterator[str]:
    """Yield the location that sends the copies; no client reaches it."""
    scheme = policy.spec.backend_protocol.lower()
    yield f"location = {quoted(mirror_path(policy))} {{"
    yield "  internal;"
    # The road's own location has looked at the body.
    yield "  client_max_body_size 0;"
    for step in ("connect", "send", "read"):
        yield f"  proxy_{step}_timeout {MIRROR_S}s;"
    yield "  proxy_next_upstream off;"
    yield f"  proxy_pass {quoted(f'{scheme}://{policy.mirror}$request_uri')};"
    yield "}"


def mirror_path(policy: Policy) -> str:
    return f"/cube mirror {policy.key}"


def balancing_lines(balancing: PolicyBalancing, name: str, server_count: int) -> Iterator[str]:
    """Yield what an upstream says beside its servers: the method first, as nginx wants it."""
    yield f"zone {quoted(name)} {UPSTREAM_KIB + SERVER_KIB * server_count}k;"
    match balancing.algorithm:
        case "LeastConnections":
            yield "least_conn;"
        case "RandomTwo":
            yield "random two least_conn;"
        case "Hash":
            chosen = balancing.hash
            by = "source" if chosen is None else chosen.by
            name = "" if chosen is None else chosen.name
            yield f"hash {quoted(_source(by, name))} consistent;"
    if balancing.session_cookie:
        yield f"sticky cookie {quoted(balancing.session_cookie)} path=/ httponly;"


def passive_words(balancing: PolicyBalancing) -> str:
    """Return when a server is left out: never, but where a policy says so."""
    if (passive := balancing.passive) is None:
        return " max_fails=0"
    return f" max_fails={passive.failures} fail_timeout={passive.window_s}s"


def _client_lines(policy: Policy, host: Host) -> Iterator[str]:
    """Yield what refuses clients without a certificate; where none can be shown, everybody."""
    tls = policy.spec.tls
    if tls is None or tls.client_certificates is None or tls.client_certificates.mode != "Require":
        return
    if host.client_ca and policy.client_ca == host.client_ca:
        yield "if ($ssl_client_verify != SUCCESS) { return 403; }"
    else:
        yield "return 403;"


def _timeouts(spec: RoutePolicySpec, way: str) -> Iterator[str]:
    if spec.timeouts is not None:
        yield f"{way}_connect_timeout {spec.timeouts.connect_s}s;"
        yield f"{way}_read_timeout {spec.timeouts.read_s}s;"
        yield f"{way}_send_timeout {spec.timeouts.send_s}s;"
    if way == "grpc":
        # A client may be silent in its half of a stream for as long as the service in its own.
        read_s = spec.timeouts.read_s if spec.timeouts is not None else PolicyTimeouts().read_s
        yield f"client_body_timeout {read_s}s;"


def _limits(spec: RoutePolicySpec, key: str) -> Iterator[str]:
    is_stream = spec.backend_protocol.lower() in GRPC
    if is_stream and (spec.limits is None or not spec.limits.body_bytes):
        # All messages of a call are one body.
        yield "client_max_body_size 0;"
    if (limits := spec.limits) is None:
        return
    if limits.requests_per_second:
        burst = f" burst={limits.burst} nodelay" if limits.burst else ""
        yield f"limit_req zone=cube_rate_{key}{burst};"
    if limits.connections:
        yield f"limit_conn cube_connections_{key} {limits.connections};"
    if limits.body_bytes:
        yield f"client_max_body_size {limits.body_bytes};"
        if limits.body_bytes > HELD_BODY_BYTES_MAX:
            yield "proxy_request_buffering off;"


def _redirected(redirect: PolicyRedirect, https_port: int) -> str:
    scheme, host = redirect.scheme or "$scheme", redirect.host or "$host"
    is_own = redirect.scheme == "https" and not redirect.host
    port = f":{https_port}" if is_own and https_port != HTTPS_PORT else ""
    return quoted(f"{scheme}://{host}{port}{redirect.path or '$request_uri'}")


def _redirect_place(redirect: PolicyRedirect) -> tuple[str, str]:
    """Return variables and an expression for them: they fit where a redirect leads already.

    A client that is there is led on, not sent there again.
    """
    parts = {"$scheme": redirect.scheme, "$host": redirect.host, "$uri": redirect.path}
    said = {name: value for name, value in parts.items() if value}
    return " ".join(said), f"~^{re.escape(' '.join(said.values()))}$"


def _rewritten(route: Route, prefix: str) -> Iterator[str]:
    """Yield the path's exchange; the rest of it stays, whatever is in it.

    An exact path has no rest: the service is asked for the prefix as it is written.
    """
    old, new = re.escape(route.path.rstrip("/")), prefix.rstrip("/")
    if route.is_exact:
        yield f"rewrite {quoted('^')} {quoted(prefix)} break;"
        return
    if route.path != "/":
        yield f"rewrite {quoted(f'^{old}$')} {quoted(new or '/')} break;"
    yield f"rewrite {quoted(f'(?s)^{old}/(.*)$')} {quoted(f'{new}/$1')} break;"


def _source(kind: str, name: str) -> str:
    match kind:
        case "header":
            return f"${{http_{name.lower().replace('-', '_')}}}"
        case "cookie":
            return f"${{cookie_{name}}}"
        case _:
            return "$remote_addr"


class _Step(NamedTuple):
    """A variable by which a request is led; the last one decides. match None: by weights."""

    name: str
    kind: str = ""
    match: PolicyMatch | None = None
    upstream: str = ""


def _steps(policy: Policy) -> Iterator[_Step]:
    if _weighted(policy):
        yield _Step("part")
    for kind in ("header", "cookie"):
        for index, one in enumerate(policy.choices):
            match = one.backend.header if kind == "header" else one.backend.cookie
            if match is not None:
                yield _Step(f"{kind}{index}", kind, match, one.upstream)


def _chosen(route: Route) -> str:
    """Return the variable that holds a road's upstream; empty where it has no choice."""
    if (policy := route.policy) is None:
        return ""
    steps = list(_steps(policy))
    return _variable(route, policy, steps[-1].name) if steps else ""


def _weighted(policy: Policy) -> list[Choice]:
    return [one for one in policy.choices if one.backend.weight]


def _variable(route: Route, policy: Policy, step: str) -> str:
    upstream = hashlib.sha256(route.upstream.encode()).hexdigest()[:16]
    return f"$cube_{step}_{policy.key}_{upstream}"
