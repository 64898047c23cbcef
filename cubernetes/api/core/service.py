"""Service: one stable address in front of the pods that a selector names."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec

from cubernetes.api import names
from cubernetes.api.core.node import is_address
from cubernetes.api.errors import Problem
from cubernetes.api.meta import (
    Column,
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


class ServicePort(Model):
    """A port of the service, and where its pods listen for it.

    port: the number by which callers reach it.
    name: needed where a service has several; an EndpointSlice repeats it.
    protocol: which protocol is spoken on it.
    target_port: where the pods listen: a number from 1 to 65535, or the name of a container port;
        left out, it is `port`.
    """

    port: PortNumber
    name: str = ""
    protocol: Literal["TCP", "UDP"] = shown("TCP")
    target_port: PortNumber | str | None = None


class ServiceSpec(Model):
    """How a service is reached, and which pods answer.

    type: how it is reached; there is no other way than inside the cluster yet.
    selector: the labels of the pods that answer; without it, slices are written by somebody else.
    ports: where it is reached; only a headless service may do without.
    cluster_ip: its address. Empty asks for one, `None` is a headless service, an address asks for
        that one. Once set, it stays.
    cluster_ips: nothing but `clusterIP`, for clients that read it here.
    session_affinity: every connection may go to another pod.
    internal_traffic_policy: every ready pod of the cluster answers, not only those of one's node.
    ip_families: addresses here are IPv4.
    ip_family_policy: one family of addresses.
    """

    type: Literal["ClusterIP"] = shown("ClusterIP")
    selector: Labels = msgspec.field(default_factory=dict)
    ports: Annotated[tuple[ServicePort, ...], msgspec.Meta(max_length=100)] = ()
    cluster_ip: str = wire("clusterIP", "")
    cluster_ips: tuple[str, ...] = wire("clusterIPs", ())
    session_affinity: Literal["None"] = shown("None")
    internal_traffic_policy: Literal["Cluster"] = shown("Cluster")
    ip_families: Annotated[tuple[Literal["IPv4"], ...], msgspec.Meta(max_length=2)] = shown(
        ("IPv4",)
    )
    ip_family_policy: Literal["", "SingleStack"] = shown("SingleStack")


class LoadBalancer(Model):
    """Services here have none.

    ingress: kept for clients that send it.
    """

    ingress: tuple[Mapping[str, Any], ...] = ()


class ServiceStatus(Model):
    """Kept for clients that send it.

    load_balancer: services here have none.
    """

    load_balancer: LoadBalancer = msgspec.field(default_factory=LoadBalancer)


def _ports(service: "Service", _: object) -> str:
    return ",".join(f"{one.port}/{one.protocol}" for one in service.spec.ports) or "<none>"


class Service(Object):
    resource = Resource(
        "", "v1", "Service", "services", ("svc",), subresources=("status",), categories=("all",),
        is_created_by_put=True,
    )  # fmt: skip
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Type", lambda one, _: one.spec.type),
        Column("Cluster-IP", lambda one, _: one.spec.cluster_ip or "<none>"),
        # Services have no addresses outside of the cluster yet.
        Column("External-IP", lambda _, __: "<none>"),
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
        return self.spec.cluster_ip == HEADLESS

    def defaulted(self) -> "Service":
        """Fill in target ports, clusterIPs from clusterIP, and families that are left open."""
        ports = tuple(
            one if one.target_port is not None else replaced(one, target_port=one.port)
            for one in self.spec.ports
        )
        address = self.spec.cluster_ip
        addresses = self.spec.cluster_ips or ((address,) if address else ())
        spec = replaced(
            self.spec,
            ports=ports,
            cluster_ips=addresses,
            ip_families=self.spec.ip_families or ("IPv4",),
            ip_family_policy=self.spec.ip_family_policy or "SingleStack",
        )
        return replaced(self, spec=spec)

    def problems(self) -> Iterator[Problem]:
        yield from self.metadata.problems(names.is_service_name, names.SERVICE_RULE)
        yield from names.label_problems(self.spec.selector, "spec.selector")
        address = self.spec.cluster_ip
        if address not in ("", HEADLESS) and not is_address(address):
            yield Problem("spec.clusterIP", "must be empty, 'None' or an IPv4 address")
        if self.spec.cluster_ips not in ((), (address,)):
            yield Problem("spec.clusterIPs", "must hold nothing but clusterIP, which must be set")
        if not self.spec.ports and not self.is_headless:
            yield Problem("spec.ports", "needs at least one", "FieldValueRequired")
        yield from self._port_problems()

    def _port_problems(self) -> Iterator[Problem]:
        ports = self.spec.ports
        for index, port in enumerate(ports):
            where = f"spec.ports[{index}]"
            if len(ports) > 1 and not port.name:
                message = "is required where a service has several ports"
                yield Problem(f"{where}.name", message, "FieldValueRequired")
            if port.name and not names.is_label(port.name):
                yield Problem(f"{where}.name", names.LABEL_RULE)
            if isinstance(port.target_port, str) and not names.is_port_name(port.target_port):
                rule = "must be a number from 1 to 65535 or the name of a container port"
                yield Problem(f"{where}.targetPort", rule)
        numbers = Counter(f"{one.port}/{one.protocol}" for one in ports)
        called = Counter(one.name for one in ports if one.name)
        for word, counted in (("port", numbers), ("name", called)):
            for value, count in counted.items():
                if count > 1:
                    message = f"{word} {value} is used {count} times"
                    yield Problem("spec.ports", message, "FieldValueDuplicate")

    def update_problems(self, old: "Service") -> Iterator[Problem]:
        if old.spec.cluster_ip:
            yield from immutable("spec.clusterIP", old.spec.cluster_ip, self.spec.cluster_ip)
