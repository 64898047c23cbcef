"""Kinds as a value: a running server is given another kind, and serves it as the others."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from apiserver.auth.authorize import Attempt
from apiserver.state.mirror import KindReserved, Mirror
from apiserver.strategies.registry import STRATEGIES
from apiserver.strategies.strategy import Strategy
from apiserver.subresources.registry import SubresourceUnknown
from apiserver.wire import protobuf
from cubernetes.api.core.pod import Pod
from cubernetes.api.kinds import Kinds
from cubernetes.api.meta import Column, Model, Object, age_of, replaced, shown
from cubernetes.api.registry import KINDS
from cubernetes.api.resource import Resource
from cubernetes.host.web.messages import Identity
from tests.contract.api.world import ADMIN, PODS, Tree, World, a_node, a_pod, a_world, settled

GROUP = "/apis/toys.example.com/v1"
TOYS = f"{GROUP}/namespaces/default/toys"
MERGE = {"content-type": "application/merge-patch+json"}
TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


class ToySpec(Model):
    """What a toy is like.

    wheels: how many it runs on.
    """

    wheels: int = 0


class ToyStatus(Model):
    """What has been found of a toy.

    rolling: whether it moves.
    """

    rolling: bool = False


class Toy(Object):
    """Toy: something that no cluster needs."""

    resource = Resource("toys.example.com", "v1", "Toy", "toys", ("to",), subresources=("status",))
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Wheels", lambda one, _: one.spec.wheels),
        Column("Age", age_of),
    )

    api_version: str = shown("toys.example.com/v1")
    kind: str = shown("Toy")
    spec: ToySpec = msgspec.field(default_factory=ToySpec)
    status: ToyStatus = msgspec.field(default_factory=ToyStatus)


class Teddy(Toy):
    """The same name, and another model."""

    api_version: str = shown("toys.example.com/v1")
    kind: str = shown("Toy")


def part(number: int, content: bytes) -> bytes:
    """Return a short field as it stands in a protobuf message."""
    return bytes([number << 3 | 2, len(content)]) + content


def a_toy(name: str, wheels: int = 4) -> Tree:
    return {
        "apiVersion": "toys.example.com/v1",
        "kind": "Toy",
        "metadata": {"name": name},
        "spec": {"wheels": wheels},
    }


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as one:
        yield one


async def test_a_running_server_serves_a_kind_that_it_is_given(world: World) -> None:
    assert (await world.call("POST", TOYS, a_toy("car"))).code == 404
    world.server.replace(KINDS.with_(Toy))

    made = await world.call("POST", TOYS, a_toy("car"))
    assert (made.code, made.tree["spec"], made.tree["metadata"]["generation"]) == (
        201, {"wheels": 4}, 1
    )  # fmt: skip
    assert (await world.call("GET", TOYS)).names == ["car"]
    assert (await world.call("GET", f"{GROUP}/toys")).names == ["car"]
    changed = await world.call("PATCH", f"{TOYS}/car", {"spec": {"wheels": 3}}, headers=MERGE)
    assert changed.tree["spec"] == {"wheels": 3}
    rolling = {"status": {"rolling": True}}
    told = await world.call("PATCH", f"{TOYS}/car/status", rolling, headers=MERGE)
    assert (told.tree["status"], told.tree["spec"]) == ({"rolling": True}, {"wheels": 3})
    shown_as = (await world.call("GET", TOYS, headers=TABLE)).tree
    assert [row["cells"][:2] for row in shown_as["rows"]] == [["car", 3]]
    assert (await world.call("DELETE", f"{TOYS}/car")).code == 200
    assert (await world.call("GET", f"{TOYS}/car")).code == 404
    assert not any("toys" in key for key in await world.keys())


async def test_its_rules_are_those_of_its_model_and_of_every_object(world: World) -> None:
    world.server.replace(KINDS.with_(Toy))

    unknown = a_toy("car") | {"spec": {"weels": 4}}
    strict = {"fieldValidation": "Strict"}
    refused = await world.call("POST", TOYS, unknown, query=strict)
    assert (refused.code, 'unknown field "spec.weels"' in refused.tree["message"]) == (400, True)
    elsewhere = f"{GROUP}/namespaces/nowhere/toys"
    assert (await world.call("POST", elsewhere, a_toy("car"))).code == 404
    assert (await world.call("POST", TOYS, a_toy("Car!"))).code == 422


async def test_a_watch_of_a_new_kind_begins_where_its_list_ended(world: World) -> None:
    world.server.replace(KINDS.with_(Toy))
    revision = (await world.call("GET", TOYS)).revision
    watch = await world.watch(TOYS, resourceVersion=str(revision))
    await world.call("POST", TOYS, a_toy("car"))
    await world.call("DELETE", f"{TOYS}/car")

    assert await watch.told() == ("ADDED", "car")
    assert await watch.told() == ("DELETED", "car")


async def test_what_is_told_of_the_server_follows(world: World) -> None:
    hash_before = (await world.call("GET", "/openapi/v3")).tree["paths"]
    world.server.replace(KINDS.with_(Toy))

    groups = (await world.call("GET", "/apis")).tree["groups"]
    assert "toys.example.com" in {group["name"] for group in groups}
    listed = (await world.call("GET", GROUP)).tree["resources"]
    assert [one["name"] for one in listed] == ["toys", "toys/status"]
    paths = (await world.call("GET", "/openapi/v3")).tree["paths"]
    assert paths.keys() - hash_before.keys() == {GROUP.strip("/")}
    # What was told before of the others is still so, to the byte.
    assert {path: paths[path] for path in hash_before} == hash_before
    document = (await world.call("GET", f"/openapi/v3{GROUP}")).tree
    spec = document["components"]["schemas"]["io.cubernetes.toys.v1.ToySpec"]
    assert spec["properties"]["wheels"]["description"] == "How many it runs on."
    await world.call("POST", TOYS, a_toy("car"))
    assert (await world.call("GET", TOYS)).names == ["car"]
    metrics = (await world.call("GET", "/metrics")).body.decode()
    assert 'cube_apiserver_objects{kind="Toy"} 1.0' in metrics


async def test_objects_from_before_are_there_when_their_kind_comes_back(world: World) -> None:
    world.server.replace(KINDS.with_(Toy))
    for name in ("car", "boat"):
        await world.call("POST", TOYS, a_toy(name))
    revision = (await world.call("GET", f"{TOYS}/car")).revision
    world.server.replace(KINDS)
    assert (await world.call("GET", TOYS)).code == 404
    assert 'kind="Toy"' not in (await world.call("GET", "/metrics")).body.decode()
    await world.call("POST", PODS, a_pod("meanwhile"))

    world.server.replace(KINDS.with_(Toy))

    assert (await world.call("GET", TOYS)).names == ["boat", "car"]
    assert (await world.call("GET", f"{TOYS}/car")).revision == revision
    assert not [key for key in world.server.backend.plain if "toys" in key]
    # Its history before that moment is not kept: a watch from there is told to list again.
    stale = await world.call("GET", TOYS, query={"watch": "true", "resourceVersion": str(revision)})
    assert stale.code == 410


async def test_a_kind_that_goes_ends_its_watches_and_leaves_the_others_alone(world: World) -> None:
    world.server.replace(KINDS.with_(Toy))
    toys, pods = await world.watch(TOYS), await world.watch(PODS)
    waiting = asyncio.create_task(toys.next())
    await settled()
    world.server.replace(KINDS)

    event = await waiting
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
    assert await toys.ended()
    await world.call("POST", PODS, a_pod("web"))
    assert await pods.told() == ("ADDED", "web")


async def test_a_request_that_is_under_way_when_its_kind_goes_is_answered(world: World) -> None:
    world.server.replace(KINDS.with_(Toy))
    await world.call("POST", TOYS, a_toy("car"))
    asking = [asyncio.create_task(world.call("GET", path)) for path in (TOYS, f"{TOYS}/car")]
    # The newest is asked for: both wait for the store's revision.
    await asyncio.sleep(0)
    world.server.replace(KINDS)

    assert [(await one).code for one in asking] == [404, 404]


async def test_a_kind_can_have_another_model(world: World) -> None:
    world.server.replace(KINDS.with_(Toy))
    await world.call("POST", TOYS, a_toy("car"))
    world.server.replace(KINDS.with_(Toy).with_(Teddy))

    assert (await world.call("GET", TOYS)).names == ["car"]
    assert next(world.server.backend.objects(Teddy)).metadata.name == "car"


class Shelved(Strategy[Toy]):
    """Toys are on nodes: one that is new stands still, its node may look at it, and protobuf."""

    node_field = "metadata.name"
    messages = """
