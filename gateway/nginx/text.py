"""The gateway's model as nginx's configuration, each line with the object that it is for. Pure.

One server block a host. There are only exact and prefix locations, of which nginx takes the exact
one, then the longest: the order of Kubernetes' paths. The prefix `/a` is written as `= /a` and
`/a/`, so that `/ab` is not in it.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cubernetes.api.meta import Ref
from cubernetes.api.networking.urls import WILDCARD
from gateway.nginx.policies import (
    balancing_lines,
    chosen_lines,
    location_lines,
    mirror_lines,
    passive_words,
    shared_lines,
    target_line,
)
from gateway.nginx.quoting import literal, quoted
from gateway.roads.compile import SELF_MADE
from gateway.roads.model import Host, Model, Route, Upstream

INDENT = "  "
VERSIONS = ("TLSv1.2", "TLSv1.3")
CERTIFICATES = "/etc/cube-gateway/tls"
REQUEST_LOG = "/var/log/cube-gateway/requests.log"
# Gathered by a worker, and written together no later than after a second.
LOG_BUFFER = "buffer=64k flush=1s"
# Authorities between a client's certificate and one that is known.
CHAIN_MAX = 5


class Line(NamedTuple):
    """A line of the configuration. owner is the object that it is for, where it is for one."""

    text: str
    owner: Ref | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the configuration must know of the node."""

    http_port: int = 80
    https_port: int = 443
    status_port: int = 10253
    drain_s: int = 60
    log: str = REQUEST_LOG


class Configuration(NamedTuple):
    """A whole configuration. generation follows from everything else in it."""

    lines: tuple[Line, ...]
    generation: str

    @property
    def content(self) -> bytes:
        return "".join(f"{line.text}\n" for line in self.lines).encode()


_PLACE = re.compile(r"nginx\.conf:(\d+)")
# Where memory is laid out nginx names no line, but whose it is: `no memory in upstream zone "x"`.
_ZONE = re.compile(r'zone "([^"]+)"')
_ZONE_MADE = re.compile(r'^ *(?:zone "([^"]+)"|limit_\w+_zone .* zone=(\w+):)')

HEAD = """\
user www-data;
worker_processes auto;
error_log stderr warn;
pid /run/nginx.pid;
events {
  worker_connections 8192;
}"""
HTTP = """\
  default_type application/octet-stream;
  server_tokens off;
  server_names_hash_max_size 65536;
  server_names_hash_bucket_size 512;
  map_hash_max_size 65536;
  map_hash_bucket_size 512;
  client_max_body_size 1m;
  limit_req_status 429;
  limit_conn_status 429;
  client_header_timeout 30s;
  client_body_timeout 60s;
  keepalive_timeout 75s;
  keepalive_requests 10000;
  reset_timedout_connection on;
  proxy_http_version 1.1;
  proxy_connect_timeout 5s;
  proxy_read_timeout 60s;
  proxy_send_timeout 60s;
  proxy_next_upstream error timeout;
  proxy_next_upstream_tries 3;
  proxy_next_upstream_timeout 10s;
  proxy_max_temp_file_size 0;
  proxy_request_buffering on;
  proxy_ssl_server_name on;
  proxy_ssl_name $host;
  grpc_connect_timeout 5s;
  grpc_read_timeout 60s;
  grpc_send_timeout 60s;
  grpc_next_upstream error timeout;
  grpc_next_upstream_tries 3;
  grpc_next_upstream_timeout 10s;
  grpc_ssl_server_name on;
  grpc_ssl_name $host;
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_session_cache shared:cube_tls:10m;
  ssl_session_timeout 1d;
  ssl_session_tickets off;
  ssl_certificate_cache max=1000 inactive=60s valid=2s;
  geo $cube_dollar {
    default "$";
  }
  map "" $cube_tls {
    default "/etc/cube-gateway/tls";
  }
  map $http_upgrade $cube_connection {
    default upgrade;
    "" close;
  }
  map $http_host $cube_host {
    default $http_host;
    "" $host;
  }
  map $connection $cube_request {
    default "$hostname-$connection-$connection_requests-$msec";
  }
  proxy_set_header Upgrade $http_upgrade;
  proxy_set_header Connection $cube_connection;
  log_format cube escape=json '{"at":$msec,"host":"$cube_road_host","path":"$cube_road_path",'
    '"service":"$cube_road_service","method":"$request_method","status":$status,'
    '"bytes":$body_bytes_sent,"s":$request_time,"upstream":"$upstream_addr",'
    '"upstream_s":"$upstream_response_time","client":"$remote_addr","id":"$cube_request"}';"""


