"""What balancers are told at the health check's port, which comes and goes with its service."""

import asyncio
import json
import socket

from cubernetes.api.core.service import Service
from cubernetes.api.meta import replaced
from proxy.health.doors import HealthPorts
from proxy.health.verdict import Verdict, verdicts_for
from tests.given import a_slice, an_endpoint
from tests.ports import free_port
from tests.unit.proxy.services.doors import a_door, both

PORT = 30123


def asked(port: int = PORT) -> Service:
    one = a_door("LoadBalancer", external_traffic_policy="Local")
    return replaced(one, spec=replaced(one.spec, health_check_node_port=port))


def test_a_node_is_healthy_where_it_has_a_ready_endpoint() -> None:
    slices = [a_slice(endpoints=[*both(), an_endpoint("10.244.1.9", node="n1", is_ready=False)])]
    for node, count, status in (("n1", 1, 200), ("n2", 1, 200), ("n3", 0, 503)):
        verdict = verdicts_for([asked()], slices, node)[PORT]
        assert (verdict.endpoint_count, verdict.status) == (count, status)
        assert json.loads(verdict.body) == {
            "service": {"namespace": "default", "name": "web"},
            "localEndpoints": count,
            "serviceProxyHealthy": True,
        }


def test_an_endpoint_that_ends_does_not_count() -> None:
    slices = [a_slice(endpoints=[an_endpoint(node="n1", is_going=True)])]

    assert verdicts_for([asked()], slices, "n1")[PORT].status == 503


def test_a_proxy_that_follows_no_services_is_not_healthy() -> None:
    slices = [a_slice(endpoints=both())]
    verdict = verdicts_for([asked()], slices, "n1", is_proxy_healthy=False)[PORT]

    assert verdict.status == 503
    assert json.loads(verdict.body)["serviceProxyHealthy"] is False


def test_only_services_with_such_a_port_have_one() -> None:
    assert verdicts_for([a_door(), a_door("LoadBalancer")], [], "n1") == {}


async def _get(port: int) -> tuple[int, bytes, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(60):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), head, body


async def test_ports_are_opened_answered_and_closed_as_services_come_and_go() -> None:
    ports, port = HealthPorts(), free_port()
    try:
        await ports.serve({port: Verdict("default", "web", 2)})
        status, head, body = await _get(port)
        assert (status, json.loads(body)["localEndpoints"]) == (200, 2)
        assert b"x-load-balancing-endpoint-weight: 2" in head.lower()
        assert b"content-type: application/json" in head.lower()
        await ports.serve({port: Verdict("default", "web", 0)})
        assert (await _get(port))[0] == 503
        await ports.serve({})
        try:
            await _get(port)
        except ConnectionError:
            return
        raise AssertionError("the port is still served")
    finally:
        await ports.close()


async def test_a_port_that_is_taken_is_tried_again() -> None:
    ports = HealthPorts()
    with socket.socket() as thief:
        thief.bind(("0.0.0.0", 0))
        thief.listen()
        port = int(thief.getsockname()[1])
        await ports.serve({port: Verdict("default", "web", 1)})
        assert not ports.is_complete
    try:
        await ports.serve({port: Verdict("default", "web", 1)})
        assert ports.is_complete
        assert (await _get(port))[0] == 200
    finally:
        await ports.close()