Toy 1=metadata:ObjectMeta 2=spec:ToySpec
ToySpec 1=wheels:int
"""

    def prepared(self, new: Toy) -> Toy:
        return replaced(new, status=ToyStatus(rolling=True))

    def access_refusal(
        self, node: str, attempt: Attempt, one: Toy | None, *, is_named: bool
    ) -> str:
        assert not is_named
        may_look = attempt.verb == "get" and one is not None and one.metadata.name == node
        return "" if may_look else "not a toy of yours"


async def test_a_new_kind_brings_its_strategy(world: World) -> None:
    """What it begins with, what a node may read of it, and its messages in protobuf."""
    world.server.replace(KINDS.with_(Toy), {**STRATEGIES, Toy: Shelved()})
    sent = protobuf.MAGIC + part(1, part(1, b"toys.example.com/v1") + part(2, b"Toy"))
    sent += part(2, part(1, part(1, b"n1")) + part(2, b"\x08\x03"))
    made = await world.call("POST", TOYS, sent, headers={"content-type": protobuf.MEDIA})
    await world.call("POST", TOYS, a_toy("n2"))
    kubelet = Identity("system:node:n1", ("system:nodes",))

    assert (made.code, made.tree["spec"], made.tree["status"]) == (
        201, {"wheels": 3}, {"rolling": True}
    )  # fmt: skip
    await world.call("POST", "/api/v1/nodes", a_node("n1"))
    assert (await world.call("GET", f"{TOYS}/n1", identity=kubelet)).code == 200
    refused = await world.call("GET", f"{TOYS}/n2", identity=kubelet)
    assert (refused.code, "not a toy of yours" in refused.tree["message"]) == (403, True)


class PodAnew(Pod):
    """Another model of the kind Pod."""

    api_version: str = shown("v1")
    kind: str = shown("Pod")


async def test_what_pods_name_is_known_also_of_another_model_of_pods(world: World) -> None:
    """A cache that was followed before is followed no more, and the kind's rules stay."""
    kubelet = Identity("system:node:n1", ("system:nodes",))
    secrets = "/api/v1/namespaces/default/secrets"
    await world.call("POST", "/api/v1/nodes", a_node("n1"))
    for name in ("first", "second"):
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
        await world.call("POST", secrets, secret)

    async def code(name: str) -> int:
        return (await world.call("GET", f"{secrets}/{name}", identity=kubelet)).code

    def naming(name: str) -> Tree:
        env_from = [{"secretRef": {"name": name}}]
        container = {"name": "c", "image": "i", "envFrom": env_from}
        return a_pod(name, containers=[container], nodeName="n1")

    await world.call("POST", PODS, naming("first"))
    assert (await code("first"), await code("second")) == (200, 403)

    world.server.replace(KINDS.with_(PodAnew))
    assert (await world.call("POST", PODS, naming("second"))).code == 201
    assert (await code("first"), await code("second")) == (200, 200)
    assert (await world.call("DELETE", f"{PODS}/second")).code == 200
    mine = await world.call("GET", f"{PODS}/first", identity=kubelet)
    assert mine.code == 200


