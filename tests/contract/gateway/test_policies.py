"""What RoutePolicies promise, by the nginx of the image."""

import asyncio
import os
import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cubernetes.api.discovery.endpointslice import EndpointPort, EndpointSlice
from cubernetes.api.roads import roads_of
from gateway.nginx.text import configuration_for
from gateway.roads.compile import model_for
from tests.contract.gateway.roads import HOST, ask, endpoints, serve
from tests.contract.gateway.world import ANSWER_S, GatewayWorld, a_gateway_world
from tests.given import a_service, a_slice, an_endpoint
from tests.unit.gateway.roadworld import CLASSES, a_dns, an_ingress
from tests.unit.gateway.test_gateway_policies import a_policy

pytestmark = [pytest.mark.root]
CALLERS = 4
# Processor time in which 300 services that are balanced follow; the least of a few tries.
FOLLOWED_S = 0.7


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    async with a_gateway_world(tmp_path) as one:
        yield one


async def test_a_redirect_says_where(world: GatewayWorld) -> None:
    backend, web = await world.backend("web")
    dns = a_dns("d", HOST, f"/ web:{backend.port}")
    redirect = {"scheme": "https", "host": "new.example", "path": "/moved", "code": 308}

    await serve(world, dns, [web], a_policy(redirect=redirect))
    code, told, _ = await ask(world, "/x?y=z")
    assert (code, told["location"]) == ("308", "https://new.example/moved")
    await serve(world, dns, [web], a_policy(redirect={"host": "new.example"}))
    code, told, _ = await ask(world, "/x?y=z")
    assert (code, told["location"]) == ("302", "http://new.example/x?y=z")


@pytest.mark.parametrize(
    ("redirect", "http", "https"),
    [
        ({"scheme": "https"}, "302 https://{tls}/moved", "200"),
        ({"scheme": "https", "path": "/moved"}, "302 https://{tls}/moved", "200"),
        ({"path": "/moved"}, "200", "200"),
        ({"path": "/Moved"}, "302 http://{host}/Moved", "302 https://{host}/Moved"),
        ({"host": HOST}, "200", "200"),
        ({"scheme": "http"}, "200", "302 http://{host}/moved"),
    ],
    ids=str,
)
async def test_a_redirect_never_leads_to_itself(
    world: GatewayWorld, redirect: dict[str, str], http: str, https: str
) -> None:
    """Such a client asked again and again, until it had enough."""
    backend, web = await world.backend("web")
    ingress = an_ingress("i", (HOST, (f"/ web:{backend.port}",)), tls=(("tls", (HOST,)),))
    target = {"kind": "Ingress", "name": "i"}
    await serve(world, ingress, [web], a_policy(target=target, redirect=redirect))

    code, told, _ = await ask(world, "/moved?y=z")
    names = {"tls": f"{HOST}:{world.facts.https_port}", "host": HOST}
    query = "" if "path" in redirect else "?y=z"
    assert f"{code} {told.get('location', '')}".strip() == with_query(http, query).format(**names)
    answer = await world.ask_by_tls(HOST, "/moved?y=z")
    found = re.search(r"(?i)^location: (.*)\r$", answer, re.MULTILINE)
    secure = f"{answer.split(' ')[1]} {found[1] if found else ''}".strip()
    assert secure == with_query(https, query).format(**names)


def with_query(wanted: str, query: str) -> str:
    return wanted + query if wanted.startswith("302") else wanted


async def test_a_rewritten_path_keeps_its_rest(world: GatewayWorld) -> None:
    backend, web = await world.backend("web")
    dns = a_dns("d", HOST, f"/old$(x) web:{backend.port}", f"/ web:{backend.port}")
    target = {"kind": "Dns", "name": "d", "path": "/old$(x)"}
    await serve(world, dns, [web], a_policy(target=target, rewritePrefix="/new"))

    wanted = {
        "/old$(x)": "/new",
        "/old$(x)/": "/new/",
        "/old$(x)/a%20b/c%0Ad?e=f": "/new/a%20b/c%0Ad?e=f",
        "/other": "/other",
    }
    assert {path: (await ask(world, path))[2] for path in wanted} == {
        path: f"web {new}" for path, new in wanted.items()
    }
    await serve(
        world, a_dns("d", HOST, f"/ web:{backend.port}"), [web], a_policy(rewritePrefix="/v2/")
    )
    assert (await ask(world, "/x/y"))[2] == "web /v2/x/y"


