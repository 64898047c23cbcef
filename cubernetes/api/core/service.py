"""Service: one stable address in front of the pods that a selector names."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal

import msgspec

from cubernetes.api import names
from cubernetes.api.core.node import is_address, is_network
from cubernetes.api.errors import Problem
from cubernetes.api.meta import (
    Column,
    Count,
    Labels,
    Model,
    Object,
    PortNumber,
    age_of,
    immutable,
    replaced,
    shown,
    wire,
)
from cubernetes.api.meta import text_field as text
from cubernetes.api.resource import Resource
from cubernetes.api.selectors import selector_text

HEADLESS = "None"
# On a service: the address of the cluster's pool that it was given, for the nodes to announce.
ANNOUNCED = "cubernetes.io/announced-address"
AFFINITY_S_MAX = 86_400
AFFINITY_S = 10_800  # how long a client keeps its pod, unless its service says so: three hours

FORBIDDEN, REQUIRED = "FieldValueForbidden", "FieldValueRequired"

type Protocol = Literal["TCP", "UDP"]
type ServiceType = Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]
OptionalPort = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class ServicePort(Model):
    """A port of the service, and where its pods listen for it.

    port: the number by which callers reach it.
    name: needed where a service has several; an EndpointSlice repeats it.
    protocol: which protocol is spoken on it.
    target_port: where the pods listen: a number from 1 to 65535, or the name of a container port;
        left out, it is `port`.
    node_port: the number at which every node answers for it, of types NodePort and LoadBalancer;
        left out, the cluster gives a free one.
    app_protocol: the protocol above `protocol`; kept for clients, such as gateways, that ask.
    """

    port: PortNumber
    name: str = ""
    protocol: Protocol = shown("TCP")
    target_port: PortNumber | str | None = None
    node_port: OptionalPort = 0
    app_protocol: str = ""


class ClientIPConfig(Model):
    """How long a client keeps its pod.

    timeout_seconds: from 1 to 86400; counted from its last connection.
    """

    timeout_seconds: Count | None = None


class SessionAffinityConfig(Model):
    """What `sessionAffinity` is set to.

    client_ip: for ClientIP.
    """

    client_ip: ClientIPConfig | None = wire("clientIP", None)


class ServiceSpec(Model):
    """How a service is reached, and which pods answer.

    type: how it is reached: at its cluster IP; also at a port of every node (NodePort); also at an
        address from the cluster's pool (LoadBalancer); or it is another name (ExternalName).
    selector: the labels of the pods that answer; without it, slices are written by somebody else.
    ports: where it is reached; only a headless service may do without.
    cluster_ip: its address. Empty asks for one, `None` is a headless service, an address asks for
        that one. Once set, it stays, but for a service that becomes an ExternalName.
    cluster_ips: nothing but `clusterIP`, for clients that read it here.
    external_name: the name that the service stands for, of type ExternalName.
    external_ips: addresses, led to this cluster by others, at which every node answers for it.
    external_traffic_policy: who answers what comes from outside: any pod (Cluster), or only pods of
        the node that it comes to, which then see the client's own address (Local).
    internal_traffic_policy: who answers what comes to the cluster IP: any pod (Cluster), or only
        pods of the caller's own node (Local).
    health_check_node_port: the port at which each node tells whether it has a pod of the service;
        of type LoadBalancer with externalTrafficPolicy Local.
    session_affinity: whether a client's connections all go to one pod (ClientIP), or to any (None).
    session_affinity_config: how long a client keeps its pod.
    publish_not_ready_addresses: whether pods that are not ready count as ready.
    load_balancer_ip: the address of the pool that is asked for.
    load_balancer_class: who gives the address; empty is this cluster itself.
    load_balancer_source_ranges: from where the address of the pool may be reached; empty is all.
    allocate_load_balancer_node_ports: whether a LoadBalancer is given node ports too; it has those
        that `ports` state in any case.
    ip_families: addresses here are IPv4.
    ip_family_policy: one family of addresses.
    """

    type: ServiceType = shown("ClusterIP")
    selector: Labels = msgspec.field(default_factory=dict)
    ports: Annotated[tuple[ServicePort, ...], msgspec.Meta(max_length=100)] = ()
    cluster_ip: str = wire("clusterIP", "")
    cluster_ips: tuple[str, ...] = wire("clusterIPs", ())
    external_name: str = ""
    external_ips: Annotated[tuple[str, ...], msgspec.Meta(max_length=100)] = wire("externalIPs", ())
    external_traffic_policy: Literal["", "Cluster", "Local"] = ""
    internal_traffic_policy: Literal["", "Cluster", "Local"] = ""
    health_check_node_port: OptionalPort = 0
    session_affinity: Literal["None", "ClientIP"] = shown("None")
    session_affinity_config: SessionAffinityConfig | None = None
    publish_not_ready_addresses: bool = False
    load_balancer_ip: str = wire("loadBalancerIP", "")
    load_balancer_class: str | None = None
    load_balancer_source_ranges: Annotated[tuple[str, ...], msgspec.Meta(max_length=100)] = ()
    allocate_load_balancer_node_ports: bool | None = None
    ip_families: Annotated[tuple[Literal["IPv4"], ...], msgspec.Meta(max_length=2)] = ()
    ip_family_policy: Literal["", "SingleStack"] = ""

    @property
    def is_headless(self) -> bool:
        return self.cluster_ip == HEADLESS

    @property
    def may_have_node_ports(self) -> bool:
        """Tell whether nodes answer for it at ports of their own: at least those that it states."""
        return self.type in ("NodePort", "LoadBalancer")

    @property
    def is_given_node_ports(self) -> bool:
        """Tell whether each of its ports without a node port is given one."""
        return self.type == "NodePort" or (
            self.type == "LoadBalancer" and self.allocate_load_balancer_node_ports is not False
        )

    @property
    def is_external(self) -> bool:
        """Tell whether it is reached from outside the cluster, and so has a policy for that."""
        return self.type in ("NodePort", "LoadBalancer") or (
            self.type == "ClusterIP" and bool(self.external_ips)
        )

    @property
    def has_local_policy(self) -> bool:
        """Tell whether a node answers something for it by pods of its own alone."""
        is_outer = self.is_external and self.external_traffic_policy == "Local"
        return is_outer or self.internal_traffic_policy == "Local"

    @property
    def has_health_port(self) -> bool:
        return self.type == "LoadBalancer" and self.external_traffic_policy == "Local"

    @property
    def affinity_s(self) -> int:
        """Return how long a client keeps its pod; 0 where it does not."""
        if self.session_affinity == "None":
            return 0
        config = self.session_affinity_config
        found = config.client_ip.timeout_seconds if config and config.client_ip else None
        return AFFINITY_S if found is None else found


class LoadBalancerPort(Model):
    """A port of an address, as its giver reports.

    port, protocol, error: which one, and why it is not led there; kept for clients that send it.
    """

    port: PortNumber
    protocol: Protocol = shown("TCP")
    error: str = ""


class LoadBalancerIngress(Model):
    """One address at which a LoadBalancer is reached.

    ip: the address.
    hostname: its name, where it has one.
    ip_mode: how packets to it come to a node: as they are (VIP), or for the node itself (Proxy).
    ports: what became of its ports; kept for clients that send it.
    """

    ip: str = ""
    hostname: str = ""
    ip_mode: Literal["", "VIP", "Proxy"] = ""
    ports: Annotated[tuple[LoadBalancerPort, ...], msgspec.Meta(max_length=100)] = ()


class LoadBalancer(Model):
    """Where a service of type LoadBalancer is reached.

    ingress: its addresses; none until one is given.
    """

    ingress: Annotated[tuple[LoadBalancerIngress, ...], msgspec.Meta(max_length=100)] = ()


class ServiceStatus(Model):
    """What became of a service.

    load_balancer: its addresses, of type LoadBalancer.
    """

    load_balancer: LoadBalancer = msgspec.field(default_factory=LoadBalancer)


def _ports(service: "Service", _: object) -> str:
    return ",".join(map(_port_text, service.spec.ports)) or "<none>"


def _port_text(one: ServicePort) -> str:
    outside = f":{one.node_port}" if one.node_port else ""
    return f"{one.port}{outside}/{one.protocol}"


def _external_addresses(service: "Service", _: object) -> str:
    """Return what kubectl shows: a name, or addresses; of a LoadBalancer that waits, so."""
    spec = service.spec
    if spec.type == "ExternalName":
        return spec.external_name
    ingress = service.status.load_balancer.ingress if spec.type == "LoadBalancer" else ()
    given = (*(one.ip or one.hostname for one in ingress), *spec.external_ips)
    return ",".join(given) or ("<pending>" if spec.type == "LoadBalancer" else "<none>")


def _with_defaults(spec: ServiceSpec) -> ServiceSpec:
    ports = tuple(
        one if one.target_port is not None else replaced(one, target_port=one.port)
        for one in spec.ports
    )
    affinity = ClientIPConfig(timeout_seconds=spec.affinity_s)
    config = SessionAffinityConfig(client_ip=affinity) if spec.session_affinity != "None" else None
    spec = replaced(spec, ports=ports, session_affinity_config=config)
    if spec.is_external and not spec.external_traffic_policy:
        spec = replaced(spec, external_traffic_policy="Cluster")
    if spec.type == "LoadBalancer" and spec.allocate_load_balancer_node_ports is None:
        spec = replaced(spec, allocate_load_balancer_node_ports=True)
    if spec.type == "ExternalName":
        return replaced(spec, external_name=spec.external_name.removesuffix("."))
    return replaced(
        spec,
        cluster_ips=spec.cluster_ips or ((spec.cluster_ip,) if spec.cluster_ip else ()),
        internal_traffic_policy=spec.internal_traffic_policy or "Cluster",
        ip_families=spec.ip_families or ("IPv4",),
        ip_family_policy=spec.ip_family_policy or "SingleStack",
    )


class Service(Object):
    resource = Resource(
        "", "v1", "Service", "services", ("svc",), subresources=("status", "proxy"),
        categories=("all",), is_created_by_put=True,
    )  # fmt: skip
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Type", lambda one, _: one.spec.type),
        Column("Cluster-IP", lambda one, _: one.spec.cluster_ip or "<none>"),
        Column("External-IP", _external_addresses),
        Column("Port(s)", _ports),
        Column("Age", age_of),
        Column("Selector", lambda one, _: selector_text(one.spec.selector) or "<none>", wide=True),
    )
    selectable = {"spec.clusterIP": text("spec.cluster_ip"), "spec.type": text("spec.type")}

    api_version: str = shown("v1")
    kind: str = shown("Service")
    spec: ServiceSpec
    status: ServiceStatus = msgspec.field(default_factory=ServiceStatus)

    @property
    def is_headless(self) -> bool:
        return self.spec.is_headless

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Tell whether pods with these labels are behind it; without a selector none is."""
        return bool(self.spec.selector) and self.spec.selector.items() <= labels.items()

    def defaulted(self) -> "Service":
        """Fill in what Kubernetes fills in: target ports, policies, families, node ports wanted."""
        return replaced(self, spec=_with_defaults(self.spec))

    def problems(self) -> Iterator[Problem]:
        yield from self.metadata.problems(names.is_service_name, names.SERVICE_RULE)
        yield from _spec_problems(self.spec)

    def update_problems(self, old: "Service") -> Iterator[Problem]:
        before, spec = old.spec, self.spec
        if before.cluster_ip and "ExternalName" not in (before.type, spec.type):
            yield from immutable("spec.clusterIP", before.cluster_ip, spec.cluster_ip)
        if before.type == spec.type == "LoadBalancer":
            was, now = before.load_balancer_class or "", spec.load_balancer_class or ""
            yield from immutable("spec.loadBalancerClass", was, now)
        if before.has_health_port and spec.has_health_port:
            was, now = (str(one.health_check_node_port) for one in (before, spec))
            yield from immutable("spec.healthCheckNodePort", was, now)


