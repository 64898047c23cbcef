"""RoutePolicies: what is refused at the door, whose roads they are for, and their lines."""

import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.coding import codec
from cubernetes.api.core.service import ServicePort
from cubernetes.api.cubernetes.routepolicy import RoutePolicy
from cubernetes.api.errors import BadRequest, Invalid
from cubernetes.api.meta import replaced
from cubernetes.api.roads import Roads, roads_of
from gateway.nginx.policies import location_lines
from gateway.nginx.text import Facts, configuration_for, guilty
from gateway.roads.compile import model_for
from gateway.roads.model import Host, Model, Server
from gateway.roads.policies import Policies, key_of
from gateway.roads.upstreams import servers_in
from tests.given import NOW, a_meta, a_service, a_slice, an_endpoint
from tests.unit.gateway.roadworld import a_dns, an_ingress

TARGET = {"kind": "Dns", "name": "d"}


def a_policy(
    name: str = "p",
    target: Mapping[str, Any] = TARGET,
    *,
    age_s: int = 60,
    namespace: str = "default",
    **spec: Any,
) -> RoutePolicy:
    """Return a policy; spec is written as on the wire."""
    tree = {
        "apiVersion": "cubernetes.io/v1",
        "kind": "RoutePolicy",
        "metadata": {"name": name},
        "spec": {"target": dict(target), **spec},
    }
    meta = a_meta(name, namespace, created_at=NOW - timedelta(seconds=age_s), generation=1)
    return replaced(codec.from_tree(RoutePolicy, tree).model, metadata=meta)


def a_backend(**more: Any) -> dict[str, Any]:
    return {"serviceName": "next", "servicePort": 80, **more}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"target": {"kind": "Service", "name": "A"}}, "spec.target.name"),
        ({"target": {**TARGET, "host": "a b"}}, "spec.target.host"),
        ({"target": {**TARGET, "path": "x"}}, "spec.target.path"),
        ({"backends": [a_backend(serviceName="A")]}, "spec.backends[0].serviceName"),
        ({"backends": [a_backend(servicePort="A b")]}, "spec.backends[0].servicePort"),
        ({"backends": [a_backend(weight=60), a_backend(weight=41)]}, "spec.backends"),
        (
            {"backends": [a_backend(header={"name": "a_b", "value": "x"})]},
            "spec.backends[0].header.name",
        ),
        (
            {"backends": [a_backend(cookie={"name": "a-b", "value": "x"})]},
            "spec.backends[0].cookie.name",
        ),
        (
            {"backends": [a_backend(cookie={"name": "a", "value": '";'})]},
            "spec.backends[0].cookie.value",
        ),
        ({"mirror": {"serviceName": "-", "servicePort": 80}}, "spec.mirror.serviceName"),
        ({"redirect": {}}, "spec.redirect"),
        ({"redirect": {"host": "*.a"}}, "spec.redirect.host"),
        ({"target": {**TARGET, "path": "/a"}, "redirect": {"path": "/a"}}, "spec.redirect"),
        ({"target": {**TARGET, "host": "a.b"}, "redirect": {"host": "a.b"}}, "spec.redirect"),
        (
            {"redirect": {"scheme": "http", "path": "/a"}, "tls": {"redirect": True}},
            "spec.redirect.scheme",
        ),
        ({"redirect": {"scheme": "http"}, "tls": {"hstsSeconds": 1}}, "spec.redirect.scheme"),
        ({"redirect": {"path": "/$host"}}, "spec.redirect.path"),
        ({"rewritePrefix": "/a$1"}, "spec.rewritePrefix"),
        ({"rewritePrefix": "x"}, "spec.rewritePrefix"),
        ({"limits": {"burst": 3}}, "spec.limits.burst"),
        (
            {
                "limits": {"bodyBytes": (16 << 20) + 1},
                "mirror": {"serviceName": "web", "servicePort": 80},
            },
            "spec.limits.bodyBytes",
        ),
        ({"balancing": {"hash": {"by": "source"}}}, "spec.balancing.hash"),
        (
            {"balancing": {"algorithm": "Hash", "hash": {"by": "header"}}},
            "spec.balancing.hash.name",
        ),
        (
            {"balancing": {"algorithm": "Hash", "hash": {"by": "cookie", "name": "a-b"}}},
            "spec.balancing.hash.name",
        ),
        ({"balancing": {"sessionCookie": "a;b"}}, "spec.balancing.sessionCookie"),
        ({"fallback": {"serviceName": "A", "servicePort": 80}}, "spec.fallback.serviceName"),
        (
            {"tls": {"clientCertificates": {"secretName": "a b"}}},
            "spec.tls.clientCertificates.secretName",
        ),
        (
            {"target": {**TARGET, "path": "/a"}, "tls": {"minVersion": "TLSv1.3"}},
            "spec.tls.minVersion",
        ),
        (
            {"backendProtocol": "GRPC", "mirror": {"serviceName": "web", "servicePort": 80}},
            "spec.mirror",
        ),
    ],
)
def test_what_is_wrong_is_told_at_its_field(spec: dict[str, Any], field: str) -> None:
    assert [one.field for one in a_policy(**{"target": TARGET, **spec}).problems()] == [field]