# What a service is told of a client, and no client may say of itself.
TOLD = (
    ("Host", "$cube_host"),
    ("X-Request-ID", "$cube_request"),
    ("X-Real-IP", "$remote_addr"),
    ("X-Forwarded-For", "$remote_addr"),
    ("X-Forwarded-Host", "$cube_host"),
    ("X-Forwarded-Port", "$server_port"),
    ("X-Forwarded-Proto", "$scheme"),
    ("X-SSL-Client-Verify", "$ssl_client_verify"),
    ("X-SSL-Client-Subject-DN", "$ssl_client_s_dn"),
    ("X-SSL-Client-Issuer-DN", "$ssl_client_i_dn"),
)


def configuration_for(model: Model, facts: Facts) -> Configuration:
    """Return the configuration of a model: the same model has the same text."""
    body = [
        *_lines(HEAD),
        Line(f"worker_shutdown_timeout {facts.drain_s}s;"),
        Line("http {"),
        *_http(model, facts),
    ]
    end = Line("}")
    unnamed = (*body, *_status(facts, ""), end)
    digest = hashlib.sha256("\n".join(line.text for line in unnamed).encode())
    generation = digest.hexdigest()[:16]
    return Configuration((*body, *_status(facts, generation), end), generation)


def guilty(configuration: Configuration, said: str) -> frozenset[Ref]:
    """Return the objects whose lines nginx's refusal names, by number or by zone."""
    numbers = [int(one) for one in _PLACE.findall(said)]
    lines = configuration.lines
    named = [lines[number - 1] for number in numbers if 0 < number <= len(lines)]
    if zones := set(_ZONE.findall(said)):
        named += [line for line in lines if _zone_in(line.text) in zones]
    return frozenset(line.owner for line in named if line.owner is not None)


def _zone_in(text: str) -> str:
    """Return the zone that a line makes; empty where it makes none."""
    found = _ZONE_MADE.search(text)
    return found[1] or found[2] if found is not None else ""


def _http(model: Model, facts: Facts) -> Iterator[Line]:
    yield from _lines(HTTP)
    for way in ("proxy", "grpc"):
        for name, value in TOLD:
            yield Line(f"  {way}_set_header {name} {value};")
    how = "" if facts.log == "off" else f" cube {LOG_BUFFER}"
    yield Line(f"  access_log {facts.log}{how};")
    for upstream in model.upstreams:
        yield from _upstream(upstream)
    yield from _shared(model)
    named = [host for host in model.hosts if host.name]
    rest = next((host for host in model.hosts if not host.name), Host("", ()))
    for host in (rest, *named):
        yield from _server(host, facts)
    yield from _without_tls(rest, named, facts)


def _upstream(one: Upstream) -> Iterator[Line]:
    yield Line(f"  upstream {quoted(one.name)} {{")
    if one.balancing is not None:
        for text in balancing_lines(one.balancing, one.name, len(one.servers)):
            yield Line(f"    {text}", one.owner)
    for server in one.servers:
        # Whether an endpoint serves its readiness says. nginx would leave one out for a while that
        # failed once, and answers 502 where it has left out all.
        passive = passive_words(one.balancing) if one.balancing is not None else ""
        drain = " drain" if server.is_drained else ""
        yield Line(f"    server {server.address}:{server.port}{passive}{drain};")
    # nginx else keeps a connection whose answer does not announce its end, whatever it asked for:
    # a request on one that the service closes meanwhile is lost.
    yield Line("    keepalive 0;")
    yield Line("  }")


def _shared(model: Model) -> Iterator[Line]:
    """Yield what policies need at the top: some of it once a policy, some for each upstream."""
    routes = [route for host in model.hosts for route in host.routes]
    policies = {one.policy.key: one.policy for one in routes if one.policy is not None}
    for key in sorted(policies):
        for text in shared_lines(policies[key]):
            yield Line(f"  {text}", policies[key].owner)
    chosen = {
        (one.policy.key, one.upstream): (one, one.policy)
        for one in routes
        if one.policy is not None
    }
    for place in sorted(chosen):
        route, policy = chosen[place]
        for text in chosen_lines(route, policy):
            yield Line(f"  {text}", policy.owner)


def _server(host: Host, facts: Facts) -> Iterator[Line]:
    owner = host.routes[0].owner if host.routes else None
    is_default = "" if host.name else " default_server"
    yield Line("  server {", owner)
    yield Line(f"    listen {facts.http_port}{is_default};", owner)
    if host.certificate:
        for text in _tls_lines(host.certificate, facts, is_default):
            yield Line(f"    {text}", owner)
        for text in _demands(host):
            yield Line(f"    {text}", owner)
    # Without TLS as well: gRPC is nothing else.
    yield Line("    http2 on;", owner)
    yield Line(f"    server_name {_server_name(host.name)};", owner)
    for text in _road_lines(literal(host.name)):
        yield Line(f"    {text}", owner)
    yield from _locations(host, facts)
    yield from _mirrors(host.routes)
    yield Line("  }", owner)


