"""Services of every type: what is filled in, given, refused, and given back when a type changes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from apiserver.server import ApiServer
from apiserver.settings import Settings
from cubernetes.host.env import Env
from cubernetes.host.random import SeededRng
from tests.contract.api.world import SERVICES, World, a_service, a_world

RANGE = {"service_range": "10.96.0.0/24", "node_port_range": "30000-30019"}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world(settings=RANGE) as one:
        yield one


async def _claims(world: World) -> list[str]:
    return [key.rpartition("/")[2] for key in await world.keys() if "/nodeports/" in key]


async def _made(world: World, name: str = "web", **spec: Any) -> dict[str, Any]:
    answer = await world.call("POST", SERVICES, a_service(name, **spec))
    assert answer.code == 201, answer.tree
    made: dict[str, Any] = answer.tree["spec"]
    return made


async def _patched(world: World, name: str = "web", **spec: Any) -> Any:
    kind = {"content-type": "application/merge-patch+json"}
    return await world.call("PATCH", f"{SERVICES}/{name}", {"spec": spec}, headers=kind)


async def test_a_node_port_is_given_and_claimed_with_the_service(world: World) -> None:
    spec = await _made(world, type="NodePort")

    port = spec["ports"][0]["nodePort"]
    assert 30000 <= port <= 30019
    assert spec["externalTrafficPolicy"] == spec["internalTrafficPolicy"] == "Cluster"
    assert await _claims(world) == [str(port)]
    await world.call("DELETE", f"{SERVICES}/web")
    assert await _claims(world) == []


async def test_w1_node_ports_at_once_are_different_and_a_full_range_is_said(world: World) -> None:
    names = [f"s{number}" for number in range(20)]
    bodies = [a_service(name, type="NodePort") for name in names]
    answers = await asyncio.gather(*(world.call("POST", SERVICES, one) for one in bodies[:12]))
    answers += [await world.call("POST", SERVICES, one) for one in bodies[12:]]
    assert {one.code for one in answers} == {201}
    ports = {one.tree["spec"]["ports"][0]["nodePort"] for one in answers}
    assert ports == set(range(30000, 30020))

    full = await world.call("POST", SERVICES, a_service("late", type="NodePort"))
    assert full.code == 422
    assert "spec.ports[0].nodePort" in full.tree["message"]
    assert "30000-30019 is full" in full.tree["message"]
    await world.call("POST", SERVICES, a_service("inner"))
    grown = await _patched(world, "inner", type="NodePort")
    assert grown.code == 422
    assert "is full" in grown.tree["message"]
    await world.call("DELETE", f"{SERVICES}/s7")
    assert (await _patched(world, "inner", type="NodePort")).code == 200


@pytest.mark.parametrize(
    ("port", "why"),
    [
        (30000, "provided port is already allocated: 30000 belongs to service default/first"),
        (29999, "The range of valid ports is 30000-30019"),
        (70000, "spec.ports[0].nodePort"),
    ],
)
async def test_a_node_port_that_cannot_be_had_is_refused(world: World, port: int, why: str) -> None:
    await _made(world, "first", type="NodePort", ports=[{"port": 80, "nodePort": 30000}])
    second = a_service("second", type="NodePort", ports=[{"port": 80, "nodePort": port}])
    answer = await world.call("POST", SERVICES, second)
    assert answer.code in (400, 422)
    assert why in answer.tree["message"]
    await _made(world, "second")
    moved = await _patched(world, "second", type="NodePort", ports=[{"port": 80, "nodePort": port}])
    assert moved.code in (400, 422)
    assert why in moved.tree["message"]
    assert await _claims(world) == ["30000"]


async def test_tcp_and_udp_of_one_port_share_a_number(world: World) -> None:
    ports = [{"port": 53, "name": "a"}, {"port": 53, "name": "b", "protocol": "UDP"}]
    spec = await _made(world, type="NodePort", ports=ports)

    assert len({one["nodePort"] for one in spec["ports"]}) == 1
    assert len(await _claims(world)) == 1


async def test_what_an_update_leaves_out_stays_as_it_was_given(world: World) -> None:
    before = await _made(world, type="NodePort", ports=[{"port": 80, "name": "a"}])
    ports = [{"port": 81, "name": "a"}, {"port": 82, "name": "b"}]
    again = a_service(type="NodePort", ports=ports)
    after = (await world.call("PUT", f"{SERVICES}/web", again)).tree["spec"]

    assert after["clusterIP"] == before["clusterIP"]
    assert after["ports"][0]["nodePort"] == before["ports"][0]["nodePort"]
    assert len(await _claims(world)) == 2


async def test_a_change_of_type_gives_back_and_claims_in_one_transaction(world: World) -> None:
    inner = await _made(world)
    assert "externalTrafficPolicy" not in inner
    grown = (await _patched(world, type="NodePort")).tree["spec"]
    port = grown["ports"][0]["nodePort"]
    assert await _claims(world) == [str(port)]

    balanced = await _patched(world, type="LoadBalancer", externalTrafficPolicy="Local")
    spec = balanced.tree["spec"]
    assert spec["ports"][0]["nodePort"] == port
    assert spec["allocateLoadBalancerNodePorts"] is True
    assert sorted(await _claims(world)) == sorted([str(port), str(spec["healthCheckNodePort"])])

    shrunk = (await _patched(world, type="ClusterIP")).tree["spec"]
    assert shrunk == inner
    assert await _claims(world) == []


async def test_a_service_that_becomes_a_name_gives_its_address_back(world: World) -> None:
    before = await _made(world, type="NodePort", clusterIP="10.96.0.9")
    named = await _patched(world, type="ExternalName", externalName="db.example.com.")
    assert named.code == 200, named.tree
    spec = named.tree["spec"]
    assert spec["externalName"] == "db.example.com"
    assert not {"clusterIP", "clusterIPs", "ipFamilies", "externalTrafficPolicy"} & spec.keys()
    assert await _claims(world) == []
    assert (await _made(world, "other", clusterIP="10.96.0.9"))["clusterIP"] == "10.96.0.9"

    back = (await _patched(world, type="ClusterIP")).tree["spec"]
    assert back["clusterIP"] not in ("", before["clusterIP"])
    assert "externalName" not in back


LOCAL = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}


@pytest.mark.parametrize(
    ("field", "spec"),
    [
        ("spec.ports[0].protocol", {"ports": [{"port": 80, "protocol": "SCTP"}]}),
        ("spec.type", {"type": "Balanced"}),
        ("spec.ports[0].nodePort", {"ports": [{"port": 80, "nodePort": 30001}]}),
        ("spec.ports", {"type": "NodePort", "ports": [
            {"port": 80, "name": "a", "nodePort": 30001},
            {"port": 81, "name": "b", "nodePort": 30001}]}),
        ("spec.clusterIP", {"type": "NodePort", "clusterIP": "None"}),
        ("spec.clusterIP", {"type": "ExternalName", "externalName": "a", "clusterIP": "10.96.0.9"}),
        ("spec.externalName", {"type": "ExternalName"}),
        ("spec.externalName", {"type": "ExternalName", "externalName": "a b"}),
        ("spec.externalTrafficPolicy", {"externalTrafficPolicy": "Local"}),
        ("spec.externalTrafficPolicy", {"type": "NodePort", "externalTrafficPolicy": "Near"}),
        ("spec.internalTrafficPolicy", {"internalTrafficPolicy": "Near"}),
        ("spec.healthCheckNodePort", {"type": "NodePort", "healthCheckNodePort": 30002}),
        ("spec.healthCheckNodePort", {**LOCAL, "healthCheckNodePort": 29000}),
        ("spec.sessionAffinity", {"sessionAffinity": "Cookie"}),
        ("spec.sessionAffinityConfig.clientIP.timeoutSeconds", {"sessionAffinity": "ClientIP",
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}}),
        ("spec.sessionAffinityConfig.clientIP.timeoutSeconds", {"sessionAffinity": "ClientIP",
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}}),
        ("spec.externalIPs[0]", {"externalIPs": ["127.0.0.1"]}),
        ("spec.externalIPs[0]", {"externalIPs": ["fd00::1"]}),
        ("spec.externalIPs[0]", {"externalIPs": ["10.96.0.1"]}),
        ("spec.externalIPs[0]", {"externalIPs": ["10.244.3.4"]}),
        ("spec.externalIPs", {"externalIPs": ["198.51.100.7", "198.51.100.7"]}),
        ("spec.ipFamilies[0]", {"ipFamilies": ["IPv6"]}),
        ("spec.ipFamilyPolicy", {"ipFamilyPolicy": "RequireDualStack"}),
        ("spec.loadBalancerIP", {"loadBalancerIP": "192.0.2.9"}),
        ("spec.loadBalancerClass", {"loadBalancerClass": "example.com/a"}),
        ("spec.allocateLoadBalancerNodePorts", {"allocateLoadBalancerNodePorts": True}),
        ("spec.loadBalancerSourceRanges", {"loadBalancerSourceRanges": ["192.0.2.0/24"]}),
        ("spec.loadBalancerSourceRanges[0]", {"type": "LoadBalancer",
            "loadBalancerSourceRanges": ["192.0.2.1/24"]}),
    ],
)  # fmt: skip
async def test_what_cannot_be_is_refused_by_its_field(
    world: World, field: str, spec: dict[str, Any]
) -> None:
    answer = await world.call("POST", SERVICES, a_service(**spec))

    assert answer.code in (400, 422), answer.tree
    assert f"{field}:" in answer.tree["message"]
    assert await _claims(world) == []


async def test_t23_an_external_ip_does_not_take_the_api_servers_place() -> None:
    async with a_world() as world:
        thief = a_service("thief", externalIPs=["10.0.0.1"], ports=[{"port": 6443}])
        answer = await world.call("POST", SERVICES, thief)
        assert answer.code == 422
        assert "the API server's own" in answer.tree["message"]
        await _made(world, "other", externalIPs=["10.0.0.1"], ports=[{"port": 80}])


async def test_the_health_port_is_one_of_the_range_and_stays(world: World) -> None:
    spec = await _made(world, **LOCAL)
    port = spec["healthCheckNodePort"]
    assert 30000 <= port <= 30019
    assert port != spec["ports"][0]["nodePort"]

    moved = await _patched(world, healthCheckNodePort=port + 1 if port < 30019 else 30000)
    assert moved.code == 422
    assert "spec.healthCheckNodePort" in moved.tree["message"]
    opened = (await _patched(world, externalTrafficPolicy="Cluster")).tree["spec"]
    assert "healthCheckNodePort" not in opened


async def test_a_load_balancer_may_do_without_node_ports(world: World) -> None:
    spec = await _made(world, type="LoadBalancer", allocateLoadBalancerNodePorts=False)

    assert "nodePort" not in spec["ports"][0]
    assert await _claims(world) == []


async def test_a_dry_run_claims_nothing(world: World) -> None:
    await _made(world)
    body = {"spec": {"type": "NodePort"}}
    kind = {"content-type": "application/merge-patch+json"}
    query = {"dryRun": "All"}
    dry = await world.call("PATCH", f"{SERVICES}/web", body, headers=kind, query=query)

    assert dry.tree["spec"]["ports"][0]["nodePort"] >= 30000
    assert await _claims(world) == []


async def test_node_ports_that_are_chosen_are_had_also_where_none_are_given(world: World) -> None:
    """Kubernetes: the field says what is given, and nothing of what is asked for by number."""
    ports = [{"port": 80, "name": "a", "nodePort": 30007}, {"port": 81, "name": "b"}]
    spec = await _made(world, type="LoadBalancer", allocateLoadBalancerNodePorts=False, ports=ports)

    assert [one.get("nodePort") for one in spec["ports"]] == [30007, None]
    assert await _claims(world) == ["30007"]


async def test_node_ports_stay_where_no_more_are_to_be_given(world: World) -> None:
    before = await _made(world, type="LoadBalancer")
    after = await _patched(world, allocateLoadBalancerNodePorts=False)

    assert after.code == 200, after.tree
    assert after.tree["spec"]["ports"] == before["ports"]
    assert await _claims(world) == [str(before["ports"][0]["nodePort"])]
    shrunk = (await _patched(world, type="ClusterIP")).tree["spec"]
    assert "nodePort" not in shrunk["ports"][0]
    assert await _claims(world) == []


async def test_one_number_and_protocol_is_not_given_to_two_ports(world: World) -> None:
    """A number is shared by TCP and UDP of a port only where the author gave it to no other."""
    ports = [
        {"port": 53, "name": "a", "nodePort": 30001},
        {"port": 53, "name": "b", "protocol": "UDP"},
        {"port": 80, "name": "c", "protocol": "UDP", "nodePort": 30001},
    ]
    spec = await _made(world, type="NodePort", ports=ports)

    a, b, c = (one["nodePort"] for one in spec["ports"])
    assert (a, c) == (30001, 30001)
    assert b != 30001
    assert sorted(await _claims(world)) == sorted({"30001", str(b)})


async def test_external_ips_of_before_stand_at_writes_that_are_about_something_else() -> None:
    """A cluster whose service range was widened: what stood there stays, and nothing is added."""
    async with a_world() as before:
        await _made(before, externalIPs=["198.51.100.7"])
        widened = Settings(service_range="198.51.100.0/24")
        env = Env(clock=before.clock, rng=SeededRng("widened"))
        server = ApiServer(before.store, env, widened)
        await server.start()
        world = World(server, before.store, before.clock)
        kind = {"content-type": "application/merge-patch+json"}
        change = {"metadata": {"labels": {"a": "b"}}}
        labelled = await world.call("PATCH", f"{SERVICES}/web", change, headers=kind)
        assert labelled.code == 200, labelled.tree
        more = await _patched(world, externalIPs=["198.51.100.7", "198.51.100.8"])
        assert more.code == 422
        assert "spec.externalIPs[1]" in more.tree["message"]
        assert "spec.externalIPs[0]" not in more.tree["message"]
        await server.stop()


async def test_a_port_that_takes_the_api_servers_place_is_refused_at_a_change_of_ports() -> None:
    async with a_world() as world:
        await _made(world, externalIPs=["10.0.0.1"], ports=[{"port": 80}])
        moved = await _patched(world, ports=[{"port": 6443}])
        assert moved.code == 422
        assert "the API server's own" in moved.tree["message"]
