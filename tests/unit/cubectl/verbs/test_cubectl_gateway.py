"""`cubectl gateway`: what is told of roads, and which pods gateways lead nobody to."""

import json
from pathlib import Path

import pytest

from cubernetes.api.coordination.lease import Lease
from cubernetes.api.coordination.road import road_lease
from cubernetes.api.errors import Conflict
from cubernetes.api.meta import Object, replaced
from cubernetes.api.notation.yaml import documents
from cubernetes.api.roads import DRAINED, RATES
from tests.given import NOW, a_node, a_service, a_slice, an_endpoint
from tests.unit.cubectl.tinyserver import TinyServer, run
from tests.unit.gateway.roadworld import CLASSES, a_dns, an_ingress
from tests.unit.gateway.test_gateway_policies import a_policy

SERVICE = "/api/v1/namespaces/default/services/web"


def a_gateway(node: str, *rates: tuple[object, ...]) -> Lease:
    lease = road_lease("gateway", a_node(node), 7, NOW)
    notes = {**lease.metadata.annotations, RATES: json.dumps(rates)}
    return replaced(lease, metadata=replaced(lease.metadata, annotations=notes))


def a_cluster(*more: Object, drained: str = "") -> TinyServer:
    web = a_service("web")
    notes = {DRAINED: drained} if drained else {}
    endpoints = (
        an_endpoint("10.244.1.1", pod="web-1"),
        an_endpoint("10.244.1.2", pod="web-2"),
        an_endpoint("10.244.1.3", pod="web-3", is_ready=False),
    )
    there = replaced(web, metadata=replaced(web.metadata, annotations=notes))
    return TinyServer(there, a_slice(endpoints=endpoints), *more)


def drained_in(server: TinyServer) -> str:
    return str(server.trees[SERVICE]["metadata"].get("annotations", {}).get(DRAINED, ""))


def test_gateways_and_roads_are_told_with_endpoints_and_rates() -> None:
    rates = ("a.example", "/", "default/web:80", 12.5, 0.5, 20.0)
    server = a_cluster(
        a_gateway("n1", rates),
        a_gateway("n2", (*rates[:3], 37.5, 0.0, 40.0)),
        # It tells what it was asked for when its node was there.
        a_gateway("n3", (*rates[:3], 1000.0, 0.0, 1.0)),
        a_node("n1", address="10.0.0.1"),
        a_node("n2", address="10.0.0.2"),
        a_node("n3", address="10.0.0.3", is_ready=False),
        a_dns("d", "a.example", "/ web", "=/x none"),
        drained="web-2",
    )
    said = run(server, "gateway status")

    assert said.code == 0, said.err
    assert [line.split() for line in said.out.splitlines()] == [
        ["GATEWAY", "ADDRESS", "STATE"],
        ["n1", "10.0.0.1", "Serving"],
        ["n2", "10.0.0.2", "Serving"],
        ["n3", "10.0.0.3", "NodeNotReady"],
        [],
        ["HOST", "PATH", "SERVICE", "ENDPOINTS", "DRAINED", "REQ/S", "5XX/S", "MS"],
        ["a.example", "/", "default/web:80", "2/3", "web-2", "50", "0.5", "35"],
        ["a.example", "=/x", "default/none:80", "NoService", "<none>", "0", "0", "-"],
    ]


def test_where_there_is_no_gateway_the_command_that_makes_one_is_told() -> None:
    said = run(a_cluster(), "gateway status")

    assert said.code == 1
    assert "cuberoot enable gateway" in said.err


def test_a_pod_is_drained_from_its_services_and_comes_back() -> None:
    server = a_cluster(drained="gone,web-1")

    said = run(server, "gateway drain pod/web-2")
    assert (said.code, said.out) == (0, "pod/web-2 drained from service/web\n")
    # What is behind the service no more is forgotten.
    assert drained_in(server) == "web-1,web-2"
    assert run(server, "gateway up web-1").out == "pod/web-1 up in service/web\n"
    assert drained_in(server) == "web-2"
    run(server, "gateway up web-2")
    assert DRAINED not in server.trees[SERVICE]["metadata"].get("annotations", {})


def test_the_last_pod_that_goes_is_told() -> None:
    said = run(a_cluster(drained="web-1,web-2"), "gateway drain web-3")

    assert said.code == 0
    assert "service/web has no pod left: gateways answer 503 for it" in said.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("gateway drain other", "pod/other is behind no service of namespace default"),
        ("gateway up web-1", "pod/web-1 is drained from no service"),
    ],
)
def test_a_pod_that_is_not_meant_is_told_and_nothing_written(words: str, why: str) -> None:
    server = a_cluster()
    said = run(server, words)

    assert (said.code, why in said.err) == (1, True)
    assert server.writes == []


@pytest.mark.parametrize("words", ["gateway drain", "gateway status x", "gateway import"])
def test_a_command_that_says_too_much_or_too_little_is_refused(words: str) -> None:
    assert run(a_cluster(), words).code == 2


def test_a_service_that_others_write_is_not_written_for_ever() -> None:
    server = a_cluster()
    server.refusals["PATCH", SERVICE] = Conflict("somebody else has written it")
    said = run(server, "gateway drain web-1")

    assert said.code == 1
    assert "somebody else" in said.err
    assert len(server.writes) == 5


def test_what_is_exported_makes_the_same_roads_in_another_cluster(tmp_path: Path) -> None:
    tls = {"clientCertificates": {"secretName": "clients"}}
    roads = (
        CLASSES[0],
        an_ingress("shop", ("b.example", ("/ web",)), tls=(("shop-tls", ()),)),
        a_dns("d", "a.example", "/ web"),
        a_policy(target={"kind": "Ingress", "name": "shop"}, tls=tls),
    )
    before = TinyServer(*roads, a_dns("far", "far.example", namespace="far"))
    said = run(before, "gateway export")

    assert said.code == 0
    assert "secrets default/clients, default/shop-tls" in said.err
    (document,) = [one.tree for one in documents(said.out)]
    for one in document["items"]:
        assert set(one) == {"apiVersion", "kind", "metadata", "spec"}
        assert not {"uid", "resourceVersion", "creationTimestamp"} & set(one["metadata"])
    path = tmp_path / "roads.yaml"
    path.write_text(said.out)
    after = TinyServer()
    assert run(after, f"gateway import {path}").code == 0
    assert len(after.trees) == len(roads)
    assert run(after, "gateway export").out == said.out
    assert "far.example" in run(before, "gateway export -A").out
