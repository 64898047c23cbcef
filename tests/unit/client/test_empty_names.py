"""An empty name can nowhere become a collection: every call about one object is tried."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubectl.api import Api
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import BadRequest
from cubernetes.api.meta import replaced
from cubernetes.api.registry import KINDS
from cubernetes.client.rest import Client
from cubernetes.client.wire.paths import collection_of, path_of
from tests.given import a_namespace, a_pod
from tests.scripted import ScriptedTransport, ok
from tests.simulation.clock import sim_env
from tests.simulation.loop import run_simulated
from tests.unit.cubectl.tinyserver import TinyServer

RESOURCES = [kind.resource for kind in KINDS]
PODS = Pod.resource
NAMELESS = replaced(a_pod("x"), metadata=replaced(a_pod("x").metadata, name=""))
NO_NAMESPACE = replaced(a_namespace(), metadata=replaced(a_namespace().metadata, name=""))


async def _log(client: Client) -> None:
    await anext(client.log("", "shop"))


CLIENT_CALLS: dict[str, Callable[[Client], Awaitable[Any]]] = {
    "get": lambda client: client.get(Pod, "", "shop"),
    "update": lambda client: client.update(NAMELESS),
    "update_status": lambda client: client.update_status(NAMELESS),
    "finalize": lambda client: client.finalize(NO_NAMESPACE),
    "patch": lambda client: client.patch(Pod, "", "shop", {}),
    "delete": lambda client: client.delete(Pod, "", "shop"),
    "evict": lambda client: client.evict("", "shop"),
    "bind": lambda client: client.bind("", "shop", "uid", "n1"),
    "scale": lambda client: client.scale(Pod, "", "shop"),
    "log": _log,
}
API_CALLS: dict[str, Callable[[Api], Any]] = {
    "get": lambda api: api.get(PODS, "", "shop"),
    "replace": lambda api: api.replace(PODS, "", {}, "shop", is_dry=False),
    "patch": lambda api: api.patch(PODS, "", "shop", {}),
    "apply": lambda api: api.apply(PODS, "", "shop", {}, [], is_dry=False),
    "delete": lambda api: api.delete(PODS, "", "shop", {}),
    "remove_ephemeral": lambda api: api.remove_ephemeral(PODS, "", "shop", "look"),
    "evict": lambda api: api.evict(PODS, "", "shop", {}),
    "token": lambda api: api.token(PODS, "", "shop", {}),
    "log": lambda api: next(api.log(PODS, "", "shop", ())),
}
# About no object, or about a new one, which the server may name.
OTHERS = {"create", "review"}


def about_one_object(client: type) -> set[str]:
    """Return the calls of a client that are about one object: by a name, or by the object."""
    return {
        name
        for name, call in inspect.getmembers(client, inspect.isfunction)
        if not name.startswith("_")
        and {"name", "one", "pod"} & {*inspect.signature(call).parameters}
    } - OTHERS


def test_no_call_about_one_object_is_left_out() -> None:
    assert about_one_object(Client) == CLIENT_CALLS.keys()
    assert about_one_object(Api) == API_CALLS.keys()


@pytest.mark.parametrize("call", CLIENT_CALLS)
def test_the_typed_client_sends_nothing_for_an_empty_name(call: str) -> None:
    async def main() -> int:
        transport = ScriptedTransport(ok())
        with pytest.raises(BadRequest, match="resource name may not be empty"):
            await CLIENT_CALLS[call](Client(transport, sim_env("names"), deadline_s=10.0))
        return len(transport.requests)

    assert run_simulated(main()) == 0


@pytest.mark.parametrize("call", API_CALLS)
def test_the_command_line_sends_nothing_for_an_empty_name(call: str) -> None:
    server = TinyServer()
    with pytest.raises(BadRequest, match="resource name may not be empty"):
        API_CALLS[call](Api(server, lambda _: None))
    assert server.asked == []


@given(
    resource=st.sampled_from(RESOURCES),
    namespace=st.text(max_size=3),
    name=st.text(alphabet="a./%", max_size=3),
    subresource=st.sampled_from(["", "status", "log", "..", "a/b"]),
)
def test_no_path_of_an_object_is_one_of_a_collection(
    resource: Any, namespace: str, name: str, subresource: str
) -> None:
    try:
        path = path_of(resource, namespace, name, subresource)
    except BadRequest:
        return
    place = ["namespaces", namespace] if resource.namespaced else []
    inner = [subresource] if subresource else []
    assert path == "/".join([resource.root, *place, resource.plural, name, *inner])
    assert name not in ("", ".", "..")
    assert not path.endswith("/")
    collections = {collection_of(one, space) for one in RESOURCES for space in ("", namespace)
                   if not set(space) & {"/", "%"} and space not in (".", "..")}  # fmt: skip
    assert path not in collections or (resource is Namespace.resource and subresource)
