"""A real nginx, that of the gateway's image, under the gateway's driver; and services behind it.

The image's archive is unpacked, and nginx runs in it by chroot: no Docker is needed, and nothing of
this machine is used.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import tarfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from cubernetes.api.core.service import Service, ServicePort
from cubernetes.api.cubernetes.dns import Dns
from cubernetes.api.networking.ingress import Ingress
from cubernetes.api.roads import roads_of
from cubernetes.host.env import Env
from cubernetes.host.exchange import NoAnswer, exchange
from gateway.nginx.driver import Driver
from gateway.nginx.process import ConfigurationRefused
from gateway.nginx.text import REQUEST_LOG, Configuration, Facts, configuration_for
from gateway.nginx.tree import CONFIGURATION, CURRENT, FILE, Tree
from gateway.roads.compile import model_for
from gateway.roads.model import Model
from tests.given import a_service
from tests.ports import free_ports
from tests.unit.gateway.roadworld import CLASSES

ARCHIVE = Path(__file__).resolve().parents[3] / "var" / "images" / "gateway.tar"
INSIDE = "etc/cube-gateway"
WORKERS_GID = 33
ANSWER_S = 60.0
END_S = 60.0
PART_BYTES = 1 << 20


def reason_to_skip() -> str:
    """Return why no nginx can run here, or nothing."""
    if os.geteuid() != 0:
        return "needs root"
    return "" if ARCHIVE.exists() else "needs the gateway's image: scripts/build-images"


class ChrootNginx:
    """The image's nginx. It answers to the protocol `Nginx`."""

    def __init__(self, folder: Path, status_port: int) -> None:
        self.root = folder / "image"
        self.root.mkdir()
        with tarfile.open(ARCHIVE) as archive:
            (image,) = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
            with tarfile.open(fileobj=archive.extractfile(image["Layers"][0])) as layer:
                layer.extractall(self.root, filter="fully_trusted")  # noqa: S202  made here
        self.log_path = self.root / REQUEST_LOG.removeprefix("/")
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self._status = ("127.0.0.1", status_port)
        self._process: subprocess.Popen[bytes] | None = None

    async def ensure(self) -> bool:
        if self._process is not None and self._process.poll() is None:
            return False
        path = f"/{INSIDE}/{CONFIGURATION}/{CURRENT}/{FILE}"
        with (self.root / "tmp/stderr").open("ab") as said:
            argv = self._argv("-g", "daemon off;", "-c", path)
            self._process = subprocess.Popen(argv, stderr=said)  # noqa: ASYNC220  ended below
        # Before it has set its signals up a reload would end it: Docker starts it again then.
        async with asyncio.timeout(ANSWER_S):
            while not await self.serving():
                assert self._process.poll() is None, (self.root / "tmp/stderr").read_text()
                await asyncio.sleep(0.02)
        return True

    async def test(self, generation: str) -> None:
        path = f"/{INSIDE}/{CONFIGURATION}/{generation}/{FILE}"
        argv = self._argv("-t", "-q", "-c", path)
        ended = await asyncio.create_subprocess_exec(*argv, stderr=subprocess.PIPE)
        _, said = await ended.communicate()
        if ended.returncode:
            raise ConfigurationRefused(said.decode())

    async def reload(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    async def serving(self) -> str:
        try:
            answer = await exchange(self._status, "GET /generation", deadline_s=ANSWER_S)
        except NoAnswer:
            return ""
        return answer.body.decode()

    async def request_log(self) -> Path | None:
        is_running = self._process is not None and self._process.poll() is None
        return self.log_path if is_running else None

    async def remove(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(END_S)

    def _argv(self, *words: str) -> list[str]:
        return ["chroot", str(self.root), "/usr/sbin/nginx", *words]


type Held = tuple[asyncio.Task[object], asyncio.StreamReader, asyncio.StreamWriter]


class Backend:
    """A service: an HTTP server on the loopback that answers with its name and the path."""

    def __init__(self, name: str, port_name: str = "") -> None:
        self.name, self._port_name = name, port_name
        self.port = 0
        self._server: asyncio.Server | None = None
        # A request for /slow is answered in two halves, the second once this is set.
        self.is_let_go = asyncio.Event()
        self.is_slow, self.is_asked = asyncio.Event(), asyncio.Event()
        self.paths: list[str] = []
        self.heads: list[str] = []
        # It then waits for another request on a connection, though it was asked to close it.
        self.is_keeping = False
        self.connection_count = 0
        # Lines of the answer's head beside its length.
        self.more_head = ""
        # It then reads requests, and answers none.
        self.is_mute = False
        # Bytes of bodies, as they come.
        self.body_byte_count = 0
        self.is_body_begun = asyncio.Event()
        self._held: set[Held] = set()

    async def begin(self) -> Service:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        port = ServicePort(port=self.port, name=self._port_name)
        return a_service(self.name, cluster_ip="127.0.0.1", ports=(port,))

    async def end(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = [task for task, _, _ in self._held]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # asyncio itself holds neither: a collection of garbage would cut the connection.
        task = asyncio.current_task()
        assert task is not None
        held = (task, reader, writer)
        self._held.add(held)
        try:
            await self._serve(reader, writer)
        finally:
            writer.close()
            self._held.discard(held)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection_count += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._exchange(reader, writer)
            while self.is_keeping:
                await self._exchange(reader, writer)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        self.paths.append(path)
        self.heads.append(head.decode(errors="replace"))
        self.is_asked.set()
        if path == "/silent":
            await reader.read()
        await self._read_body(head.decode(errors="replace").lower(), reader)
        if self.is_mute:
            # nginx has had enough of it then.
            await reader.read()
        body = f"{self.name} {path}".encode()
        told = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{self.more_head}\r\n"
        writer.write(told.encode())
        writer.write(body[:1])
        await writer.drain()
        if path == "/slow":
            self.is_slow.set()
            await self.is_let_go.wait()
        writer.write(body[1:])
        await writer.drain()

    async def _read_body(self, head: str, reader: asyncio.StreamReader) -> None:
        if "transfer-encoding: chunked" in head:
            while left := int(await reader.readuntil(b"\r\n"), 16):
                await self._read_part(left, reader)
                await reader.readexactly(2)
        elif said := re.search(r"content-length: (\d+)", head):
            await self._read_part(int(said[1]), reader)

    async def _read_part(self, byte_count: int, reader: asyncio.StreamReader) -> None:
        left = byte_count
        while left:
            part = await reader.read(min(left, PART_BYTES))
            if not part:
                raise asyncio.IncompleteReadError(part, left)
            left -= len(part)
            self.body_byte_count += len(part)
            self.is_body_begun.set()


class GatewayWorld:
    """nginx, its driver, and what they are told."""

    def __init__(self, folder: Path) -> None:
        http_port, https_port, status_port = free_ports(3)
        self.facts = Facts(
            http_port=http_port,
            https_port=https_port,
            status_port=status_port,
        )
        self.nginx = ChrootNginx(folder, self.facts.status_port)
        self.tree = Tree(self.nginx.root / INSIDE, WORKERS_GID)
        self.driver = Driver(self.nginx, self.tree, Env())
        self._backends: list[Backend] = []

    async def begin(self) -> None:
        await self.driver.begin(configuration_for(Model(), self.facts))

    async def end(self) -> None:
        for backend in self._backends:
            await backend.end()
        await self.nginx.remove()
        shutil.rmtree(self.nginx.root)

    async def backend(self, name: str, port_name: str = "") -> tuple[Backend, Service]:
        made = Backend(name, port_name)
        self._backends.append(made)
        return made, await made.begin()

    def configuration(
        self, claimants: Iterable[Ingress | Dns], services: Iterable[Service]
    ) -> Configuration:
        some = list(claimants)
        roads = roads_of(
            [one for one in some if isinstance(one, Ingress)],
            CLASSES,
            [one for one in some if isinstance(one, Dns)],
        )
        return configuration_for(model_for(roads, services), self.facts)

    async def log(self, count: int) -> list[dict[str, Any]]:
        """Return the lines of the log of requests, once there are so many of them.

        A request is written down after it was answered, by its worker: they stand in the order
        of their connections here.
        """
        async with asyncio.timeout(ANSWER_S):
            while True:
                # Not by splitlines, to which other characters end a line as well.
                *lines, _ = self.nginx.log_path.read_text().split("\n")
                if len(lines) >= count:
                    told = [json.loads(line) for line in lines]
                    return sorted(told, key=lambda one: int(one["id"].rsplit("-", 3)[1]))
                await asyncio.sleep(0.02)

    async def ask_by_tls(self, host: str, path: str) -> str:
        """Return the whole answer to a request by TLS, whatever certificate is shown."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self.facts.https_port, ssl=context, server_hostname=host
            )
            request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            writer.write(request.encode())
            answer = (await reader.read()).decode()
            writer.close()
        return answer

    async def ask(self, host: str, path: str) -> str:
        """Return "code body" of one request, each with a connection of its own."""
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.facts.http_port)
            try:
                writer.write(request.encode())
                answer = await reader.read()
                while more := await reader.read():
                    answer += more
            finally:
                writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        code = head.split(b" ")[1].decode()
        return f"{code} {body.decode()}" if code == "200" else code


@asynccontextmanager
async def a_gateway_world(folder: Path) -> AsyncIterator[GatewayWorld]:
    """Give an nginx that runs in a folder, or skip with the reason why none can."""
    if reason := reason_to_skip():
        pytest.skip(f"no nginx: {reason}")
    made = GatewayWorld(folder)
    try:
        await made.begin()
        yield made
    finally:
        await made.end()
