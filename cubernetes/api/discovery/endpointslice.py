"""EndpointSlice: up to 100 addresses behind a service, kept by one controller."""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address
from typing import Annotated, Literal

import msgspec

from cubernetes.api.core.event import ObjectReference
from cubernetes.api.core.node import is_address
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Model, Object, PortNumber, age_of, shown
from cubernetes.api.resource import Resource

SERVICE_LABEL = "kubernetes.io/service-name"
MANAGED_LABEL = "endpointslice.kubernetes.io/managed-by"
ENDPOINT_MAX = 100  # endpoints in one slice: Kubernetes' default, our limit


class EndpointConditions(Model):
    """What callers may know of an endpoint.

    ready: it takes new connections.
    serving: it answers, whether or not it is about to go.
    terminating: it has been asked to go.
    """

    ready: bool = shown(True)
    serving: bool = shown(True)
    terminating: bool = shown(False)


class Endpoint(Model):
    """A pod, or whatever else answers, behind a service.

    addresses: where it is reached, IPv4; the proxy uses the first.
    conditions: whether it takes connections.
    hostname: the pod's host name, where its spec says one.
    node_name: the node that it is on.
    target_ref: the pod that it is.
    zone, deprecated_topology: kept for clients that send it.
    """

    addresses: Annotated[tuple[str, ...], msgspec.Meta(max_length=100)]
    conditions: EndpointConditions = msgspec.field(default_factory=EndpointConditions)
    hostname: str = ""
    node_name: str = ""
    target_ref: ObjectReference | None = None
    zone: str = ""
    deprecated_topology: Mapping[str, str] = msgspec.field(default_factory=dict)


class EndpointPort(Model):
    """A port of the service.

    name: the name of the service's port.
    protocol: the protocol of the service's port.
    port: the number that the endpoints of this slice listen on.
    """

    name: str = shown("")
    protocol: Literal["TCP", "UDP"] = shown("TCP")
    port: PortNumber


def _ports(one: "EndpointSlice", _: object) -> str:
    return ",".join(str(port.port) for port in one.ports) or "<unset>"


def _endpoints(one: "EndpointSlice", _: object) -> str:
    addresses = [address for endpoint in one.endpoints for address in endpoint.addresses]
    more = f" + {len(addresses) - 3} more..." if len(addresses) > 3 else ""
    return (",".join(addresses[:3]) or "<unset>") + more


class EndpointSlice(Object):
    """Up to 100 addresses behind the service that its label kubernetes.io/service-name names.

    address_type: what the addresses are.
    endpoints: the addresses that answer, ready or not.
    ports: where all of them listen.
    """

    resource = Resource(
        "discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", ("eps",),
        is_created_by_put=True,
    )  # fmt: skip
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("AddressType", lambda one, _: one.address_type),
        Column("Ports", _ports),
        Column("Endpoints", _endpoints),
        Column("Age", age_of),
    )

    api_version: str = shown("discovery.k8s.io/v1")
    kind: str = shown("EndpointSlice")
    address_type: Literal["IPv4"] = shown("IPv4")
    endpoints: Annotated[tuple[Endpoint, ...], msgspec.Meta(max_length=1000)] = shown(())
    ports: Annotated[tuple[EndpointPort, ...], msgspec.Meta(max_length=100)] = ()

    @property
    def service_name(self) -> str:
        return self.metadata.labels.get(SERVICE_LABEL, "")

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        for index, endpoint in enumerate(self.endpoints):
            where = f"endpoints[{index}].addresses"
            if not endpoint.addresses:
                yield Problem(where, "needs at least one", "FieldValueRequired")
            for address in endpoint.addresses:
                if not may_be_endpoint(address):
                    rule = "must be an IPv4 address, not loopback, link-local or multicast"
                    yield Problem(where, f"{address[:40]!r} {rule}")


def may_be_endpoint(address: str) -> bool:
    """Tell whether a slice may hold it: an IPv4 address that means the same on every node."""
    if not is_address(address):
        return False
    # An endpoint there would lead every node to something of its own, or of its neighbours.
    found = IPv4Address(address)
    is_local = found.is_loopback or found.is_link_local or found.is_unspecified
    return not is_local and not found.is_multicast