@pytest.mark.parametrize(
    "spec",
    [
        {"target": {**TARGET, "path": "/a"}, "redirect": {"path": "/a/"}},
        {"target": {**TARGET, "path": "/a"}, "redirect": {"path": "/a", "scheme": "https"}},
        {"target": {**TARGET, "host": "a.b"}, "redirect": {"host": "c.b"}},
        {"redirect": {"path": "/"}},
        {"redirect": {"scheme": "https"}, "tls": {"redirect": True, "hstsSeconds": 1}},
        {"redirect": {"scheme": "http", "host": "c.b"}, "tls": {"redirect": True}},
    ],
)
def test_a_redirect_that_leads_elsewhere_is_accepted(spec: dict[str, Any]) -> None:
    assert list(a_policy(**{"target": TARGET, **spec}).problems()) == []


@pytest.mark.parametrize(
    "spec",
    [
        {"nginx": "return 200;"},
        {"timeouts": {"readSeconds": 0}},
        {"limits": {"requestsPerSecond": 0}},
        {"redirect": {"path": "/", "code": 200}},
        {"redirect": {"path": "/", "code": 0}},
        {"tls": {"minVersion": "TLSv1.1"}},
        {"tls": {"clientCertificates": {}}},
        {"backendProtocol": "h2c"},
        {"balancing": {"passive": {"failures": 0}}},
        {"balancing": {"algorithm": "Fast"}},
        {"backends": [a_backend(weight=101)]},
    ],
)
def test_what_has_no_form_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises((Invalid, BadRequest)):
        a_policy(**spec)


def the_roads() -> Roads:
    dns = a_dns("d", "a.example", "/ web", "/x web", "/y cart")
    return roads_of([an_ingress("i", ("b.example", ("/ web",)))], [], [dns])


def test_the_narrowest_policy_goes_first_then_the_oldest() -> None:
    service = {"kind": "Service", "name": "web"}
    policies = [
        a_policy("old-service", service, age_s=99),
        a_policy("dns", TARGET, age_s=10),
        a_policy("a-young", TARGET, age_s=9),
        a_policy("host", {**service, "host": "b.example"}, age_s=1),
        a_policy("path", {**TARGET, "path": "/x/"}, age_s=1),
        a_policy("elsewhere", TARGET, namespace="other", age_s=99),
        a_policy("no-such-host", {**TARGET, "host": "c.example"}, age_s=99),
    ]
    roads = the_roads().roads
    chooser = Policies(policies, roads)
    found = {
        f"{road.place.host}{road.place.path}": one.metadata.name
        for road in roads
        if (one := chooser.policy_for(road)) is not None
    }

    assert found == {
        "a.example/": "dns",
        "a.example/x": "path",
        "a.example/y": "dns",
        "b.example/": "host",
    }
    unused = [ref.name for ref, _ in chooser.unused]
    assert unused == ["a-young", "no-such-host", "old-service", "elsewhere"]


