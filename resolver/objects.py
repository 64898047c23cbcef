"""What is kept of objects: names and addresses, of which a cluster has many. Pure.

Values that many objects have in common are there once.
"""

import sys

from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.service import Service, ServiceSpec, ServiceStatus
from cubernetes.api.cubernetes.dns import Dns, DnsSpec, DnsStatus
from cubernetes.api.discovery.endpointslice import (
    SERVICE_LABEL,
    Endpoint,
    EndpointConditions,
    EndpointSlice,
)
from cubernetes.api.meta import Object, ObjectMeta, replaced

_SPEC_FIELDS = tuple(
    one
    for one in ("type", "cluster_ip", "external_name", "ports")
    if one in ServiceSpec.__struct_fields__
)
_CONDITIONS = {
    one: one
    for ready in (True, False)
    for serving in (True, False)
    for terminating in (True, False)
    for one in [EndpointConditions(ready=ready, serving=serving, terminating=terminating)]
}
_NO_STATUS = ServiceStatus()
_NOTHING: dict[str, str] = {}


def service_kept(one: Service) -> Service:
    kept = {field: getattr(one.spec, field) for field in _SPEC_FIELDS}
    spec = ServiceSpec(**kept, selector=_NOTHING)
    return Service(metadata=_meta(one), spec=spec, status=_NO_STATUS)


def slice_kept(one: EndpointSlice) -> EndpointSlice:
    label = {SERVICE_LABEL: one.service_name} if one.service_name else {}
    return EndpointSlice(
        metadata=replaced(_meta(one), labels=label),
        endpoints=tuple(_endpoint_kept(each) for each in one.endpoints),
        ports=one.ports,
    )


def namespace_kept(one: Namespace) -> Namespace:
    return Namespace(metadata=_meta(one))


def dns_kept(one: Dns) -> Dns:
    status = DnsStatus(gateways=one.status.gateways)
    return Dns(metadata=_meta(one), spec=DnsSpec(host=one.spec.host), status=status)


def overrides_kept(one: ConfigMap) -> ConfigMap:
    return ConfigMap(
        metadata=_meta(one), data=one.data, binary_data=dict.fromkeys(one.binary_data, "")
    )


def _endpoint_kept(one: Endpoint) -> Endpoint:
    return Endpoint(
        addresses=one.addresses[:1],
        conditions=_CONDITIONS[one.conditions],
        hostname=one.hostname,
        deprecated_topology=_NOTHING,
    )


def _meta(one: Object) -> ObjectMeta:
    meta = one.metadata
    return ObjectMeta(
        name=meta.name,
        namespace=sys.intern(meta.namespace),
        uid=meta.uid,
        resource_version=meta.resource_version,
        labels=_NOTHING,
        annotations=_NOTHING,
    )
