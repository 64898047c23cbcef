"""What the server says of itself in OpenAPI v3, and that it does so."""

import hashlib
from collections.abc import AsyncIterator, Mapping

import pytest

from apiserver.views.registry import kinds_shown
from cubernetes.api.coding import codec
from cubernetes.api.meta import Object
from cubernetes.api.registry import KINDS
from tests.contract.api.world import Tree, World, a_namespace, a_world
from tests.house.test_kinds import given

# Parameters that only a watch reads.
OF_WATCHES = ("timeoutSeconds", "allowWatchBookmarks")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as one:
        yield one


async def test_the_openapi_document_tells_that_the_server_checks_fields(world: World) -> None:
    """For kubectl a PATCH that takes fieldValidation is the sign; else it would check itself."""
    paths = (await world.call("GET", "/openapi/v3")).tree["paths"]
    served = (*KINDS, *kinds_shown(KINDS))
    assert sorted(paths) == sorted({kind.resource.root.strip("/") for kind in served})
    for kind in KINDS:
        document = await the_document(world, kind)
        patch = document["paths"][path_of(kind) + "/{name}"]["patch"]
        assert "fieldValidation" in {one["name"] for one in patch["parameters"]}
        assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]


async def test_an_openapi_document_is_named_after_what_stands_in_it(world: World) -> None:
    for entry in (await world.call("GET", "/openapi/v3")).tree["paths"].values():
        path, _, query = entry["serverRelativeURL"].partition("?")
        named = await world.call("GET", path, query={"hash": query.removeprefix("hash=")})
        assert hashlib.sha256(named.body).hexdigest().startswith(query.removeprefix("hash="))
        assert "immutable" in named.headers["Cache-Control"]
        for other in ({"hash": "of-an-older-server"}, {}):
            answer = await world.call("GET", path, query=other)
            assert answer.body == named.body
            assert "Cache-Control" not in answer.headers


async def test_openapi_v2_is_there_in_the_notation_that_is_asked_for(world: World) -> None:
    """kubectl before 1.27 takes nothing but the protobuf."""
    protobuf = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    for accept, media in (
        ("", "application/json"),
        ("application/json, */*", "application/json"),
        ("application/com.github.proto-openapi.spec.v2@v1.0+protobuf", protobuf),
        (protobuf, protobuf),
    ):
        answer = await world.call("GET", "/openapi/v2", headers={"accept": accept})
        assert (answer.code, answer.content_type) == (200, media)
        assert (answer.body[:1] == b"{") == (media == "application/json")
    told = (await world.call("GET", "/openapi/v2")).tree
    for kind in KINDS:
        document = await the_document(world, kind)
        assert told["paths"].keys() >= document["paths"].keys()
        assert told["definitions"].keys() >= document["components"]["schemas"].keys()
    assert (await world.call("GET", "/openapi/v2", headers={"accept": "text/html"})).code == 406


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)
async def test_every_parameter_that_is_told_of_is_read(world: World, kind: type[Object]) -> None:
    """Nonsense in it is refused, and the parameter named."""
    one = codec.to_tree(given(kind))
    one["metadata"].pop("resourceVersion", "")
    namespace = one["metadata"].get("namespace", "")
    if namespace:
        await world.call("POST", "/api/v1/namespaces", a_namespace(namespace))
    places = {"{namespace}": namespace, "{name}": one["metadata"]["name"]}
    chosen = {"fieldSelector": f"metadata.name={one['metadata']['name']}"}
    assert (await world.call("POST", filled(path_of(kind), places), one)).code == 201
    paths = (await the_document(world, kind))["paths"]
    for pattern in (each for each in paths if is_of(kind, each)):
        path = filled(pattern, places)
        for method in sorted(paths[pattern].keys() - {"parameters"}):
            closed = closed_parameters(paths[pattern][method])
            body = await body_for(world, method, path, one) if closed else None
            for name in closed:
                query = chosen | {name: "junk"} | ({"watch": "1"} if name in OF_WATCHES else {})
                answer = await world.call(method.upper(), path, body, query=query)
                assert answer.code == 400, (method, path, name)
                assert name in answer.tree["message"]


def filled(pattern: str, places: Mapping[str, str]) -> str:
    for place, name in places.items():
        pattern = pattern.replace(place, name)
    return pattern


def closed_parameters(operation: Tree) -> list[str]:
    """Return the parameters of an operation that take only certain values."""
    return [
        each["name"]
        for each in operation["parameters"]
        if each["schema"]["type"] != "string" or "enum" in each["schema"]
    ]


async def body_for(world: World, method: str, path: str, one: Tree) -> Tree | None:
    """Return a body that is right: the parameter alone is not."""
    match method:
        case "post":
            is_binding = path.endswith("/binding")
            return {"target": {"kind": "Node", "name": "n1"}} if is_binding else one
        case "put" | "patch":
            return (await world.call("GET", path.removesuffix("/finalize"))).tree
        case _:
            return None


def is_of(kind: type[Object], pattern: str) -> bool:
    path = path_of(kind)
    return pattern == path or pattern.startswith(f"{path}/{{name}}")


def path_of(kind: type[Object]) -> str:
    place = "namespaces/{namespace}/" if kind.resource.namespaced else ""
    return f"{kind.resource.root}/{place}{kind.resource.plural}"


async def the_document(world: World, kind: type[Object]) -> Tree:
    return (await world.call("GET", f"/openapi/v3{kind.resource.root}")).tree
