"""Streams to ports of pods: so many for each pod, and more for all of a node."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from apiserver.settings import Limits
from cubernetes.host.web.duplex import Duplex
from kubelet import execserver
from kubelet.streams import portforward
from kubelet.streams.podport import STREAMS_MAX, STREAMS_OF_A_POD_MAX, PodPorts


class Silent:
    """Pods that answer nobody until they are told to refuse."""

    def __init__(self) -> None:
        self.refusing, self.come = asyncio.Event(), asyncio.Queue[None]()

    async def connect(self, netns: str, address: str, port: int) -> Duplex[bytes, bytes]:
        assert (netns, address, port) == ("net", "10.0.0.2", 80)
        self.come.put_nowait(None)
        await self.refusing.wait()
        raise OSError("connection refused")


def asked(ports: PodPorts, pod: str) -> asyncio.Task[web.StreamResponse]:
    incoming = make_mocked_request("GET", "/", headers={"Upgrade": "tcp"})
    return asyncio.create_task(ports.answer("net", pod, "10.0.0.2", 80, incoming))


@asynccontextmanager
async def full(ports: PodPorts, pods: Silent, *names: str) -> AsyncIterator[None]:
    """Take all places of these pods; give them back in the end."""
    tasks = [asked(ports, name) for name in names for _ in range(STREAMS_OF_A_POD_MAX)]
    for _ in tasks:
        await pods.come.get()
    yield
    pods.refusing.set()
    assert {(await one).status for one in tasks} == {502}


async def test_a_pod_whose_streams_are_all_taken_leaves_those_of_others() -> None:
    pods = Silent()
    ports = PodPorts(pods.connect)
    async with full(ports, pods, "shop/web"):
        refused = await asked(ports, "shop/web")
        assert isinstance(refused, web.Response)
        assert (refused.status, refused.text) == (
            503,
            "pod shop/web has 32 streams to its ports, the most allowed",
        )
        other = asked(ports, "other/web")
        await pods.come.get()
        assert not other.done()
    assert [(await asked(ports, "shop/web")).status, (await other).status] == [502, 502]


def test_no_user_alone_has_all_places_of_a_node() -> None:
    limits = Limits()
    assert limits.proxied_per_user_max < STREAMS_MAX
    assert limits.exec_sessions_per_user_max < min(
        execserver.SESSIONS_MAX, portforward.SESSIONS_MAX
    )


async def test_a_node_has_so_many_streams() -> None:
    pods = Silent()
    ports = PodPorts(pods.connect)
    names = [f"shop/web-{at}" for at in range(STREAMS_MAX // STREAMS_OF_A_POD_MAX)]
    async with full(ports, pods, *names):
        refused = await asked(ports, "shop/one-more")
        assert isinstance(refused, web.Response)
        assert (refused.status, refused.text) == (
            503,
            "this node has 128 streams to pods, the most allowed",
        )
    assert (await asked(ports, "shop/one-more")).status == 502
