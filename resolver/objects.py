"""What is kept of objects: names and addresses, of which a cluster has many. Pure."""

from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.service import Service, ServiceSpec
from cubernetes.api.cubernetes.dns import Dns, DnsSpec, DnsStatus
from cubernetes.api.discovery.endpointslice import SERVICE_LABEL, Endpoint, EndpointSlice
from cubernetes.api.meta import Object, ObjectMeta, replaced

_SPEC_FIELDS = tuple(
    one
    for one in ("type", "cluster_ip", "external_name", "ports")
    if one in ServiceSpec.__struct_fields__
)


def service_kept(one: Service) -> Service:
    spec = ServiceSpec(**{field: getattr(one.spec, field) for field in _SPEC_FIELDS})
    return Service(metadata=_meta(one), spec=spec)


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
    return Endpoint(addresses=one.addresses[:1], conditions=one.conditions, hostname=one.hostname)


def _meta(one: Object) -> ObjectMeta:
    meta = one.metadata
    return ObjectMeta(
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        resource_version=meta.resource_version,
    )
