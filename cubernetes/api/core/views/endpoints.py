"""Endpoints: who answers behind a service, in one object; made of its EndpointSlices."""

from typing import Literal

import msgspec

from cubernetes.api.core.event import ObjectReference
from cubernetes.api.meta import Column, Model, Object, PortNumber, age_of, shown
from cubernetes.api.resource import Resource

ADDRESSES_SHOWN_MAX = 3


class EndpointAddress(Model):
    """A pod, or whatever else answers.

    ip: where it is reached.
    hostname: the pod's host name, where its spec says one.
    node_name: the node that it is on.
    target_ref: the pod that it is.
    """

    ip: str = shown("")
    hostname: str = ""
    node_name: str = ""
    target_ref: ObjectReference | None = None


class EndpointPort(Model):
    """A port of the service.

    name: the name of the service's port.
    port: the number that the addresses listen on.
    protocol: the protocol of the service's port.
    """

    name: str = ""
    port: PortNumber
    protocol: Literal["TCP", "UDP"] = shown("TCP")


class EndpointSubset(Model):
    """Addresses that listen on the same ports.

    addresses: those that take connections.
    not_ready_addresses: those that do not, or not yet.
    ports: where all of them listen.
    """

    addresses: tuple[EndpointAddress, ...] = ()
    not_ready_addresses: tuple[EndpointAddress, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


def _endpoints(one: "Endpoints", _: object) -> str:
    found = [
        f"{address.ip}:{port.port}"
        for subset in one.subsets
        for port in subset.ports
        for address in subset.addresses
    ]
    hidden_count = len(found) - ADDRESSES_SHOWN_MAX
    more = f" + {hidden_count} more..." if hidden_count > 0 else ""
    return (",".join(found[:ADDRESSES_SHOWN_MAX]) or "<none>") + more


class Endpoints(Object):
    """Who answers behind the service of its name; read EndpointSlices in its place.

    subsets: addresses by the ports that they listen on.
    """

    resource = Resource("", "v1", "Endpoints", "endpoints", ("ep",), verbs=("get", "list", "watch"))
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Endpoints", _endpoints),
        Column("Age", age_of),
    )

    api_version: str = shown("v1")
    kind: str = shown("Endpoints")
    subsets: tuple[EndpointSubset, ...] = msgspec.field(default_factory=tuple)
