"""`pods/proxy`, `services/proxy` and `nodes/proxy` from clients to a program that speaks HTTP."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from apiserver.settings import Limits
from cubernetes.host.web.messages import Identity, Request
from tests.contract.api.streams.world import ExecWorld, a_session, an_exec_world, until
from tests.contract.api.world import PODS, Tree

SERVICES = "/api/v1/namespaces/default/services"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
JANE = Identity("jane")
BIG = bytes(range(256)) * 16_384  # 4 MiB
PAGE = (
    b"<html><a href='/next'>next</a><script>go('<a href=\"/kept\">')</script><img src=\"/x.png\">"
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ExecWorld]:
    async with an_exec_world(tmp_path, Limits(proxied_per_user_max=4)) as made:
        yield made


@pytest.fixture
async def http(world: ExecWorld) -> AsyncIterator[aiohttp.ClientSession]:
    async with a_session(world) as made:
        yield made


async def echo(request: web.Request) -> web.StreamResponse:
    """Tell what has come."""
    body = await request.read()
    told = {
        "method": request.method,
        "line": request.raw_path,
        "fields": [[name, value] for name, value in request.headers.items()],
        "size": len(body),
    }
    answer = web.json_response(told, status=207)
    answer.headers.extend(
        [
            ("Set-Cookie", "a=1; Path=/; Domain=example.com"),
            ("Set-Cookie", "b=2"),
            ("Access-Control-Allow-Origin", "*"),
            ("X-Own", "kept"),
        ]
    )
    return answer


async def moved(request: web.Request) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": request.query["to"]})


async def page(_: web.Request) -> web.StreamResponse:
    return web.Response(body=PAGE, content_type="text/html")


async def mirrored(request: web.Request) -> web.StreamResponse:
    """Give back each piece as it comes."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    async for piece in request.content.iter_any():
        await answer.write(piece)
    return answer


async def talks(request: web.Request) -> web.StreamResponse:
    """Speak WebSocket: everything comes back."""
    socket = web.WebSocketResponse(protocols=("echo",))
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(f"{message.data}!")
    return socket


async def cut(request: web.Request) -> web.StreamResponse:
    """Break off in the middle of an answer."""
    answer = web.StreamResponse(headers={"Content-Length": "100"})
    await answer.prepare(request)
    await answer.write(b"half")
    assert request.transport is not None
    request.transport.abort()
    return answer


async def nothing(_: web.Request) -> web.StreamResponse:
    return web.Response(status=204)


@pytest.fixture
async def program() -> AsyncIterator[int]:
    """A program that answers HTTP; yields its port."""
    async for port in a_program(None):
        yield port


async def a_program(tls: ssl.SSLContext | None) -> AsyncIterator[int]:
    app = web.Application(client_max_size=1 << 30)
    app.router.add_get("/moved", moved)
    app.router.add_get("/page", page)
    app.router.add_post("/mirror", mirrored)
    app.router.add_get("/ws", talks)
    app.router.add_get("/cut", cut)
    app.router.add_get("/nothing", nothing)
    app.router.add_route("*", "/{rest:.*}", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def a_service(world: ExecWorld, port: int, pod: str = "web-0") -> None:
    """Let a service of one named port lead to a pod."""
    ports = [{"name": "http", "port": 80}, {"name": "other", "port": 81}]
    spec = {"ports": ports, "selector": {"app": "web"}}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}
    await world.call("POST", SERVICES, service)
    await world.call("POST", SLICES, a_slice(port, pod))


def a_slice(port: int, pod: str, **more: Any) -> Tree:
    ref = {"kind": "Pod", "namespace": "default", "name": pod}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        # An address that nobody must ever connect to.
        "endpoints": [{"addresses": ["192.0.2.1"], "targetRef": ref, **more}],
        "ports": [{"name": "http", "port": port}],
    }


