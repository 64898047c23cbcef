"""What a client asks first: the version, the groups, and the resources of each group."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from apiserver.about.openapi.schemas import group_version_kind
from apiserver.backend import Backend
from apiserver.call import Call, Handler
from apiserver.subresources.registry import subresources_of
from apiserver.subresources.subresource import Subresource
from cubernetes.api.meta import Object
from cubernetes.api.resource import Resource
from cubernetes.host.version import VERSION
from cubernetes.host.web.messages import Response

# The Kubernetes release whose API we speak; clients compare theirs with it.
MAJOR, MINOR = "1", "32"
GIT_VERSION = f"v{MAJOR}.{MINOR}.0+cubernetes.{VERSION}"


async def version(_: Backend, __: Call) -> Response:
    told = {
        "major": MAJOR,
        "minor": MINOR,
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "cpython",
        "platform": "linux/amd64",
    }
    return Response(200, msgspec.json.encode(told))


async def versions(_: Backend, __: Call) -> Response:
    told = {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    return Response(200, msgspec.json.encode(told))


def groups_of(
    kinds: Sequence[type[Object]], others: Callable[[Backend], list[dict[str, object]]]
) -> Handler:
    """Return the handler that lists the groups of these kinds, less the core group, and others."""
    named = sorted({kind.resource.group for kind in kinds if kind.resource.group})
    groups = [_group(name, kinds) for name in named]

    async def answer(backend: Backend, _: Call) -> Response:
        told = {"kind": "APIGroupList", "apiVersion": "v1", "groups": [*groups, *others(backend)]}
        return Response(200, msgspec.json.encode(told))

    return answer


def group_of(name: str, kinds: Sequence[type[Object]]) -> Handler:
    return _always({"kind": "APIGroup", "apiVersion": "v1", **_group(name, kinds)})


def resources_of(kinds: Sequence[type[Object]]) -> Handler:
    """Return the handler that lists the resources of kinds that share a group and version."""
    listed = [entry for kind in kinds for entry in _entries(kind.resource)]
    told: dict[str, object] = {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": kinds[0].resource.api_version,
        "resources": listed,
    }
    return _always(told)


def _group(name: str, kinds: Sequence[type[Object]]) -> dict[str, object]:
    """Return a group with its versions; what is stored is preferred to views, which come last."""
    found = [kind.resource for kind in kinds if kind.resource.group == name]
    versions = [
        {"groupVersion": f"{name}/{version}", "version": version}
        for version in dict.fromkeys(one.version for one in found)
    ]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _entries(resource: Resource) -> list[dict[str, object]]:
    own: dict[str, object] = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
        "shortNames": list(resource.short_names),
    }
    # Only the resource itself has categories: kubectl would otherwise try to list pods/log.
    own |= {"categories": list(resource.categories)} if resource.categories else {}
    return [own, *(_part(resource, part) for part in subresources_of(resource))]


def _part(resource: Resource, part: Subresource) -> dict[str, object]:
    entry: dict[str, object] = {
        "name": f"{resource.plural}/{part.name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": sorted({method.verb for method in part.methods}),
    }
    return entry | (group_version_kind(part.model) if part.model is not None else {})


def _always(told: Mapping[str, object]) -> Handler:
    content = msgspec.json.encode(told)

    async def answer(_: Backend, __: Call) -> Response:
        return Response(200, content)

    return answer
