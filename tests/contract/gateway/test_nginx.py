"""The gateway's configuration before its judge: the nginx of the image reads it and serves it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from urllib.parse import quote

import pytest

from cubernetes.api.core.service import ServicePort
from cubernetes.api.meta import Ref
from gateway.nginx.process import ConfigurationRefused
from gateway.nginx.text import Configuration, Line, configuration_for, guilty
from gateway.roads.model import Host, Model, Route, Server, Upstream
from tests.contract.gateway.world import ANSWER_S, GatewayWorld, a_gateway_world
from tests.given import a_service
from tests.unit.gateway.roadworld import a_dns, an_ingress

pytestmark = [pytest.mark.root]

# What would end a token, a directive or a block, begin a comment or a variable, if it were let.
HOSTILE = (
    '"', "'", "\\", '\\"', ";", "{", "}", "#", "$", "${", "$host", "${host}", " ", "\\n", "~", "^~",
    "= ", "*", "|", '"; return 200 "taken', "'; } server { listen 1; ", "/;", "é", "\u2028", "🛣",
    "%", "$1", "a;b}", "include /etc/passwd;", "lua", "`", "\\\\", "[", "(", "?", "&",
)  # fmt: skip
OWNER = Ref("Dns", "default", "hostile")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    async with a_gateway_world(tmp_path) as one:
        yield one


async def test_paths_go_where_kubernetes_sends_them(world: GatewayWorld) -> None:
    web_server, web = await world.backend("web", "http")
    cart_server, cart = await world.backend("cart", "http")
    ingress = an_ingress(
        "a",
        ("a.example", ("/ web:http", "/a cart:http", "=/a/exact web:http", "=/a web:http")),
        ("*.wild.example", ("/ cart:http",)),
        ("b.example", ("/only web:http", "/a%20b cart:http", "/gone none:80")),
    )
    assert await world.driver.apply(world.configuration([ingress], [web, cart]))
    wanted = {
        ("a.example", "/"): "200 web /",
        ("a.example", "/a"): "200 web /a",
        ("a.example", "/a/"): "200 cart /a/",
        ("a.example", "/a/b?c=d"): "200 cart /a/b?c=d",
        ("a.example", "/ab"): "200 web /ab",
        ("a.example", "/a/exact"): "200 web /a/exact",
        ("a.example", "/a/exact/"): "200 cart /a/exact/",
        ("a.example", "/a/../x"): "200 web /a/../x",
        ("A.EXAMPLE", "/a/%62"): "200 cart /a/%62",
        ("one.wild.example", "/x"): "200 cart /x",
        ("two.one.wild.example", "/x"): "404",
        ("wild.example", "/x"): "404",
        ("b.example", "/only"): "200 web /only",
        ("b.example", "/only/x"): "200 web /only/x",
        ("b.example", "/onlyx"): "404",
        ("b.example", "/a%20b/c"): "200 cart /a%20b/c",
        ("b.example", "/gone/x"): "503",
        ("c.example", "/"): "404",
    }
    found = {place: await world.ask(*place) for place in wanted}

    assert found == wanted
    # The log has one line of JSON a request.
    told = await world.log(len(wanted))
    assert len(told) == len(wanted)
    last = {key: told[3][key] for key in ("host", "path", "service", "status", "method")}
    assert last == {
        "host": "a.example",
        "path": "/a",
        "service": "default/cart:http",
        "status": 200,
        "method": "GET",
    }
    # A service is told the name under which its request stands there.
    heads = [head for backend in (web_server, cart_server) for head in backend.heads]
    names = {
        line.partition(": ")[2]
        for head in heads
        for line in head.splitlines()
        if "X-Request-ID" in line
    }
    assert names == {one["id"] for one in told if one["upstream"]}
    assert len(names) == len(heads)


@pytest.mark.parametrize("seed", range(3))
async def test_w28_no_text_means_anything_to_nginx_but_itself(
    world: GatewayWorld, seed: int
) -> None:
    """The forerunner wrote hosts and paths into the configuration as they came."""
    chance = Random(seed)
    backend, _ = await world.backend("web")
    texts = list(HOSTILE)
    texts += ["".join(chance.choices(HOSTILE, k=chance.randint(2, 6))) for _ in range(60)]
    paths = sorted({f"/{text.strip('/')}x" for text in texts})
    routes = tuple(
        Route(path, chance.random() < 0.5, "u", text, OWNER)
        for path, text in zip(paths, texts, strict=False)
    )
    upstream = Upstream("u", (Server("127.0.0.1", backend.port),))
    model = Model((Host("a.example", routes),), (upstream,))

    await world.driver.apply(configuration_for(model, world.facts))
    for route in routes:
        path = quote(route.path)
        assert await world.ask("a.example", path) == f"200 web {path}", route.path
    assert await world.ask("a.example", "/") == "404"
    services = [one["service"] for one in await world.log(len(routes) + 1)]
    assert services == [*(route.label for route in routes), ""]


async def test_changes_cut_no_client_off_and_a_long_download_comes_whole(
    world: GatewayWorld,
) -> None:
    slow, web = await world.backend("web")
    dns = a_dns("d", "a.example", f"/ web:{slow.port}")
    await world.driver.apply(world.configuration([dns], [web]))
    download = asyncio.create_task(world.ask("a.example", "/slow"))
    is_over, answers = asyncio.Event(), []

    async def loop() -> None:
        while not is_over.is_set():
            answers.append((await world.ask("a.example", "/x"))[:3])

    looping = asyncio.create_task(loop())
    for count in range(5):
        other = a_dns(f"e{count}", f"e{count}.example", f"/ web:{slow.port}")
        assert await world.driver.apply(world.configuration([dns, other], [web]))
        assert await world.ask(f"e{count}.example", "/y") == "200 web /y"
        # What is not there any more is so at once.
        assert await world.ask(f"e{count - 1}.example", "/y") == "404"
    is_over.set()
    await looping
    assert set(answers) == {"200"}
    assert not download.done()
    slow.is_let_go.set()
    assert await download == "200 web /slow"


async def test_the_same_configuration_again_changes_nothing(world: GatewayWorld) -> None:
    wanted = world.configuration([a_dns()], [a_service("web", cluster_ip="127.0.0.1")])

    assert await world.driver.apply(wanted)
    assert not await world.driver.apply(wanted)


async def test_a_refused_configuration_keeps_the_one_before_and_names_the_object(
    world: GatewayWorld,
) -> None:
    backend, web = await world.backend("web")
    dns = a_dns("d", "a.example", f"/ web:{backend.port}")
    good = world.configuration([dns], [web])
    await world.driver.apply(good)
    lines = list(good.lines)
    place = lines.index(Line("    listen %d;" % world.facts.http_port, dns.ref))  # noqa: UP031
    lines.insert(place, Line("    no_such_directive on;", dns.ref))
    bad = Configuration(tuple(lines), "0" * 16)

    with pytest.raises(ConfigurationRefused) as refused:
        await world.driver.apply(bad)

    assert guilty(bad, refused.value.said) == {dns.ref}
    assert await world.ask("a.example", "/x") == "200 web /x"
    assert world.tree.current() == good.generation
    assert await world.nginx.serving() == good.generation


async def test_w28_a_service_that_moves_is_followed(world: GatewayWorld) -> None:
    old, web = await world.backend("web")
    new, moved = await world.backend("web")
    dns = a_dns("d", "a.example", "/ web:http")
    for backend, service in ((old, web), (new, moved)):
        port = ServicePort(port=backend.port, name="http")
        there = a_service("web", cluster_ip=service.spec.cluster_ip, ports=(port,))
        await world.driver.apply(world.configuration([dns], [there]))
        assert await world.ask("a.example", "/x") == "200 web /x"
    await old.end()
    assert await world.ask("a.example", "/x") == "200 web /x"


async def test_a_service_is_asked_by_a_connection_a_request(world: GatewayWorld) -> None:
    """nginx keeps connections by itself since 1.29: a pod that went cut them, and requests in them.

    A kept one would be led to a pod long after the node's proxy has let go of it.
    """
    backend, web = await world.backend("web")
    dns = a_dns("d", "a.example", f"/ web:{backend.port}")
    await world.driver.apply(world.configuration([dns], [web]))
    assert [await world.ask("a.example", "/x") for _ in range(3)] == ["200 web /x"] * 3

    assert ["connection: close" in head.lower() for head in backend.heads] == [True] * 3


async def test_no_connection_is_used_again_where_a_service_leaves_it_open(
    world: GatewayWorld,
) -> None:
    """nginx goes by the answer, not by what it asked for: a request came as the service closed."""
    backend, web = await world.backend("web")
    backend.is_keeping = True
    dns = a_dns("d", "a.example", f"/ web:{backend.port}")
    await world.driver.apply(world.configuration([dns], [web]))

    assert [await world.ask("a.example", "/x") for _ in range(8)] == ["200 web /x"] * 8
    assert backend.connection_count == 8


async def test_a_websocket_is_opened_and_carries_bytes_both_ways_through_a_reload(
    world: GatewayWorld,
) -> None:
    heads: list[str] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
        upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n" + upgrade)
        while part := await reader.read(100):
            writer.write(part.upper())
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    web = a_service("web", cluster_ip="127.0.0.1", ports=(ServicePort(port=port),))
    dns = a_dns("d", "a.example", f"/ web:{port}")
    await world.driver.apply(world.configuration([dns], [web]))
    asked = "GET /chat HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\n"
    async with asyncio.timeout(ANSWER_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", world.facts.http_port)
        writer.write(f"{asked}Upgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        writer.write(b"one")
        assert await reader.readexactly(3) == b"ONE"
        other = a_dns("e", "e.example", f"/ web:{port}")
        assert await world.driver.apply(world.configuration([dns, other], [web]))
        writer.write(b"two")
        assert await reader.readexactly(3) == b"TWO"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
    assert head.startswith("http/1.1 101 ")
    assert "upgrade: websocket\r\n" in head
    for line in ("upgrade: websocket", "connection: upgrade", "sec-websocket-key: eA==".lower()):
        assert f"{line}\r\n" in heads[0]
