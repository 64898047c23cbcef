"""The HTTP of every server of ours: the same deadlines and limits, whatever it serves."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import pytest

from apiserver.http.app import App
from apiserver.server import ApiServer
from apiserver.settings import Limits as ApiLimits
from apiserver.settings import Settings
from apiserver.storage.memory import MemoryStore
from cubernetes.host.env import Env
from cubernetes.host.web import exporter
from cubernetes.host.web.httpserver import Limits
from cubernetes.host.web.messages import Request, Response, Unread
from cubernetes.host.web.site import RoutedSite
from cubernetes.host.web.tls import server_tls
from kubelet.keptlogs.shelf import KeptLogs
from kubelet.logserver import LIMITS as LOG_LIMITS
from kubelet.logserver import ContainerLogs, Sources, log_server
from kubelet.observer import Observer
from kubelet.runtime.driver import ContainerSpec, SandboxSpec
from kubelet.runtime.fake import Behaviour, FakeMachine, FakeRuntime
from serverless.gateway.front import FrontServer
from tests.contract.kubelet.test_kubelet_logs import OnePod
from tests.contract.store.certificates import write_certificates
from tests.given import a_pod
from tsdb.faults import Faults
from tsdb.ingest import Ingest
from tsdb.limits import Limits as StoreLimits
from tsdb.options import Options
from tsdb.serve.app import limits_of, server_of
from tsdb.serve.targets import Targets
from tsdb.serve.writes import Writes
from tsdb.storage.commit import Committer
from tsdb.storage.store import open_store
from tsdb.storage.upkeep import Upkeep

# Short for those who dawdle, and long for a busy machine.
DEADLINE_S = 1.0
# For what must not end by its deadline within a test.
LONG_S = 60.0
BODY_BYTES_MAX = 1000
BODY_COUNT_MAX = 4
CONNECTIONS_MAX = 12
HOST = "Host: a\r\n"


class Ways(NamedTuple):
    """How a server is asked: path is answered with 200; without a certificate there is no TLS."""

    port: int
    path: str
    tls: ssl.SSLContext | None = None
    # The client's TLS for somebody who may not ask.
    others: ssl.SSLContext | None = None


@dataclass
class Reply:
    code: int
    headers: dict[str, str]
    body: bytes = b""


class Client:
    """One connection, on which requests are written by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, line: str, *fields: str, body: bytes = b"") -> None:
        head = "\r\n".join([f"{line} HTTP/1.1", "Host: a", *fields, "", ""])
        self.writer.write(head.encode() + body)

    async def reply(self, *, is_head: bool = False) -> Reply:
        """Read one answer, of which the end is told by its head or by its connection."""
        async with asyncio.timeout(60):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            line, *fields = head.rstrip().split("\r\n")
            pairs = (field.partition(":")[::2] for field in fields)
            reply = Reply(
                int(line.split()[1]), {name.lower(): text.strip() for name, text in pairs}
            )
            if reply.code == 100 or is_head:
                return reply
            if reply.headers.get("transfer-encoding") == "chunked":
                while length := int(await self.reader.readline(), 16):
                    reply.body += await self.reader.readexactly(length)
                    await self.reader.readline()
                await self.reader.readline()
            else:
                length = int(reply.headers.get("content-length", "0"))
                reply.body = await self.reader.readexactly(length)
            return reply

    async def ended(self) -> bytes:
        """Return what still comes until the server ends the connection."""
        async with asyncio.timeout(60):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""


