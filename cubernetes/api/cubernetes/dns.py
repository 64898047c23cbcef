"""Dns: a host whose paths lead to services, each path to one."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec

from cubernetes.api import names
from cubernetes.api.condition import Condition, condition_of
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Model, Object, PortNumber, age_of, shown
from cubernetes.api.networking.urls import host_problem, path_problem
from cubernetes.api.resource import Resource

PATHS_MAX = 256
TRANSLATED_MAX = 4  # of an older manifest's paths, in one message
# The condition that says whether the gateways serve it.
ACCEPTED = "Accepted"


class DnsPath(Model):
    """A path, and the service that it leads to.

    path: it begins with `/`.
    path_type: Prefix is this path and everything below it, by whole segments (`/a` is not `/ab`);
        Exact is this path alone.
    service_name: a service of the same namespace.
    service_port: a port of that service, by its number or its name.
    """

    path: str
    path_type: Literal["Prefix", "Exact"] = shown("Prefix")
    service_name: str
    service_port: PortNumber | str


class DnsSpec(Model):
    """A host, and where its paths lead.

    host: a name, of the cluster's domain or of any other; it leads to the gateways.
    paths: paths and their services. Exact goes before Prefix, and longer before shorter.
    """

    host: str
    paths: Annotated[tuple[DnsPath, ...], msgspec.Meta(max_length=PATHS_MAX)] = shown(())


class DnsStatus(Model):
    """What has been found.

    gateways: the addresses of the gateways that serve it; the host leads to them.
    conditions: `Accepted` is False where an older object has the same host and path.
    """

    gateways: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()


def _accepted(one: "Dns", _: object) -> str:
    found = condition_of(one.status.conditions, ACCEPTED)
    return found.status if found is not None else "Unknown"


class Dns(Object):
    resource = Resource("cubernetes.io", "v1", "Dns", "dnses", subresources=("status",))
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Host", lambda one, _: one.spec.host),
        Column("Paths", lambda one, _: len(one.spec.paths)),
        Column("Accepted", _accepted),
        Column("Address", lambda one, _: ",".join(one.status.gateways)),
        Column("Age", age_of),
    )

    api_version: str = shown("cubernetes.io/v1")
    kind: str = shown("Dns")
    spec: DnsSpec
    status: DnsStatus = msgspec.field(default_factory=DnsStatus)

    @classmethod
    def misread(cls, tree: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield how the paths of an older manifest are written now: there they were a map."""
        spec = tree.get("spec")
        paths = spec.get("paths") if isinstance(spec, dict) else None
        if not isinstance(paths, dict):
            return
        shown_paths = "; ".join(_translated(*one) for one in list(paths.items())[:TRANSLATED_MAX])
        more = f"; and {len(paths) - TRANSLATED_MAX} more" if len(paths) > TRANSLATED_MAX else ""
        message = (
            "must be a list, and names services instead of their uids; write "
            f"{shown_paths or '- {path: /, serviceName: NAME, servicePort: 80}'}{more}"
        )
        yield Problem("spec.paths", message)

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        if why := host_problem(self.spec.host, may_be_wildcard=False):
            yield Problem("spec.host", why)
        if not self.spec.paths:
            yield Problem("spec.paths", "needs at least one", "FieldValueRequired")
        for index, one in enumerate(self.spec.paths):
            yield from _path_problems(one, f"spec.paths[{index}]")
        counted = Counter((one.path_type, one.path) for one in self.spec.paths)
        for (form, path), count in counted.items():
            if count > 1:
                message = f"{form} {path[:80]} is there {count} times"
                yield Problem("spec.paths", message, "FieldValueDuplicate")


def _path_problems(one: DnsPath, where: str) -> Iterator[Problem]:
    if why := path_problem(one.path):
        yield Problem(f"{where}.path", why)
    if not names.is_label(one.service_name):
        yield Problem(f"{where}.serviceName", names.LABEL_RULE)
    if isinstance(one.service_port, str) and not names.is_label(one.service_port):
        rule = "must be a number from 1 to 65535 or the name of a port of the service"
        yield Problem(f"{where}.servicePort", rule)


def _translated(path: str, target: Any) -> str:
    """Write one entry of an older manifest's map as it stands in the list."""
    told = target if isinstance(target, dict) else {}
    uid, port = told.get("serviceUID", ""), told.get("servicePort", "PORT")
    name = f"<name of the service with uid {str(uid)[:40]}>" if uid else "NAME"
    return f"- {{path: {path[:80]}, pathType: Exact, serviceName: {name}, servicePort: {port}}}"