@pytest.mark.parametrize(
    ("path", "prefix", "wanted"),
    [
        ("/", "/new", "/new"),
        ("/", "/new/", "/new/"),
        ("/a/", "/new", "/new"),
        ("/a/", "/", "/"),
        ("/a", "/new/", "/new/"),
        ("/a", "/new", "/new"),
        ("/a.(b)", "/new", "/new"),
    ],
)
async def test_an_exact_path_is_rewritten_to_the_prefix_as_it_is_written(
    world: GatewayWorld, path: str, prefix: str, wanted: str
) -> None:
    """`/` and `/a/` reached the service as they were asked for."""
    backend, web = await world.backend("web")
    dns = a_dns("d", HOST, f"={path} web:{backend.port}")
    await serve(world, dns, [web], a_policy(rewritePrefix=prefix))

    assert (await ask(world, f"{path}?e=f"))[2] == f"web {wanted}?e=f"


async def test_choices_are_led_to_where_the_service_of_the_road_has_no_endpoint(
    world: GatewayWorld,
) -> None:
    """The road answered 503 to all requests, those for the other service too."""
    backend, after = await world.backend("next")
    web = a_service("web", cluster_ip="192.0.2.1")
    chosen = {"serviceName": "next", "servicePort": backend.port}
    by = {**chosen, "header": {"name": "X-Canary", "value": "yes"}, "weight": 50}
    ready = a_slice(
        "next",
        endpoints=(an_endpoint("127.0.0.1"),),
        ports=(EndpointPort(port=backend.port),),
        service="next",
    )
    dns = a_dns("d", HOST, "/ web:80")
    policy = a_policy(backends=[by], balancing={}, rewritePrefix="/new")
    await serve(world, dns, [web, after], policy, slices=[ready])

    assert {(await ask(world, X_Canary="yes"))[2] for _ in range(5)} == {"next /new/x"}
    assert {(await ask(world))[0] for _ in range(60)} == {"200", "503"}
    await serve(world, dns, [web, after], a_policy(backends=[by], balancing={}))
    assert (await ask(world, X_Canary="yes"))[0] == "503"


async def test_a_canary_has_its_share_and_those_who_ask_for_it(world: GatewayWorld) -> None:
    (_, web), (_, after) = await world.backend("web", "http"), await world.backend("next", "http")
    (_, other) = await world.backend("other", "http")
    dns = a_dns("d", HOST, "/ web:http", "/o other:http")
    backend = {
        "serviceName": "next",
        "servicePort": "http",
        "weight": 25,
        "header": {"name": "X-Canary", "value": "yes"},
        "cookie": {"name": "canary", "value": "always"},
    }
    await serve(world, dns, [web, after, other], a_policy(backends=[backend]))

    for headers in ({"X_Canary": "yes"}, {"Cookie": "canary=always"}):
        for path in ("/x", "/o/x"):
            found = {(await ask(world, path, **headers))[2] for _ in range(5)}
            assert found == {f"next {path}"}
    plain = Counter([(await ask(world, X_Canary="no"))[2] for _ in range(400)])
    assert set(plain) == {"web /x", "next /x"}
    # 100 are expected; more than six deviations away is a wrong weight, not chance.
    assert 45 < plain["next /x"] < 155
    assert {(await ask(world, "/o"))[2] for _ in range(80)} == {"other /o", "next /o"}
    await serve(world, dns, [web, after, other], a_policy(backends=[{**backend, "weight": 0}]))
    assert {(await ask(world))[2] for _ in range(40)} == {"web /x"}


async def test_copies_are_sent_and_their_answers_dropped(world: GatewayWorld) -> None:
    (web, one), (shadow, two) = await world.backend("web"), await world.backend("shadow")
    dns = a_dns("d", HOST, f"/ web:{web.port}")
    mirror = {"serviceName": "shadow", "servicePort": shadow.port}
    await serve(world, dns, [one, two], a_policy(mirror=mirror))

    assert (await ask(world, "/x?y=z"))[2] == "web /x?y=z"
    async with asyncio.timeout(ANSWER_S):
        await shadow.is_asked.wait()
    assert shadow.paths == ["/x?y=z"]
    assert (await ask(world, "/cube%20mirror%200"))[2] == "web /cube%20mirror%200"
    await shadow.end()
    assert (await ask(world))[0] == "200"


