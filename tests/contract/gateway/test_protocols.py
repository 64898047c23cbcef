"""Services that speak gRPC or TLS behind the gateway, by the nginx of the image."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from cubernetes.api.core.service import Service, ServicePort
from cubernetes.host.env import Env
from cuberoot import pki
from cuberoot.program import Identity
from tests.contract.gateway.roads import HOST, ask, endpoints, serve
from tests.contract.gateway.world import ANSWER_S, GatewayWorld, a_gateway_world
from tests.given import a_service
from tests.unit.gateway.roadworld import a_dns
from tests.unit.gateway.test_gateway_policies import a_policy

pytestmark = [pytest.mark.root]
NOW = Env().clock.now()
CA = pki.new_ca("inside", NOW)
LONG = b"x" * (1 << 20)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    async with a_gateway_world(tmp_path) as one:
        yield one


async def upper(
    asked: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]
) -> AsyncIterator[bytes]:
    """Send streams of bytes back in capitals, then end the call."""
    async for one in asked:
        yield one.upper()
    await context.abort(grpc.StatusCode.OUT_OF_RANGE, "that is all")


@asynccontextmanager
async def a_grpc_service(*, has_tls: bool) -> AsyncIterator[Service]:
    """Give a service that speaks gRPC, by TLS or without."""
    server = grpc.aio.server()
    methods = {"Stream": grpc.stream_stream_rpc_method_handler(upper)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Upper", methods),))
    if has_tls:
        made = pki.new_cert(Identity("inside", is_server=True), CA, NOW)
        pairs = grpc.ssl_server_credentials([(made.key, made.cert)])
        port = server.add_secure_port("127.0.0.1:0", pairs)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield a_service("web", cluster_ip="127.0.0.1", ports=(ServicePort(port=port),))
    finally:
        await server.stop(None)


@pytest.mark.parametrize("protocol", ["GRPC", "GRPCS"])
async def test_calls_of_grpc_stream_both_ways_and_end_as_the_service_ends_them(
    world: GatewayWorld, protocol: str
) -> None:
    async with a_grpc_service(has_tls=protocol == "GRPCS") as web:
        dns = a_dns("d", HOST, f"/ web:{web.spec.ports[0].port}")
        await serve(world, dns, [web], a_policy(backendProtocol=protocol))
        options = [("grpc.default_authority", HOST)]
        where = f"127.0.0.1:{world.facts.http_port}"
        async with grpc.aio.insecure_channel(where, options=options) as channel:
            call = channel.stream_stream("/test.Upper/Stream")(timeout=ANSWER_S)
            # Each answer before the next question: nothing is held back.
            for part in (b"one", b"two", LONG, LONG):
                await call.write(part)
                assert await call.read() == part.upper()
            await call.done_writing()
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await call.read()
            assert ended.value.code() == grpc.StatusCode.OUT_OF_RANGE
            assert ended.value.details() == "that is all"
            other = channel.stream_stream("/test.Upper/None")(timeout=ANSWER_S)
            await other.done_writing()
            with pytest.raises(grpc.aio.AioRpcError) as unknown:
                await other.read()
            assert unknown.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_a_service_that_speaks_tls_is_asked_by_tls(
    world: GatewayWorld, tmp_path: Path
) -> None:
    made = pki.new_cert(Identity("inside", is_server=True), CA, NOW)
    pair = tmp_path / "inside.pem"
    pair.write_bytes(made.cert + made.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n" + head[:6])
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        web = a_service("web", cluster_ip="127.0.0.1", ports=(ServicePort(port=port),))
        dns = a_dns("d", HOST, f"/ web:{port}")
        await serve(world, dns, [web], a_policy(backendProtocol="HTTPS"))
        assert (await ask(world))[::2] == ("200", "GET /x")
        await serve(world, dns, [web])
        assert (await ask(world))[0] == "502"


async def test_a_fallback_has_the_requests_while_no_endpoint_of_the_service_is_ready(
    world: GatewayWorld,
) -> None:
    web, slices, _ = await endpoints(world, "one")
    spare, other = await world.backend("spare")
    dns = a_dns("d", HOST, "/ web:80")
    policy = a_policy(fallback={"serviceName": "spare", "servicePort": spare.port}, balancing={})
    by_cluster_ip = a_policy(fallback={"serviceName": "spare", "servicePort": spare.port})

    await serve(world, dns, [web, other], policy, slices=slices)
    assert (await ask(world))[2] == "one /x"
    await serve(world, dns, [web, other], by_cluster_ip)
    assert (await ask(world))[2] == "spare /x"


async def test_an_endpoint_that_fails_is_left_out_for_the_window(world: GatewayWorld) -> None:
    web, slices, backends = await endpoints(world, "one", "two")
    passive = {"failures": 2, "windowSeconds": 3600}
    policy = a_policy(balancing={"passive": passive}, timeouts={"readSeconds": 3})
    await serve(world, a_dns("d", HOST, "/ web:80"), [web], policy, slices=slices)
    backends[0].is_mute = True

    # Each worker of nginx counts in the memory that all share.
    assert {(await ask(world))[0] for _ in range(12)} == {"200"}
    assert len(backends[0].paths) == 2
