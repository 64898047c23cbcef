"""Targets and kubelets that switch protocols unasked: no client's connection is given to them."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.contract.api.streams.world import ExecWorld, a_session, an_exec_world, until
from tests.contract.api.world import NODES, PODS, a_node

ASKS = {"Connection": "Upgrade", "Upgrade": "websocket"}
TAKES_ALL = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
NAMES_NONE = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ExecWorld]:
    async with an_exec_world(tmp_path) as made:
        yield made


@pytest.fixture
async def http(world: ExecWorld) -> AsyncIterator[aiohttp.ClientSession]:
    async with a_session(world) as made:
        yield made


@asynccontextmanager
async def a_switcher(head: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Answer whatever comes with this head; yields the port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("head", [TAKES_ALL, NAMES_NONE])
@pytest.mark.parametrize("asked", [{}, ASKS])
async def test_a_pod_is_not_given_a_connection_that_was_not_offered_to_it(
    world: ExecWorld, http: aiohttp.ClientSession, head: bytes, asked: Mapping[str, str]
) -> None:
    async with a_switcher(head) as port:
        async with http.get(f"{PODS}/web-0:{port}/proxy/", headers=asked) as answer:
            assert answer.status == 503
            assert "switched protocols unasked" in (await answer.json())["message"]
        backend = world.server.backend
        await until(lambda: backend.proxied.count == backend.sessions.count == 0)


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/api/v1/nodes/n1/proxy/healthz", {}),
        (f"{PODS}/web-0/exec?command=true&stdout=true", {}),
        (f"{PODS}/web-0/exec?command=true&stdout=true", ASKS),
        (f"{PODS}/web-0/portforward", {}),
    ],
)
async def test_a_kubelet_is_not_given_a_connection_that_was_not_offered_to_it(
    world: ExecWorld, http: aiohttp.ClientSession, path: str, asked: Mapping[str, str]
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(world.folder / "n1.crt", world.folder / "n1.key")
    async with a_switcher(TAKES_ALL, tls) as port:
        node = a_node("n1")
        node["status"] = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
        await world.call("PUT", f"{NODES}/n1/status", node)
        async with http.get(path, headers=asked) as answer:
            assert answer.status == 503
            assert "switched protocols unasked" in (await answer.json())["message"]
        await until(lambda: world.server.backend.sessions.count == 0)