def values(told: Tree, name: str) -> list[str]:
    return [value for field, value in told["fields"] if field.lower() == name]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_every_method_goes_to_the_pod_with_its_line_and_body_as_they_are(
    world: ExecWorld, http: aiohttp.ClientSession, program: int, method: str
) -> None:
    body = None if method in ("GET", "OPTIONS") else b"x" * 100_000
    headers = {
        "Authorization": "Bearer mine",
        "X-More": "1",
        "Te": "trailers",
        "Origin": "http://localhost:8001",
    }
    line = "/a%2Fb//c/?q=%20x&pretty=true&timeout=junk"
    url = f"{PODS}/web-0:{program}/proxy{line}"
    base = f"https://127.0.0.1:{world.app.port}"
    async with http.request(
        method, URL(base + url, encoded=True), data=body, headers=headers
    ) as answer:
        assert answer.status == 207, await answer.text()
        told = await answer.json(content_type=None)
        assert answer.headers["X-Own"] == "kept"
        assert "Access-Control-Allow-Origin" not in answer.headers
        prefix = f"{PODS}/web-0:{program}/proxy"
        assert answer.headers.getall("Set-Cookie") == [f"a=1; Path={prefix}/", "b=2"]
    assert (told["method"], told["line"], told["size"]) == (method, line, len(body or b""))
    assert values(told, "authorization") == values(told, "te") == []
    assert values(told, "x-more") == ["1"]
    assert values(told, "x-forwarded-for") == ["127.0.0.1"]
    assert values(told, "x-forwarded-uri") == [f"{PODS}/web-0:{program}/proxy/a%2Fb//c/"]


async def test_a_head_is_asked_for_alone(
    world: ExecWorld, http: aiohttp.ClientSession, program: int
) -> None:
    async with http.head(f"{PODS}/web-0:{program}/proxy/x") as answer:
        assert (answer.status, answer.headers["X-Own"]) == (207, "kept")
    async with http.get(f"{PODS}/web-0:{program}/proxy/nothing") as answer:
        assert (answer.status, await answer.read()) == (204, b"")


async def test_bytes_stream_both_ways_at_once_and_nothing_is_kept(
    world: ExecWorld, http: aiohttp.ClientSession, program: int
) -> None:
    heard = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"first"
        await heard.wait()  # the answer to the first piece is here before the second is sent
        for at in range(0, len(BIG), 1 << 16):
            yield BIG[at : at + (1 << 16)]

    url = f"{PODS}/web-0:{program}/proxy/mirror"
    async with http.post(url, data=slowly()) as answer:
        assert await answer.content.readexactly(5) == b"first"
        heard.set()
        assert await answer.content.read() == BIG
    await until(lambda: world.server.backend.proxied.count == 0)


async def test_a_websocket_goes_through_and_counts_as_a_session(
    world: ExecWorld, http: aiohttp.ClientSession, program: int
) -> None:
    url = f"{PODS}/web-0:{program}/proxy/ws"
    async with http.ws_connect(url, protocols=("echo",)) as socket:
        assert socket.protocol == "echo"
        for word in ("one", "x" * 100_000):
            await socket.send_str(word)
            assert await socket.receive_str() == f"{word}!"
        assert world.server.backend.sessions.count == 1
    await until(lambda: world.server.backend.sessions.count == 0)


async def test_a_page_of_another_site_is_refused(
    world: ExecWorld, http: aiohttp.ClientSession, program: int
) -> None:
    foreign = {"Origin": "https://elsewhere.example"}
    url = f"{PODS}/web-0:{program}/proxy/ws"
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(url, headers=foreign)
    assert refused.value.status == 403
    async with http.post(url, headers=foreign) as answer:
        assert answer.status == 403


