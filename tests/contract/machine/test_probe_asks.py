"""How this node asks containers: real servers on the loopback, and commands in a real runtime."""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import grpc.aio
import pytest

from cubernetes.api.core.podspec.container import ContainerPort
from cubernetes.api.core.podspec.probes.actions import (
    ExecAction,
    GRPCAction,
    HTTPGetAction,
    HTTPHeader,
    TCPSocketAction,
)
from kubelet.probes.asks import NodeAsker
from kubelet.probes.driver import Action, Answer, Asker, Question, Unanswered
from kubelet.runtime.fake import FakeMachine, FakeRuntime
from tests.contract.runtime.worlds import CLING, EXIT_3, SLEEP, SPEAK, World, a_running
from tests.contract.store.certificates import write_certificates
from tests.given import a_container
from tests.simulation.clock import sim_env

HERE = "127.0.0.1"
SHORT_S, PATIENCE_S = 0.3, 60.0


def asker() -> Asker:
    return NodeAsker(FakeRuntime(FakeMachine(sim_env("asks"))))


def a_question(action: Action, timeout_s: float = PATIENCE_S) -> Question:
    ports = (ContainerPort(name="web", container_port=1),)
    return Question("web", "c1", a_container(ports=ports), HERE, action, timeout_s)


class Server:
    """Answers each request as its path says, and keeps what was asked."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            request = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(request)
            path = request.split(b" ", 2)[1].decode().partition("?")[0]
            if path == "/never":
                await reader.read()
            writer.write(self.answer(path))
            await writer.drain()

    def answer(self, path: str) -> bytes:
        match path.strip("/").split("/"):
            case ["to", *rest]:
                where = "/".join(rest)
                return f"HTTP/1.1 302 Found\r\nLocation: {where}\r\n\r\n".encode()
            case ["loop"]:
                return b"HTTP/1.1 301 Moved\r\nlocation: /loop\r\n\r\n"
            case ["nonsense"]:
                return b"SSH-2.0-OpenSSH_9.2\r\n\r\n"
            case ["nothing"] | ["never"]:
                return b""
            case [code, *_]:
                body = b"x" * 100_000
                return f"HTTP/1.1 {code} Word\r\nContent-Length: 100000\r\n\r\n".encode() + body
        raise AssertionError(path)


type Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve on a port of the loopback; at the end, wait for the clients that are still served."""
    served: set[asyncio.Task[None]] = set()

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError):
                await serve(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def came(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.ensure_future(answered(reader, writer)))

    server = await asyncio.start_server(came, HERE, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        if served:
            await asyncio.wait(served)


@asynccontextmanager
async def a_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server()
    async with listening(server.serve, tls) as server.port:
        yield server


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with a_server() as made:
        yield made


async def got(server: Server, path: str, timeout_s: float = PATIENCE_S) -> Answer:
    return await asker().ask(a_question(HTTPGetAction(path=path, port=server.port), timeout_s))


@pytest.mark.parametrize("code", [200, 204, 299, 304])
async def test_codes_of_success(server: Server, code: int) -> None:
    assert await got(server, f"/{code}") == Answer(is_success=True)


@pytest.mark.parametrize("code", [100, 400, 404, 500, 503])
async def test_codes_of_failure_are_told(server: Server, code: int) -> None:
    told = f"HTTP probe failed with statuscode: {code}"
    assert await got(server, f"/{code}") == Answer(is_success=False, told=told)


async def test_a_hook_takes_any_code_of_http(server: Server) -> None:
    """As Kubernetes: whether it was answered counts, not how."""
    action = HTTPGetAction(path="/500", port=server.port)
    assert (await asker().ask(replace(a_question(action), takes_any_code=True))).is_success


async def test_a_redirect_within_the_host_is_followed(server: Server) -> None:
    assert (await got(server, "/to//200")).is_success
    assert not (await got(server, "/to//500")).is_success
    assert not (await got(server, f"/to/http://{HERE}:{server.port}/503")).is_success


async def test_a_redirect_to_another_host_is_a_success_with_a_word(server: Server) -> None:
    answer = await got(server, "/to/http://elsewhere.example/500")

    assert answer.is_success
    assert "http://elsewhere.example/500" in answer.told


async def test_redirects_in_a_circle_fail(server: Server) -> None:
    answer = await got(server, "/loop")

    assert not answer.is_success
    assert "10 redirects" in answer.told
    assert len(server.requests) == 11


@pytest.mark.parametrize(
    ("path", "told"), [("/nonsense", "malformed HTTP response"), ("/nothing", "EOF")]
)
async def test_what_is_no_answer_fails(server: Server, path: str, told: str) -> None:
    answer = await got(server, path)

    assert not answer.is_success
    assert f'Get "http://{HERE}:{server.port}{path}": {told}' in answer.told


async def test_an_answer_that_does_not_come_in_time_fails(server: Server) -> None:
    answer = await got(server, "/never", SHORT_S)

    assert not answer.is_success
    assert "no answer within 0.3s" in answer.told


async def test_headers_are_as_the_probe_says(server: Server) -> None:
    headers = (
        HTTPHeader(name="Host", value="shop.example"),
        HTTPHeader(name="X-Probe", value="1"),
        HTTPHeader(name="accept", value=""),
    )
    action = HTTPGetAction(path="/200?a=b c", port=server.port, http_headers=headers)
    assert (await asker().ask(a_question(action))).is_success

    lines = server.requests[0].decode().split("\r\n")
    assert lines[0] == "GET /200?a=b%20c HTTP/1.1"
    assert {"Host: shop.example", "X-Probe: 1"} <= set(lines)
    assert any(line.startswith("User-Agent: kube-probe/") for line in lines)
    assert not any(line.lower().startswith("accept") for line in lines)


async def test_another_host_and_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    async with a_server(tls) as server:
        action = HTTPGetAction(path="/200", port=server.port, scheme="HTTPS", host=HERE)
        question = replace(a_question(action), address="192.0.2.1")
        assert await asker().ask(question) == Answer(is_success=True)


async def test_a_port_that_listens_and_one_that_does_not(server: Server) -> None:
    assert (await asker().ask(a_question(TCPSocketAction(port=server.port)))).is_success

    refused = await asker().ask(a_question(TCPSocketAction(port=1)))
    assert not refused.is_success
    assert refused.told.startswith(f"dial tcp {HERE}:1: ")
    elsewhere = replace(
        a_question(TCPSocketAction(port=server.port, host=HERE)), address="192.0.2.1"
    )
    assert (await asker().ask(elsewhere)).is_success
    by_name = await asker().ask(a_question(TCPSocketAction(port="web")))
    assert by_name == refused


async def test_a_port_of_no_name_is_not_asked() -> None:
    with pytest.raises(Unanswered, match="couldn't find port: other"):
        await asker().ask(a_question(TCPSocketAction(port="other")))


SERVING = {b"": 1, b"\x0a\x04shop": 2}


async def checked(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    if request not in SERVING:
        await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return bytes((0x08, SERVING[request]))


@pytest.fixture
async def health_port() -> AsyncIterator[int]:
    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(checked)
    handler = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method})
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port(f"{HERE}:0")
    await server.start()
    yield port
    await server.stop(None)


@pytest.mark.parametrize(
    ("service", "is_success", "told"),
    [
        ("", True, ""),
        ("shop", False, "service unhealthy: NOT_SERVING"),
        ("unknown", False, "refused 'unknown'"),
    ],
)
async def test_a_server_of_grpc_says_how_it_is(
    health_port: int, service: str, *, is_success: bool, told: str
) -> None:
    answer = await asker().ask(a_question(GRPCAction(port=health_port, service=service)))

    assert answer.is_success is is_success
    assert told in answer.told


async def test_a_server_that_does_not_speak_grpc_fails(server: Server) -> None:
    answer = await asker().ask(a_question(GRPCAction(port=server.port), SHORT_S))

    assert not answer.is_success


@asynccontextmanager
async def a_sender(text: bytes) -> AsyncIterator[int]:
    """Serve the same bytes to everybody."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await reader.read()

    async with listening(serve) as port:
        yield port


@pytest.mark.parametrize(
    "text",
    [
        b"\xff" * 64,
        b"\x00\x00\x08\x00\x08\x00\x00\x00\x01" + b"\xff" * 8,
        b"\x00\x40\x00\x00\x00\x00\x00\x00\x01" + struct.pack(">BI", 0, 1 << 30) + bytes(16379) + (
            b"\x00\x00\x01\x00\x00\x00\x00\x00\x01x"
        ),
        b"\x00\x00\x07\x00\x01\x00\x00\x00\x01" + struct.pack(">BI", 0, 2) + b"\x12\x01",
    ],
    ids=["no frame", "padding over the end", "an endless message", "another message"],
)  # fmt: skip
async def test_what_is_no_answer_of_grpc_fails_at_once(text: bytes) -> None:
    async with a_sender(text) as port:
        answer = await asker().ask(a_question(GRPCAction(port=port)))

    assert not answer.is_success
    assert "no answer within" not in answer.told


async def test_a_command_answers_by_its_code_and_says_what_it_wrote(world: World) -> None:
    driver = world.driver()
    container = await a_running(world, driver)

    async def run(command: tuple[str, ...], timeout_s: float = PATIENCE_S) -> Answer:
        question = a_question(ExecAction(command=command), timeout_s)
        return await NodeAsker(driver).ask(replace(question, container_id=container.id))

    spoken = await run(SPEAK)
    assert spoken.is_success
    assert set(spoken.told.split()) == {"out", "err"}
    assert await run(EXIT_3) == Answer(is_success=False, told="exit code 3")
    slow = await run(SLEEP, 1.0)
    assert not slow.is_success
    assert "timed out after 1s" in slow.told
    deaf = await run(CLING, 1.0)
    assert not deaf.is_success
    await driver.stop(container.id, 0)
    with pytest.raises(Unanswered):
        await run(SPEAK)
    await driver.close()
