"""Services with doors of every kind, and the rules of a node for them."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from cubernetes.api.core.service import (
    LoadBalancer,
    LoadBalancerIngress,
    Service,
    ServicePort,
    ServiceStatus,
)
from cubernetes.api.discovery.endpointslice import Endpoint, EndpointSlice
from cubernetes.api.meta import replaced
from cubernetes.host.packetfilter.ruleset import RuleSet
from proxy.services.compile import rules_for
from proxy.services.served import Facts
from tests.given import a_service, a_slice, an_endpoint

FACTS = Facts(IPv4Network("10.244.0.0/16"), IPv4Network("10.96.0.0/16"), "n1")
NODE, OTHER_NODE = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
POD, STRANGER = IPv4Address("10.244.9.9"), IPv4Address("203.0.113.5")
CLUSTER_IP, NODE_PORT = "10.96.0.10", 30080
HERE, ELSEWHERE = "10.244.1.2", "10.244.2.7"
OUTER, POOLED = "198.51.100.7", "192.0.2.240"


def a_door(kind: str = "NodePort", protocol: Any = "TCP", **spec: Any) -> Service:
    port = ServicePort(port=80, target_port=8080, node_port=NODE_PORT, protocol=protocol)
    if kind == "ClusterIP":
        port = replaced(port, node_port=0)
    one = a_service(ports=[port])
    whole = replaced(one, spec=replaced(one.spec, type=kind, **spec)).defaulted()
    given = (LoadBalancerIngress(ip=POOLED, ip_mode="VIP"),) if kind == "LoadBalancer" else ()
    return replaced(whole, status=ServiceStatus(load_balancer=LoadBalancer(ingress=given)))


def rules(service: Service, endpoints: Sequence[Endpoint]) -> RuleSet:
    return rules_for(*world(service, endpoints), FACTS)


def world(
    service: Service, endpoints: Sequence[Endpoint]
) -> tuple[list[Service], list[EndpointSlice]]:
    slices = [a_slice(endpoints=endpoints)] if endpoints else []
    return [service], [replaced(one, ports=_offered(service)) for one in slices]


def _offered(service: Service) -> Any:
    (port,) = a_slice(addresses=[HERE]).ports
    return (replaced(port, protocol=service.spec.ports[0].protocol),)


def both() -> list[Endpoint]:
    return [an_endpoint(HERE, node="n1"), an_endpoint(ELSEWHERE, node="n2")]
