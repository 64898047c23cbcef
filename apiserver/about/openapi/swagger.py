"""OpenAPI v2 from our documents of v3: what clients before kubectl 1.27 know alone. Pure.

Version 2 has no alternatives (oneOf), no lists of one reference, and no media types of its own for
each body: what it cannot say is said as Kubernetes says it there.
"""

from collections.abc import Iterable, Mapping
from typing import Any

type Tree = dict[str, Any]

SCHEMAS = "#/components/schemas/"
DEFINITIONS = "#/definitions/"
METHODS = frozenset({"get", "put", "post", "patch", "delete", "options", "head"})
# Of a parameter's schema, what stands beside its name in version 2.
# Of a schema, what version 2 has a word for.
OF_SCHEMAS = frozenset(
    {"description", "type", "format", "default", "maximum", "minimum", "maxLength", "maxItems"}
    | {"required", "enum"}
)
OF_PARAMETERS = ("type", "format", "enum", "minimum", "maxLength")


def swagger_of(document: Mapping[str, Any], known: Iterable[str] = ()) -> Tree:
    """Return paths and definitions of one document of v3; those that are known are left out."""
    schemas = document["components"]["schemas"]
    left_out = frozenset(known)
    return {
        "paths": {path: _path(one) for path, one in document["paths"].items()},
        "definitions": {
            name: _schema(one) for name, one in schemas.items() if name not in left_out
        },
    }


def _path(path: Mapping[str, Any]) -> Tree:
    made = {method: _operation(one) for method, one in path.items() if method in METHODS}
    places = [_parameter(one) for one in path.get("parameters", ())]
    return made | ({"parameters": places} if places else {})


def _operation(operation: Mapping[str, Any]) -> Tree:
    kept = {key: one for key, one in operation.items() if key.startswith("x-")}
    body = operation.get("requestBody", {}).get("content", {})
    media: dict[str, None] = {}
    responses: Tree = {}
    for code, response in operation["responses"].items():
        media |= dict.fromkeys(response["content"])
        shown = [one["schema"] for one in response["content"].values()]
        responses[code] = {"description": response["description"], "schema": _schema(shown[0])}
    parameters = [_parameter(one) for one in operation["parameters"]]
    return {
        "operationId": operation["operationId"],
        "produces": list(media),
        **({"consumes": list(body)} if body else {}),
        "parameters": [*parameters, *_body(body)],
        "responses": responses,
        **kept,
    }


def _body(content: Mapping[str, Any]) -> list[Tree]:
    """Return the parameter that is the body; of several shapes (patches) it is any object."""
    if not content:
        return []
    shown = [one["schema"] for one in content.values()]
    shape = shown[0] if all(one == shown[0] for one in shown) else {"type": "object"}
    return [{"name": "body", "in": "body", "required": True, "schema": _schema(shape)}]


def _parameter(one: Mapping[str, Any]) -> Tree:
    told = {key: one["schema"][key] for key in OF_PARAMETERS if key in one["schema"]}
    return {key: value for key, value in one.items() if key != "schema"} | told


def _schema(schema: Mapping[str, Any]) -> Tree:
    made: Tree = {}
    for key, value in schema.items():
        match key:
            case "$ref":
                made[key] = value.replace(SCHEMAS, DEFINITIONS)
            case "allOf":
                made |= _schema(value[0])
            case "oneOf" if "type" not in schema:
                made["type"] = "string"
            case "items" | "additionalProperties" if isinstance(value, dict):
                made[key] = _schema(value)
            case "properties":
                made[key] = {name: _schema(one) for name, one in value.items()}
            case _ if key in OF_SCHEMAS or key.startswith("x-"):
                made[key] = value
    return made