def _spec_problems(spec: ServiceSpec) -> Iterator[Problem]:
    """Yield what is wrong with a spec whose defaults are filled in."""
    yield from names.label_problems(spec.selector, "spec.selector")
    yield from _address_problems(spec)
    if spec.type == "ExternalName":
        yield from _name_problems(spec)
    elif not spec.ports and not spec.is_headless:
        yield Problem("spec.ports", "needs at least one", REQUIRED)
    yield from _port_problems(spec.ports)
    yield from _node_port_problems(spec)
    yield from _policy_problems(spec)
    yield from _external_ip_problems(spec)
    yield from _load_balancer_problems(spec)


def _address_problems(spec: ServiceSpec) -> Iterator[Problem]:
    address = spec.cluster_ip
    if spec.type == "ExternalName":
        if address or spec.cluster_ips:
            yield Problem("spec.clusterIP", "may not be set for ExternalName services", FORBIDDEN)
        return
    if address and not spec.is_headless and not is_address(address):
        yield Problem("spec.clusterIP", "must be empty, 'None' or an IPv4 address")
    if spec.cluster_ips not in ((), (address,)):
        yield Problem("spec.clusterIPs", "must hold nothing but clusterIP, which must be set")
    if spec.is_headless and spec.type != "ClusterIP":
        yield Problem("spec.clusterIP", f"may not be set to 'None' for {spec.type} services")