def test_a_path_is_narrower_than_a_host_and_both_than_either() -> None:
    place = {"host": "a.example", "path": "/x"}
    both = a_policy("both", {**TARGET, **place}, age_s=1)
    path = a_policy("path", {**TARGET, "path": "/x"}, age_s=2)
    host = a_policy("host", {**TARGET, "host": "a.example"}, age_s=3)
    every = a_policy("every", TARGET, age_s=4)
    by_service = a_policy("service", {"kind": "Service", "name": "web", **place}, age_s=5)
    roads = the_roads().roads
    (road,) = (one for one in roads if one.place.path == "/x")

    order = [both, by_service, path, host, every]
    order.sort(key=lambda one: one.metadata.name)
    taken = []
    while order:
        chosen = Policies(order, roads).policy_for(road)
        assert chosen is not None
        order.remove(chosen)
        taken.append(chosen.metadata.name)
    assert taken == ["both", "service", "path", "host", "every"]


@pytest.mark.parametrize("has_tls", [True, False])
def test_clients_are_sent_to_tls_where_the_host_has_it_and_only_there(*, has_tls: bool) -> None:
    tls = (("tls", ("b.example",)),) if has_tls else ()
    ingress = an_ingress("i", ("b.example", ("/ web",)), tls=tls)
    policy = a_policy(target={"kind": "Ingress", "name": "i"}, tls={"redirect": True})
    services = [a_service("web", ports=(ServicePort(port=80),))]
    model = model_for(roads_of([ingress], [], []), services, {}, [policy])

    text = configuration_for(model, Facts()).content.decode()
    assert ("return 308" in text) == has_tls
    why = "Prefix / of b.example: the host is not served by TLS"
    assert model.problems == ({} if has_tls else {policy.ref: (why,)})


def test_choosing_policies_grows_by_their_number_and_not_by_its_square() -> None:
    """Each road decoded the path of each policy of its object, at every change of an endpoint."""

    def call_count(count: int) -> int:
        dns = a_dns("d", "a.example", *(f"/{index} web" for index in range(count)))
        some = [a_policy(f"p{i}", {**TARGET, "path": f"/{i}"}) for i in range(count)]
        roads = roads_of([], [], [dns]).roads
        calls = [0]

        def note(_frame: object, event: str, _arg: object) -> None:
            calls[0] += event == "call"

        before = sys.getprofile()
        sys.setprofile(note)
        try:
            chooser = Policies(some, roads)
        finally:
            sys.setprofile(before)
        assert [chooser.policy_for(road) for road in roads].count(None) == 0
        return calls[0]

    assert call_count(200) < 3 * call_count(100)


def the_model(*policies: RoutePolicy, endpoints: tuple[str, ...] = ()) -> Model:
    services = [a_service(name, ports=(ServicePort(port=80),)) for name in ("web", "cart", "next")]
    slices = [a_slice(addresses=endpoints)] if endpoints else []
    return model_for(the_roads(), services, {}, policies, slices)


def test_the_exact_lines_of_a_policy() -> None:
    policy = a_policy(
        target={**TARGET, "path": "/x"},
        timeouts={"connectSeconds": 2, "readSeconds": 3, "sendSeconds": 4},
        limits={"requestsPerSecond": 5, "burst": 6, "connections": 7, "bodyBytes": 8},
        rewritePrefix="/new/",
        balancing={"algorithm": "RandomTwo", "sessionCookie": "seat", "attempts": 2},
        tls={"hstsSeconds": 9},
    )
    model, key = the_model(policy, endpoints=("10.244.1.2",)), key_of(policy)
    (route,) = (one for one in model.hosts[0].routes if one.policy is not None)
    assert route.policy is not None

    lines = list(location_lines(route, route.policy, Host("a.example", (), "x"), 443))
    assert lines == [
        f"add_header Strict-Transport-Security $cube_hsts_{key} always;",
        f"limit_req zone=cube_rate_{key} burst=6 nodelay;",
        f"limit_conn cube_connections_{key} 7;",
        "client_max_body_size 8;",
        "proxy_connect_timeout 2s;",
        "proxy_read_timeout 3s;",
        "proxy_send_timeout 4s;",
        "proxy_next_upstream_tries 2;",
        'rewrite "^/x$" "/new" break;',
        'rewrite "(?s)^/x/(.*)$" "/new/$1" break;',
    ]
    whole = configuration_for(model, Facts()).content.decode()
    assert (
        f'  upstream "default_web_80_{key}" {{\n'
        f'    zone "default_web_80_{key}" 258k;\n'
        "    random two least_conn;\n"
        '    sticky cookie "seat" path=/ httponly;\n'
        "    server 10.244.1.2:8080 max_fails=0;\n"
        "    keepalive 0;\n"
        "  }\n"
    ) in whole
    assert model.problems == {
        policy.ref: ("Prefix /x of a.example: the host is not served by TLS",)
    }


