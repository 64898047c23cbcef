"""What a node answers at the health check's port of each service. Pure.

As Kubernetes' proxy answers: 200 where this node has a ready endpoint, else 503, and a body with
the count. A terminating endpoint does not count: balancers are to let go before it has ended.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import EndpointSlice
from proxy.services.served import key_of, slices_by_service


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one service on one node. is_proxy_healthy: the node's rules follow what services say."""

    namespace: str
    name: str
    endpoint_count: int
    is_proxy_healthy: bool = True

    @property
    def status(self) -> int:
        return 200 if self.endpoint_count and self.is_proxy_healthy else 503

    @property
    def body(self) -> bytes:
        told = {
            "service": {"namespace": self.namespace, "name": self.name},
            "localEndpoints": self.endpoint_count,
            "serviceProxyHealthy": self.is_proxy_healthy,
        }
        return json.dumps(told, separators=(",", ":")).encode()


def verdicts_for(
    services: Iterable[Service],
    slices: Iterable[EndpointSlice],
    node: str,
    *,
    is_proxy_healthy: bool = True,
) -> Mapping[int, Verdict]:
    """Return the verdict of each port that is to be served on a node."""
    asked = [
        one for one in services if one.spec.has_health_port and one.spec.health_check_node_port
    ]
    if not asked:
        return {}
    grouped = slices_by_service(slices)
    verdicts: dict[int, Verdict] = {}
    for one in sorted(asked, key=lambda service: service.ref):
        count = len(ready_on(node, grouped.get(key_of(one), ())))
        namespace, name = key_of(one)
        verdicts.setdefault(
            one.spec.health_check_node_port, Verdict(namespace, name, count, is_proxy_healthy)
        )
    return verdicts


def ready_on(node: str, slices: Iterable[EndpointSlice]) -> frozenset[str]:
    """Return the addresses of a service's ready endpoints on a node."""
    return frozenset(
        endpoint.addresses[0]
        for one in slices
        for endpoint in one.endpoints
        if endpoint.node_name == node and endpoint.conditions.ready and endpoint.addresses
    )