def _name_problems(spec: ServiceSpec) -> Iterator[Problem]:
    if not spec.external_name:
        yield Problem("spec.externalName", "is required for ExternalName services", REQUIRED)
    elif not names.is_subdomain(spec.external_name):
        yield Problem("spec.externalName", names.SUBDOMAIN_RULE)


def _port_problems(ports: Sequence[ServicePort]) -> Iterator[Problem]:
    for index, port in enumerate(ports):
        where = f"spec.ports[{index}]"
        if len(ports) > 1 and not port.name:
            message = "is required where a service has several ports"
            yield Problem(f"{where}.name", message, REQUIRED)
        if port.name and not names.is_label(port.name):
            yield Problem(f"{where}.name", names.LABEL_RULE)
        if isinstance(port.target_port, str) and not names.is_port_name(port.target_port):
            rule = "must be a number from 1 to 65535 or the name of a container port"
            yield Problem(f"{where}.targetPort", rule)
        if port.app_protocol and not names.is_label_key(port.app_protocol):
            yield Problem(f"{where}.appProtocol", names.LABEL_KEY_RULE)
    yield from _twice(ports)


def _twice(ports: Sequence[ServicePort]) -> Iterator[Problem]:
    numbers = Counter(f"{one.port}/{one.protocol}" for one in ports)
    called = Counter(one.name for one in ports if one.name)
    outside = Counter(f"{one.node_port}/{one.protocol}" for one in ports if one.node_port)
    for word, counted in (("port", numbers), ("name", called), ("node port", outside)):
        for value, count in counted.items():
            if count > 1:
                message = f"{word} {value} is used {count} times"
                yield Problem("spec.ports", message, "FieldValueDuplicate")


