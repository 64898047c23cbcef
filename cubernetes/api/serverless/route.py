"""Route: a path of HTTP at the functions' gateway that leads to a function."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec

from cubernetes.api import names
from cubernetes.api.condition import Condition, condition_of
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Model, Object, age_of, shown
from cubernetes.api.networking.urls import host_problem, path_problem
from cubernetes.api.resource import Resource
from cubernetes.api.specrules.notbuilt import not_built_problems

METHODS_MAX = 8
VARIABLES_MAX = 16
BODY_BYTES_MAX = 8 * 1024 * 1024
ACCEPTED = "Accepted"
# What the design has for routes and nothing does yet: refused by name.
NOT_BUILT = ("workflow", "rate", "auth")

type Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

_VARIABLE = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]{0,62}\}\Z")
VARIABLE_RULE = (
    "a variable is a whole segment: '{', a letter or '_', at most 62 more letters, digits and '_', "
    "and '}'; none twice, at most 16"
)
REST_RULE = "'*' is the last segment alone: it stands for all that is below"


class RouteSpec(Model):
    """A path, and the function that it leads to.

    host: the host that is asked for; empty is every host.
    path: it begins with `/`; a segment `{name}` is any one segment, and the function finds it in
        its variables; a last segment `*` is all that is below.
    methods: the methods that are taken.
    function: the function, in the same namespace.
    body_bytes: how long a request's body may be; longer is answered with 413.
    delivery: `direct` asks an instance and runs at most once; `durable` is answered when the call,
        which the broker has, has ended; `async` is answered with 202 as soon as the broker has it.
    """

    host: str = ""
    path: str
    methods: Annotated[tuple[Method, ...], msgspec.Meta(max_length=METHODS_MAX)] = shown(("GET",))
    function: str
    body_bytes: Annotated[int, msgspec.Meta(ge=0, le=BODY_BYTES_MAX)] = shown(1024 * 1024)
    delivery: Literal["direct", "durable", "async"] = shown("direct")


class RouteStatus(Model):
    """What has been found.

    conditions: `Accepted` is False where an older Route has the same host, path and method, or
        where there is no such function.
    """

    conditions: tuple[Condition, ...] = ()


def _accepted(one: "Route", _: object) -> str:
    accepted = condition_of(one.status.conditions, ACCEPTED)
    return accepted.status if accepted is not None else "Unknown"


class Route(Object):
    resource = Resource(
        "serverless.cubernetes.io", "v1", "Route", "routes", subresources=("status",)
    )
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Host", lambda one, _: one.spec.host or "*"),
        Column("Methods", lambda one, _: ",".join(one.spec.methods)),
        Column("Path", lambda one, _: one.spec.path),
        Column("Function", lambda one, _: one.spec.function),
        Column("Accepted", _accepted),
        Column("Age", age_of),
    )

    api_version: str = shown("serverless.cubernetes.io/v1")
    kind: str = shown("Route")
    spec: RouteSpec
    status: RouteStatus = msgspec.field(default_factory=RouteStatus)

    @classmethod
    def misread(cls, tree: Mapping[str, Any]) -> Iterator[Problem]:
        yield from not_built_problems(tree, NOT_BUILT)

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        spec = self.spec
        if spec.host and (why := host_problem(spec.host, may_be_wildcard=False)):
            yield Problem("spec.host", why)
        if why := pattern_problem(spec.path):
            yield Problem("spec.path", why)
        if not spec.methods:
            yield Problem("spec.methods", "needs at least one", "FieldValueRequired")
        if len(set(spec.methods)) != len(spec.methods):
            yield Problem("spec.methods", "must not name a method twice")
        if not names.is_label(spec.function):
            yield Problem("spec.function", names.LABEL_RULE)


def pattern_problem(path: str) -> str:
    """Return what is wrong with a route's path; empty where it is accepted."""
    segments = path.split("/")[1:]
    found = [one for one in segments if "{" in one or "}" in one]
    if any(_VARIABLE.match(one) is None for one in found) or len(found) > VARIABLES_MAX:
        return VARIABLE_RULE
    if len(set(found)) != len(found):
        return VARIABLE_RULE
    if any("*" in one for one in segments[:-1]) or ("*" in path and segments[-1] != "*"):
        return REST_RULE
    return path_problem(re.sub(r"\{[^}]*\}", "x", path))
