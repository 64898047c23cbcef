"""IngressClass: which program serves the Ingresses that name it."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from cubernetes.api import names
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Model, Object, age_of, shown, wire
from cubernetes.api.resource import Resource

# The name by which classes call the gateway of this house.
GATEWAY = "cubernetes.io/gateway"
CONTROLLER_CHARS_MAX = 250


class IngressClassParameters(Model):
    """An object that says more about the class. The gateway here reads none.

    api_group, kind, name, scope, namespace: which object, and where it stands, if scope is
        Namespace; kept for clients that send it.
    """

    api_group: str = wire("apiGroup", "")
    kind: str
    name: str
    scope: Literal["Cluster", "Namespace"] = shown("Cluster")
    namespace: str = ""


class IngressClassSpec(Model):
    """Which program serves the class.

    controller: the program's name for itself: `cubernetes.io/gateway` is the gateway here.
    parameters: an object that says more; kept for clients, such as other gateways, that send it.
    """

    controller: str = ""
    parameters: IngressClassParameters | None = None


class IngressClass(Object):
    resource = Resource(
        "networking.k8s.io", "v1", "IngressClass", "ingressclasses", namespaced=False
    )
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Controller", lambda one, _: one.spec.controller),
        Column("Parameters", lambda one, _: _parameters(one)),
        Column("Age", age_of),
    )

    api_version: str = shown("networking.k8s.io/v1")
    kind: str = shown("IngressClass")
    spec: IngressClassSpec = msgspec.field(default_factory=IngressClassSpec)

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        controller = self.spec.controller
        if len(controller) > CONTROLLER_CHARS_MAX:
            rule = f"must have at most {CONTROLLER_CHARS_MAX} characters"
            yield Problem("spec.controller", rule)
        elif controller and not _is_controller(controller):
            rule = "must be a DNS subdomain, '/' and a path: cubernetes.io/gateway"
            yield Problem("spec.controller", rule)

    def update_problems(self, old: "IngressClass") -> Iterator[Problem]:
        if old.spec.controller != self.spec.controller:
            yield Problem("spec.controller", "is immutable", "FieldValueForbidden")


def _is_controller(text: str) -> bool:
    domain, slash, path = text.partition("/")
    return bool(slash and path) and names.is_subdomain(domain)


def _parameters(one: IngressClass) -> str:
    told = one.spec.parameters
    if told is None:
        return "<none>"
    group = f".{told.api_group}" if told.api_group else ""
    return f"{told.kind}{group}/{told.name}"