@asynccontextmanager
async def connected(ways: Ways, tls: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", ways.port, ssl=tls or ways.tls)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


async def answered(ways: Ways) -> Reply:
    async with connected(ways) as client:
        client.send(f"GET {ways.path}")
        return await client.reply()


def tls_of(folder: Path, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=folder / "ca.crt")
    context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    return context


@asynccontextmanager
async def api_server(folder: Path, limits: Limits) -> AsyncIterator[Ways]:
    of_api = ApiLimits(
        header_deadline_s=limits.head_deadline_s,
        body_deadline_s=limits.body_deadline_s,
        body_bytes_max=limits.body_bytes_max,
        bodies_bytes_max=limits.bodies_bytes_max,
        connections_max=limits.connections_max,
    )
    settings = Settings(
        listen_address="127.0.0.1",
        listen_port=0,
        cert=str(folder / "server.crt"),
        key=str(folder / "server.key"),
        client_ca=str(folder / "ca.crt"),
        limits=of_api,
    )
    env = Env()
    store = MemoryStore(env)
    server = ApiServer(store, env, settings)
    await server.start()
    app = App(server, settings)
    await app.start()
    nobody = ssl.create_default_context(cafile=folder / "ca.crt")
    # Without a group the client may ask for what is open to all whom the authority has signed.
    yield Ways(app.port, "/apis", tls_of(folder, "client"), nobody)
    await server.stop()
    await app.stop()
    await store.close()


@asynccontextmanager
async def kubelet(folder: Path, limits: Limits) -> AsyncIterator[Ways]:
    env, pod = Env(), a_pod("web-0")
    machine = FakeMachine(env, {"talks": Behaviour(output=[b"one\n"])}, ["talks", "pause:1"])
    runtime, uid = FakeRuntime(machine), pod.metadata.uid
    box = await runtime.start_sandbox(SandboxSpec(uid, "web-0", "default", "web-0", "pause:1"))
    await runtime.start_container(ContainerSpec(uid, "web-0", "default", "main", "talks"), box.id)
    observer = Observer(runtime)
    sources = Sources(OnePod(pod), runtime, observer, KeptLogs(None, runtime, env))
    logs = ContainerLogs("client", sources, env.clock)
    mixed = replace(limits, query_fields_max=LOG_LIMITS.query_fields_max)
    server = log_server(logs, mixed)
    cert, key, ca = (str(folder / name) for name in ("server.crt", "server.key", "ca.crt"))
    await server.listen("127.0.0.1", 0, server_tls(cert, key, ca))
    path = "/containerLogs/default/web-0/main"
    yield Ways(server.port, path, tls_of(folder, "client"), tls_of(folder, "server"))
    await server.stop(0.1)
    await observer.close()
    machine.close()


@asynccontextmanager
async def time_series_store(folder: Path, limits: Limits) -> AsyncIterator[Ways]:
    env, faults = Env(), Faults()
    store = open_store(folder / "data", StoreLimits(), Options())
    committer = Committer(store, env.clock, 0.0)
    upkeep = Upkeep(store, env, 60.0, faults)
    writes = Writes(store, Ingest(store), committer, upkeep, env.clock)
    routes = [*Targets(list).routes(), *writes.routes()]
    of_store = replace(limits, query_fields_max=limits_of(StoreLimits()).query_fields_max)
    server = server_of(routes, faults, of_store)
    await server.listen("127.0.0.1", 0, None)
    yield Ways(server.port, "/api/v1/targets")
    await server.stop(0.1)
    store.close()


@asynccontextmanager
async def metrics_exporter(_: Path, limits: Limits) -> AsyncIterator[Ways]:
    server = exporter.metrics_server(Env().metrics, limits)
    await server.listen("127.0.0.1", 0, None)
    yield Ways(server.port, "/metrics")
    await server.stop(0.1)


class Whole:
    """A site as the gateway of functions has one: each answer is whole."""

    def __init__(self, site: RoutedSite) -> None:
        self._site = site
        self.refused = site.refused

    async def respond(self, request: Request, unread: Unread | None) -> Response:
        async with self._site.answering(request, unread) as response:
            return response


@asynccontextmanager
async def gateway_of_functions(_: Path, limits: Limits) -> AsyncIterator[Ways]:
    async def hello(_: Request) -> Response:
        return Response(200, b"hello")

    server = FrontServer(Whole(RoutedSite([("GET", "/hello", hello)], limits)), limits)
    await server.listen("127.0.0.1", 0)
    yield Ways(server.port, "/hello")
    await server.stop(0.1)


type Start = Callable[[Path, Limits], AbstractAsyncContextManager[Ways]]
SERVERS: dict[str, Start] = {
    "apiserver": api_server,
    "kubelet": kubelet,
    "tsdb": time_series_store,
    "exporter": metrics_exporter,
    "functions": gateway_of_functions,
}
QUICK = Limits(
    head_deadline_s=DEADLINE_S,
    body_deadline_s=DEADLINE_S,
    body_bytes_max=BODY_BYTES_MAX,
    bodies_bytes_max=BODY_COUNT_MAX * BODY_BYTES_MAX,
    connections_max=CONNECTIONS_MAX,
)
PATIENT = replace(QUICK, head_deadline_s=LONG_S, body_deadline_s=LONG_S)


@pytest.fixture(params=SERVERS.values(), ids=list(SERVERS))
def start(request: pytest.FixtureRequest) -> Start:
    found: Start = request.param
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_certificates(tmp_path)
    return tmp_path


@pytest.fixture
async def quick(start: Start, folder: Path) -> AsyncIterator[Ways]:
    async with start(folder, QUICK) as found:
        yield found


@pytest.fixture
async def patient(start: Start, folder: Path) -> AsyncIterator[Ways]:
    async with start(folder, PATIENT) as found:
        yield found


@pytest.mark.parametrize("sent", ["", "GET / HTTP/1.1\r\nHo"])
async def test_a_head_that_does_not_come_ends_the_connection(quick: Ways, sent: str) -> None:
    async with connected(quick) as client:
        client.writer.write(sent.encode())
        assert await client.ended() == b""


async def test_a_head_that_drips_ends_the_connection(quick: Ways) -> None:
    async with connected(quick) as client:

        async def drip() -> None:
            client.writer.write(b"GET / HTTP/1.1\r\n")
            while True:
                client.writer.write(b"a: b\r\n")
                await asyncio.sleep(DEADLINE_S / 5)

        dripping = asyncio.create_task(drip())
        assert await client.ended() == b""
        dripping.cancel()


async def test_a_body_that_does_not_come_is_refused(quick: Ways) -> None:
    async with connected(quick) as client:
        client.send(f"GET {quick.path}", "Content-Length: 100", body=b"{")
        reply = await client.reply()
        assert (reply.code, reply.headers["connection"]) == (400, "close")
        assert b"in time" in reply.body


@pytest.mark.parametrize("framing", ["by its head", "in chunks"])
async def test_a_body_over_the_limit_is_refused(patient: Ways, framing: str) -> None:
    async with connected(patient) as client:
        if framing == "by its head":
            # It is refused before any of it has come.
            client.send(f"GET {patient.path}", f"Content-Length: {BODY_BYTES_MAX + 1}")
        else:
            size = BODY_BYTES_MAX + 1
            body = f"{size:x}\r\n".encode() + b" " * size + b"\r\n0\r\n\r\n"
            client.send(f"GET {patient.path}", "Transfer-Encoding: chunked", body=body)
        reply = await client.reply()
        # Prometheus tells limits by 422.
        assert reply.code in (413, 422)
        assert reply.headers["connection"] == "close"
        await client.ended()


async def test_a_body_is_not_asked_for_before_its_route_is_found(patient: Ways) -> None:
    async with connected(patient) as client:
        client.send("POST /nowhere", "Content-Length: 10", "Expect: 100-continue")
        reply = await client.reply()
        assert (reply.code, reply.headers["connection"]) == (404, "close")


async def test_a_body_is_not_asked_for_before_its_sender_is_known(patient: Ways) -> None:
    if patient.others is None:
        pytest.skip("everybody who reaches this server may ask")
    async with connected(patient, patient.others) as client:
        client.send(f"GET {patient.path}", "Content-Length: 10", "Expect: 100-continue")
        reply = await client.reply()
        assert reply.code in (401, 403)
        assert reply.headers["connection"] == "close"


async def test_a_body_that_is_expected_is_asked_for(patient: Ways) -> None:
    async with connected(patient) as client:
        client.send(f"GET {patient.path}", "Content-Length: 2", "Expect: 100-continue")
        assert (await client.reply()).code == 100
        client.writer.write(b"{}")
        assert (await client.reply()).code == 200


async def test_the_sum_of_bodies_is_bounded(patient: Ways) -> None:
    """Bodies beyond it stay with their senders until there is room."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(patient)) for _ in range(8)]
        asked: dict[asyncio.Task[Reply], Client] = {}
        for client in clients:
            fields = (f"Content-Length: {BODY_BYTES_MAX}", "Expect: 100-continue")
            client.send(f"GET {patient.path}", *fields)
            asked[asyncio.create_task(client.reply())] = client
        rounds = 0
        while asked:
            async with asyncio.timeout(60):
                await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            # Whoever else would be asked is asked in the next turns of the loop.
            assert (await answered(patient)).code == 200
            continued = [task for task in asked if task.done()]
            assert 1 <= len(continued) <= BODY_COUNT_MAX
            for task in continued:
                assert task.result().code == 100
                client = asked.pop(task)
                client.writer.write(b" " * BODY_BYTES_MAX)
                assert (await client.reply()).code == 200
            rounds += 1
        assert rounds >= len(clients) / BODY_COUNT_MAX


async def test_over_the_limit_no_connection_is_kept(patient: Ways) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(CONNECTIONS_MAX):
            client = await stack.enter_async_context(connected(patient))
            client.send(f"GET {patient.path}")
            assert (await client.reply()).code == 200
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await answered(patient)


async def test_a_refusal_without_a_body_leaves_the_connection_open(patient: Ways) -> None:
    async with connected(patient) as client:
        client.send("GET /nowhere")
        assert (await client.reply()).code == 404
        client.send(f"PUT {patient.path}")
        reply = await client.reply()
        assert reply.code == 405
        assert "GET" in re.split(", ?", reply.headers["allow"])
        client.send(f"GET {patient.path}")
        assert (await client.reply()).code == 200


@pytest.mark.parametrize("is_at_once", [True, False])
async def test_requests_that_come_before_their_turn_are_answered_in_their_order(
    patient: Ways, is_at_once: bool
) -> None:
    lines = [f"GET {patient.path}", "GET /nowhere", f"GET {patient.path}", "GET /nowhere"] * 5
    async with connected(patient) as client:
        for line in lines:
            client.send(line)
            if not is_at_once:
                # Each in a segment of its own, while others are being answered.
                await asyncio.sleep(0)
        codes = [(await client.reply()).code for _ in lines]
    assert codes == [200, 404] * 10


async def test_a_body_and_what_follows_it_are_kept_apart(patient: Ways) -> None:
    async with connected(patient) as client:
        client.send(f"GET {patient.path}", "Content-Length: 2", body=b"{}")
        client.send(f"GET {patient.path}", "Transfer-Encoding: chunked", body=b"2\r\n{")
        client.writer.write(b"}\r\n0\r\n\r\n")
        client.send("GET /nowhere")
        assert [(await client.reply()).code for _ in range(3)] == [200, 200, 404]


async def test_a_head_is_answered_without_a_body(patient: Ways) -> None:
    """Kubernetes' API takes no HEAD; the others answer as they do to GET."""
    async with connected(patient) as client:
        client.send(f"HEAD {patient.path}")
        reply = await client.reply(is_head=True)
        assert reply.code == (405 if patient.path == "/apis" else 200)
        # Were there a body, this would not be an answer.
        client.send(f"GET {patient.path}")
        assert (await client.reply()).code == 200


@pytest.mark.parametrize(
    "target", ["/%ff", "/%zz", "/%", "{path}%2", "{path}?a=%ff", "{path}?" + "&".join(["a"] * 2000)]
)
async def test_a_target_that_cannot_be_read_is_a_bad_request(patient: Ways, target: str) -> None:
    async with connected(patient) as client:
        client.send(f"GET {target.format(path=patient.path)}")
        assert (await client.reply()).code == 400


async def test_a_path_is_decoded_once(patient: Ways) -> None:
    begin, last = patient.path[:-1], patient.path[-1]
    async with connected(patient) as client:
        client.send(f"GET {begin}%{ord(last):02x}")
        assert (await client.reply()).code == 200
        client.send(f"GET {begin}%25{ord(last):02x}")
        assert (await client.reply()).code in (400, 404)


async def test_the_whole_url_is_taken_as_a_proxy_sends_it(patient: Ways) -> None:
    async with connected(patient) as client:
        client.send(f"GET http://a:1{patient.path}")
        assert (await client.reply()).code == 200


@pytest.mark.parametrize(
    "sent",
    [
        "nonsense\r\n\r\n",
        f"GET / HTTP/1.1\r\n{HOST}X: {'y' * 9000}\r\n\r\n",
        f"GET / HTTP/1.1\r\n{HOST}{HOST.replace('Host', 'X') * 100}\r\n",
        f"GET / HTTP/1.1\r\n{HOST}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_what_is_not_clean_http_is_a_bad_request(patient: Ways, sent: str) -> None:
    async with connected(patient) as client:
        client.writer.write(sent.encode())
        assert (await client.reply()).code == 400
        await client.ended()
