"""Logs of containers, handed on from the kubelet of the pod's node."""

from collections.abc import AsyncIterator, Mapping

import pytest

from apiserver.http.kubelets import address_of, refusal_of
from apiserver.proxying.exchange import Answer, Asked, Target
from apiserver.settings import Limits
from cubernetes.api.coding import codec
from cubernetes.api.core.node import Node
from cubernetes.api.errors import ApiError, NotFound, ServiceUnavailable
from cubernetes.host.web.messages import Request, Upgrade
from tests.contract.api.world import ADMIN, NODES, PODS, World, a_node, a_pod, a_world


class PaperKubelets:
    """Answers with two lines, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.refusal: ApiError | None = None

    async def open(self, node: Node, path: str, query: str) -> AsyncIterator[bytes]:
        self.asked.append((node.metadata.name, path, query))
        if self.refusal is not None:
            raise self.refusal
        return self._lines()

    async def exchange(self, target: Target, asked: Asked) -> Answer:
        raise ServiceUnavailable("nothing is handed on here")

    async def upgrade(
        self, node: Node, path: str, query: str, headers: Mapping[str, str]
    ) -> Upgrade:
        raise ServiceUnavailable("no sessions here")

    async def _lines(self) -> AsyncIterator[bytes]:
        yield b"one\n"
        yield b"two\n"


@pytest.fixture
def kubelets() -> PaperKubelets:
    return PaperKubelets()


@pytest.fixture
async def world(kubelets: PaperKubelets) -> AsyncIterator[World]:
    async with a_world(logs=kubelets) as one:
        await one.call("POST", NODES, a_node())
        two = a_pod("two", containers=[{"name": n, "image": "busybox:1"} for n in ("a", "b")])
        for pod in (a_pod("one"), two):
            name = pod["metadata"]["name"]
            await one.call("POST", PODS, pod)
            await one.call("POST", f"{PODS}/{name}/binding", {"target": {"name": "n1"}})
        yield one


async def _log(world: World, path: str, **query: str) -> tuple[int, bytes]:
    request = Request("GET", f"{PODS}/{path}/log", tuple(query.items()), identity=ADMIN)
    response = await world.server.handle(request)
    if isinstance(response.body, bytes):
        return response.status, response.body
    assert response.content_type == "text/plain"
    return response.status, b"".join([piece async for piece in response.body])


async def test_the_only_container_is_meant(world: World, kubelets: PaperKubelets) -> None:
    assert await _log(world, "one") == (200, b"one\ntwo\n")
    assert kubelets.asked == [("n1", "/containerLogs/default/one/main", "")]


async def test_of_several_one_must_be_named(world: World, kubelets: PaperKubelets) -> None:
    code, body = await _log(world, "two")
    assert (code, b"choose one of: [a b]" in body) == (400, True)
    assert (await _log(world, "two", container="b"))[0] == 200
    assert (await _log(world, "two", container="c"))[0] == 400
    assert [asked[1] for asked in kubelets.asked] == ["/containerLogs/default/two/b"]


async def test_only_what_is_understood_is_handed_on(world: World, kubelets: PaperKubelets) -> None:
    await _log(world, "one", follow="true", tailLines="5", previous="1", evil="x&y=z")
    assert kubelets.asked[0][2] == "follow=true&previous=true&tailLines=5"
    await _log(world, "one", sinceTime="2026-01-01T00:00:00.5Z", limitBytes="10")
    assert kubelets.asked[1][2] == "sinceTime=2026-01-01T00%3A00%3A00.5Z&limitBytes=10"
    for bad in (
        {"tailLines": "-1"},
        {"tailLines": "x"},
        {"follow": "perhaps"},
        {"limitBytes": "0"},
        {"sinceTime": "5m"},
        {"sinceTime": "2026-01-01T00:00:00Z", "sinceSeconds": "5"},
    ):
        code, body = await _log(world, "one", **bad)
        assert (code, next(iter(bad)).encode() in body) == (400, True)


async def test_the_kubelets_refusal_is_the_answer(world: World, kubelets: PaperKubelets) -> None:
    kubelets.refusal = ServiceUnavailable("the kubelet of node n1 cannot be reached")
    assert (await _log(world, "one"))[0] == 503
    kubelets.refusal = refusal_of(404, "n1", "no such container")
    assert (await _log(world, "one"))[0] == 404
    assert (await _log(world, "absent"))[0] == 404


def test_a_kubelets_address_is_what_its_node_says() -> None:
    node = codec.from_tree(
        Node,
        {
            "metadata": {"name": "n1"},
            "status": {
                "addresses": [{"type": "InternalIP", "address": "10.0.0.7"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10251}},
            },
        },
    ).model
    assert address_of(node) == "https://10.0.0.7:10251"
    with pytest.raises(ServiceUnavailable):
        address_of(codec.from_tree(Node, {"metadata": {"name": "n1"}}).model)


def test_a_refusal_keeps_its_meaning() -> None:
    assert isinstance(refusal_of(404, "n", ""), NotFound)
    assert refusal_of(400, "n", "what?").code == 400
    assert refusal_of(500, "n", "").code == 503


async def test_logs_that_are_followed_count_towards_their_users_limit(
    kubelets: PaperKubelets,
) -> None:
    async with a_world(logs=kubelets, limits=Limits(watches_per_user_max=2)) as world:
        await world.call("POST", NODES, a_node())
        await world.call("POST", PODS, a_pod("one"))
        await world.call("POST", f"{PODS}/one/binding", {"target": {"name": "n1"}})
        request = Request("GET", f"{PODS}/one/log", (("follow", "true"),), identity=ADMIN)
        held = [await world.server.handle(request) for _ in range(2)]

        assert (await world.server.handle(request)).status == 429
        assert (await _log(world, "one"))[0] == 200
        for one in held:
            assert not isinstance(one.body, bytes)
            assert b"".join([piece async for piece in one.body]) == b"one\ntwo\n"
        assert (await world.server.handle(request)).status == 200
        kubelets.refusal = NotFound("gone")
        for _ in range(3):
            assert (await world.server.handle(request)).status == 404