async def test_the_root_is_reached_with_a_slash_and_places_are_those_of_this_server(
    world: ExecWorld, http: aiohttp.ClientSession, program: int
) -> None:
    root = f"{PODS}/web-0:{program}/proxy"
    async with http.get(f"{root}?a=b", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (301, f"{root}/?a=b")
    for told, wanted in (
        ("/there?x=1", f"{root}/there?x=1"),
        ("next", "next"),
        ("https://elsewhere.example/there", "https://elsewhere.example/there"),
        (f"http://127.0.0.1:{world.app.port}/there", f"{root}/there"),
        (f"{root}/there", f"{root}/there"),
    ):
        async with http.get(f"{root}/moved", params={"to": told}, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, wanted)
    async with http.get(f"{root}/page") as answer:
        text = (await answer.read()).decode()
    wanted = PAGE.decode().replace("'/next'", f"'{root}/next'").replace('"/x', f'"{root}/x')
    assert text == wanted


async def test_a_service_leads_to_a_ready_pod_by_the_name_or_number_of_its_port(
    world: ExecWorld, http: aiohttp.ClientSession, program: int
) -> None:
    await a_service(world, program)
    for way in ("web:http", "web:80", "http:web:80", "http:web:http"):
        async with http.get(f"{SERVICES}/{way}/proxy/x") as answer:
            assert answer.status == 207, await answer.text()
    for way, words in (
        ("web", 'no endpoints available for service "web"'),
        ("web:82", 'no service port 82 found for service "web"'),
        ("web:other", 'no endpoints available for service "web:other"'),
    ):
        async with http.get(f"{SERVICES}/{way}/proxy/x") as answer:
            told = await answer.json()
            assert (answer.status, told["reason"]) == (503, "ServiceUnavailable")
            assert words in told["message"]
    async with http.get(f"{SERVICES}/nobody/proxy/x") as answer:
        assert (answer.status, (await answer.json())["message"]) == (
            404,
            'services "nobody" not found',
        )


async def test_a_service_of_which_no_pod_is_ready_has_no_endpoints(
    world: ExecWorld, http: aiohttp.ClientSession, program: int
) -> None:
    await a_service(world, program)
    for endpoint in (
        {"conditions": {"ready": False}},
        {"targetRef": None},
        {"targetRef": {"kind": "Node", "name": "n1"}},
        {"targetRef": {"kind": "Pod", "namespace": "kube-system", "name": "web-0"}},
    ):
        await world.call("PUT", f"{SLICES}/web-1", a_slice(program, "web-0", **endpoint))
        async with http.get(f"{SERVICES}/web:80/proxy/x") as answer:
            assert answer.status == 503
            assert "no endpoints available" in (await answer.json())["message"]


async def test_https_is_spoken_with_a_pod_that_asks_for_it(
    world: ExecWorld, http: aiohttp.ClientSession
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(world.folder / "server.crt", world.folder / "server.key")
    async for port in a_program(tls):
        async with http.post(
            f"{PODS}/https:web-0:{port}/proxy/mirror", data=BIG[:500_000]
        ) as answer:
            assert await answer.read() == BIG[:500_000]
        async with http.get(f"{PODS}/web-0:{port}/proxy/x") as answer:
            assert answer.status == 503


async def test_a_forged_address_leads_nowhere_else(
    world: ExecWorld, http: aiohttp.ClientSession, program: int
) -> None:
    async with http.get(f"{PODS}/web-0") as answer:
        pod = await answer.json()
    for address in ("169.254.169.254", "192.0.2.1"):
        pod["metadata"].pop("resourceVersion", None)
        pod["status"] |= {"podIP": address, "podIPs": [{"ip": address}]}
        await world.call("PUT", f"{PODS}/web-0/status", pod)
        async with http.get(f"{PODS}/web-0:{program}/proxy/x") as answer:
            assert answer.status == 207


async def test_of_a_pod_in_the_nodes_network_only_its_own_ports_are_reached(
    world: ExecWorld, http: aiohttp.ClientSession, program: int
) -> None:
    main = {"name": "main", "image": "talks", "ports": [{"containerPort": program, "name": "web"}]}
    pod: Tree = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "host"},
        "spec": {"hostNetwork": True, "containers": [main]},
    }
    await world.another_pod(pod, "talks")
    for port in (program, "web", ""):
        async with http.get(f"{PODS}/host:{port}/proxy/x") as answer:
            assert answer.status == 207
    async with http.get(f"{PODS}/host:{world.kubelet.port}/proxy/x") as answer:
        assert answer.status == 400
        assert "address not allowed" in (await answer.json())["message"]


async def test_what_cannot_be_reached_is_told_in_kubernetes_words(
    world: ExecWorld, http: aiohttp.ClientSession, program: int
) -> None:
    async with http.get(f"{PODS}/web-0:1/proxy/") as answer:
        told = await answer.json()
        assert (answer.status, told["reason"]) == (503, "ServiceUnavailable")
        wanted = "error trying to reach service: dial tcp 127.0.0.1:1: connect: connection refused"
        assert wanted in told["message"]
    for path, code, words in (
        ("nobody/proxy/", 404, 'pods "nobody" not found'),
        ("ftp:web-0:80/proxy/", 400, "invalid pod request"),
        ("a:b:c:d/proxy/", 400, "invalid pod request"),
        ("web-0:99999/proxy/", 400, "must be a number from 1 to 65535"),
        ("web-0%2Fproxy/x", 400, "encoded twice"),
    ):
        url = URL(f"https://127.0.0.1:{world.app.port}{PODS}/{path}", encoded=True)
        async with http.get(url) as answer:
            assert answer.status == code, path
            assert words in (await answer.json())["message"]
    with pytest.raises(aiohttp.ClientPayloadError):
        async with http.get(f"{PODS}/web-0:{program}/proxy/cut") as answer:
            await answer.read()
    await until(lambda: world.server.backend.proxied.count == 0)