def _node_port_problems(spec: ServiceSpec) -> Iterator[Problem]:
    may_have = spec.type in ("NodePort", "LoadBalancer")
    for index, port in enumerate(spec.ports):
        if port.node_port and not may_have:
            message = f"may not be used when `type` is '{spec.type}'"
            yield Problem(f"spec.ports[{index}].nodePort", message, FORBIDDEN)
    if spec.health_check_node_port and not spec.has_health_port:
        condition = "`type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        yield Problem("spec.healthCheckNodePort", f"may only be set when {condition}")
    elif spec.health_check_node_port in {one.node_port for one in spec.ports if one.node_port}:
        message = "must be another port than those of ports[].nodePort"
        yield Problem("spec.healthCheckNodePort", message, "FieldValueDuplicate")


def _policy_problems(spec: ServiceSpec) -> Iterator[Problem]:
    if spec.external_traffic_policy and not spec.is_external:
        message = "may only be set for externally-accessible services"
        yield Problem("spec.externalTrafficPolicy", message)
    if spec.session_affinity == "ClientIP" and not 1 <= spec.affinity_s <= AFFINITY_S_MAX:
        where = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
        yield Problem(where, f"must be from 1 to {AFFINITY_S_MAX}")


def _external_ip_problems(spec: ServiceSpec) -> Iterator[Problem]:
    for index, address in enumerate(spec.external_ips):
        if not may_be_external(address):
            rule = "must be an IPv4 address, not unspecified, loopback, link-local or multicast"
            yield Problem(f"spec.externalIPs[{index}]", rule)
    for address, count in Counter(spec.external_ips).items():
        if count > 1:
            message = f"{address[:40]} is named {count} times"
            yield Problem("spec.externalIPs", message, "FieldValueDuplicate")
    if spec.external_ips and (spec.type == "ExternalName" or spec.is_headless):
        message = "may not be set for services without an address of their own"
        yield Problem("spec.externalIPs", message, FORBIDDEN)


def may_be_external(text: str) -> bool:
    """Tell whether packets from outside can be meant for an address."""
    if not is_address(text):
        return False
    found = IPv4Address(text)
    is_own = found.is_unspecified or found.is_loopback or found.is_link_local
    return not (is_own or found.is_multicast or found.is_reserved)


def _load_balancer_problems(spec: ServiceSpec) -> Iterator[Problem]:
    only = "may only be used when `type` is 'LoadBalancer'"
    if spec.type != "LoadBalancer":
        for field, value in (
            ("loadBalancerIP", spec.load_balancer_ip or None),
            ("loadBalancerClass", spec.load_balancer_class),
            ("allocateLoadBalancerNodePorts", spec.allocate_load_balancer_node_ports),
            ("loadBalancerSourceRanges", spec.load_balancer_source_ranges or None),
        ):
            if value is not None:
                yield Problem(f"spec.{field}", only, FORBIDDEN)
        return
    if spec.load_balancer_ip and not may_be_external(spec.load_balancer_ip):
        yield Problem("spec.loadBalancerIP", "must be empty or an IPv4 address of the pool")
    if spec.load_balancer_class is not None and not names.is_label_key(spec.load_balancer_class):
        yield Problem("spec.loadBalancerClass", names.LABEL_KEY_RULE)
    for index, network in enumerate(spec.load_balancer_source_ranges):
        if not is_network(network.strip()):
            rule = "must be an IPv4 network such as 192.0.2.0/24"
            yield Problem(f"spec.loadBalancerSourceRanges[{index}]", rule)


def networks_of(spec: ServiceSpec) -> tuple[IPv4Network, ...]:
    """Return from where its address of the pool may be reached; none: from everywhere."""
    return tuple(IPv4Network(one.strip()) for one in spec.load_balancer_source_ranges)
