"""Ingress: hosts and paths of HTTP that lead to services."""

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from cubernetes.api import names
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Count, Model, Object, age_of, shown, wire
from cubernetes.api.networking.urls import host_problem, path_problem
from cubernetes.api.resource import Resource

RULES_MAX = 256
PATHS_MAX = 256


class ServiceBackendPort(Model):
    """A port of a service, by its name or its number.

    name: its name; without a number.
    number: its number; without a name.
    """

    name: str = ""
    number: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0


class IngressServiceBackend(Model):
    """A service of the same namespace.

    name: the service.
    port: which of its ports.
    """

    name: str
    port: ServiceBackendPort = msgspec.field(default_factory=ServiceBackendPort)


class IngressResource(Model):
    """An object that is no service.

    api_group: the group of its kind.
    kind: its kind.
    name: its name.
    """

    api_group: str = wire("apiGroup", "")
    kind: str
    name: str


class IngressBackend(Model):
    """Where a request goes.

    service: a service of the same namespace.
    resource: another object; refused, for the gateway serves services alone.
    """

    service: IngressServiceBackend | None = None
    resource: IngressResource | None = None


class HTTPIngressPath(Model):
    """A path, and where it leads.

    path: it begins with `/`; left out with ImplementationSpecific, it is every path.
    path_type: Exact is this path alone; Prefix is it and everything below it, by whole segments
        (`/a` is not `/ab`); ImplementationSpecific is served as Prefix here.
    backend: where requests go.
    """

    path: str = ""
    path_type: Literal["Exact", "Prefix", "ImplementationSpecific"]
    backend: IngressBackend


class HTTPIngressRule(Model):
    """What a rule says of HTTP.

    paths: paths and their backends. Exact goes before Prefix, and longer before shorter.
    """

    paths: Annotated[tuple[HTTPIngressPath, ...], msgspec.Meta(max_length=PATHS_MAX)] = shown(())


class IngressRule(Model):
    """The paths of a host.

    host: a name, or `*.` and a name for one label before it; empty is every host that no other
        rule names.
    http: the paths; without them all go to `defaultBackend`.
    """

    host: str = ""
    http: HTTPIngressRule | None = None


class IngressTLS(Model):
    """A certificate, and the hosts it is for.

    hosts: names and wildcards; none is every host of the rules.
    secret_name: a Secret of the same namespace, of type kubernetes.io/tls; left out, or while it
        is not there or no good, the gateway's self-made certificate is served.
    """

    hosts: Annotated[tuple[str, ...], msgspec.Meta(max_length=RULES_MAX)] = ()
    secret_name: str = ""


class IngressSpec(Model):
    """Hosts and paths of HTTP that lead to services.

    ingress_class_name: the IngressClass, which says what program serves this; left out, the gateway
        of the cluster does.
    default_backend: where requests go that no rule has a path for.
    tls: certificates by host: these hosts are served by TLS as well.
    rules: hosts and their paths.
    """

    ingress_class_name: str = ""
    default_backend: IngressBackend | None = None
    tls: Annotated[tuple[IngressTLS, ...], msgspec.Meta(max_length=RULES_MAX)] = ()
    rules: Annotated[tuple[IngressRule, ...], msgspec.Meta(max_length=RULES_MAX)] = ()


class IngressPortStatus(Model):
    """A port on which a gateway answers.

    port, protocol, error: which one, and why it cannot be used; kept for clients that send it.
    """

    port: Count
    protocol: Literal["TCP", "UDP", "SCTP"] = shown("TCP")
    error: str = ""


class IngressAddress(Model):
    """A gateway that serves this.

    ip: its address.
    hostname, ports: its name, and the ports that it answers on; kept for clients that send it.
    """

    ip: str = ""
    hostname: str = ""
    ports: tuple[IngressPortStatus, ...] = ()


class IngressLoadBalancer(Model):
    """The gateways that serve this.

    ingress: one entry a gateway.
    """

    ingress: tuple[IngressAddress, ...] = ()


