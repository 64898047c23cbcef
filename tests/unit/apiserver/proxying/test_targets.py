"""What a proxied name means: schemes, ports, pods of services, and what is refused."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.proxying.targets import (
    Place,
    Spot,
    check_open,
    is_locator,
    pod_port,
    service_places,
    spot_in,
)
from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.errors import BadRequest, ServiceUnavailable

NAMED = {"name": "a", "ports": [{"containerPort": 8080, "name": "http"}, {"containerPort": 9}]}


def a_pod(*containers: Mapping[str, object], **spec: object) -> Pod:
    inside = [{"image": "a:1", **one} for one in containers]
    tree = {"metadata": {"name": "web-0"}, "spec": {"containers": inside, **spec}}
    return codec.from_tree(Pod, tree).model


def a_service(*ports: dict[str, object]) -> Service:
    tree = {"metadata": {"name": "web", "namespace": "a"}, "spec": {"ports": list(ports)}}
    return codec.from_tree(Service, tree).model


def a_slice(*pods: str, service: str = "web", port: str = "http", **more: object) -> EndpointSlice:
    ends = [
        {
            "addresses": ["10.0.0.1"],
            "targetRef": {"kind": "Pod", "name": pod, "namespace": "a"},
            **more,
        }
        for pod in pods
    ]
    tree = {
        "metadata": {"name": "s", "labels": {"kubernetes.io/service-name": service}},
        "endpoints": ends,
        "ports": [{"name": port, "port": 8080}],
    }
    return codec.from_tree(EndpointSlice, tree).model


HTTP, ADMIN = {"name": "http", "port": 80}, {"name": "admin", "port": 81}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("web", Spot("http", "web", "")),
        ("web:80", Spot("http", "web", "80")),
        ("web:", Spot("http", "web", "")),
        ("https:web:admin", Spot("https", "web", "admin")),
        (":web:80", Spot("http", "web", "80")),
    ],
)
def test_a_name_may_say_how_it_is_reached(text: str, wanted: Spot) -> None:
    assert spot_in(text, "pod") == wanted


@pytest.mark.parametrize("text", ["ftp:web:80", "a:b:c:d", ":", "https::80", "we/b", "..", ""])
def test_what_says_something_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadRequest, match="invalid pod request"):
        spot_in(text, "pod")


@given(st.text(alphabet="abz019.:-/%@ A\n", max_size=12))
def test_a_locator_is_no_name_of_an_object_and_leads_out_of_no_segment(text: str) -> None:
    if is_locator(text):
        assert ":" in text
        assert not set(text) & set("/%@ A\n")


def test_a_port_of_a_pod_is_its_name_its_number_the_first_one_or_eighty() -> None:
    spec = a_pod(NAMED).spec
    assert [pod_port(spec, one) for one in ("http", "9", "", "70")] == [8080, 9, 8080, 70]
    assert pod_port(a_pod({"name": "a"}).spec, "") == 80
    for wrong in ("https", "0", "65536", "-1", "٣"):
        with pytest.raises(BadRequest, match="from 1 to 65535"):
            pod_port(spec, wrong)


def test_a_pod_in_its_nodes_network_has_the_ports_that_it_names() -> None:
    check_open(a_pod(NAMED), 10250)
    on_node = a_pod(NAMED, hostNetwork=True)
    check_open(on_node, 8080)
    with pytest.raises(BadRequest, match="its own: 9, 8080"):
        check_open(on_node, 10250)


def test_a_service_is_its_ready_pods_at_the_port_that_is_named() -> None:
    service, ends = a_service(HTTP, ADMIN), [a_slice("b", "a")]
    wanted = [Place("b", 8080), Place("a", 8080)]
    assert service_places(service, ends, spot_in("web:http", "service")) == wanted
    assert service_places(service, ends, spot_in("web:80", "service")) == wanted
    # The only port needs no name.
    assert service_places(a_service(HTTP), ends, spot_in("web", "service")) == wanted


@pytest.mark.parametrize(
    ("text", "one", "words"),
    [
        ("web", a_slice("a"), 'no endpoints available for service "web"'),
        ("web:admin", a_slice("a"), 'no endpoints available for service "web:admin"'),
        ("web:99", a_slice("a"), 'no service port 99 found for service "web"'),
        ("web:http", a_slice("a", conditions={"ready": False}), 'for service "web"'),
        ("web:http", a_slice("a", service="other"), 'for service "web"'),
        ("web:http", a_slice("a", targetRef=None), "only pods are reached this way"),
        (
            "web:http",
            a_slice("a", targetRef={"kind": "Pod", "name": "a", "namespace": "kube-system"}),
            "only pods are reached this way",
        ),
    ],
)
def test_what_is_no_ready_pod_of_the_namespace_is_no_endpoint(
    text: str, one: EndpointSlice, words: str
) -> None:
    with pytest.raises(ServiceUnavailable, match=words):
        service_places(a_service(HTTP, ADMIN), [one], spot_in(text, "service"))
