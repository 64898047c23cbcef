"""The HTTP door on real sockets: TLS identities, limits, deadlines, streams, and rude clients."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, cast

import pytest

from apiserver.http.app import App
from apiserver.server import ApiServer
from apiserver.settings import Limits, Settings
from apiserver.storage.memory import MemoryStore
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Request
from tests.contract.api.world import ADMIN, PODS, a_pod
from tests.contract.store.certificates import Authority, write_pair

LIMITS = Limits(
    # Short for those who dawdle, and long for a busy machine.
    header_deadline_s=2.0,
    body_deadline_s=2.0,
    body_bytes_max=64 * 1024,
    write_deadline_s=1.0,
    strangers_max=20,
)
HEAD = "Host: x\r\n"
MANY = [f"X{number}: y\r\n" for number in range(200)]


class Reply(NamedTuple):
    code: int
    headers: dict[str, str]
    body: bytes


class Pair(NamedTuple):
    cert: Path
    key: Path


def _issued(folder: Path, name: str, by: Authority, group: str = "") -> Pair:
    """Write a certificate for a name, signed by an authority."""
    write_pair(folder, name, by.sign(name, group, ("localhost",)))
    return Pair(folder / f"{name}.crt", folder / f"{name}.key")


class Served(NamedTuple):
    port: int
    server: ApiServer
    folder: Path
    authority: Authority

    def tls(self, client: Pair | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.authority.own.cert.decode())
        if client is not None:
            context.load_cert_chain(client.cert, client.key)
        return context

    @asynccontextmanager
    async def connected(
        self, client: Pair | None
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.tls(client), server_hostname="localhost"
        )
        try:
            yield reader, writer
        finally:
            writer.close()

    async def ask(self, text: str | bytes, client: Pair | None) -> Reply:
        async with self.connected(client) as (reader, writer):
            writer.write(text if isinstance(text, bytes) else text.encode())
            return await reply(reader)


async def reply(reader: asyncio.StreamReader) -> Reply:
    """Read one answer with a Content-Length."""
    async with asyncio.timeout(60):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *fields = head.rstrip().split("\r\n")
        headers = {
            key.lower(): value.strip() for key, _, value in (f.partition(":") for f in fields)
        }
        length = int(headers.get("content-length", "0"))
        return Reply(int(line.split()[1]), headers, await reader.readexactly(length))


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    authority = Authority()
    (tmp_path / "ca.crt").write_bytes(authority.own.cert)
    own = _issued(tmp_path, "server", authority)
    settings = Settings(
        listen_address="127.0.0.1",
        listen_port=0,
        cert=str(own.cert),
        key=str(own.key),
        client_ca=str(tmp_path / "ca.crt"),
        limits=LIMITS,
    )
    env = Env()
    store = MemoryStore(env)
    server = ApiServer(store, env, settings)
    await server.start()
    app = App(server, settings)
    await app.start()
    try:
        yield Served(app.port, server, tmp_path, authority)
    finally:
        await server.stop()
        await app.stop()
        await store.close()
        # Closed TLS connections say goodbye in the next turns of the loop.
        await asyncio.sleep(0.05)


@pytest.fixture
def admin(served: Served) -> Pair:
    return _issued(served.folder, "admin", served.authority, "system:masters")


def _post(body: bytes, extra: str = "", path: str = PODS) -> bytes:
    head = f"POST {path} HTTP/1.1\r\n{HEAD}Content-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


async def test_the_certificate_says_who_asks(served: Served, admin: Pair) -> None:
    get = f"GET {PODS} HTTP/1.1\r\n{HEAD}\r\n"
    assert (await served.ask(get, admin)).code == 200
    assert (await served.ask(get, None)).code == 401
    nobody = _issued(served.folder, "nobody", served.authority)
    assert (await served.ask(get, nobody)).code == 403
    assert (await served.ask(f"GET /livez HTTP/1.1\r\n{HEAD}\r\n", None)).body == b"ok"


async def test_a_certificate_of_another_authority_is_not_let_in(served: Served) -> None:
    forged = _issued(served.folder, "forged", Authority(), "system:masters")
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await served.ask(f"GET {PODS} HTTP/1.1\r\n{HEAD}\r\n", forged)


async def test_a_watch_streams_and_ends_with_its_client(served: Served, admin: Pair) -> None:
    async with served.connected(admin) as (reader, writer):
        writer.write(f"GET {PODS}?watch=1 HTTP/1.1\r\n{HEAD}\r\n".encode())
        async with asyncio.timeout(60):
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"200 OK" in head
            assert (await served.ask(_post(json.dumps(a_pod()).encode()), admin)).code == 201
            await reader.readline()
            event = json.loads(await reader.readline())
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "web")
        assert served.server.watchers.count == 1
    async with asyncio.timeout(60):
        while served.server.watchers.count:  # noqa: ASYNC110  what another task will do
            await asyncio.sleep(0.01)


async def test_a_head_that_dawdles_is_cut_off(served: Served, admin: Pair) -> None:
    async with served.connected(admin) as (reader, writer):
        writer.write(b"GET /livez HTTP/1.1\r\nHo")
        async with asyncio.timeout(60):
            assert await reader.read() == b""
    # Also behind a request that was answered.
    async with served.connected(admin) as (reader, writer):
        writer.write(f"GET /livez HTTP/1.1\r\n{HEAD}\r\n".encode())
        assert (await reply(reader)).code == 200
        writer.write(b"GET /li")
        async with asyncio.timeout(60):
            assert await reader.read() == b""


async def test_a_body_that_dawdles_is_refused(served: Served, admin: Pair) -> None:
    text = f"POST {PODS} HTTP/1.1\r\n{HEAD}Content-Length: 100\r\n\r\n{{"
    answer = await served.ask(text, admin)
    assert (answer.code, answer.headers["connection"]) == (400, "close")


@pytest.mark.parametrize("framing", ["honest", "chunked", "too long to be true"])
async def test_row_8_a_body_over_the_limit_is_refused(
    served: Served, admin: Pair, framing: str
) -> None:
    size = LIMITS.body_bytes_max + 1
    match framing:
        case "honest":
            text = _post(b" " * size)
        case "chunked":
            head = f"POST {PODS} HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n"
            text = head.encode() + b" " * size + b"\r\n0\r\n\r\n"
        case _:
            head = f"POST {PODS} HTTP/1.1\r\n{HEAD}Content-Length: {2**40}\r\n\r\n"
            text = head.encode()
    answer = await served.ask(text, admin)
    assert (answer.code, answer.headers["connection"]) == (413, "close")
    assert json.loads(answer.body)["reason"] == "RequestEntityTooLarge"


async def test_row_9_a_compressed_body_is_not_unpacked(served: Served, admin: Pair) -> None:
    answer = await served.ask(_post(b"\x1f\x8b\x08", "Content-Encoding: gzip\r\n"), admin)
    assert answer.code == 415


@pytest.mark.parametrize(
    "text",
    [
        "nonsense\r\n\r\n",
        f"GET {PODS} HTTP/1.1\r\nHost: x\r\nHost: y\r\nContent-Length: 1\r\n"
        "Content-Length: 2\r\n\r\n",
        f"POST {PODS} HTTP/1.1\r\n{HEAD}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        f"GET {PODS} HTTP/1.1\r\n{HEAD}X: {'y' * 9000}\r\n\r\n",
        f"GET /{'y' * 9000} HTTP/1.1\r\n{HEAD}\r\n",
        f"GET {PODS} HTTP/1.1\r\n{HEAD}{''.join(MANY)}\r\n",
        f"GET {PODS}/%ff HTTP/1.1\r\n{HEAD}\r\n",
        f"GET {PODS}?{'&'.join('a=b' for _ in range(200))} HTTP/1.1\r\n{HEAD}\r\n",
    ],
)
async def test_what_is_not_clean_http_is_a_bad_request(
    served: Served, admin: Pair, text: str
) -> None:
    answer = await served.ask(text, admin)
    assert answer.code == 400
    assert json.loads(answer.body)["kind"] == "Status"
    assert (await served.ask(f"GET {PODS} HTTP/1.1\r\n{HEAD}\r\n", admin)).code == 200


async def test_a_path_is_decoded_once(served: Served, admin: Pair) -> None:
    assert (await served.ask(f"GET {PODS}/%2e%2e HTTP/1.1\r\n{HEAD}\r\n", admin)).code == 404
    assert (await served.ask(f"GET {PODS}/a%252fb HTTP/1.1\r\n{HEAD}\r\n", admin)).code == 404
    encoded = PODS.replace("pods", "%70ods")
    assert (await served.ask(f"GET {encoded} HTTP/1.1\r\n{HEAD}\r\n", admin)).code == 200


async def test_row_42_answers_come_in_the_order_of_the_requests(
    served: Served, admin: Pair
) -> None:
    paths = ("/livez", "/version", "/nowhere")
    async with served.connected(admin) as (reader, writer):
        for path in paths:
            writer.write(f"GET {path} HTTP/1.1\r\n{HEAD}\r\n".encode())
        assert [(await reply(reader)).code for _ in paths] == [200, 200, 404]


async def test_row_42_a_client_that_waits_to_be_told_is_told(served: Served, admin: Pair) -> None:
    body = json.dumps(a_pod()).encode()
    async with served.connected(admin) as (reader, writer):
        writer.write(
            _post(b"", f"Expect: 100-continue\r\nX-L: {len(body)}\r\n").replace(
                b"Content-Length: 0", f"Content-Length: {len(body)}".encode()
            )
        )
        async with asyncio.timeout(60):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await reply(reader)).code == 201


async def test_a_long_list_comes_whole(served: Served, admin: Pair) -> None:
    pod = a_pod()
    for number in range(40):
        pod["metadata"] = {"name": f"p{number}", "annotations": {"a": "x" * 20_000}}
        assert (await served.ask(_post(json.dumps(pod).encode()), admin)).code == 201
    answer = await served.ask(f"GET {PODS} HTTP/1.1\r\n{HEAD}\r\n", admin)

    assert len(json.loads(answer.body)["items"]) == 40


async def test_row_41_a_watcher_that_does_not_read_is_let_go(served: Served, admin: Pair) -> None:
    pod = a_pod()
    async with served.connected(admin) as (reader, writer):
        writer.write(f"GET {PODS}?watch=1 HTTP/1.1\r\n{HEAD}\r\n".encode())
        async with asyncio.timeout(60):
            await reader.readuntil(b"\r\n\r\n")
        cast(asyncio.Transport, writer.transport).pause_reading()
        for number in range(400):
            pod["metadata"] = {"name": f"p{number}", "annotations": {"a": "x" * 40_000}}
            request = Request("POST", PODS, body=json.dumps(pod).encode(), identity=ADMIN)
            assert (await served.server.handle(request)).status == 201
        async with asyncio.timeout(60):
            while served.server.watchers.count:  # noqa: ASYNC110  what another task will do
                await asyncio.sleep(0.05)


async def test_row_41_who_does_not_read_a_long_list_is_let_go(served: Served, admin: Pair) -> None:
    pod = a_pod()
    for number in range(400):
        pod["metadata"] = {"name": f"p{number}", "annotations": {"a": "x" * 40_000}}
        request = Request("POST", PODS, body=json.dumps(pod).encode(), identity=ADMIN)
        assert (await served.server.handle(request)).status == 201
    async with served.connected(admin) as (reader, writer):
        writer.write(f"GET {PODS} HTTP/1.1\r\n{HEAD}\r\n".encode())
        async with asyncio.timeout(60):
            await reader.readuntil(b"\r\n\r\n")
        transport = cast(asyncio.Transport, writer.transport)
        transport.pause_reading()
        await asyncio.sleep(3 * LIMITS.write_deadline_s)
        transport.resume_reading()
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(60):
                assert len(await reader.read(-1)) < 400 * 40_000


@pytest.mark.parametrize(
    "header",
    ["Impersonate-User", "impersonate-group", "IMPERSONATE-UID", "Impersonate-Extra-Scopes"],
)
async def test_nobody_acts_as_another(served: Served, admin: Pair, header: str) -> None:
    """Impersonation is not there yet: a caller who asks for it must not act as himself."""
    for path in (PODS, "/livez", "/apis"):
        text = f"GET {path} HTTP/1.1\r\n{HEAD}{header}: jane\r\n\r\n"
        answer = await served.ask(text, admin)
        assert answer.code == 403
        assert header.title() in json.loads(answer.body)["message"]


UNFINISHED = "Content-Length: 60000\r\n\r\n"


@pytest.mark.parametrize("framing", [UNFINISHED, "Transfer-Encoding: chunked\r\n\r\n"])
async def test_a_strangers_body_is_not_waited_for(served: Served, framing: str) -> None:
    """Who asks is decided by the head: the answer is there before a byte of the body is."""
    for extra in ("", "Authorization: Bearer abc.def\r\n"):
        answer = await served.ask(f"POST {PODS} HTTP/1.1\r\n{HEAD}{extra}{framing}", None)
        assert (answer.code, answer.headers["connection"]) == (401, "close")


async def test_a_stranger_is_not_told_to_send_his_body(served: Served) -> None:
    text = f"POST {PODS} HTTP/1.1\r\n{HEAD}Expect: 100-continue\r\n{UNFINISHED}"
    assert (await served.ask(text, None)).code == 401


async def test_nothing_of_a_strangers_body_is_read(served: Served) -> None:
    """What he goes on sending stays in his own buffers, and his connection ends."""
    async with served.connected(None) as (reader, writer):
        writer.write(f"POST {PODS} HTTP/1.1\r\n{HEAD}Content-Length: {2**30}\r\n\r\n".encode())
        assert (await reply(reader)).code == 401
        transport = cast(asyncio.Transport, writer.transport)
        transport.set_write_buffer_limits(high=0)
        sent_bytes, piece = 0, b"x" * 2**20
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(5):
                for _ in range(100):
                    writer.write(piece)
                    await writer.drain()
                    sent_bytes += len(piece)
    # What the buffers of two sockets hold, and no more.
    assert sent_bytes < 16 * 2**20


async def test_who_may_not_write_sends_no_body_either(served: Served) -> None:
    nobody = _issued(served.folder, "nobody", served.authority)
    answer = await served.ask(f"POST {PODS} HTTP/1.1\r\n{HEAD}{UNFINISHED}", nobody)
    assert (answer.code, answer.headers["connection"]) == (403, "close")


async def test_silent_strangers_fill_nothing(served: Served, admin: Pair) -> None:
    """Neither before TLS nor after it; who has a certificate comes in beside them, and stays."""
    text = f"GET {PODS} HTTP/1.1\r\n{HEAD}\r\n"
    async with served.connected(admin) as (reader, writer), contextlib.AsyncExitStack() as silent:
        writer.write(text.encode())
        assert (await reply(reader)).code == 200
        for number in range(100):
            connecting = asyncio.open_connection("127.0.0.1", served.port)
            raw, one = await connecting
            silent.callback(one.close)
            if not number:
                first = raw
        async with asyncio.timeout(60):
            with contextlib.suppress(ConnectionError):
                assert await first.read() == b""
        for _ in range(40):
            await silent.enter_async_context(served.connected(None))
        assert (await served.ask(text, admin)).code == 200
        writer.write(text.encode())
        assert (await reply(reader)).code == 200