class IngressStatus(Model):
    """What has been found.

    load_balancer: the gateways that serve this; empty where none does.
    """

    load_balancer: IngressLoadBalancer = msgspec.field(default_factory=IngressLoadBalancer)


def _hosts(one: "Ingress", _: object) -> str:
    hosts = list(dict.fromkeys(rule.host for rule in one.spec.rules if rule.host))
    more = f" + {len(hosts) - 3} more..." if len(hosts) > 3 else ""
    return ",".join(hosts[:3]) + more or "*"


def _addresses(one: "Ingress", _: object) -> str:
    return ",".join(each.ip or each.hostname for each in one.status.load_balancer.ingress)


class Ingress(Object):
    resource = Resource(
        "networking.k8s.io", "v1", "Ingress", "ingresses", ("ing",), subresources=("status",)
    )
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Class", lambda one, _: one.spec.ingress_class_name or "<none>"),
        Column("Hosts", _hosts),
        Column("Address", _addresses),
        Column("Ports", lambda one, _: "80, 443" if one.spec.tls else "80"),
        Column("Age", age_of),
    )

    api_version: str = shown("networking.k8s.io/v1")
    kind: str = shown("Ingress")
    spec: IngressSpec = msgspec.field(default_factory=IngressSpec)
    status: IngressStatus = msgspec.field(default_factory=IngressStatus)

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        spec = self.spec
        if spec.ingress_class_name and not names.is_subdomain(spec.ingress_class_name):
            yield Problem("spec.ingressClassName", names.SUBDOMAIN_RULE)
        if spec.default_backend is not None:
            yield from _backend_problems(spec.default_backend, "spec.defaultBackend")
        elif not spec.rules:
            yield Problem("spec", "needs defaultBackend or rules", "FieldValueRequired")
        for index, rule in enumerate(spec.rules):
            yield from _rule_problems(rule, f"spec.rules[{index}]")
        for index, one in enumerate(spec.tls):
            yield from _tls_problems(one, f"spec.tls[{index}]")


def _rule_problems(rule: IngressRule, where: str) -> Iterator[Problem]:
    if rule.host and (why := host_problem(rule.host, may_be_wildcard=True)):
        yield Problem(f"{where}.host", why)
    if rule.http is None:
        return
    if not rule.http.paths:
        yield Problem(f"{where}.http.paths", "needs at least one", "FieldValueRequired")
    for index, one in enumerate(rule.http.paths):
        place = f"{where}.http.paths[{index}]"
        is_left_out = not one.path and one.path_type == "ImplementationSpecific"
        if not is_left_out and (why := path_problem(one.path)):
            yield Problem(f"{place}.path", why)
        yield from _backend_problems(one.backend, f"{place}.backend")


def _tls_problems(one: IngressTLS, where: str) -> Iterator[Problem]:
    for index, host in enumerate(one.hosts):
        if why := host_problem(host, may_be_wildcard=True):
            yield Problem(f"{where}.hosts[{index}]", why)
    if one.secret_name and not names.is_subdomain(one.secret_name):
        yield Problem(f"{where}.secretName", names.SUBDOMAIN_RULE)


def _backend_problems(backend: IngressBackend, where: str) -> Iterator[Problem]:
    if backend.resource is not None:
        told = "only services are led to: name one in service"
        yield Problem(f"{where}.resource", told, "FieldValueForbidden")
        return
    if backend.service is None:
        yield Problem(f"{where}.service", "names the service", "FieldValueRequired")
        return
    if not names.is_label(backend.service.name):
        yield Problem(f"{where}.service.name", names.LABEL_RULE)
    port = backend.service.port
    if bool(port.name) == bool(port.number):
        rule = "needs one of name and number"
        yield Problem(f"{where}.service.port", rule, "FieldValueRequired")
    elif port.name and not names.is_label(port.name):
        yield Problem(f"{where}.service.port.name", names.LABEL_RULE)