@pytest.mark.parametrize(("body_bytes", "is_held"), [(1 << 20, True), ((1 << 20) + 1, False)])
def test_bodies_up_to_1_mib_are_held_so_that_another_endpoint_may_be_asked(
    body_bytes: int, *, is_held: bool
) -> None:
    model = the_model(a_policy(limits={"bodyBytes": body_bytes}))
    text = configuration_for(model, Facts()).content.decode()

    assert ("proxy_request_buffering off;" not in text) == is_held


@pytest.mark.parametrize(
    ("host", "is_told"), [("", True), ("a.example", True), ("other.example", False)]
)
def test_a_redirect_to_tls_that_the_host_has_not_is_told(host: str, *, is_told: bool) -> None:
    target = {**TARGET, "path": "/x"}
    policy = a_policy(target=target, redirect={"scheme": "https", "host": host})

    why = "Prefix /x of a.example: the host is not served by TLS"
    assert the_model(policy).problems == ({policy.ref: (why,)} if is_told else {})


@pytest.mark.parametrize(
    "zone",
    [
        'upstream zone "default_web_80_{key}"',
        'limit_req zone "cube_rate_{key}"',
        'limit_conn_zone "cube_connections_{key}"',
    ],
)
def test_a_refusal_that_names_a_zone_is_led_back_to_its_policy(zone: str) -> None:
    """nginx names no line where it has no memory: then nothing was served any more."""
    limits = {"requestsPerSecond": 5, "connections": 7}
    policy = a_policy(target={**TARGET, "path": "/x"}, limits=limits, balancing={})
    other = a_policy("other", {**TARGET, "path": "/y"}, limits=limits, balancing={})
    found = configuration_for(the_model(policy, other, endpoints=("10.244.1.2",)), Facts())
    said = f"[crit] 7#7: ngx_slab_alloc() failed: no memory in {zone.format(key=key_of(policy))}\n"

    assert guilty(found, said) == {policy.ref}
    assert guilty(found, 'no memory in upstream zone "none"') == frozenset()


def test_a_service_that_is_missing_is_told_and_its_share_stays() -> None:
    policy = a_policy(backends=[{"serviceName": "none", "servicePort": 80, "weight": 50}])

    model = the_model(policy)

    assert model.problems == {policy.ref: ("backends[0]: there is no service none",)}
    assert "split_clients" not in configuration_for(model, Facts()).content.decode()


def test_endpoints_that_go_serve_where_no_other_is_ready() -> None:
    port = ServicePort(port=80)
    going = an_endpoint("10.244.1.1", is_going=True)
    ready = an_endpoint("10.244.1.2")
    silent = an_endpoint("10.244.1.3", is_ready=False)

    some = [a_slice(endpoints=(going, silent)), a_slice("web-2", endpoints=(ready,))]
    assert servers_in(some, port) == (Server("10.244.1.2", 8080),)
    assert servers_in(some[:1], port) == (Server("10.244.1.1", 8080),)
    assert servers_in(some, ServicePort(port=80, name="other")) == ()


@given(st.permutations(["a", "b", "c"]), st.permutations(["10.244.1.2", "10.244.1.3"]))
def test_the_order_of_arrival_does_not_matter(names: list[str], addresses: list[str]) -> None:
    def text(names: list[str], addresses: list[str]) -> bytes:
        some = [
            a_policy(name, balancing={}, backends=[a_backend(weight=5)], age_s=1) for name in names
        ]
        return configuration_for(the_model(*some, endpoints=tuple(addresses)), Facts()).content

    assert text(names, addresses) == text(sorted(names), sorted(addresses))