class Thief(Toy):
    resource = Toy.resource._replace(group="", kind="Thief", plural="tokens")


class Haunted(Toy):
    resource = Toy.resource._replace(kind="Haunted", plural="haunted", subresources=("haunt",))


@pytest.mark.parametrize(("kind", "error"), [(Thief, KindReserved), (Haunted, SubresourceUnknown)])
async def test_a_kind_that_cannot_be_served_changes_nothing(
    world: World, kind: type[Object], error: type[Exception]
) -> None:
    world.server.replace(KINDS.with_(Toy))
    await world.call("POST", TOYS, a_toy("car"))
    with pytest.raises(error, match=kind.resource.kind):
        world.server.replace(KINDS.with_(kind))

    assert (await world.call("GET", TOYS)).names == ["car"]
    assert (await world.call("GET", f"{GROUP}/{kind.resource.plural}")).code == 404
    assert kind not in world.server.backend.mirror.kinds


async def test_a_server_of_few_kinds_serves_no_others(world: World) -> None:
    world.server.replace(Kinds(*(kind for kind in KINDS if kind is not Pod)))

    assert (await world.call("GET", PODS)).code == 404
    assert isinstance(world.server.backend.mirror, Mirror)
    assert (await world.call("GET", "/api/v1/nodes", identity=ADMIN)).code == 200