def _without_tls(rest: Host, named: Sequence[Host], facts: Facts) -> Iterator[Line]:
    """Yield the server that answers 404 to requests by TLS for hosts that are not served by it.

    Without it nginx leads them to the roads of every host: those of another host, or roads that
    are served without TLS alone.
    """
    plain = [host for host in named if not host.certificate]
    if rest.certificate and not plain:
        return
    yield Line("  server {")
    for text in _tls_lines(SELF_MADE, facts, "" if rest.certificate else " default_server"):
        yield Line(f"    {text}")
    yield Line("    http2 on;")
    if rest.certificate:
        for host in plain:
            yield Line(f"    server_name {_server_name(host.name)};", host.routes[0].owner)
    for text in _road_lines('""'):
        yield Line(f"    {text}")
    yield Line("    return 404;")
    yield Line("  }")


def _tls_lines(certificate: str, facts: Facts, is_default: str) -> Iterator[str]:
    yield f"listen {facts.https_port} ssl{is_default};"
    # A variable in its name: it is read at a handshake, so that a new one needs no reload.
    for directive in ("ssl_certificate", "ssl_certificate_key"):
        yield f"{directive} {quoted(f'$cube_tls/{certificate}.pem')};"


def _demands(host: Host) -> Iterator[str]:
    """Yield what a host asks of clients that speak TLS."""
    if host.min_version:
        yield f"ssl_protocols {' '.join(VERSIONS[VERSIONS.index(host.min_version) :])};"
    if host.client_ca:
        # nginx refuses what another authority signed; whether one must be shown a road says.
        yield "ssl_verify_client optional;"
        yield f"ssl_verify_depth {CHAIN_MAX};"
        yield f"ssl_client_certificate {quoted(f'{CERTIFICATES}/{host.client_ca}.pem')};"


def _road_lines(host: str) -> Iterator[str]:
    """Yield what the log says of a request that no road has taken yet."""
    yield f"set $cube_road_host {host};"
    yield 'set $cube_road_path "";'
    yield 'set $cube_road_service "";'


def _server_name(host: str) -> str:
    """Return the name of a server block; a wildcard is one label, and so it is no wildcard there.

    An empty name matches a request without a Host; the default server has all others.
    """
    if not host.startswith(WILDCARD):
        return quoted(host)
    return quoted(rf"~^[^.]+\.{re.escape(host.removeprefix(WILDCARD))}$")


def _mirrors(routes: Sequence[Route]) -> Iterator[Line]:
    found = {one.policy.key: one.policy for one in routes if one.policy and one.policy.mirror}
    for key in sorted(found):
        for text in mirror_lines(found[key]):
            yield Line(f"    {text}", found[key].owner)


def _locations(host: Host, facts: Facts) -> Iterator[Line]:
    routes = host.routes
    exact = {route.path for route in routes if route.is_exact}
    for route in routes:
        for path in _location_paths(route, exact):
            yield Line(f"    location {path} {{", route.owner)
            yield from _location(route, host, facts)
            yield Line("    }", route.owner)
    if not any(route.path == "/" and not route.is_exact for route in routes):
        yield Line('    location "/" {')
        yield Line("      return 404;")
        yield Line("    }")


def _location_paths(route: Route, exact: Iterable[str]) -> Iterator[str]:
    if route.is_exact:
        yield f"= {quoted(route.path)}"
    elif route.path == "/":
        yield quoted("/")
    else:
        if route.path not in exact:
            yield f"= {quoted(route.path)}"
        yield quoted(f"{route.path}/")


def _location(route: Route, host: Host, facts: Facts) -> Iterator[Line]:
    form = "=" if route.is_exact else ""
    yield Line(f"      set $cube_road_path {literal(form + route.path)};", route.owner)
    yield Line(f"      set $cube_road_service {literal(route.label)};", route.owner)
    if (policy := route.policy) is not None:
        for text in location_lines(route, policy, host, facts.https_port):
            yield Line(f"      {text}", policy.owner)
    yield Line(f"      {target_line(route)}", route.owner)


def _status(facts: Facts, generation: str) -> Iterator[Line]:
    """Yield a server on the loopback that tells which configuration its worker has."""
    return _lines(f"""\
  server {{
    listen 127.0.0.1:{facts.status_port};
    access_log off;
    keepalive_timeout 0;
    location = /generation {{
      return 200 "{generation}";
    }}
    location = /connections {{
      stub_status;
    }}
  }}""")


def _lines(text: str) -> Iterator[Line]:
    return (Line(one) for one in text.split("\n"))
