"""`cubectl explain`: what the fields of a kind are, as the server documents them."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from textwrap import fill
from typing import Any

from cubectl.objects.targets import kind_called
from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.resource import Resource

GROUP_VERSION_KIND = "x-kubernetes-group-version-kind"
WIDTH = 80
# A kind's fields nest no deeper than this; what refers to itself ends here.
DEPTH_MAX = 24


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("path", metavar="KIND[.FIELD ...]")
    parser.add_argument("--recursive", action="store_true", help="all fields below, by name alone")


def run(options: Namespace, session: Session) -> None:
    word, *fields = options.path.split(".")
    if not all((word, *fields)):
        raise Misused(f"{options.path[:80]!r}: write KIND.FIELD.FIELD, such as pod.spec.containers")
    kind = kind_called(word, session.kinds)
    schemas = _schemas(kind, session)
    root = _schema_of(kind, schemas)
    schema, title = found_at(root, fields, schemas)
    group = [f"GROUP:      {kind.group}"] if kind.group else []
    head = [*group, f"KIND:       {kind.kind}", f"VERSION:    {kind.version}", ""]
    if fields:
        head += [f"FIELD: {fields[-1]} <{type_of(schema)}>", ""]
    told = str(title.get("description") or "<no description>")
    head += ["DESCRIPTION:", fill(told, WIDTH, initial_indent="    ", subsequent_indent="    "), ""]
    inner = inner_of(schema, schemas)
    rows = list(rows_of(inner, schemas, is_deep=options.recursive)) if inner else []
    session.out.write("\n".join([*head, *(["FIELDS:", *rows] if rows else [])]) + "\n")


def _schemas(kind: Resource, session: Session) -> Tree:
    """Return the schemas of a kind's group. Raises: ApiError."""
    path = f"openapi/v3{kind.root}"
    found: Tree = session.api.raw(f"/{path}").get("components", {}).get("schemas", {})
    return found


def _schema_of(kind: Resource, schemas: Tree) -> Tree:
    wanted = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    for schema in schemas.values():
        if wanted in (schema.get(GROUP_VERSION_KIND) or []):
            return dict(schema)
    raise Failed(f"the server documents no {kind.kind} of {kind.api_version}")


def found_at(root: Tree, fields: Sequence[str], schemas: Tree) -> tuple[Tree, Tree]:
    """Return the schema at a path, and the one that describes it. Raises: Failed."""
    schema = root
    for field in fields:
        inner = inner_of(schema, schemas) or {}
        below = inner.get("properties") or {}
        if field not in below:
            raise Failed(f'field "{field[:80]}" does not exist')
        schema = below[field]
    described = schema if schema.get("description") else inner_of(schema, schemas) or schema
    return schema, described


def inner_of(schema: Tree, schemas: Tree) -> Tree | None:
    """Return the object that a value is, or that the entries of a list or a map are."""
    for _ in range(DEPTH_MAX):
        if reference := _reference(schema):
            schema = schemas.get(reference, {})
        elif isinstance(schema.get("items"), dict):
            schema = schema["items"]
        elif isinstance(schema.get("additionalProperties"), dict):
            schema = schema["additionalProperties"]
        else:
            break
    return schema if schema.get("properties") else None


def _reference(schema: Tree) -> str:
    parts: list[Any] = schema.get("allOf") or [schema]
    return str(parts[0].get("$ref", "")).rpartition("/")[2]


def type_of(schema: Tree) -> str:
    """Return the type as kubectl writes it: `[]Container`, `map[string]string`, `integer`."""
    if reference := _reference(schema):
        return reference.rpartition(".")[2]
    if isinstance(schema.get("items"), dict):
        return f"[]{type_of(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"map[string]{type_of(schema['additionalProperties'])}"
    return str(schema.get("type", "Object")).replace("object", "Object")


def rows_of(schema: Tree, schemas: Tree, *, is_deep: bool, depth: int = 1) -> Iterator[str]:
    """Yield the lines of an object's fields: with what they are, or all that are below them."""
    required = schema.get("required") or []
    for name, field in sorted((schema.get("properties") or {}).items()):
        mark = " -required-" if name in required else ""
        yield f"{'  ' * depth}{name}\t<{type_of(field)}>{mark}"
        if not is_deep:
            indent = "  " * (depth + 1)
            if words := field.get("enum"):
                yield f"{indent}enum: {', '.join(map(str, words))}"
            told = str(field.get("description") or "<no description>")
            yield fill(told, WIDTH, initial_indent=indent, subsequent_indent=indent)
            yield ""
        elif (inner := inner_of(field, schemas)) is not None and depth < DEPTH_MAX:
            yield from rows_of(inner, schemas, is_deep=True, depth=depth + 1)


VERB = Verb(configure, run)