async def test_a_copy_is_whole_and_holds_no_client_where_its_service_never_answers(
    world: GatewayWorld,
) -> None:
    """The client's next request waited a minute; of a body above 1 MiB there was no copy."""
    (web, one), (shadow, two) = await world.backend("web"), await world.backend("shadow")
    dns = a_dns("d", HOST, f"/ web:{web.port}")
    mirror = {"serviceName": "shadow", "servicePort": shadow.port}
    limits = {"bodyBytes": 3 << 20}
    await serve(world, dns, [one, two], a_policy(mirror=mirror, limits=limits))

    body = b"x" * (2 << 20)
    head = f"POST /x HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n\r\n"
    last = f"GET /y HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
    shadow.is_mute = True
    async with asyncio.timeout(ANSWER_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", world.facts.http_port)
        writer.write(head.encode() + body + last.encode())
        answers = await reader.read()
        while more := await reader.read():
            answers += more
        writer.close()
    assert re.findall(rb"web /.", answers) == [b"web /x", b"web /y"]
    assert (web.body_byte_count, shadow.body_byte_count) == (len(body), len(body))
    # One connection a copy: what failed is not tried again.
    assert shadow.paths == ["/x", "/y"]


async def test_a_long_body_is_passed_on_as_it_comes(world: GatewayWorld) -> None:
    """nginx held it whole in its container's 256 MiB before it asked the service."""
    backend, web = await world.backend("web")
    dns = a_dns("d", HOST, f"/ web:{backend.port}", f"/s web:{backend.port}")
    whole, part = 300 << 20, b"x" * (1 << 20)
    roads = {path: {"kind": "Dns", "name": "d", "path": path} for path in ("/", "/s")}
    policies = (
        a_policy("long", roads["/"], limits={"bodyBytes": whole}),
        a_policy("short", roads["/s"], limits={"bodyBytes": 2 << 20}),
    )
    await serve(world, dns, [web], *policies)

    head = f"PUT /x HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n"
    async with asyncio.timeout(6 * ANSWER_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", world.facts.http_port)
        writer.write(f"{head}Content-Length: {whole}\r\n\r\n".encode() + part)
        await backend.is_body_begun.wait()
        for _ in range(whole // len(part) - 1):
            writer.write(part)
            await writer.drain()
        assert b" 200 OK" in await reader.readline()
        writer.close()
    assert backend.body_byte_count == whole
    assert await code_of(world, f"{head}Content-Length: {whole + 1}\r\n\r\n".encode()) == "413"
    chunked = f"{head.replace('/x', '/s')}Transfer-Encoding: chunked\r\n\r\n".encode()
    chunks = [b"%x\r\n%s\r\n" % (len(part), part)] * 2
    assert await code_of(world, b"".join((chunked, *chunks, b"0\r\n\r\n"))) == "200"
    assert await code_of(world, b"".join((chunked, *chunks, b"1\r\nx\r\n0\r\n\r\n"))) == "413"


async def code_of(world: GatewayWorld, request: bytes) -> str:
    async with asyncio.timeout(ANSWER_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", world.facts.http_port)
        writer.write(request)
        line = await reader.readline()
        writer.close()
    return line.split(b" ")[1].decode()


async def test_limits_are_answered_with_429_and_413(world: GatewayWorld) -> None:
    backend, web = await world.backend("web")
    dns = a_dns("d", HOST, f"/ web:{backend.port}")
    await serve(world, dns, [web], a_policy(limits={"requestsPerSecond": 1, "burst": 4}))
    # All at once: one, and four, and as many more as the seconds that it takes.
    codes = Counter([one[0] for one in await asyncio.gather(*(ask(world) for _ in range(60)))])
    assert codes["200"] >= 5
    assert codes["429"] >= 5
    assert set(codes) == {"200", "429"}

    await serve(world, dns, [web], a_policy(limits={"connections": 1, "bodyBytes": 10}))
    slow = asyncio.create_task(ask(world, "/slow"))
    async with asyncio.timeout(ANSWER_S):
        await backend.is_slow.wait()
    assert (await ask(world))[0] == "429"
    backend.is_let_go.set()
    assert (await slow)[0] == "200"
    codes_of = [(await ask(world, method="POST", body="x" * size))[0] for size in (10, 11)]
    assert codes_of == ["200", "413"]


async def test_a_service_that_does_not_answer_in_time_is_told_as_504(world: GatewayWorld) -> None:
    backend, web = await world.backend("web")
    dns = a_dns("d", HOST, f"/ web:{backend.port}")
    await serve(world, dns, [web], a_policy(timeouts={"readSeconds": 1}))

    assert (await ask(world, "/silent"))[0] == "504"


async def test_who_comes_without_tls_is_sent_to_it(world: GatewayWorld) -> None:
    backend, web = await world.backend("web")
    tls = (("tls", (HOST,)),)
    ingress = an_ingress("shop", (HOST, (f"/ web:{backend.port}",)), tls=tls)
    target = {"kind": "Ingress", "name": "shop"}
    policy = a_policy(target=target, tls={"redirect": True, "hstsSeconds": 60})
    await serve(world, ingress, [web], policy)

    code, told, _ = await ask(world, "/x?y=z")
    assert (code, told["location"]) == ("308", f"https://{HOST}:{world.facts.https_port}/x?y=z")
    assert "strict-transport-security" not in told
    secure = await world.ask_by_tls(HOST, "/x")
    assert "strict-transport-security: max-age=60" in secure.lower()
    assert secure.endswith("web /x")


@pytest.mark.parametrize(
    "balancing",
    [
        {},
        {"algorithm": "LeastConnections"},
        {"algorithm": "RandomTwo"},
        {"algorithm": "Hash", "hash": {"by": "header", "name": "X-User"}},
        {"algorithm": "Hash", "hash": {"by": "cookie", "name": "user"}},
        {"algorithm": "Hash"},
    ],
    ids=lambda one: f"{one.get('algorithm', 'RoundRobin')}-{one.get('hash', {}).get('by', '')}",
)
async def test_endpoints_are_balanced_without_the_cluster_ip(
    world: GatewayWorld, balancing: dict[str, object]
) -> None:
    web, slices, _ = await endpoints(world, "one", "two", "three")
    dns = a_dns("d", HOST, "/ web:80")
    await serve(world, dns, [web], a_policy(balancing=balancing), slices=slices)

    every = {"one /x", "two /x", "three /x"}
    if balancing.get("algorithm") != "Hash":
        assert {(await ask(world))[2] for _ in range(60)} == every
        return
    by_user = [
        {(await ask(world, X_User=f"u{user}", Cookie=f"user=u{user}"))[2] for _ in range(3)}
        for user in range(40)
    ]
    assert all(len(one) == 1 for one in by_user)
    is_by_source = "hash" not in balancing
    assert (set().union(*by_user) == every) != is_by_source


async def test_a_session_stays_at_its_endpoint_and_moves_on_when_it_goes(
    world: GatewayWorld,
) -> None:
    web, slices, backends = await endpoints(world, "one", "two", "three")
    dns, policy = a_dns("d", HOST, "/ web:80"), a_policy(balancing={"sessionCookie": "seat"})
    await serve(world, dns, [web], policy, slices=slices)

    _, told, first = await ask(world)
    cookie = told["set-cookie"].partition(";")[0]
    assert cookie.startswith("seat=")
    assert "httponly" in told["set-cookie"].lower()
    assert {(await ask(world, Cookie=cookie))[2] for _ in range(20)} == {first}
    left = [one for one in slices if one.metadata.name != f"web-{first.split()[0]}"]
    await serve(world, dns, [web], policy, slices=left)
    found = {(await ask(world, Cookie=cookie))[0] for _ in range(10)}
    assert found == {"200"}
    assert len(backends) == 3


async def test_a_dead_endpoint_fails_no_request(world: GatewayWorld) -> None:
    web, slices, backends = await endpoints(world, "one", "two", "three")
    await serve(world, a_dns("d", HOST, "/ web:80"), [web], a_policy(balancing={}), slices=slices)
    await backends[0].end()

    answers = Counter([(await ask(world))[2] for _ in range(60)])
    assert set(answers) == {"two /x", "three /x"}


async def test_endpoints_that_come_and_go_fail_no_request(world: GatewayWorld) -> None:
    web, slices, _ = await endpoints(world, "one", "two", "three")
    dns, policy = a_dns("d", HOST, "/ web:80"), a_policy(balancing={})
    await serve(world, dns, [web], policy, slices=slices)
    is_over, codes = asyncio.Event(), Counter[str]()

    async def loop() -> None:
        while not is_over.is_set():
            codes[(await ask(world))[0]] += 1

    looping = [asyncio.create_task(loop()) for _ in range(CALLERS)]
    for without in (0, 1, 2, 0):
        some = [one for index, one in enumerate(slices) if index != without]
        await serve(world, dns, [web], policy, slices=some)
        gone = slices[without].metadata.name.removeprefix("web-")
        assert gone not in {(await ask(world))[2].split()[0] for _ in range(10)}
    is_over.set()
    await asyncio.gather(*looping)
    assert set(codes) == {"200"}, codes


async def test_three_hundred_balanced_services_follow_their_endpoints(world: GatewayWorld) -> None:
    hosts = range(10)
    numbers = {host: range(host * 30, host * 30 + 30) for host in hosts}
    dnses = [
        a_dns(f"d{host}", f"h{host}.example", *(f"/{one} s{one}:80" for one in numbers[host]))
        for host in hosts
    ]
    policies = [
        a_policy(f"p{host}", {"kind": "Dns", "name": f"d{host}"}, balancing={}) for host in hosts
    ]
    services = [a_service(f"s{one}", cluster_ip="192.0.2.1") for one in range(300)]
    ports = [(await world.backend(name))[0].port for name in ("one", "two")]

    def ends(service: int, port: int) -> EndpointSlice:
        offered = (EndpointPort(port=port),)
        ready = (an_endpoint("127.0.0.1"),)
        return a_slice(f"s{service}-1", service=f"s{service}", endpoints=ready, ports=offered)

    async def follow(port: int) -> float:
        """Let the last service's endpoint be at another port, and be asked there.

        Returns the processor time of that, here and in the nginx that tries the configuration: by
        a clock on the wall others who are at work here would count too.
        """
        began_s = processor_s()
        slices = [ends(one, ports[0]) for one in range(299)] + [ends(299, port)]
        roads = roads_of((), CLASSES, dnses)
        model = model_for(roads, services, policies=policies, slices=slices)
        assert not model.problems
        await world.driver.apply(configuration_for(model, world.facts))
        name = "one" if port == ports[0] else "two"
        assert await world.ask("h9.example", "/299") == f"200 {name} /299"
        return processor_s() - began_s

    await follow(ports[0])
    spent_s = [await follow(ports[turn % 2]) for turn in range(1, 5)]
    assert min(spent_s) < FOLLOWED_S
    assert await world.ask("h0.example", "/0") == "200 one /0"


@pytest.mark.parametrize("seed", range(2))
async def test_w28_whatever_the_door_lets_in_nginx_takes(world: GatewayWorld, seed: int) -> None:
    """Policies of every shape that has no problem; the judge is nginx -t."""
    chance = Random(seed)
    backend, web = await world.backend("web")
    names, paths = ("a", "A-b-9", "default", "include", "x" * 64), ("/", "/a/..b", "/v~2/", "/-")
    policies = []
    for index in range(60):
        spec = random_spec(chance, names, paths, backend.port)
        target = {"kind": "Dns", "name": "d", "path": f"/p{index}"}
        policy = a_policy(f"p{index}", target, **spec)
        if not list(policy.problems()):
            policies.append(policy)
    assert len(policies) > 20
    some = [f"/p{index} web:{backend.port}" for index in range(60)]
    slices = [a_slice(endpoints=(an_endpoint("127.0.0.1"),), ports=(EndpointPort(port=1),))]
    dns = a_dns("d", HOST, *some)
    roads = roads_of([], CLASSES, [dns])
    model = model_for(roads, [web], {}, policies, slices)

    assert await world.driver.apply(configuration_for(model, world.facts))


def processor_s() -> float:
    """Return the processor time of this process and of the children that it has waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def random_spec(
    chance: Random, names: tuple[str, ...], paths: tuple[str, ...], port: int
) -> dict[str, Any]:
    def match() -> dict[str, str]:
        return {"name": chance.choice(names), "value": chance.choice(names)}

    one = {"serviceName": "web", "servicePort": port}
    by = chance.choice(("header", "cookie"))
    every: dict[str, object] = {
        "backends": [
            {**one, "weight": chance.randint(0, 50), chance.choice(("header", "cookie")): match()}
            for _ in range(2)
        ],
        "mirror": one,
        "rewritePrefix": chance.choice(paths),
        "timeouts": {"readSeconds": chance.randint(1, 3600)},
        "limits": {"requestsPerSecond": chance.randint(1, 1_000_000), "burst": 1_000_000},
        "tls": {
            "redirect": True,
            "hstsSeconds": chance.randint(0, 63_072_000),
            "clientCertificates": {"secretName": "clients"},
        },
        "backendProtocol": chance.choice(("HTTP", "HTTPS", "GRPC", "GRPCS")),
        "fallback": one,
        "redirect": {"path": chance.choice(paths), "code": chance.choice((301, 302, 307, 308))},
        "balancing": {
            "algorithm": "Hash",
            "hash": {"by": by, "name": chance.choice(names)},
            "sessionCookie": chance.choice(names),
            "passive": {"failures": chance.randint(1, 1000), "windowSeconds": 3600},
        },
    }
    return {name: every[name] for name in every if chance.random() < 0.5}