async def test_a_kubelet_is_reached_and_none_of_its_streams(
    world: ExecWorld, http: aiohttp.ClientSession
) -> None:
    node = "/api/v1/nodes/n1"
    for way in ("n1", f"n1:{world.kubelet.port}", f"https:n1:{world.kubelet.port}"):
        async with http.get(f"/api/v1/nodes/{way}/proxy/healthz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok")
    async with http.get(f"{node}/proxy/nowhere") as answer:
        assert answer.status == 404
    async with http.get("/api/v1/nodes/n1:22/proxy/") as answer:
        assert answer.status == 400
    switch = {"Connection": "Upgrade", "Upgrade": "tcp"}
    async with http.get(f"{node}/proxy/podPort/default/web-0/80", headers=switch) as answer:
        assert answer.status == 403
        assert "use pods/exec" in (await answer.json())["message"]
    async with http.get(f"{node}/proxy/exec/default/web-0/main?command=true") as answer:
        assert answer.status == 400


async def test_a_role_names_the_verb_and_what_is_reached(world: ExecWorld, program: int) -> None:
    await a_service(world, program)
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    rule = {
        "apiGroups": [""],
        "resources": ["services/proxy"],
        "resourceNames": ["http:web:80"],
        "verbs": ["get"],
    }
    role = {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}
    subjects = [{"kind": "User", "name": "jane"}]

    async def code(method: str, path: str, who: Identity = JANE) -> int:
        async with world.server.answering(Request(method, path, identity=who)) as answer:
            if not isinstance(answer.body, bytes):
                await answer.body.aclose()  # type: ignore[attr-defined]
            return answer.status

    named = f"{SERVICES}/http:web:80/proxy/x"
    assert await code("GET", named) == 403
    await world.call("POST", f"{rbac}/roles", {"metadata": {"name": "r"}, "rules": [rule]})
    await world.call(
        "POST",
        f"{rbac}/rolebindings",
        {"metadata": {"name": "b"}, "roleRef": role, "subjects": subjects},
    )
    assert await code("GET", named) == 207
    others = [("POST", named), ("GET", f"{SERVICES}/web:80/proxy/x"), ("GET", f"{SERVICES}/web")]
    others.append(("GET", f"{PODS}/web-0:{program}/proxy/x"))
    assert [await code(*one) for one in others] == [403] * 4
    node = Identity("system:node:n1", ("system:nodes",))
    assert await code("GET", f"{PODS}/web-0:{program}/proxy/x", node) == 403
    assert await code("GET", "/api/v1/nodes/n1/proxy/healthz", node) == 403


async def test_a_user_has_so_many_requests_under_way(
    world: ExecWorld, http: aiohttp.ClientSession, program: int
) -> None:
    ended = asyncio.Event()

    async def waiting() -> AsyncIterator[bytes]:
        yield b"x"
        await ended.wait()

    url = f"{PODS}/web-0:{program}/proxy/mirror"
    open_ones = [await http.post(url, data=waiting()) for _ in range(4)]
    async with http.get(f"{PODS}/web-0:{program}/proxy/x") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "10")
    ended.set()
    assert [await one.read() for one in open_ones] == [b"x"] * 4
    async with http.get(f"{PODS}/web-0:{program}/proxy/x") as answer:
        assert answer.status == 207


async def test_clients_that_come_and_go_leave_nothing(
    world: ExecWorld, http: aiohttp.ClientSession, program: int
) -> None:
    url = f"{PODS}/web-0:{program}/proxy"

    async def for_ever() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.get_running_loop().create_future()

    async def one(turn: int) -> None:
        if turn % 3 == 0:
            async with http.get(f"{url}/x") as answer:
                await answer.read()
        elif turn % 3 == 1:
            async with http.post(f"{url}/mirror", data=for_ever()) as answer:
                await answer.content.readexactly(1)
        else:
            async with http.ws_connect(f"{url}/ws") as socket:
                await socket.send_str("a")

    await one(0)
    await until(lambda: world.server.backend.proxied.count == 0)
    before = len(os.listdir("/proc/self/fd"))
    for turn in range(60):
        await one(turn)
    backend = world.server.backend
    await until(lambda: backend.proxied.count == backend.sessions.count == 0)
    await until(lambda: len(os.listdir("/proc/self/fd")) <= before + 4)
