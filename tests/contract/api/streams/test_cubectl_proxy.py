"""`cubectl proxy`: plain HTTP here, the API behind it, streams and other protocols included."""

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from cubernetes.client.wire import channels, endings
from tests.contract.api.streams.world import DEADLINE_S, ExecWorld, an_exec_world, until
from tests.contract.api.world import PODS, a_pod
from tests.contract.runtime.worlds import SPEAK


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ExecWorld]:
    async with an_exec_world(tmp_path) as made:
        yield made


@asynccontextmanager
async def a_proxy(world: ExecWorld, more: str = "") -> AsyncIterator[aiohttp.ClientSession]:
    """Yield a client of a proxy, which is interrupted in the end and says nothing then."""
    process = await world.cluster.start(f"proxy --port 0 {more}")
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        line = (await process.stdout.readline()).decode()
    assert line.startswith("Starting to serve on 127.0.0.1:"), line
    limit = aiohttp.ClientTimeout(total=DEADLINE_S)
    try:
        async with aiohttp.ClientSession(
            f"http://{line.rpartition(' ')[2].strip()}", timeout=limit
        ) as client:
            yield client
    finally:
        said = await world.cluster.interrupted(process)
    assert (said.code, said.out, said.err) == (0, "", "")


async def test_objects_are_read_made_and_watched(world: ExecWorld) -> None:
    async with a_proxy(world) as http:
        async with http.get(PODS) as got:
            assert [one["metadata"]["name"] for one in (await got.json())["items"]] == ["web-0"]
        async with http.get(PODS, params={"watch": "true"}) as watch:
            assert json.loads(await watch.content.readline())["type"] == "ADDED"
            async with http.post(PODS, json=a_pod("web-1")) as made:
                assert made.status == 201
            change = json.loads(await watch.content.readline())
        assert (change["type"], change["object"]["metadata"]["name"]) == ("ADDED", "web-1")
        async with http.get(f"{PODS}/web-9") as got:
            assert (got.status, (await got.json())["reason"]) == (404, "NotFound")


async def test_what_the_filter_refuses_never_reaches_the_server(world: ExecWorld) -> None:
    async with a_proxy(world) as http:
        for path, headers in (
            (f"{PODS}/web-0/exec?command=ls", {}),
            (PODS, {"Host": "evil.example"}),
            (PODS, {"Origin": "https://evil.example"}),
        ):
            async with http.get(path, headers=headers) as got:
                assert got.status == 403
    async with a_proxy(world, "--api-prefix=/k8s") as http:
        async with http.get(f"/k8s{PODS}/web-0") as got:
            assert got.status == 200
        async with http.get(f"/k8s{PODS}/web-0/exec?command=ls") as got:
            assert (got.status, "--reject-paths" in await got.text()) == (403, True)
        async with http.get(f"{PODS}/web-0") as got:
            assert (got.status, "--api-prefix" in await got.text()) == (403, True)


async def test_a_command_runs_over_a_websocket_where_the_filter_is_off(world: ExecWorld) -> None:
    query = [*(("command", word) for word in SPEAK), ("stdout", "true"), ("stderr", "true")]
    async with (
        a_proxy(world, "--disable-filter") as http,
        http.ws_connect(f"{PODS}/web-0/exec", params=query, protocols=(channels.V5,)) as socket,
    ):
        frames = [channels.frame_of(one.data) async for one in socket]
    assert endings.status_in(frames[-1].content).status == "Success"
    await until(lambda: world.server.backend.sessions.count == 0)


async def test_a_server_that_is_away_and_a_port_that_is_taken_are_told(world: ExecWorld) -> None:
    async with a_proxy(world) as http:
        port = http._base_url.port if http._base_url else 0
        taken = await world.cluster.cubectl(f"proxy --port {port}")
        assert (taken.code, "unable to listen" in taken.err) == (1, True)
        await world.app.stop()
        async with http.get(PODS) as got:
            assert (got.status, "is not reached" in await got.text()) == (502, True)


async def answers_to(http: aiohttp.ClientSession, *heads: str) -> list[str]:
    """Return the first lines of the answers to requests that are sent at once on one connection."""
    assert http._base_url is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", http._base_url.port)
    try:
        writer.write("".join(f"{head}\r\n\r\n" for head in heads).encode())
        async with asyncio.timeout(DEADLINE_S):
            said = (await reader.read()).decode()
    finally:
        writer.close()
    return [line for line in said.splitlines() if "HTTP/1.1 " in line]


@pytest.mark.parametrize("before", ["/", "///", "/.", "/x/..", "/%2f", "/%2e"])
async def test_no_spelling_of_a_path_passes_the_filter(world: ExecWorld, before: str) -> None:
    head = f"GET {before}{PODS}/web-0/exec?command=ls&stdout=true HTTP/1.1\r\nHost: localhost"
    async with a_proxy(world) as http:
        assert await answers_to(http, head) == ["HTTP/1.1 403 Forbidden"]
    async with a_proxy(world, "--disable-filter") as http:
        assert await answers_to(http, head) == ["HTTP/1.1 404 Not Found"]


async def test_behind_a_switch_that_is_declined_no_request_goes_by_unseen(
    world: ExecWorld,
) -> None:
    switch = "Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket"
    async with a_proxy(world) as http:
        heads = (f"GET {PODS}/web-0 HTTP/1.1\r\n{switch}",
                 f"DELETE {PODS}/web-0 HTTP/1.1\r\nHost: localhost")  # fmt: skip
        assert await answers_to(http, *heads) == ["HTTP/1.1 200 OK"]
        async with http.get(f"{PODS}/web-0") as got:
            assert "deletionTimestamp" not in (await got.json())["metadata"]


async def test_a_file_is_listened_at_for_its_owner_alone_and_one_that_was_left_is_taken(
    world: ExecWorld, tmp_path: Path
) -> None:
    file = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(file))
    process = await world.cluster.start(f"proxy -u {file}")
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        assert f"{file}\n" in (await process.stdout.readline()).decode()
    assert stat.S_IMODE(file.stat().st_mode) == 0o700

    second = await world.cluster.cubectl(f"proxy -u {file}")
    assert (second.code, "is there already" in second.err) == (1, True)
    other = tmp_path / "other"
    other.write_text("mine")
    second = await world.cluster.cubectl(f"proxy -u {other}")
    assert (second.code, "is there already" in second.err) == (1, True)
    assert other.read_text() == "mine"

    process.terminate()
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    assert (out, err, process.returncode, file.exists()) == (b"", b"", 0, False)
