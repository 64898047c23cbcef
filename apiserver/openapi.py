"""The least of OpenAPI v3 that kubectl needs to apply: which kinds there are, and what PATCH takes.

kubectl 1.32 reads the document of a group to learn whether the server checks unknown fields itself
(the query parameter fieldValidation of PATCH). Schemas are open: the server's own check is the
truth, and it names every problem.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from apiserver.backend import Backend
from apiserver.call import Call
from cubernetes.api.http import Response
from cubernetes.api.meta import Object

type Handler = Callable[[Backend, Call], Awaitable[Response]]

WRITE_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation")


def index_of(kinds: Sequence[type[Object]]) -> Handler:
    """Return the handler that says where each group's document is."""
    roots = sorted({kind.resource.root for kind in kinds})
    paths = {
        root.strip("/"): {"serverRelativeURL": f"/openapi/v3{root}?hash=cubernetes-1"}
        for root in roots
    }
    return _always({"paths": paths})


def document_of(kinds: Sequence[type[Object]]) -> Handler:
    """Return the handler of the document of kinds that share a group and version."""
    schemas = {_schema_name(kind): _schema(kind) for kind in kinds}
    paths = dict(_path(kind) for kind in kinds)
    return _always(
        {
            "openapi": "3.0.0",
            "info": {"title": "Cubernetes", "version": "v1"},
            "paths": paths,
            "components": {"schemas": schemas},
        }
    )


def _path(kind: type[Object]) -> tuple[str, object]:
    resource = kind.resource
    place = "namespaces/{namespace}/" if resource.namespaced else ""
    path = f"{resource.root}/{place}{resource.plural}/{{name}}"
    operation = {
        "operationId": f"patch{resource.kind}",
        "parameters": [
            {"name": name, "in": "query", "schema": {"type": "string"}} for name in WRITE_PARAMETERS
        ],
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": _group_version_kind(kind),
    }
    return path, {"patch": operation}


def _schema(kind: type[Object]) -> object:
    return {
        "type": "object",
        "description": " ".join((kind.__doc__ or kind.resource.kind).split()),
        "x-kubernetes-group-version-kind": [_group_version_kind(kind)],
        "x-kubernetes-preserve-unknown-fields": True,
    }


def _schema_name(kind: type[Object]) -> str:
    resource = kind.resource
    return f"io.cubernetes.{resource.group or 'core'}.{resource.version}.{resource.kind}"


def _group_version_kind(kind: type[Object]) -> dict[str, str]:
    resource = kind.resource
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _always(told: Mapping[str, object]) -> Handler:
    content = msgspec.json.encode(told)

    async def answer(_: Backend, __: Call) -> Response:
        return Response(200, content)

    return answer
