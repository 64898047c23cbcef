"""What is kept of objects: names and addresses, of which a cluster has many. Pure.

Services and their endpoints are kept packed, some hundred bytes each, and unpacked for the moment
in which their names are compiled: a cluster has ten thousand of them, and asks for a few.
"""

import sys
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address
from typing import Literal

import msgspec

from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.service import HEADLESS, Service, ServicePort, ServiceSpec
from cubernetes.api.cubernetes.dns import Dns, DnsSpec, DnsStatus
from cubernetes.api.discovery.endpointslice import (
    SERVICE_LABEL,
    Endpoint,
    EndpointConditions,
    EndpointPort,
    EndpointSlice,
)
from cubernetes.api.meta import Object, ObjectMeta

type Place = tuple[str, str]  # namespace, name

EXTERNAL_NAME: Literal["ExternalName"] = "ExternalName"


class Packed(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What is written without the names of its fields."""


class Port(Packed, frozen=True):
    """A port of a service, or what the endpoints of a slice listen at for it."""

    name: str
    protocol: Literal["TCP", "UDP"]
    port: int


class ServiceFacts(Packed, frozen=True):
    """What the names of a service are made of. address: its cluster IP; empty where it has none."""

    uid: str
    resource_version: str
    address: bytes
    is_headless: bool
    is_alias: bool
    external_name: str
    ports: tuple[Port, ...]


class EndpointFacts(Packed, frozen=True):
    """An endpoint at the first of its addresses."""

    address: bytes
    hostname: str
    is_ready: bool
    is_serving: bool


class SliceFacts(Packed, frozen=True):
    """A slice of the endpoints of a service; those without an IPv4 address are left out."""

    uid: str
    resource_version: str
    service_name: str
    endpoints: tuple[EndpointFacts, ...]
    ports: tuple[Port, ...]


_encoder = msgspec.msgpack.Encoder()
_services = msgspec.msgpack.Decoder(ServiceFacts)
_slices = msgspec.msgpack.Decoder(SliceFacts)


class KeptService(msgspec.Struct, frozen=True, gc=False):
    """A service, packed."""

    place: Place
    packed: bytes

    @property
    def facts(self) -> ServiceFacts:
        return _services.decode(self.packed)

    @property
    def metadata(self) -> ObjectMeta:
        return _meta_of(self.place, self.facts)

    def written(self) -> Service:
        """Return as much of the service as is known here."""
        facts = self.facts
        ports = [
            ServicePort(name=one.name, protocol=one.protocol, port=one.port) for one in facts.ports
        ]
        spec = ServiceSpec(
            type=EXTERNAL_NAME if facts.is_alias else "ClusterIP",
            cluster_ip=HEADLESS if facts.is_headless else _text_of(facts.address),
            external_name=facts.external_name,
            ports=tuple(ports),
        )
        return Service(metadata=self.metadata, spec=spec)


class KeptSlice(msgspec.Struct, frozen=True, gc=False):
    """A slice of endpoints, packed."""

    place: Place
    packed: bytes

    @property
    def facts(self) -> SliceFacts:
        return _slices.decode(self.packed)

    @property
    def metadata(self) -> ObjectMeta:
        return _meta_of(self.place, self.facts)

    def written(self) -> EndpointSlice:
        """Return as much of the slice as is known here."""
        facts = self.facts
        ports = [
            EndpointPort(name=one.name, protocol=one.protocol, port=one.port) for one in facts.ports
        ]
        meta = _meta_of(self.place, facts, {SERVICE_LABEL: facts.service_name})
        endpoints = tuple(map(_endpoint_written, facts.endpoints))
        return EndpointSlice(metadata=meta, endpoints=endpoints, ports=tuple(ports))


def service_kept(one: Service) -> KeptService:
    spec, meta = one.spec, one.metadata
    facts = ServiceFacts(
        meta.uid,
        meta.resource_version,
        packed_address(spec.cluster_ip),
        spec.is_headless,
        spec.type == EXTERNAL_NAME,
        spec.external_name,
        _ports_kept(spec.ports),
    )
    return KeptService((sys.intern(meta.namespace), meta.name), _encoder.encode(facts))


def slice_kept(one: EndpointSlice) -> KeptSlice:
    meta = one.metadata
    found = [(_address_of(each), each) for each in one.endpoints]
    endpoints = [
        EndpointFacts(address, each.hostname, each.conditions.ready, each.conditions.serving)
        for address, each in found
        if address
    ]
    facts = SliceFacts(
        meta.uid, meta.resource_version, one.service_name, tuple(endpoints), _ports_kept(one.ports)
    )
    return KeptSlice((sys.intern(meta.namespace), meta.name), _encoder.encode(facts))


def namespace_kept(one: Namespace) -> Namespace:
    return Namespace(metadata=_meta(one))


def dns_kept(one: Dns) -> Dns:
    status = DnsStatus(gateways=one.status.gateways)
    return Dns(metadata=_meta(one), spec=DnsSpec(host=one.spec.host), status=status)


def overrides_kept(one: ConfigMap) -> ConfigMap:
    return ConfigMap(
        metadata=_meta(one), data=one.data, binary_data=dict.fromkeys(one.binary_data, "")
    )


def packed_address(text: str) -> bytes:
    """Return the four bytes of an IPv4 address; empty where the text is none."""
    try:
        return IPv4Address(text).packed
    except AddressValueError:
        return b""


def _text_of(address: bytes) -> str:
    return ".".join(map(str, address))


def _address_of(one: Endpoint) -> bytes:
    return packed_address(one.addresses[0]) if one.addresses else b""


def _ports_kept(ports: Iterable[ServicePort | EndpointPort]) -> tuple[Port, ...]:
    return tuple(Port(one.name, one.protocol, one.port) for one in ports)


def _endpoint_written(one: EndpointFacts) -> Endpoint:
    conditions = EndpointConditions(ready=one.is_ready, serving=one.is_serving)
    return Endpoint(
        addresses=(_text_of(one.address),), hostname=one.hostname, conditions=conditions
    )


def _meta_of(
    place: Place, facts: ServiceFacts | SliceFacts, labels: dict[str, str] | None = None
) -> ObjectMeta:
    return ObjectMeta(
        name=place[1],
        namespace=place[0],
        uid=facts.uid,
        resource_version=facts.resource_version,
        labels=labels or {},
    )


def _meta(one: Object) -> ObjectMeta:
    meta = one.metadata
    return ObjectMeta(
        name=meta.name,
        namespace=sys.intern(meta.namespace),
        uid=meta.uid,
        resource_version=meta.resource_version,
    )
